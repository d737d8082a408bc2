import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from huref_zk.curve import group
from huref_zk.curve.field import Q, R
from huref_zk.curve.group import GENERATOR
from huref_zk.curve.group_fft import multiply_each

scalars = st.one_of(
    st.integers(-R, 2 * R), st.integers(-8, 8), st.sampled_from([0, 1, R - 1, R, R + 1, R // 2])
)


def expected(scalar):
    """scalar * G by py_ecc."""
    if scalar % R == 0:
        return None
    x, y = oracle.normalize(oracle.multiply(oracle.G1, scalar % R))
    return int(x), int(y)


@pytest.fixture(scope="module")
def points():
    """(k, k G) for 200 random k; kG by our fixed-base tables, spot-checked against py_ecc."""
    rng = random.Random(1)
    ks = [rng.randrange(R) for _ in range(200)]
    made = group.FixedBase(GENERATOR).multiples(ks)
    for index in (0, 57, 199):
        assert made[index] == expected(ks[index])
    return ks, made


def test_constants_are_the_curve_py_ecc_knows():
    assert oracle.field_modulus == Q
    assert oracle.curve_order == R
    assert pow(group.LAMBDA, 3, R) == 1 != group.LAMBDA
    assert pow(group.BETA, 3, Q) == 1 != group.BETA
    assert (group.BETA * GENERATOR[0] % Q, GENERATOR[1]) == expected(group.LAMBDA)


@given(scalars)
@settings(max_examples=30, deadline=None)
def test_multiply(scalar):
    assert group.multiply(GENERATOR, scalar) == expected(scalar)


@given(scalars, scalars)
@settings(max_examples=30, deadline=None)
def test_add(a, b):
    left, right = group.multiply(GENERATOR, a), group.multiply(GENERATOR, b)
    assert group.add(left, right) == expected(a + b)


def test_add_special_cases():
    two = expected(2)
    assert group.add(GENERATOR, GENERATOR) == two
    assert group.add(GENERATOR, group.negate(GENERATOR)) is None
    assert group.add(None, two) == two == group.add(two, None)
    assert group.add(None, None) is None
    assert group.negate(None) is None


def test_sums_with_equal_opposite_and_missing_points(points):
    ks, ps = points
    groups = [
        [],
        [None, None],
        [ps[0]],
        [ps[0]] * 7,
        [ps[0], group.negate(ps[0])] * 3 + [ps[1]],
        [*ps[:31], None, group.negate(ps[0])],
    ]
    wanted = [0, 0, ks[0], 7 * ks[0], ks[1], sum(ks[:31]) - ks[0]]
    assert group.sum_groups(groups) == [expected(k) for k in wanted]


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([1, 8, 90, 128, 133, 254]))
@settings(max_examples=25, deadline=None)
def test_msm(points, seed, count, bits):
    rng = random.Random(seed)
    ks, ps = points
    numbers = [rng.choice((1, -1)) * rng.randrange(1 << bits) for _ in range(count)]
    total = sum(k * n for k, n in zip(ks, numbers, strict=False))
    assert group.msm(ps[:count], numbers) == group.multiply(GENERATOR, total)


def test_msm_edge_scalars(points):
    ks, ps = points
    numbers = [0, 1, -1, R - 1, R, R + 1, R // 2, R // 2 + 1, 2**253, -(2**160), 2**160 - 1]
    total = sum(k * n for k, n in zip(ks, numbers, strict=False))
    assert group.msm(ps[: len(numbers)], numbers) == expected(total)
    assert group.msm([None, ps[0], ps[0]], [5, 3, -3]) is None
    assert group.msm([], []) is None
    with pytest.raises(ValueError):
        group.msm(ps[:2], [1])


def test_split_is_exact_and_short():
    rng = random.Random(2)
    for scalar in [0, 1, R // 2, -(R // 2), *(rng.randrange(-R // 2, R // 2) for _ in range(500))]:
        a, b = group.split(scalar)
        assert (a + b * group.LAMBDA - scalar) % R == 0
        assert max(abs(a), abs(b)) < 1 << 128


@pytest.mark.parametrize("count", [1, 3, 4, 5, 17])
def test_subset_sums(points, count):
    ks, ps = points
    rng = random.Random(count)
    members = [[rng.random() < 0.5 for _ in range(count)] for _ in range(6)]
    members += [[True] * count, [False] * count]
    wanted = [sum(k for k, m in zip(ks, row, strict=False) if m) for row in members]
    assert group.subset_sums(ps[:count], members) == [expected(k) for k in wanted]


def test_fixed_base_edge_scalars():
    edge = [0, 1, 511, 512, 513, 1023, 1024, R - 1, R]
    for width in (10, 13):
        table = group.FixedBase(GENERATOR, width)
        assert table.multiples(edge) == [expected(k) for k in edge]


def test_each_its_own_multiple(points):
    ks, ps = points
    rng = random.Random(3)
    numbers = [0, 1, -1, R - 1, R, *(rng.randrange(R) for _ in range(15))]
    wanted = [expected(k * n) for k, n in zip(ks, numbers, strict=False)]
    assert multiply_each(ps[: len(numbers)], numbers) == wanted
    assert multiply_each([None], [5]) == [None]


def plain(point):
    return point is None or all(type(c) is int for c in point)


def test_what_comes_out_is_plain_ints(points):
    """Whatever the numbers within: points are written as JSON and bytes."""
    _, ps = points
    results = [
        *group.sum_groups([ps[:3], ps[:1], []]),
        *group.subset_sums(ps[:5], [[True, False, True, True, False], [True] + [False] * 4]),
        group.msm(ps[:9], range(9)),
        group.msm(ps[:1], [1]),
        group.add(ps[0], None),
        group.multiply(ps[0], 5),
        group.negate(ps[0]),
        *group.FixedBase(ps[0]).multiples([0, 1, 2]),
        *multiply_each(ps[:2], [1, 7]),
    ]
    assert all(map(plain, results))
