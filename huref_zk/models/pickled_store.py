"""Checkpoints that torch.save wrote, single or sharded: zip archives, and the older plain files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.pickles import Piece, read_pickled
from huref_zk.models.store import Store, agree, dtype_of, too_large


class PickledStore(Store):
    """All tensors of ``files``; with an index, ``where`` says which tensor is in which."""

    def __init__(
        self,
        source: str,
        files: Sequence[Path],
        *,
        index: Path | None = None,
        where: Mapping[str, Path] | None = None,
    ):
        self.source = source
        held = {path: read_pickled(path) for path in files if path.exists()}
        if where is not None:
            assert index is not None
            agree(index, where, held.__getitem__)
        self._where = dict(where or dict.fromkeys(held[files[0]], files[0]))
        self._held = held

    def _piece(self, name: str) -> Piece:
        if name not in self._where:
            raise InputError(f"{self.source}: tensor {name} is missing")
        path = self._where[name]
        if path not in self._held:
            raise InputError(f"{self.source}: the shard {path.name} is missing")
        piece = self._held[path].get(name)
        if piece is None:
            raise InputError(f"{self.source}: {name} is no dense tensor of floating-point numbers")
        too_large(self.source, name, piece.shape)
        return piece

    def names(self) -> tuple[str, ...]:
        return tuple(self._where)

    def has(self, name: str) -> bool:
        return name in self._where

    def kind(self, name: str) -> str:
        return self._piece(name).kind

    def shape(self, name: str) -> tuple[int, ...]:
        return self._piece(name).shape

    def raw(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        piece = self._piece(name)
        dtype = dtype_of(piece.kind)
        if dtype is None:
            raise InputError(f"{self.source}: {name} has type {piece.kind}, which is not read")
        storage = np.memmap(piece.path, dtype="|u1", mode="r", offset=piece.start, shape=piece.size)
        values = np.asarray(storage[: piece.size // dtype.itemsize * dtype.itemsize]).view(dtype)
        values = values[piece.offset :]
        strides = tuple(step * dtype.itemsize for step in piece.strides)
        whole = np.lib.stride_tricks.as_strided(values, piece.shape, strides, writeable=False)
        return np.array(whole[start:stop] if piece.shape else whole)
