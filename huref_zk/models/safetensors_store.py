"""Safetensors files, single or sharded, read lazily and never mapped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.foreign import regular, told
from huref_zk.models.store import Store, agree, dtype_of, too_large

_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "C64": 64}


@dataclass(frozen=True)
class Place:
    """kind, shape: of a tensor; start: its first byte in the file."""

    kind: str
    shape: tuple[int, ...]
    start: int


class SafetensorsStore(Store):
    """``where``: tensor name -> file; None: all of ``single``. index: what ``where`` was read from,
    for checking it against the files."""

    def __init__(
        self,
        source: str,
        *,
        single: Path | None = None,
        index: Path | None = None,
        where: Mapping[str, Path] | None = None,
    ):
        self.source = source
        self._tables: dict[Path, dict[str, Place]] = {}
        if where is None:
            assert single is not None
            self._where: Mapping[str, Path] = dict.fromkeys(self._table(single), single)
        else:
            assert index is not None
            self._where = where
            agree(index, where, self._table)

    def _table(self, path: Path) -> dict[str, Place]:
        if path not in self._tables:
            if not path.exists():
                raise InputError(f"{self.source}: the shard {path.name} is missing")
            self._tables[path] = places(path)
        return self._tables[path]

    def place(self, name: str) -> Place:
        """Where a tensor is. Raises InputError."""
        if name not in self._where:
            raise InputError(f"{self.source}: tensor {name} is missing")
        found = self._table(self._where[name]).get(name)
        if found is None:
            raise InputError(f"{self.source}: tensor {name} is missing from its shard")
        too_large(self.source, name, found.shape)
        return found

    def names(self) -> tuple[str, ...]:
        return tuple(self._where)

    def has(self, name: str) -> bool:
        return name in self._where

    def kind(self, name: str) -> str:
        return self.place(name).kind

    def shape(self, name: str) -> tuple[int, ...]:
        return self.place(name).shape

    def raw(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        place, path = self.place(name), self._where[name]
        dtype = dtype_of(place.kind)
        if dtype is None:
            raise InputError(f"{self.source}: {name} has type {place.kind}, which is not read")
        shape, offset = place.shape, place.start
        if shape:
            start, stop, _ = slice(start, stop).indices(shape[0])
            shape = (max(0, stop - start), *shape[1:])
            offset += start * math.prod(shape[1:]) * dtype.itemsize
        count = math.prod(shape)
        try:
            values = np.fromfile(path, dtype=dtype, count=count, offset=offset)
        except OSError as e:
            raise InputError(f"{path} cannot be read ({e})") from e
        if values.size != count:
            raise InputError(f"{path} ends before tensor {name} does")
        return values.reshape(shape)


def places(path: Path) -> dict[str, Place]:
    """The tensors of a file, which safetensors' own library has checked: no overlaps, no holes,
    nothing beyond the end. Raises InputError, and EnvironmentLacks without the library."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as e:
        raise EnvironmentLacks(
            f"reading models needs safetensors ({e}); install the extra 'prove'"
        ) from e
    regular(path)
    found: dict[str, Place] = {}
    try:
        with safe_open(path, "numpy") as file:
            with open(path, "rb") as head:
                start = 8 + int.from_bytes(head.read(8), "little")
            for name in file.offset_keys():
                piece = file.get_slice(name)
                kind, shape = str(piece.get_dtype()), tuple(piece.get_shape())
                found[name] = Place(kind, shape, start)
                start += _bytes(kind, shape)
        size = path.stat().st_size
    except (SafetensorError, OSError) as e:
        raise InputError(f"{path} is not a valid safetensors file ({e}){told(path)}") from e
    if start != size:
        raise InputError(f"{path} has a tensor of a type that is not known")
    return found


def _bytes(kind: str, shape: tuple[int, ...]) -> int:
    bits = _BITS.get(kind)
    if bits is None:
        dtype = dtype_of(kind)
        bits = 8 * dtype.itemsize if dtype is not None else 0
    return math.prod(shape) * bits // 8
