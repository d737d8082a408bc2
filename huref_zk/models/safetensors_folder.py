"""A Hugging Face folder with safetensors weights, single file or sharded, read lazily."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.model import (
    MAX_TENSOR,
    Model,
    folder_tokenizer,
    read_json,
    runs,
    single,
)
from huref_zk.models.tokenizer import Tokenizer

CHUNK = 1 << 24  # entries hashed at a time
MAX_INDEX = 16 << 20  # ten thousands of tensors, as mixtures of experts have
FLOATS = ("F64", "F32", "F16", "BF16")


class SafetensorsFolder(Model):
    """config.json with model.safetensors or model.safetensors.index.json and its shards."""

    def __init__(self, folder: Path):
        try:
            import ml_dtypes  # noqa: F401  (teaches numpy bfloat16)
            from safetensors import SafetensorError, safe_open
        except ImportError as e:
            raise EnvironmentLacks(
                f"reading models needs safetensors ({e}); pip install 'huref-zk[prove]'"
            ) from e
        self._open, self._error = safe_open, SafetensorError
        self.source = str(folder)
        self.folder = folder
        self.config = read_json(folder / "config.json")
        self._where = self._index()

    def _index(self) -> dict[str, Path]:
        """Tensor name -> shard."""
        index = self.folder / "model.safetensors.index.json"
        single = self.folder / "model.safetensors"
        if index.exists():
            weight_map = read_json(index, MAX_INDEX).get("weight_map")
            if not isinstance(weight_map, dict):
                raise InputError(f"{index} has no weight_map")
            where = {}
            for name, shard in weight_map.items():
                if (
                    not isinstance(shard, str)
                    or Path(shard).name != shard
                    or shard in ("", ".", "..")
                ):
                    raise InputError(f"{index} points outside its folder: {str(shard)[:80]!r}")
                where[name] = self.folder / shard
            return where
        if not single.exists():
            raise InputError(f"{self.folder} holds neither model.safetensors nor its index")
        return dict.fromkeys(self._file(single).keys(), single)

    def _file(self, path: Path):
        """The file, mapped anew each time: what is read of a mapping stays in memory with it."""
        if not path.exists():
            raise InputError(f"{self.source}: the shard {path.name} is missing")
        try:
            return self._open(path, "numpy")
        except (self._error, OSError) as e:
            raise InputError(f"{path} is not a valid safetensors file ({e})") from e

    def _slice(self, name: str):
        if name not in self._where:
            raise InputError(f"{self.source}: tensor {name} is missing")
        try:
            piece = self._file(self._where[name]).get_slice(name)
        except self._error as e:
            raise InputError(f"{self.source}: tensor {name} is missing from its shard ({e})") from e
        if piece.get_dtype() not in FLOATS:
            raise InputError(
                f"{self.source}: {name} has type {piece.get_dtype()}; known: {', '.join(FLOATS)}"
            )
        if np.prod(piece.get_shape(), dtype=object) > MAX_TENSOR:
            raise InputError(f"{self.source}: {name} claims shape {piece.get_shape()}, too large")
        return piece

    def has(self, name: str) -> bool:
        return name in self._where

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._slice(name).get_shape())

    def tensor(self, name: str) -> np.ndarray:
        return single(self._slice(name)[:])

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        piece = self._slice(name)
        parts = [np.asarray(piece[start:stop], dtype=np.float32) for start, stop in runs(ids)]
        return np.concatenate(parts)

    def stored(self, name: str) -> tuple[str, Iterator[bytes]]:
        piece = self._slice(name)
        shape = piece.get_shape()
        if not shape:
            return piece.get_dtype(), iter([np.asarray(piece[:]).tobytes()])
        step = max(1, CHUNK // max(1, math.prod(shape[1:])))

        def pieces() -> Iterator[bytes]:
            for start in range(0, shape[0], step):
                stop = min(start + step, shape[0])
                yield np.ascontiguousarray(piece[start:stop]).tobytes()

        return piece.get_dtype(), pieces()

    def names(self) -> tuple[str, ...]:
        return tuple(self._where)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return folder_tokenizer(self.folder)
