"""How two models' layers match: increasing matchings, many at a time."""

from __future__ import annotations

import numpy as np

Pairs = tuple[tuple[int, int], ...]


def best_sums(scores: np.ndarray) -> np.ndarray:
    """float64 (...,): for scores (..., n, m) the highest sum of an increasing matching.

    Layers keep their order, any may stay single, and pairs that would lower the sum are left out.
    """
    return _table(scores)[-1][..., -1]


def match_layers(scores: np.ndarray) -> Pairs:
    """The pairs (i, j) of the increasing matching with the highest sum of scores (n, m)."""
    best = np.array(_table(scores))
    pairs = []
    i, j = scores.shape
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return tuple(reversed(pairs))


def _table(scores: np.ndarray) -> list[np.ndarray]:
    """n + 1 rows float64 (..., m + 1): the best sums of the first i and j layers."""
    *lead, n, m = scores.shape
    rows = [np.zeros((*lead, m + 1))]
    for i in range(n):
        before, row = rows[-1], np.zeros((*lead, m + 1))
        taken = before[..., :-1] + scores[..., i, :]
        for j in range(m):
            row[..., j + 1] = np.maximum(np.maximum(before[..., j + 1], row[..., j]), taken[..., j])
        rows.append(row)
    return rows
