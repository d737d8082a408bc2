"""What is one part though it is written as several.

Neurons of a layer that have one gate compute one thing: act(g x) times sum_i (u_i x) d_i. Whoever
writes a neuron as several, with shares of any sign, or as three whose ups and downs are hidden in
noise that cancels, changes only how that sum is written. Heads that attend alike likewise write the
sum of their OV maps. So what has one gate, or one QK map, is joined: its sum is taken apart anew,
by singular values, into as few as there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALIKE = 1e-3
"""Relative distance up to which two gates, or two QK maps, are one."""
WITHIN = 16
"""How far apart in order along one direction neurons are compared."""
NOTHING = 1e-5
"""A sum smaller than this share of its largest summand is rounding."""


def groups(vectors: np.ndarray) -> list[np.ndarray]:
    """Places of rows of ``vectors`` (n, r) that are alike, two or more each; rows of zeros are in
    none."""
    norms = np.linalg.norm(vectors, axis=1)
    order = np.lexsort((vectors[:, 0],))
    leader = np.arange(len(vectors))
    for lag in range(1, min(WITHIN, len(order))):
        x, y = order[:-lag], order[lag:]
        close = np.abs(vectors[x, 0] - vectors[y, 0]) <= ALIKE * norms[x]
        close &= (norms[x] > 0) & (np.abs(norms[x] - norms[y]) <= ALIKE * norms[x])
        x, y = x[close], y[close]
        same = np.linalg.norm(vectors[x] - vectors[y], axis=1) <= ALIKE * norms[x]
        for one, other in zip(x[same], y[same], strict=True):
            _link(leader, int(one), int(other))
    roots = np.array([_root(leader, n) for n in range(len(leader))], dtype=np.int64)
    counts = np.bincount(roots, minlength=len(roots))
    return [np.flatnonzero(roots == root) for root in np.flatnonzero(counts > 1)]


def join_neurons(
    up: np.ndarray, down: np.ndarray, found: Sequence[np.ndarray], gated: bool
) -> np.ndarray:
    """Replace, in place, ups and downs (F, r) of each group by those of its sum: as many as the sum
    has singular values, the others zero. Returns leaders int32 (F,): for who is in a group without
    a sketch of its own, the first of it; else itself."""
    leaders = np.arange(len(up), dtype=np.int32)
    for places in found:
        U, D = up[places].astype(np.float64), down[places].astype(np.float64)
        largest = float((np.linalg.norm(U, axis=1) * np.linalg.norm(D, axis=1)).max())
        if gated:
            left, values, right = _factors(U, D)
        else:  # one input, one activation: the downs add up
            left, right = U[:1], D.sum(axis=0, keepdims=True)
            values = np.array([np.linalg.norm(left) * np.linalg.norm(right)])
            right = right * (np.linalg.norm(left) / max(values[0], 1e-300))
            left = left / np.linalg.norm(left)
        some = np.flatnonzero(values > max(NOTHING * largest, ALIKE * values[0]))
        up[places] = down[places] = 0
        up[places[some]] = np.sqrt(values[some, None]) * left[some]
        down[places[some]] = np.sqrt(values[some, None]) * right[some]
        leaders[places[len(some) :]] = places[0]
    return leaders


def join_heads(ov: np.ndarray, found: Sequence[np.ndarray]) -> np.ndarray:
    """Replace, in place, OV maps (H, n) of each group by their sum in the first and zeros; returns
    leaders int32 (H,)."""
    leaders = np.arange(len(ov), dtype=np.int32)
    for places in found:
        largest = np.linalg.norm(ov[places], axis=1).max()
        total = ov[places].sum(axis=0, dtype=np.float64)
        ov[places] = 0
        if np.linalg.norm(total) > NOTHING * largest:
            ov[places[0]] = total
        leaders[places] = places[0]
    return leaders


def _factors(U: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U^T D of U, D (k, r) as left^T diag(values) right, left and right (k, r)."""
    q_u, r_u = np.linalg.qr(U.T)
    q_d, r_d = np.linalg.qr(D.T)
    x, values, y = np.linalg.svd(r_u @ r_d.T)
    return (q_u @ x).T, values, y @ q_d.T


def _root(leader: np.ndarray, n: int) -> int:
    while leader[n] != n:
        n = int(leader[n])
    return n


def _link(leader: np.ndarray, x: int, y: int) -> None:
    x, y = _root(leader, x), _root(leader, y)
    leader[max(x, y)] = min(x, y)
