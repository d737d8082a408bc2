import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, Q, R
from huref_zk.errors import InputError

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
    made = bn254.FixedBase(GENERATOR).multiples(ks)
    for index in (0, 57, 199):
        assert made[index] == expected(ks[index])
    return ks, made


def test_constants_are_the_curve_py_ecc_knows():
    assert oracle.field_modulus == Q
    assert oracle.curve_order == R
    assert pow(bn254.LAMBDA, 3, R) == 1 != bn254.LAMBDA
    assert pow(bn254.BETA, 3, Q) == 1 != bn254.BETA
    assert (bn254.BETA * GENERATOR[0] % Q, GENERATOR[1]) == expected(bn254.LAMBDA)


@given(scalars)
@settings(max_examples=30, deadline=None)
def test_multiply(scalar):
    assert bn254.multiply(GENERATOR, scalar) == expected(scalar)


@given(scalars, scalars)
@settings(max_examples=30, deadline=None)
def test_add(a, b):
    left, right = bn254.multiply(GENERATOR, a), bn254.multiply(GENERATOR, b)
    assert bn254.add(left, right) == expected(a + b)


def test_add_special_cases():
    two = expected(2)
    assert bn254.add(GENERATOR, GENERATOR) == two
    assert bn254.add(GENERATOR, bn254.negate(GENERATOR)) is None
    assert bn254.add(None, two) == two == bn254.add(two, None)
    assert bn254.add(None, None) is None
    assert bn254.negate(None) is None


def test_sums_with_equal_opposite_and_missing_points(points):
    ks, ps = points
    groups = [
        [],
        [None, None],
        [ps[0]],
        [ps[0]] * 7,
        [ps[0], bn254.negate(ps[0])] * 3 + [ps[1]],
        [*ps[:31], None, bn254.negate(ps[0])],
    ]
    wanted = [0, 0, ks[0], 7 * ks[0], ks[1], sum(ks[:31]) - ks[0]]
    assert bn254.sum_groups(groups) == [expected(k) for k in wanted]


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([1, 8, 90, 128, 133, 254]))
@settings(max_examples=25, deadline=None)
def test_msm(points, seed, count, bits):
    rng = random.Random(seed)
    ks, ps = points
    numbers = [rng.choice((1, -1)) * rng.randrange(1 << bits) for _ in range(count)]
    total = sum(k * n for k, n in zip(ks, numbers, strict=False))
    assert bn254.msm(ps[:count], numbers) == bn254.multiply(GENERATOR, total)


