"""How the neurons of layers that are A's have moved: by how much, and along how many directions.

The sketches of a layer's neurons are its weights times some directions of token space. If the
weights were changed by a matrix of rank k, as LoRA does, so are the sketches: the differences of
matched ones span k directions, but for rounding and for each neuron's scale, which is taken off.
What training of all weights, rounding or noise does spans as many as the weights themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.parts.partners import Parts

ENERGY = 0.9
"""Of a matrix's squares, what the directions counted hold."""
LOW = 0.4
"""A change is of low rank when it spans less than this share of what the weights span."""
ROUNDING = 2e-3
"""Relative size of a change below which half precision hides what it spans."""
ENOUGH = 64
"""Pairs of neurons from which directions are counted."""


@dataclass(frozen=True)
class Change:
    """layer: of B. moved: 1 less the median of its pairs' scores. spans: directions that hold most
    of the change, the most over gate, up and down; of: of the weights themselves; both 0 where
    little moved or pairs are few."""

    layer: int
    moved: float
    spans: int
    of: int

    @property
    def low(self) -> bool:
        """Whether the change is of low rank."""
        return 0 < self.spans < LOW * self.of


def changes(parts: Parts, origin: Sequence[int | None]) -> list[Change]:
    """Of every layer of B with an origin in A (depth.read_depth) and pairs there."""
    out = []
    pairs = parts.neurons.pairs
    for j, i in enumerate(origin):
        mine = pairs[(pairs[:, 2] == j) & (pairs[:, 0] == (-1 if i is None else i))]
        if i is None or not len(mine):
            continue
        x = parts.layers_a[i].neurons[:, mine[:, 1]].astype(np.float32)
        y = parts.layers_b[j].neurons[:, mine[:, 3]].astype(np.float32)
        moved = 1 - float(np.median(parts.neurons.b.score[j][mine[:, 3]]))
        counts = [_spans(a, b) for a, b in zip(x, y, strict=True)] if len(mine) >= ENOUGH else []
        told = [c for c in counts if c[0]]
        spans, of = max(told, key=lambda c: c[0] / c[1]) if told else (0, 0)
        out.append(Change(j, moved, spans, of))
    return out


def _spans(x: np.ndarray, y: np.ndarray) -> tuple[int, int]:
    """(directions of y - x, of x), both (n, r), each y brought to the scale of its x; zeros where
    y - x is rounding."""
    along = np.einsum("nr,nr->n", x, y)
    difference = y / np.where(np.abs(along) > 0.1, along, 1)[:, None] - x
    if float(np.median(np.linalg.norm(difference, axis=1))) < ROUNDING:
        return 0, 0
    return _directions(difference), _directions(x)


def _directions(values: np.ndarray) -> int:
    """How many directions hold ENERGY of the rows' squares."""
    energies = np.linalg.eigvalsh(values.T.astype(np.float64) @ values)[::-1]
    return int(np.searchsorted(np.cumsum(energies), ENERGY * energies.sum())) + 1
