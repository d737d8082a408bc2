"""Sketches of every layer of a model, and how two models' layers match.

The published fingerprint uses two layers; comparing uses all of them, each sketched to three p x p
maps (sketch.py) with p = 32, so that dropped, appended, duplicated or shared blocks cannot hide a
model. Layers are read one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.tokens import MISSING
from huref_zk.invariants.canonical import embed, layer_pair
from huref_zk.invariants.sketch import SIDES, signs
from huref_zk.models.families import Family
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions

COMPARE_P = 32
COMMON_DIRECTIONS = 8
TERMS = ("a", "b", "f")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Opened:
    """A model with its family, sizes and E, float64 (K, d): see rows_of."""

    model: Model
    family: Family
    dims: Dimensions
    E: np.ndarray


def rows_of(model: Model, family: Family, ids: np.ndarray) -> np.ndarray:
    """Embedding rows float64 (K, d), what all models share taken off; zero where an id is MISSING.

    Taken off are the mean and the few strongest directions: they tell how often a token occurs (Mu
    and Viswanath, All-but-the-Top, ICLR 2018), which strangers learn alike; with tied embeddings
    they would make strangers score up to 0.4. The directions turn with the residual stream, so
    nothing is lost of the invariance. A missing token then adds nothing to any map.
    """
    there = np.flatnonzero(ids != MISSING)
    found = embed(model, family, ids[there]).astype(np.float64)
    found -= found.mean(axis=0)
    d = found.shape[1]
    top = strongest(found, min(max(COMMON_DIRECTIONS, d // 64), d // 4))
    rows = np.zeros((len(ids), d))
    rows[there] = found - (found @ top) @ top.T
    return rows


def strongest(rows: np.ndarray, count: int) -> np.ndarray:
    """The right singular vectors of the largest singular values: float64 (d, count)."""
    from scipy.sparse.linalg import eigsh

    gram = rows.T @ rows
    return eigsh(gram, k=count, v0=np.ones(len(gram)))[1]  # v0: the same result on every run


def layer_sketches(
    opened: Opened,
    seed: bytes,
    p: int = COMPARE_P,
    shuffles: np.ndarray | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(maps float32 (n, 3, p, p), shuffled float32 (s, n, 3, p, p)) of the model's n layers.

    shuffles: int (s, K); the s-th gives the maps with row k of E replaced by row shuffles[s, k], as
    if the tokens were unrelated.
    """
    count = len(opened.E)
    orders = np.arange(count)[None]
    if shuffles is not None:
        orders = np.concatenate([orders, shuffles])
    left, right = (_project(signs(seed, side, p, count), opened.E, orders) for side in SIDES)
    n = opened.dims.layers
    out = np.zeros((len(orders), n, len(TERMS), p, p), dtype=np.float32)
    for i in range(n):
        U, V, widths = layer_pair(opened.model, opened.family, opened.dims, i)
        start = 0
        for term, width in enumerate(widths):
            block = slice(start, start + width)
            a = (left @ U[:, block]).reshape(len(orders), p, width)
            b = (right @ V[:, block]).reshape(len(orders), p, width)
            out[:, i, term] = a @ b.swapaxes(1, 2)
            start += width
        if progress is not None:
            progress(i + 1, n)
    return out[0], out[1:]


def _project(sign: np.ndarray, E: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """float32 (len(orders) * p, d): sign @ E[order] for every order."""
    parts = [sign.astype(np.float64) @ E[order] for order in orders]
    return np.concatenate(parts).astype(np.float32)


def layer_ics(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ICS of every layer of x with every layer of y: float64 (n, m, 3); 0 where a map is zero.

    x: (n, 3, p, p); y: (m, 3, p, p).
    """
    a, b = (_unit(maps) for maps in (x, y))
    return np.einsum("nte,mte->nmt", a, b)


def _unit(maps: np.ndarray) -> np.ndarray:
    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=2, keepdims=True)
    return np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)


def match_layers(scores: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The increasing matching (i, j) of layers that maximises the sum of scores (n, m).

    Layers keep their order, any may stay single, and pairs that would lower the sum are left out.
    """
    n, m = scores.shape
    best = np.zeros((n + 1, m + 1))
    for i in range(n):
        for j in range(m):
            best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j], best[i, j] + scores[i, j])
    pairs = []
    i, j = n, m
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return tuple(reversed(pairs))


def matched_score(ics: np.ndarray) -> tuple[float, tuple[tuple[int, int], ...]]:
    """(score, matching) for ICS (n, m, 3): the sum of matched layers' mean ICS over min(n, m).

    1 for the same model, also when blocks were appended to or dropped from one of the two; about 0
    for unrelated ones. The matching picks what fits best, so even unrelated models score slightly
    above 0: null.py measures how much.
    """
    scores = ics.mean(axis=2)
    pairs = match_layers(scores)
    total = sum(scores[pair] for pair in pairs)
    return float(total) / min(scores.shape), pairs
