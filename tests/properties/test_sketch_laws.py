"""The sketch: balanced signs, linear in the cores, blind to rewriting, unbiased."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.invariants.quantise import Quantised, integer_maps
from huref_zk.invariants.recipes import Cores
from huref_zk.invariants.sketch import SIDES, ics, ics_maps, signs, sketch

seeds = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**32 - 1)
few = settings(max_examples=40, deadline=None)


def cores(number: int, sets: int = 1, tokens: int = 40, d: int = 6) -> Cores:
    """Random float64 cores of a made-up model."""
    rng = np.random.default_rng(number)
    return Cores(
        recipe="whole" if sets == 1 else "last-two",
        X=rng.standard_normal((tokens, d)),
        sets=tuple(rng.standard_normal((3, d, d)) for _ in range(sets)),
        layer_ids=(0, 1),
        token_ids=np.arange(tokens),
        token_choice="given",
        facts={},
    )


def changed(c: Cores, X=lambda x: x, C=lambda c: c) -> Cores:
    return replace(c, X=X(c.X), sets=tuple(map(C, c.sets)))


@few
@given(seeds, st.sampled_from(SIDES), st.integers(1, 20), st.integers(1, 60).map(lambda n: 2 * n))
def test_every_row_is_balanced(seed, side, p, count):
    rows = signs(seed, side, p, count)
    assert rows.shape == (p, count) and set(np.unique(rows)) == {-1, 1}
    assert not rows.sum(axis=1, dtype=int).any()
    assert (signs(seed, side, p + 1, count)[:p] == rows).all()


@few
@given(seeds, seeds)
def test_another_seed_or_side_gives_other_signs(one, other):
    a, b = signs(one, "L", 8, 64), signs(other, "L", 8, 64)
    assert (a == b).all() == (one == other)
    assert not (a == signs(one, "R", 8, 64)).all()


@few
@given(seeds, numbers, st.sampled_from([1, 2]), st.floats(-3, 3), st.floats(-3, 3))
def test_linear_in_the_cores(seed, number, sets, s, t):
    a = cores(number, sets)
    b = changed(a, C=lambda c: np.roll(c, 1, axis=2))
    mixed = replace(a, sets=tuple(s * x + t * y for x, y in zip(a.sets, b.sets, strict=True)))
    expected = s * sketch(a, seed) + t * sketch(b, seed)
    np.testing.assert_allclose(sketch(mixed, seed), expected, atol=1e-8)
    grown = changed(a, X=lambda x: s * x)
    np.testing.assert_allclose(sketch(grown, seed), s * s * sketch(a, seed), atol=1e-8)


@few
@given(seeds, numbers, numbers, st.booleans())
def test_rewriting_the_residual_stream_changes_nothing(seed, number, turn, rotation):
    """X Q and Q^-1 C Q^-T, for a rotation Q or any invertible one."""
    c, rng = cores(number), np.random.default_rng(turn)
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    Q = Q if rotation else Q * rng.uniform(0.5, 2, 6)
    back = np.linalg.inv(Q)
    same = changed(c, X=lambda x: x @ Q, C=lambda m: back @ m @ back.T)
    np.testing.assert_allclose(sketch(same, seed), sketch(c, seed), atol=1e-8)
    one_sided = changed(c, X=lambda x: x @ Q)  # the control: half of a rewriting is seen
    assert not np.allclose(sketch(one_sided, seed), sketch(c, seed), atol=1e-3)


@few
@given(seeds, numbers, st.floats(-5, 5))
def test_what_all_tokens_share_is_not_seen(seed, number, shift):
    c = cores(number)
    moved = changed(c, X=lambda x: x + shift)
    np.testing.assert_allclose(sketch(moved, seed), sketch(c, seed), atol=1e-7)


@few
@given(seeds, numbers)
def test_groups_see_their_sets(seed, number):
    """Of two sets, the first group sees the earlier, the second the later; of one, both see it."""
    two = cores(number, sets=2)
    first, second = (replace(two, sets=(s,)) for s in two.sets)
    np.testing.assert_array_equal(sketch(two, seed)[:3], sketch(first, seed)[:3])
    np.testing.assert_array_equal(sketch(two, seed)[3:], sketch(second, seed)[3:])
    assert not np.allclose(sketch(first, seed)[:3], sketch(first, seed)[3:])


@few
@given(seeds, numbers, st.sampled_from([1, 2]), st.sampled_from([10, 1000, 32767]))
def test_integers_have_the_sketch_of_their_floats(seed, number, sets, size):
    rng = np.random.default_rng(number)
    E = rng.integers(-size, size + 1, (40, 6)).astype(np.int16)
    C = tuple(rng.integers(-size, size + 1, (3, 6, 6)).astype(np.int16) for _ in range(sets))
    floats = replace(cores(number, sets), X=E, sets=C)
    exact = np.array(integer_maps(Quantised(E, C, {}), seed), dtype=np.float64)
    np.testing.assert_allclose(exact, sketch(floats, seed), rtol=1e-12)


@few
@given(numbers, numbers, st.floats(0.01, 100), st.floats(0.01, 100))
def test_likeness_is_a_cosine(one, other, s, t):
    x, y = (np.random.default_rng(n).standard_normal((6, 4, 4)) for n in (one, other))
    assert ics(x, x) == pytest.approx(1) and ics(x, -x) == pytest.approx(-1)
    assert ics(x, y) == pytest.approx(ics(y, x)) == pytest.approx(ics(s * x, t * y))
    assert (np.abs(ics_maps(x, y)) <= 1 + 1e-12).all()
    scales = np.arange(1, 7)[:, None, None]
    assert ics(scales * x, y) == pytest.approx(ics(x, y))  # each map counts the same


def test_unbiased():
    """Products of sketches average to products of double-centred maps."""
    a = cores(3, tokens=12)
    b = replace(a, sets=cores(4, tokens=12).sets)
    centre = np.eye(12) - 1 / 12

    def whole(c):
        return np.array([centre @ c.X @ m @ c.X.T @ centre for m in c.sets[0]])

    # A balanced random row has covariance n/(n-1) (I - 1/n), on both sides, 16^2 entries.
    expected = np.einsum("nij,nij->n", whole(a), whole(b)) * 256 * (12 / 11) ** 2
    drawn = []
    for i in range(800):
        seed = i.to_bytes(32, "big")
        drawn.append(np.einsum("nij,nij->n", sketch(a, seed), sketch(b, seed)))
    found = np.array(drawn).reshape(-1, 3)  # the groups of left signs are independent
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - expected) < 4.5 * error).all()
