"""Quantised formats: what stands in the files in place of a weight, and how to get it back.

A format is known by the config's ``quantization_config`` (or the like). It turns names of the files
into names of weights and decodes one weight, or some rows of it, at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from huref_zk.models.store import Store


class Coded(ABC):
    """One weight that is stored in another form. shape: decoded."""

    shape: tuple[int, ...]

    @abstractmethod
    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop, decoded, float32. InputError for what does not fit together."""


class Format(ABC):
    """How a checkpoint's weights are coded. name: as its makers call it."""

    name: str

    @abstractmethod
    def weight_of(self, stored: str, store: Store) -> str | None:
        """The weight that a tensor of the files belongs to: itself if it is one as it is; None for
        what only helps to decode another."""

    @abstractmethod
    def find(self, store: Store, name: str) -> Coded | None:
        """How weight ``name`` is coded; None when it stands as it is, or is not there. InputError
        for parts that do not fit together."""
