"""Tensors as files have them: their names, types, shapes and entries, undecoded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError

MAX_TENSOR = 1 << 33
"""Entries; a claimed shape beyond this is refused before anything is read."""
CHUNK = 1 << 24
"""Entries handed out at a time."""
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_PLAIN = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "U64": "<u8",
    "I32": "<i4",
    "U32": "<u4",
    "I16": "<i2",
    "U16": "<u2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|u1",
}
_NARROW = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
}


def dtype_of(kind: str) -> np.dtype | None:
    """numpy's type for a kind (safetensors' name of one); None for what has none."""
    if kind in _PLAIN:
        return np.dtype(_PLAIN[kind])
    if kind not in _NARROW:
        return None
    try:
        import ml_dtypes
    except ImportError as e:
        raise EnvironmentLacks(
            f"reading models needs ml_dtypes ({e}); install the extra 'prove'"
        ) from e
    return np.dtype(getattr(ml_dtypes, _NARROW[kind]))


class Store(ABC):
    """Named tensors of a checkpoint. source: its name for messages."""

    source: str

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of all tensors, in the files' order."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""

    @abstractmethod
    def kind(self, name: str) -> str:
        """Its type, by safetensors' name. InputError when it is missing."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape. InputError when it is missing, or claims more than MAX_TENSOR entries."""

    @abstractmethod
    def raw(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Its rows from start to stop (all of it), of its own type. InputError when it is
        missing."""

    def pieces(self, name: str) -> Iterator[bytes]:
        """Its bytes, row after row, little-endian."""
        shape = self.shape(name)
        if not shape:
            yield np.ascontiguousarray(self.raw(name)).tobytes()
            return
        step = max(1, CHUNK // max(1, math.prod(shape[1:])))
        for start in range(0, shape[0], step):
            part = self.raw(name, start, min(start + step, shape[0]))
            yield np.ascontiguousarray(part).tobytes()


def too_large(source: str, name: str, shape: tuple[int, ...]) -> None:
    """InputError for a shape of more than MAX_TENSOR entries."""
    if math.prod(shape) > MAX_TENSOR:
        raise InputError(f"{source}: {name} claims shape {shape}, too large")


def agree(index: Path, where: Mapping[str, Path], inside: Callable[[Path], object]) -> None:
    """InputError unless each shard that is there holds just the tensors that the index looks for
    in it: readers that go by the shards would find others than those that go by the index.

    inside(shard): the names in a shard, as something that ``in`` and ``for`` work with.
    """
    shards: dict[Path, set[str]] = {}
    for name, shard in where.items():
        shards.setdefault(shard, set()).add(name)
    for shard, wanted in shards.items():
        if not shard.exists():
            continue  # what is not read may be missing
        found = set(inside(shard))  # type: ignore[call-overload]
        for names, told in (
            (found - wanted, "is in {1} but {0} looks for it elsewhere or not at all"),
            (wanted - found, "is missing from its shard {1}, where {0} looks for it"),
        ):
            if names:
                name = min(names)
                raise InputError(
                    f"{index.parent}: tensor {name[:120]} {told.format(index.name, shard.name)}"
                )
