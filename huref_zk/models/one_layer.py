"""One layer of one model as it is read, and how large things are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from huref_zk.models.families import Family
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, matrix_shape, named, weight


class Tokens(Protocol):
    """What inner norms and gates are asked about, float32 (S, d): centred over the tokens, and as
    the block reads them."""

    @property
    def centred(self) -> np.ndarray: ...

    @property
    def read(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Reading:
    """One layer of one model, and how large things are in it."""

    model: Model
    family: Family
    dims: Dimensions
    i: int
    tokens: Tokens | None
    before: np.ndarray

    def has(self, template: str | None) -> bool:
        return template is not None and self.model.has(named(template, self.i))

    def matrix(self, template: str, rows: int, columns: int) -> np.ndarray:
        return weight(self.model, self.family, named(template, self.i), rows, columns)

    def rank(self, template: str) -> int:
        """How many rows a matrix has."""
        return matrix_shape(self.model, self.family, named(template, self.i))[0]

    def squares(self, w: np.ndarray) -> np.ndarray:
        """Mean square of what each row of w (n, d) says, float64 (n,)."""
        w = w * self.before
        if self.tokens is None:
            return np.square(w, dtype=np.float64).sum(axis=1)
        return np.square(self.tokens.centred @ w.T, dtype=np.float64).mean(axis=0)

    def unit(self, w: np.ndarray, groups: int = 1) -> np.ndarray:
        """w with each of so many groups of rows brought to a mean square of one."""
        squares = self.squares(w).reshape(groups, -1).mean(axis=1)
        scale = np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
        out: np.ndarray = (
            w.reshape(groups, -1, w.shape[1]) * scale.astype(np.float32)[:, None, None]
        )
        return out.reshape(w.shape)
