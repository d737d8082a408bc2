import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.argument import batching, linear
from huref_zk.argument.batching import Equation, combine, combine_rows, dot, first_false
from huref_zk.argument.projection import exact_product
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, R

TWICE = bn254.multiply(GENERATOR, 2)
TRUE = Equation("true", [GENERATOR, TWICE], [2, -1])
ALSO = Equation("also", [GENERATOR, None], [R, 5])
EMPTY = Equation("empty", [], [])
FALSE = Equation("false", [GENERATOR, TWICE], [2, 1])
WORSE = Equation("worse", [GENERATOR], [1])


@pytest.mark.parametrize(
    ("equations", "name"),
    [
        ([], None),
        ([TRUE], None),
        ([TRUE, ALSO, EMPTY, TRUE], None),
        ([FALSE], "false"),
        ([TRUE, FALSE], "false"),
        ([FALSE, TRUE], "false"),
        ([TRUE, WORSE, ALSO], "worse"),
        ([TRUE, WORSE, FALSE], "worse"),
        ([EMPTY, FALSE, WORSE], "false"),
    ],
)
def test_the_false_one_is_named(equations, name):
    assert first_false(equations, [3 + i for i in range(len(equations))]) == name


def test_true_ones_are_summed_once(monkeypatch):
    calls = []
    honest = bn254.msm

    def msm(points, scalars):
        calls.append(len(points))
        return honest(points, scalars)

    monkeypatch.setattr(batching, "msm", msm)
    assert first_false([TRUE, ALSO, TRUE], [5, 7, 11]) is None
    assert calls == [3]  # of the points that differ


def test_false_ones_that_cancel_need_the_weights_beforehand():
    """Why the weights are drawn last: known ones could be met."""
    minus = Equation("minus", [GENERATOR], [R - 1])
    assert first_false([WORSE, minus], [4, 4]) is None
    assert first_false([WORSE, minus], [4, 5]) == "worse"


def test_a_failed_sum_is_never_accepted(monkeypatch):
    """Even if no single equation is found false, which only a fault could bring about."""
    monkeypatch.setattr(batching, "_vanishes", lambda equations, weights: len(equations) == 1)
    assert first_false([TRUE, ALSO], [1, 1]) == "true"


def test_weights_and_scalars_must_be_as_many():
    for bad in ([1], [1, 2, 3]):
        with pytest.raises(ValueError):
            first_false([TRUE, ALSO], bad)
    with pytest.raises(ValueError):
        first_false([Equation("short", [GENERATOR, TWICE], [1])], [1])


# --- integers ------------------------------------------------------------------------------------

weights = st.lists(
    st.integers(0, R - 1) | st.sampled_from([0, 1, R - 1, (1 << 128) - 1]), max_size=6
)


@settings(max_examples=100, deadline=None)
@given(weights, st.integers(1, 4), st.data())
def test_combine_is_exact(numbers, columns, draw):
    edge = (1 << 31) - 1
    entry = st.integers(-edge, edge) | st.sampled_from([-edge, edge, 0])
    values = [[draw.draw(entry) for _ in range(columns)] for _ in numbers]
    array = np.array(values, dtype=np.int64).reshape(len(numbers), columns)
    expected = [
        sum(w * row[c] for w, row in zip(numbers, values, strict=True)) % R for c in range(columns)
    ]
    assert combine(numbers, array) == expected
    assert combine_rows(numbers, values) == (expected if values else [])


@pytest.mark.parametrize(
    ("count", "entry", "dtype"),
    [
        (1 << 12, (1 << 31) - 1, np.int64),
        (1 << 12, 1 - (1 << 31), np.int64),
        (1 << 17, -(1 << 15) + 1, np.int16),
        (1 << 17, 1, np.int8),
    ],
)
def test_combine_at_its_bounds(count, entry, dtype):
    """As many rows as it says, all numbers the largest: nothing overflows."""
    values = np.full((count, 2), entry, dtype=dtype)
    for weight in (R - 1, (1 << 240) - 1, (1 << 128) - 1):
        assert combine([weight] * count, values) == [count * weight * entry % R] * 2


@pytest.mark.parametrize("entry", [1 << 62, -(1 << 62), (1 << 31) - 1, -1])
def test_combine_of_wide_integers_at_its_bounds(entry):
    values = np.full((1 << 12, 2), entry, dtype=np.int64)
    for weight in (R - 1, (1 << 128) - 1):
        assert (
            linear.combine([weight] * len(values), values) == [len(values) * weight * entry % R] * 2
        )


def test_combine_of_nothing():
    assert combine([], np.zeros((0, 3), np.int64)) == [0, 0, 0]
    assert combine([0, 0], np.ones((2, 2), np.int16)) == [0, 0]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.data())
def test_exact_product(inner, rows, columns, draw):
    wide, narrow = (1 << 31) - 1, (1 << 15) - 1
    x = [[draw.draw(st.integers(-wide, wide)) for _ in range(inner)] for _ in range(rows)]
    c = [[draw.draw(st.integers(-narrow, narrow)) for _ in range(columns)] for _ in range(inner)]
    found = exact_product(np.array(x, np.int64), np.array(c, np.int16))
    assert found.dtype == np.int64
    assert found.tolist() == [
        [sum(a * b for a, b in zip(row, col, strict=True)) for col in zip(*c, strict=True)]
        for row in x
    ]


@pytest.mark.parametrize("x", [(1 << 31) - 1, 1 - (1 << 31), -1, 1 << 16, -(1 << 16)])
@pytest.mark.parametrize("c", [(1 << 15) - 1, 1 - (1 << 15)])
@pytest.mark.parametrize("inner", [1 << 15, 1 << 16])
def test_exact_product_at_its_bounds(x, c, inner):
    """As many terms as a hidden size can have and more, none of which cancels."""
    found = exact_product(np.full((2, inner), x, np.int64), np.full((inner, 1), c, np.int16))
    assert found.tolist() == [[inner * x * c]] * 2


def test_signs_times_the_largest_embeddings():
    """2^16 rows of the largest integers: the sums stay below what exact_product takes."""
    signs = np.ones((1, 1 << 16), np.int64)
    found = exact_product(signs, np.full((1 << 16, 1), (1 << 15) - 1, np.int16))
    assert found.tolist() == [[(1 << 31) - (1 << 16)]]


def test_dot():
    assert dot([1, 2], [3, R]) == 3 + 2 * R
    with pytest.raises(ValueError):
        dot([1], [1, 2])
