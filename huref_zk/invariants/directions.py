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


def how_many(hidden: int, tokens: int) -> int:
    """m for hidden size d and K tokens."""
    return min(max(FEWEST, hidden // SHARE), hidden // 4, (tokens - 1) // 4)


def without_strongest(X: np.ndarray, cores: list[np.ndarray], count: int) -> list[np.ndarray]:
    """The cores, float64 (d, d), without the ``count`` strongest directions of their maps.

    X: (K, d), the tokens' rows. A core of zeros stays one.
    """
    Xc = X.astype(np.float64)
    Xc -= Xc.mean(axis=0)
    gram = Xc.T @ Xc
    seen = np.zeros_like(gram)
    for C in cores:
        left, right = gram @ C, gram @ C.T
        size = float(np.einsum("ij,ji->", left, right))  # |Xc C Xc^T|^2
        if size > 0:
            seen += (C @ right + C.T @ left) / size
    lifted, patterns = _strongest(Xc, seen, count)
    told = patterns.T @ Xc
    return [_projected(_projected(C, lifted, told).T, lifted, told).T for C in cores]


def _strongest(Xc: np.ndarray, seen: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(B (d, m), Q (K, m)): the strongest eigenvectors Q = Xc B of Xc seen Xc^T."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    K = len(Xc)
    operator = LinearOperator((K, K), matvec=lambda v: Xc @ (seen @ (Xc.T @ v)), dtype=np.float64)
    # A fixed start makes the same result on every run; it must have a part along every pattern.
    start = Xc @ np.ones(Xc.shape[1]) + np.linalg.norm(Xc, axis=1)
    values, patterns = eigsh(operator, k=count, v0=start)
    kept = values > 1e-12 * max(values.max(), 0.0)
    values, patterns = values[kept], patterns[:, kept]
    return seen @ (Xc.T @ patterns) / values, patterns


def _projected(C: np.ndarray, lifted: np.ndarray, told: np.ndarray) -> np.ndarray:
    return C - lifted @ (told @ C)
