"""A model whose last layer's tensors are kept as they were read.

A survey asks a layer for its weights several times; reading and decoding them once is enough.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from huref_zk.models.model import Model
from huref_zk.models.tokenizer import Tokenizer

MOST = 1 << 28
"""Numbers that are kept at most: a gigabyte of them."""


class Held(Model):
    """``model``, with every tensor kept until `forget`."""

    def __init__(self, model: Model):
        self._model = model
        self.config, self.source = model.config, model.source
        self._kept: dict[str, np.ndarray] = {}

    def forget(self) -> None:
        """Let go of what was read."""
        self._kept.clear()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._model.shape(name)

    def tensor(self, name: str) -> np.ndarray:
        if name not in self._kept:
            values = self._model.tensor(name)
            if values.size + sum(w.size for w in self._kept.values()) > MOST:
                return values
            values.flags.writeable = False  # it is given to everybody who asks
            self._kept[name] = values
        return self._kept[name]

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        return self._model.rows(name, ids)

    def stored(self, name: str) -> tuple[str, Iterator[bytes]]:
        return self._model.stored(name)

    def running_config(self) -> dict:
        return self._model.running_config()

    def names(self) -> tuple[str, ...]:
        return self._model.names()

    @property
    def tokenizer(self) -> Tokenizer:  # type: ignore[override]
        return self._model.tokenizer
