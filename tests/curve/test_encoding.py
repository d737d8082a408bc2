import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.curve import encoding, field, group
from huref_zk.curve.field import Q, R
from huref_zk.curve.group import GENERATOR
from huref_zk.errors import InputError

scalars = st.one_of(st.integers(0, R - 1), st.integers(-8, 8))


def expected(scalar):
    return group.multiply(GENERATOR, scalar)


@given(scalars)
@settings(max_examples=30, deadline=None)
def test_encodings_round_trip(scalar):
    point = group.multiply(GENERATOR, scalar)
    assert encoding.decompress(encoding.compress(point)) == point
    assert encoding.decode_uncompressed(encoding.encode_uncompressed(point)) == point
    assert encoding.decode_raw(encoding.encode_raw(point)) == point
    assert encoding.decode_witness(witness(point)) == point


def witness(point):
    if point is None:
        return (1 << 254).to_bytes(32, "little")
    return (point[0] | (point[1] & 1) << 255).to_bytes(32, "little")


def flip(data, bit):
    number = int.from_bytes(data, "big") ^ (1 << bit)
    return number.to_bytes(len(data), "big")


def test_compressed_malformed():
    good = encoding.compress(expected(5))
    assert encoding.decompress(good) == expected(5)  # the control
    assert encoding.decompress(flip(good, 255)) == group.negate(expected(5))
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
            encoding.decompress(bad)


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=100, deadline=None)
def test_compressed_is_canonical(data):
    """Whatever decodes is exactly what encodes."""
    try:
        point = encoding.decompress(data)
    except InputError:
        return
    assert encoding.compress(point) == data
    assert group.is_on_curve(point)


def test_uncompressed_malformed():
    x, y = expected(5)
    both = (x, y)
    assert encoding.decode_uncompressed(encoding.encode_uncompressed(both)) == both  # the control
    assert encoding.decode_uncompressed(bytes(64)) is None
    for bad in [(x, y ^ 1), (x + Q, y), (x, y + Q), (0, 1), (0, Q)]:
        data = b"".join(n.to_bytes(32, "big") for n in bad)
        with pytest.raises(InputError, match="not a point"):
            encoding.decode_uncompressed(data)
    with pytest.raises(InputError, match="64 bytes"):
        encoding.decode_uncompressed(bytes(63))


def test_raw_malformed():
    good = encoding.encode_raw(expected(5))
    assert encoding.decode_raw(good) == expected(5)  # the control
    x = int.from_bytes(good[:32], "little")
    with pytest.raises(InputError, match="not below"):
        encoding.decode_raw((x + Q).to_bytes(32, "little") + good[32:])
    with pytest.raises(InputError, match="not a point"):
        encoding.decode_raw((x ^ 1).to_bytes(32, "little") + good[32:])
    with pytest.raises(InputError, match="64 bytes"):
        encoding.decode_raw(good[:32])


def test_witness_malformed():
    good = witness(expected(5))
    assert encoding.decode_witness(good) == expected(5)  # the control
    with pytest.raises(InputError, match="infinity"):
        encoding.decode_witness(good[:31] + bytes([good[31] | 0x40]))
    with pytest.raises(InputError, match="not below"):
        encoding.decode_witness((Q + 1).to_bytes(32, "little"))
    with pytest.raises(InputError, match="32 bytes"):
        encoding.decode_witness(good + b"\0")


@pytest.fixture(scope="module")
def points():
    rng = random.Random(1)
    return [None, *group.FixedBase(GENERATOR).multiples([rng.randrange(R) for _ in range(30)])]


def test_many_at_once(points):
    data = encoding.compress_many(points)
    assert encoding.decompress_many(data) == points
    assert all(type(c) is int for point in points[1:] for c in point)
    raw = b"".join(map(encoding.encode_raw, points))
    assert encoding.decode_raw_many(raw) == points
    assert encoding.decompress_many(b"") == encoding.decode_raw_many(b"") == []
    for read, whole in ((encoding.decompress_many, data), (encoding.decode_raw_many, raw)):
        with pytest.raises(InputError, match="whole number"):
            read(whole[:-1])
    bad = bytearray(data)
    bad[64:96] = field.encode(Q + 1)
    with pytest.raises(InputError, match="not below the field order"):
        encoding.decompress_many(bytes(bad))
