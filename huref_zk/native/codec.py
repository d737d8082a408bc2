"""Plain values as bytes: what a child process may answer with.

A child works on files from strangers with native code, so its answers are read by a decoder that
can build nothing but None, bool, int, float, str, bytes, list, tuple, dict (keys: str or int) and
numpy arrays of plain numbers. A value is one letter and

    N, T, F     nothing more: None, True, False
    i           a count and that many bytes, two's complement little-endian, the fewest that do
    f           8 bytes, IEEE little-endian
    s, b        a count and that many bytes (s: UTF-8)
    l, t        a count and that many values
    d           a count and that many pairs of values, keys in the order of the dict
    a           dtype (a value: str), shape (a value: tuple), then the elements in C order as b

where a count is 8 bytes, unsigned, little-endian.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported where arrays are met: it takes longer than the rest of a child's start
    import numpy as np

MAX_DEPTH = 16
"""Containers within containers."""
DTYPES = frozenset(
    ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
)
_COUNT = struct.Struct("<Q")
_FLOAT = struct.Struct("<d")


class Malformed(ValueError):
    """Bytes that `encode` does not write."""


def encode(value: object) -> bytes:
    """The bytes of a plain value; TypeError for any other, subclasses of the plain ones included.

    Arrays become little-endian and contiguous. ValueError for more than MAX_DEPTH levels.
    """
    out: list[bytes] = []
    _encode(value, out, MAX_DEPTH)
    return b"".join(out)


def decode(data: bytes) -> Any:
    """The value of `data`, arrays as fresh ones. Malformed unless `encode` writes exactly this."""
    reader = _Reader(memoryview(data))
    value = reader.value(MAX_DEPTH)
    if reader.position != len(data):
        raise Malformed("bytes after the value")
    return value


def _encode(value: object, out: list[bytes], depth: int) -> None:
    if depth < 0:
        raise ValueError(f"more than {MAX_DEPTH} levels of containers")
    kind = type(value)
    if value is None or kind is bool:
        out.append(b"N" if value is None else b"T" if value else b"F")
    elif kind is int:
        number: int = value  # type: ignore[assignment]
        data = number.to_bytes(_int_size(number), "little", signed=True)
        out += (b"i", _COUNT.pack(len(data)), data)
    elif kind is float:
        out += (b"f", _FLOAT.pack(value))
    elif kind is str or kind is bytes:
        data = value.encode() if isinstance(value, str) else value  # type: ignore[assignment]
        out += (b"s" if kind is str else b"b", _COUNT.pack(len(data)), data)
    elif kind is list or kind is tuple:
        items: list[object] = value  # type: ignore[assignment]
        out += (b"l" if kind is list else b"t", _COUNT.pack(len(items)))
        for item in items:
            _encode(item, out, depth - 1)
    elif kind is dict:
        pairs: dict[object, object] = value  # type: ignore[assignment]
        out += (b"d", _COUNT.pack(len(pairs)))
        for key, item in pairs.items():
            if type(key) not in (str, int):
                raise TypeError(f"a key of type {type(key).__name__}")
            _encode(key, out, 0)
            _encode(item, out, depth - 1)
    elif "numpy" in sys.modules and isinstance(value, sys.modules["numpy"].ndarray):
        _encode_array(value, out, depth)
    else:
        raise TypeError(f"{kind.__name__} is not a plain value")


def _encode_array(array: np.ndarray[Any, Any], out: list[bytes], depth: int) -> None:
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str not in DTYPES:
        raise TypeError(f"an array of {array.dtype}")
    out.append(b"a")
    _encode(array.dtype.str, out, depth)
    _encode(array.shape, out, depth)
    _encode(array.tobytes(), out, depth)


def _int_size(number: int) -> int:
    """The fewest bytes that hold an int in two's complement; none for 0."""
    if number == 0:
        return 0
    return (number if number > 0 else ~number).bit_length() // 8 + 1


class _Reader:
    def __init__(self, data: memoryview):
        self.data = data
        self.position = 0

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.data):
            raise Malformed("the bytes end too early")
        part = self.data[self.position : end]
        self.position = end
        return part

    def count(self) -> int:
        number: int = _COUNT.unpack(self.take(8))[0]
        if number > len(self.data) - self.position:  # everything counted has a byte at least
            raise Malformed("a count beyond the end")
        return number

    def value(self, depth: int) -> Any:
        if depth < 0:
            raise Malformed(f"more than {MAX_DEPTH} levels of containers")
        letter = bytes(self.take(1))
        if letter in _CONSTANTS:
            return _CONSTANTS[letter]
        if letter == b"i":
            return self.integer()
        if letter == b"f":
            return _FLOAT.unpack(self.take(8))[0]
        if letter == b"b":
            return bytes(self.take(self.count()))
        if letter == b"s":
            return self.text()
        if letter in (b"l", b"t"):
            items = [self.value(depth - 1) for _ in range(self.count())]
            return items if letter == b"l" else tuple(items)
        if letter == b"d":
            return self.mapping(depth)
        if letter == b"a":
            return self.array(depth)
        raise Malformed(f"unknown letter {letter!r}")

    def integer(self) -> int:
        data = self.take(self.count())
        number = int.from_bytes(data, "little", signed=True)
        if len(data) != _int_size(number):
            raise Malformed("an int longer than it must be")
        return number

    def text(self) -> str:
        try:
            return str(self.take(self.count()), "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("text that is not UTF-8") from error

    def mapping(self, depth: int) -> dict[str | int, Any]:
        result: dict[str | int, Any] = {}
        for _ in range(self.count()):
            key = self.value(0)
            if type(key) not in (str, int) or key in result:
                raise Malformed("a bad or repeated key")
            result[key] = self.value(depth - 1)
        return result

    def array(self, depth: int) -> np.ndarray[Any, Any]:
        import numpy as np

        dtype, shape, data = self.value(depth), self.value(depth), self.value(depth)
        if type(dtype) is not str or dtype not in DTYPES:
            raise Malformed("an array of an unknown type")
        if type(shape) is not tuple or any(type(n) is not int or n < 0 for n in shape):
            raise Malformed("an array of a bad shape")
        if type(data) is not bytes or len(data) != math.prod(shape) * np.dtype(dtype).itemsize:
            raise Malformed("an array of a bad size")
        if len(shape) > MAX_DEPTH or any(n >> 62 for n in shape):
            raise Malformed("an array of a bad shape")
        if dtype == "|b1" and data.strip(b"\0\1"):
            raise Malformed("a truth value that is neither")
        return np.frombuffer(data, dtype).reshape(shape).copy()


_CONSTANTS: dict[bytes, bool | None] = {b"N": None, b"T": True, b"F": False}
