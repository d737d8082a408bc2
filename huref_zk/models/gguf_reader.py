"""The header of a GGUF file: what it says and where its tensors are. Nobody vouches for the file.

Read in one pass, each number and text once, and never further than the file goes; arrays of numbers
are not unpacked. Whoever wants to may look at each key as it comes, and stop the reading.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.foreign import regular, told

MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 20
MAX_TEXTS = 1 << 23
"""Of all arrays together; a vocabulary of 262,144 with its merges has 0.8 million."""
MAX_NAME = 1 << 12
MAX_AXES = 4
VERSIONS = (2, 3)
_OLDER = (b"ggml", b"lmgg", b"tjgg", b"algg", b"GGML", b"GGMF", b"GGJT", b"GGLA")
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_NUMBERS[12] = "d"
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class TensorInfo:
    """shape: last axis fastest, as numpy has it; kind: gguf's number of its type; start: its first
    byte in ``path``."""

    path: Path
    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class Header:
    """fields: numbers, texts (bytes), lists of texts, arrays of numbers. tensors: by name."""

    fields: dict[str, Any]
    tensors: dict[str, TensorInfo]


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def read_header(path: Path, seen: Callable[[str, Any], None] = lambda key, value: None) -> Header:
    """The header of a file. seen(key, value) hears of each key at once, and may raise InputError.

    Raises InputError.
    """
    regular(path)
    try:
        with open(path, "rb") as file:
            head = file.read(4)
            if head in _OLDER:
                raise ValueError("it is of a form older than GGUF: convert it anew")
            if head != b"GGUF":
                raise ValueError("it begins with other bytes")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path, data).header(seen)
    except InputError:
        raise
    except (OSError, ValueError, OverflowError, struct.error) as e:
        raise InputError(f"{path} is not a valid GGUF file ({e}){told(path)}") from e


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap):
        self.path, self.data, self.at, self.texts = path, data, 4, 0

    def header(self, seen: Callable[[str, Any], None]) -> Header:
        version = self.number("I")
        if version not in VERSIONS:
            if int.from_bytes(struct.pack("<I", version), "big") in VERSIONS:
                raise ValueError("it is big-endian; only little-endian ones are read")
            raise ValueError(f"it is of version {version}")
        tensors, keys = self.number("Q"), self.number("Q")
        if keys > MAX_KEYS or tensors > MAX_TENSORS:
            raise ValueError(f"it claims {keys} keys and {tensors} tensors")
        fields: dict[str, Any] = {}
        for _ in range(keys):
            key = self.name()
            if key in fields:
                raise ValueError(f"it says {key[:80]} twice")
            fields[key] = self.value(self.number("I"))
            seen(key, fields[key])
        infos: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for _ in range(tensors):
            name, axes = self.name(), self.number("I")
            if axes > MAX_AXES:
                raise ValueError(f"{name[:80]} has {axes} axes")
            shape = tuple(self.number("Q") for _ in range(axes))[::-1]
            if name in infos:
                raise ValueError(f"it has two tensors {name[:80]}")
            infos[name] = (shape, self.number("I"), self.number("Q"))
        alignment = fields.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 1 << 20:
            raise ValueError(f"its alignment is {str(alignment)[:40]}")
        base = -(-self.at // alignment) * alignment
        return Header(fields, {n: self.info(n, base, *info) for n, info in infos.items()})

    def info(self, name: str, base: int, shape: tuple[int, ...], kind: int, at: int) -> TensorInfo:
        size = bytes_of(kind, shape)
        if size is not None and base + at + size > len(self.data):
            raise ValueError(f"it ends early, before {name[:80]} does")
        return TensorInfo(self.path, shape, kind, base + at)

    def take(self, size: int) -> int:
        """Where the next ``size`` bytes begin."""
        start = self.at
        if size > len(self.data) - start:
            raise ValueError("it ends early")
        self.at += size
        return start

    def number(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        return struct.unpack_from("<" + code, self.data, self.take(size))[0]

    def text(self) -> bytes:
        size = self.number("Q")
        start = self.take(size)
        return self.data[start : start + size]

    def name(self) -> str:
        text = self.text()
        if len(text) > MAX_NAME:
            raise ValueError("it has a name that is too long")
        return text.decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        if kind not in _NUMBERS:
            raise ValueError(f"it has a value of type {kind}")
        return self.number(_NUMBERS[kind])

    def array(self) -> Any:
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            self.texts += count
            if self.texts > MAX_TEXTS:
                raise ValueError(f"it has more than {MAX_TEXTS:,} texts")
            if count > len(self.data) - self.at:
                raise ValueError("it ends early")
            return self.strings(count)
        if kind not in _NUMBERS:
            raise ValueError(f"it has an array of type {kind}")
        dtype = np.dtype("<" + _NUMBERS[kind])
        start = self.take(count * dtype.itemsize)
        part = self.data[start : start + count * dtype.itemsize]
        return np.frombuffer(part, dtype=dtype)

    def strings(self, count: int) -> list[bytes]:
        """As text, many times over, with nothing done twice."""
        data, at, end, out = self.data, self.at, len(self.data), []
        unpack = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at + 8 > end:
                raise ValueError("it ends early")
            size = unpack(data, at)[0]
            at += 8
            if size > end - at:
                raise ValueError("it ends early")
            out.append(data[at : at + size])
            at += size
        self.at = at
        return out


def bytes_of(kind: int, shape: tuple[int, ...]) -> int | None:
    """How many bytes a tensor takes; None for an unknown type. ValueError where the last axis does
    not divide into the type's blocks."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    except (ValueError, KeyError):
        return None
    if shape and shape[-1] % block:
        raise ValueError(f"a row of {shape[-1]} entries is no number of blocks of {block}")
    return math.prod(shape) // block * size
