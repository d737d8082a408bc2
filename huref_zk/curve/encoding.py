"""Points of BN254 G1 as bytes. Decoders take exactly what the encoders write, else InputError.

compressed (ours), 32 bytes: x big-endian; since q < 2^254 the two top bits are free:
    0x80 of the first byte is set when y is odd, 0x40 marks infinity (all other bits zero).
uncompressed, 64 bytes: x then y, each 32 bytes big-endian; infinity is 64 zero bytes. ezkl's
    proofs open with such points.
witness, 32 bytes: x little-endian; 0x80 of the last byte is set when y is odd, 0x40 marks
    infinity (all other bits zero). ezkl's witness files hold such points as hex.
raw, 64 bytes: x then y, each 32 bytes little-endian in Montgomery form (times 2^256 mod q);
    infinity is 64 zero bytes. SRS files hold such points.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from huref_zk.curve import field
from huref_zk.curve.field import Q
from huref_zk.curve.group import Point, is_on_curve
from huref_zk.errors import InputError

COMPRESSED_BYTES = 32
UNCOMPRESSED_BYTES = 64
RAW_BYTES = 64

MONTGOMERY = pow(2, 256, Q)
_MONTGOMERY_INVERSE = pow(MONTGOMERY, -1, Q)
_X = (1 << 255) - 1


def compress(point: Point) -> bytes:
    """The 32-byte encoding."""
    if point is None:
        return b"\x40" + bytes(31)
    x, y = point
    return (x | (y & 1) << 255).to_bytes(32, "big")


def compress_many(points: Iterable[Point]) -> bytes:
    """The 32-byte encodings, one after the other."""
    return b"".join(map(compress, points))


def decompress(data: bytes) -> Point:
    """The point of a 32-byte encoding."""
    if len(data) != COMPRESSED_BYTES:
        raise InputError(f"a compressed point must have 32 bytes, not {len(data)}")
    if data[0] & 0x40:
        if data != b"\x40" + bytes(31):
            raise InputError("malformed compressed point: infinity with other bits set")
        return None
    number = int.from_bytes(data, "big")
    return _lift(number & _X, number >> 255)


def decompress_many(data: bytes) -> list[Point]:
    """The points of 32-byte encodings, one after the other (some 25 us each)."""
    if len(data) % COMPRESSED_BYTES:
        raise InputError(f"{len(data)} bytes are not a whole number of compressed points")
    return [decompress(data[i : i + 32]) for i in range(0, len(data), 32)]


def _lift(x: int, odd: int) -> Point:
    if x >= Q:
        raise InputError("malformed compressed point: x is not below the field order")
    y = field.square_root(x * x * x + 3)
    if y is None:
        raise InputError("malformed compressed point: no point of the curve has this x")
    return x, (y if y & 1 == odd else Q - y)


def encode_uncompressed(point: Point) -> bytes:
    """The 64-byte big-endian encoding, as in ezkl's proofs."""
    x, y = point if point is not None else (0, 0)
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def decode_uncompressed(data: bytes) -> Point:
    """The point of a 64-byte big-endian encoding."""
    if len(data) != UNCOMPRESSED_BYTES:
        raise InputError(f"an uncompressed point must have 64 bytes, not {len(data)}")
    return _checked(int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big"))


def decode_witness(data: bytes) -> Point:
    """The point of a 32-byte encoding in an ezkl witness file."""
    if len(data) != 32:
        raise InputError(f"a witness point must have 32 bytes, not {len(data)}")
    number = int.from_bytes(data, "little")
    if data[31] & 0x40:
        if number != 1 << 254:
            raise InputError("malformed witness point: infinity with other bits set")
        return None
    return _lift(number & _X, number >> 255)


def from_ezkl(point: Any) -> Point:
    """The point of an ezkl PyG1Affine: x and y as little-endian hex; infinity is (0, 0)."""
    x, y = (int.from_bytes(bytes.fromhex(text), "little") for text in (point.x, point.y))
    return _checked(x, y)


def encode_raw(point: Point) -> bytes:
    """The 64-byte Montgomery encoding of SRS files."""
    return b"".join(map(encode_raw_coordinate, point if point is not None else (0, 0)))


def decode_raw(data: bytes) -> Point:
    """The point of a 64-byte Montgomery encoding."""
    if len(data) != RAW_BYTES:
        raise InputError(f"a raw point must have 64 bytes, not {len(data)}")
    return _checked(decode_raw_coordinate(data[:32]), decode_raw_coordinate(data[32:]))


def decode_raw_many(data: bytes) -> list[Point]:
    """The points of 64-byte Montgomery encodings, one after the other."""
    if len(data) % RAW_BYTES:
        raise InputError(f"{len(data)} bytes are not a whole number of raw points")
    return [decode_raw(data[i : i + 64]) for i in range(0, len(data), 64)]


def encode_raw_coordinate(number: int) -> bytes:
    """32 bytes little-endian in Montgomery form."""
    return (number * MONTGOMERY % Q).to_bytes(32, "little")


def decode_raw_coordinate(data: bytes) -> int:
    """The number of 32 bytes little-endian in Montgomery form."""
    number = field.decode(data, Q, "little", "malformed point: a coordinate")
    return number * _MONTGOMERY_INVERSE % Q


def _checked(x: int, y: int) -> Point:
    if x == 0 and y == 0:
        return None
    if not is_on_curve((x, y)):
        raise InputError("malformed point: not a point of the curve")
    return x, y
