"""BN254's G1 is a group, our sums agree with py_ecc's, and points have one encoding each."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from huref_zk.curve import encoding, group
from huref_zk.curve.field import Q, R
from huref_zk.curve.group import GENERATOR, LAMBDA, add, msm, multiply, negate
from huref_zk.errors import InputError

SMALL = multiply(GENERATOR, 5)
# Few multiples of few points, so that equal, opposite and missing ones meet.
near = st.integers(-3, 3).map(lambda n: multiply(SMALL, n))
far = st.integers(0, R - 1).map(lambda n: multiply(GENERATOR, n))
point = st.one_of(near, far)
scalar = st.one_of(
    st.integers(-(2**300), 2**300),
    st.sampled_from([0, 1, R - 1, R, R + 1, LAMBDA, R // 2, R // 2 + 1, 2**128, 2**160]),
)
few = settings(max_examples=40, deadline=None)


def lifted(p):
    return oracle.Z1 if p is None else (oracle.FQ(p[0]), oracle.FQ(p[1]), oracle.FQ.one())


def lowered(p):
    if oracle.is_inf(p):
        return None
    x, y = oracle.normalize(p)
    return int(x), int(y)


@few
@given(point, point, point)
def test_group_laws(a, b, c):
    assert add(a, b) == add(b, a) == lowered(oracle.add(lifted(a), lifted(b)))
    assert add(add(a, b), c) == add(a, add(b, c)) == group.sum_groups([[a, b, c]])[0]
    assert add(a, None) == a and add(a, negate(a)) is None
    assert group.is_on_curve(add(a, b))


@few
@given(point, scalar, scalar)
def test_multiples(a, s, t):
    assert multiply(a, s) == lowered(oracle.multiply(lifted(a), s % R))
    assert add(multiply(a, s), multiply(a, t)) == multiply(a, s + t)
    assert multiply(multiply(a, s), t) == multiply(a, s * t)
    assert multiply(a, R) is None


@few
@given(st.lists(st.tuples(point, scalar), max_size=7))
def test_msm_is_the_sum_of_multiples(terms):
    points, scalars = [p for p, _ in terms], [s for _, s in terms]
    total = oracle.Z1
    for p, s in terms:
        total = oracle.add(total, oracle.multiply(lifted(p), s % R))
    assert msm(points, scalars) == lowered(total)
    assert msm(points[::-1], [-s for s in scalars[::-1]]) == negate(msm(points, scalars))


@few
@given(point, point)
def test_encodings_are_injective_and_come_back(a, b):
    pairs = (
        (encoding.compress, encoding.decompress),
        (encoding.encode_uncompressed, encoding.decode_uncompressed),
        (encoding.encode_raw, encoding.decode_raw),
    )
    for write, read in pairs:
        assert read(write(a)) == a
        assert (write(a) == write(b)) == (a == b)
    assert encoding.compress(negate(a)) != encoding.compress(a) or a is None


@settings(max_examples=150, deadline=None)
@given(far.filter(lambda p: p is not None), st.integers(0, 511))
def test_a_flipped_bit_is_another_point_or_none(p, bit):
    for write, read in (
        (encoding.compress, encoding.decompress),
        (encoding.encode_raw, encoding.decode_raw),
    ):
        data = bytearray(write(p))
        data[bit // 8 % len(data)] ^= 1 << bit % 8
        try:
            other = read(bytes(data))
        except InputError:
            continue
        assert other != p and group.is_on_curve(other) and write(other) == bytes(data)


@pytest.mark.parametrize("x", [Q, Q + 1, 2**254 - 1])
def test_no_second_name_for_a_coordinate(x):
    """A coordinate plus q names nothing; without q, the control, it is the curve's or refused."""
    with pytest.raises(InputError, match="field order"):
        encoding.decompress(x.to_bytes(32, "big"))
    assert encoding.decompress((1).to_bytes(32, "big")) == GENERATOR
