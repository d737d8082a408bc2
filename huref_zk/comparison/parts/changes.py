"""How the neurons of layers that are A's have moved: by how much, and along how many directions.

The sketches of a layer's neurons are its weights times some directions of token space. If the
weights were changed by a matrix of rank k, as LoRA does, so are the sketches: the differences of
matched ones span k directions, but for rounding and for the scale of each, which is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.parts.partners import Parts

ENERGY = 0.9
"""Share of a difference's energy that its rank holds."""
LOWEST = 0.25
"""A difference is of low rank when that is less than this share of all r directions."""
ROUNDING = 2e-3
"""Relative size of a difference below which half precision hides its rank."""
ENOUGH = 2
"""Pairs needed for each of r directions."""


@dataclass(frozen=True)
class Change:
    """layer: of B. median: of its pairs' scores. size: of what was added, relative to a neuron's
    vectors, the median. rank: of the change, None where it is not low or cannot be told."""

    layer: int
    median: float
    size: float
    rank: int | None


def changes(parts: Parts, origin: Sequence[int | None]) -> list[Change]:
    """Of every layer of B with an origin in A (depth.read_depth)."""
    out = []
    pairs = parts.neurons.pairs
    for j, i in enumerate(origin):
        mine = pairs[(pairs[:, 2] == j) & (pairs[:, 0] == (-1 if i is None else i))]
        if i is None or not len(mine):
            continue
        x = parts.layers_a[i].neurons[:, mine[:, 1]].astype(np.float32)
        y = parts.layers_b[j].neurons[:, mine[:, 3]].astype(np.float32)
        scores = parts.neurons.b.score[j][mine[:, 3]]
        sizes, ranks = zip(*(_difference(a, b) for a, b in zip(x, y, strict=True)), strict=True)
        size = float(np.median(sizes))
        moved = [rank for s, rank in zip(sizes, ranks, strict=True) if s > ROUNDING]
        low = len(mine) >= ENOUGH * x.shape[2] and moved and max(moved) < LOWEST * x.shape[2]
        out.append(Change(j, float(np.median(scores)), size, max(moved) if low else None))
    return out


def _difference(x: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """(median length, rank by ENERGY) of y - x (n, r), each y brought to the scale of its x."""
    along = np.einsum("nr,nr->n", x, y)
    scaled = y / np.where(np.abs(along) > 0.1, along, 1)[:, None]
    difference = scaled - x
    values = np.linalg.svd(difference, compute_uv=False).astype(np.float64) ** 2
    total = values.sum()
    rank = int(np.searchsorted(np.cumsum(values), ENERGY * total)) + 1 if total > 0 else 0
    return float(np.median(np.linalg.norm(difference, axis=1))), rank
