"""The strongest directions of a model's maps, and cores without them.

A few patterns over the tokens carry much of every map: they tell how often a token occurs (Mu and
Viswanath, All-but-the-Top, ICLR 2018), and strangers share them. They are taken off the cores:

    Q    float64 (K, m), the strongest patterns: eigenvectors of the sum of M M^T + M^T M over the
         maps M = Xc C Xc^T, each divided by its size
    C'   = P C P^T with Xc P = (1 - Q Q^T) Xc, so that Xc C' Xc^T = (1 - Q Q^T) M (1 - Q Q^T)

By the maps alone: directions of the embeddings that nothing reads, or that only what writes nothing
reads, take the place of none.
"""

from __future__ import annotations

import numpy as np

FEWEST = 8
SHARE = 64
"""One direction in so many of the hidden size is taken off, but FEWEST at least."""
SINGLE_FROM = 1024
"""Hidden size from which the maps are surveyed in float32: which directions are the strongest takes
no more, and half the time."""


def how_many(hidden: int, tokens: int) -> int:
    """m for hidden size d and K tokens."""
    return min(max(FEWEST, hidden // SHARE), hidden // 4, (tokens - 1) // 4)


def without_strongest(X: np.ndarray, cores: list[np.ndarray], count: int) -> list[np.ndarray]:
    """The cores, float64 (d, d), without the ``count`` strongest directions of their maps.

    X: (K, d), the tokens' rows. A core of zeros stays one.
    """
    Xc = X.astype(np.float64)
    Xc -= Xc.mean(axis=0)
    lifted, patterns = _strongest(Xc, _read(Xc, cores), count)
    told = patterns.T @ Xc
    return [_projected(_projected(C, lifted, told).T, lifted, told).T for C in cores]


def _read(Xc: np.ndarray, cores: list[np.ndarray]) -> np.ndarray:
    """S, float64 (d, d), for which Xc S Xc^T is the sum of M M^T + M^T M over the maps M, each
    divided by its size."""
    d = Xc.shape[1]
    kind = np.float32 if d >= SINGLE_FROM else np.float64
    gram = (Xc.T @ Xc / len(Xc)).astype(kind)
    out = np.zeros((d, d))
    for C in cores:
        C = (C / max(float(np.abs(C).max()), np.finfo(np.float64).tiny)).astype(kind)
        left, right = gram @ C, gram @ C.T
        size = float(np.einsum("ij,ji->", left, right, dtype=np.float64))  # |Xc C Xc^T|^2
        if size > 0:
            out += (C @ right + C.T @ left) / size
    return out


def _strongest(Xc: np.ndarray, read: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(B (d, m), Q (K, m)): the strongest eigenvectors Q = Xc B of Xc read Xc^T."""
    from scipy.sparse.linalg import eigsh

    basis, R = np.linalg.qr(Xc)
    small = R @ read @ R.T
    # The start is fixed, so that every run finds the same. It has a part along every direction.
    values, vectors = eigsh(small, k=count, v0=np.ones(len(small)))
    kept = values > 1e-12 * max(float(values.max()), 0.0)
    values, patterns = values[kept], basis @ vectors[:, kept]
    return read @ (Xc.T @ patterns) / values, patterns


def _projected(C: np.ndarray, lifted: np.ndarray, told: np.ndarray) -> np.ndarray:
    return C - lifted @ (told @ C)
