"""Weights of eight bits times scales: FP8 in blocks (DeepSeek), by rows or whole, INT8 by rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.formats import Coded, Format
from huref_zk.models.formats.parts import floats, misfit
from huref_zk.models.store import Store

KINDS = ("F8_E4M3", "F8_E5M2", "I8")
SCALES = ("_scale_inv", "_scale")
# What belongs to activations, and changes no weight.
_ACTIVATIONS = re.compile(
    r"(\.(input|activation|output)_(scale|zero_point|global_scale)(_ub)?|_(input|activation)_scale"
    r"|\.[kvq]_scale)$"
)


@dataclass(frozen=True)
class ScaledWeight(Coded):
    """name: of the weight; scale, zero: of parts. block: rows and columns that share a scale."""

    store: Store
    name: str
    scale: str
    zero: str | None
    block: tuple[int, int] | None

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.store.shape(self.name)

    def rows(self, start: int, stop: int) -> np.ndarray:
        values = floats(self.store, self.name, start, stop)
        if self.zero is not None:
            values = values - self._spread(floats(self.store, self.zero), start, stop)
        return values * self._spread(floats(self.store, self.scale), start, stop)

    def _spread(self, scale: np.ndarray, start: int, stop: int) -> np.ndarray:
        """The scales of rows start to stop, to be multiplied by."""
        shape = self.shape
        if scale.size == 1:
            return scale.reshape(())
        if not shape or scale.shape[:1] != shape[:1]:
            return self._grid(scale, np.arange(start, stop), shape[-2:])
        part = scale[start:stop]
        rest = shape[1:]
        if part.size == len(part):
            return part.reshape(-1, *[1] * len(rest))
        if part.ndim == len(shape) and all(
            n in (1, m) for n, m in zip(part.shape[1:], rest, strict=True)
        ):
            return part
        if len(shape) == 3 and part.ndim == 3:  # experts, each with a grid of its own
            rows = np.arange(rest[0])
            return np.stack([self._grid(grid, rows, rest) for grid in part])
        if part.ndim == 2 and len(shape) == 2:
            return self._grid(scale, np.arange(start, stop), shape)
        misfit(self.store, self.scale)

    def _grid(self, scale: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """One scale for each block of rows and columns."""
        if scale.ndim != 2 or len(shape) != 2 or 0 in scale.shape:
            misfit(self.store, self.scale)
        tall, wide = self.block or (shape[0] // scale.shape[0], shape[1] // scale.shape[1])
        if not tall or not wide or scale.shape != (-(-shape[0] // tall), -(-shape[1] // wide)):
            misfit(self.store, self.scale)
        return np.repeat(scale[rows // tall], wide, axis=1)[:, : shape[1]]


class Scaled(Format):
    """weight, and weight_scale_inv or weight_scale beside it. block: see ScaledWeight."""

    def __init__(self, name: str, block: tuple[int, int] | None = None):
        self.name, self.block = name, block

    def weight_of(self, stored: str, store: Store) -> str | None:
        for end in (*SCALES, "_zero_point"):
            if stored.endswith(end) and store.has(stored.removesuffix(end)):
                return None
        return None if _ACTIVATIONS.search(stored) else stored

    def find(self, store: Store, name: str) -> Coded | None:
        if not store.has(name) or store.kind(name) not in KINDS:
            return None
        scale = next((name + end for end in SCALES if store.has(name + end)), None)
        if scale is None:
            if store.kind(name) == "I8":
                raise InputError(f"{store.source}: {name} of type I8 has no scale")
            return None  # an eight-bit float as it is
        zero = name + "_zero_point"
        return ScaledWeight(store, name, scale, zero if store.has(zero) else None, self.block)
