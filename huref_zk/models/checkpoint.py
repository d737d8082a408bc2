"""A Hugging Face folder's checkpoint: a store of tensors, perhaps in a quantised format."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.formats import Coded, Format
from huref_zk.models.model import Model, runs, single
from huref_zk.models.store import CHUNK, FLOATS, Store, too_large
from huref_zk.models.tokenizer import Tokenizer
from huref_zk.models.tokenizer_files import folder_tokenizer


class Checkpoint(Model):
    """config: config.json's object; store: the tensors; coded: the format of its quantised weights;
    notes: what its user should know already."""

    def __init__(
        self,
        folder: Path,
        config: dict,
        store: Store,
        coded: Format | None = None,
        notes: tuple[str, ...] = (),
    ):
        self.source, self.folder, self.config = str(folder), folder, config
        self._store, self._format = store, coded
        self.notes = list(notes)

    def _coded(self, name: str) -> Coded | None:
        found = None if self._format is None else self._format.find(self._store, name)
        if found is not None:
            too_large(self.source, name, found.shape)
        return found

    def has(self, name: str) -> bool:
        return name in self._known

    def shape(self, name: str) -> tuple[int, ...]:
        coded = self._coded(name)
        return self._store.shape(name) if coded is None else coded.shape

    def tensor(self, name: str) -> np.ndarray:
        coded = self._coded(name)
        if coded is not None:
            return coded.rows(0, coded.shape[0])
        self._float(name)
        return single(self._store.raw(name))

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        coded = self._coded(name)
        if coded is not None:
            return np.concatenate([coded.rows(start, stop) for start, stop in runs(ids)])
        self._float(name)
        read = self._store.raw
        return np.concatenate([single(read(name, start, stop)) for start, stop in runs(ids)])

    def _float(self, name: str) -> None:
        kind = self._store.kind(name)
        if kind not in FLOATS:
            raise InputError(f"{self.source}: {name} has type {kind}; known: {', '.join(FLOATS)}")

    def stored(self, name: str) -> tuple[str, Iterator[bytes]]:
        """Of a weight in a quantised format: its decoded rows."""
        coded = self._coded(name)
        if coded is None:
            return self._store.kind(name), self._store.pieces(name)
        step = max(1, CHUNK // max(1, int(np.prod(coded.shape[1:], dtype=object))))
        starts = range(0, coded.shape[0], step)
        return "F32", (
            np.ascontiguousarray(
                coded.rows(start, min(start + step, coded.shape[0])), dtype="<f4"
            ).tobytes()
            for start in starts
        )

    def names(self) -> tuple[str, ...]:
        return tuple(self._known)

    @cached_property
    def _known(self) -> dict[str, None]:
        """Names of all weights, in order."""
        stored = self._store.names()
        if self._format is None:
            return dict.fromkeys(stored)
        weights = (self._format.weight_of(name, self._store) for name in stored)
        return dict.fromkeys(name for name in weights if name is not None)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return folder_tokenizer(self.folder)