def test_msm_edge_scalars(points):
    ks, ps = points
    numbers = [0, 1, -1, R - 1, R, R + 1, R // 2, R // 2 + 1, 2**253, -(2**160), 2**160 - 1]
    total = sum(k * n for k, n in zip(ks, numbers, strict=False))
    assert bn254.msm(ps[: len(numbers)], numbers) == expected(total)
    assert bn254.msm([None, ps[0], ps[0]], [5, 3, -3]) is None
    assert bn254.msm([], []) is None
    with pytest.raises(ValueError):
        bn254.msm(ps[:2], [1])


def test_split_is_exact_and_short():
    rng = random.Random(2)
    for scalar in [0, 1, R // 2, -(R // 2), *(rng.randrange(-R // 2, R // 2) for _ in range(500))]:
        a, b = bn254.split(scalar)
        assert (a + b * bn254.LAMBDA - scalar) % R == 0
        assert max(abs(a), abs(b)) < 1 << 128


@pytest.mark.parametrize("count", [1, 3, 4, 5, 17])
def test_subset_sums(points, count):
    ks, ps = points
    rng = random.Random(count)
    members = [[rng.random() < 0.5 for _ in range(count)] for _ in range(6)]
    members += [[True] * count, [False] * count]
    wanted = [sum(k for k, m in zip(ks, row, strict=False) if m) for row in members]
    assert bn254.subset_sums(ps[:count], members) == [expected(k) for k in wanted]


def test_fixed_base_edge_scalars():
    edge = [0, 1, 511, 512, 513, 1023, 1024, R - 1, R]
    for width in (10, 13):
        table = bn254.FixedBase(GENERATOR, width)
        assert table.multiples(edge) == [expected(k) for k in edge]


@given(scalars)
@settings(max_examples=30, deadline=None)
def test_encodings_round_trip(scalar):
    point = bn254.multiply(GENERATOR, scalar)
    assert bn254.decompress(bn254.compress(point)) == point
    assert bn254.decode_uncompressed(bn254.encode_uncompressed(point)) == point
    assert bn254.decode_raw(bn254.encode_raw(point)) == point
    assert bn254.decode_witness(witness(point)) == point


def witness(point):
    if point is None:
        return (1 << 254).to_bytes(32, "little")
    return (point[0] | (point[1] & 1) << 255).to_bytes(32, "little")


def flip(data, bit):
    number = int.from_bytes(data, "big") ^ (1 << bit)
    return number.to_bytes(len(data), "big")


def test_compressed_malformed():
    good = bn254.compress(expected(5))
    assert bn254.decompress(good) == expected(5)  # the control
    assert bn254.decompress(flip(good, 255)) == bn254.negate(expected(5))
    too_large = (Q + 1).to_bytes(32, "big")  # x = 1 is on the curve, but written as 1 + q
    no_point = next(x for x in range(100) if pow(x**3 + 3, (Q - 1) // 2, Q) == Q - 1).to_bytes(
        32, "big"
    )
    for bad, words in [
        (good[:-1], "32 bytes"),
        (good + b"\0", "32 bytes"),
        (b"", "32 bytes"),
        (too_large, "not below the field order"),
        (no_point, "no point of the curve"),
        (flip(good, 254), "infinity"),
        (b"\xc0" + bytes(31), "infinity"),
        (b"\x40" + bytes(30) + b"\1", "infinity"),
    ]:
        with pytest.raises(InputError, match=words):
            bn254.decompress(bad)


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=100, deadline=None)
def test_compressed_is_canonical(data):
    """Whatever decodes is exactly what encodes."""
    try:
        point = bn254.decompress(data)
    except InputError:
        return
    assert bn254.compress(point) == data
    assert bn254.is_on_curve(point)


def test_uncompressed_malformed():
    x, y = expected(5)
    both = (x, y)
    assert bn254.decode_uncompressed(bn254.encode_uncompressed(both)) == both  # the control
    assert bn254.decode_uncompressed(bytes(64)) is None
    for bad in [(x, y ^ 1), (x + Q, y), (x, y + Q), (0, 1), (0, Q)]:
        data = b"".join(n.to_bytes(32, "big") for n in bad)
        with pytest.raises(InputError, match="not a point"):
            bn254.decode_uncompressed(data)
    with pytest.raises(InputError, match="64 bytes"):
        bn254.decode_uncompressed(bytes(63))


def test_raw_malformed():
    good = bn254.encode_raw(expected(5))
    assert bn254.decode_raw(good) == expected(5)  # the control
    x = int.from_bytes(good[:32], "little")
    with pytest.raises(InputError, match="not below"):
        bn254.decode_raw((x + Q).to_bytes(32, "little") + good[32:])
    with pytest.raises(InputError, match="not a point"):
        bn254.decode_raw((x ^ 1).to_bytes(32, "little") + good[32:])
    with pytest.raises(InputError, match="64 bytes"):
        bn254.decode_raw(good[:32])


def test_witness_malformed():
    good = witness(expected(5))
    assert bn254.decode_witness(good) == expected(5)  # the control
    with pytest.raises(InputError, match="infinity"):
        bn254.decode_witness(good[:31] + bytes([good[31] | 0x40]))
    with pytest.raises(InputError, match="not below"):
        bn254.decode_witness((Q + 1).to_bytes(32, "little"))
    with pytest.raises(InputError, match="32 bytes"):
        bn254.decode_witness(good + b"\0")
