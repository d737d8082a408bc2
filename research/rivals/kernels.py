"""Centred kernel alignment, as several rivals use it."""

from __future__ import annotations

import numpy as np


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Of (n, d) and (n, e), 0 to 1 (Kornblith et al., arXiv 1905.00414)."""
    x, y = x - x.mean(0), y - y.mean(0)
    both = np.square(x.T @ y).sum()
    return float(both / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y) + 1e-300))


def unbiased_inner(k: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The unbiased HSIC (Song et al., 2012) of every kernel of ``k`` (a, n, n) with every one of
    ``m`` (b, n, n): (a, b). Diagonals do not count."""
    n = k.shape[1]
    if n < 4:
        raise ValueError("four points are needed")
    k, m = (g * (1 - np.eye(n, dtype=g.dtype)) for g in (k, m))
    rows_k, rows_m = k.sum(2), m.sum(2)
    plain = k.reshape(len(k), -1) @ m.reshape(len(m), -1).T
    totals = np.outer(rows_k.sum(1), rows_m.sum(1)) / ((n - 1) * (n - 2))
    return (plain + totals - 2 / (n - 2) * (rows_k @ rows_m.T)) / (n * (n - 3))


def unbiased_cka(k: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Unbiased CKA of every kernel of (a, n, n) with every one of (b, n, n): (a, b)."""
    own_k = np.array([unbiased_inner(g[None], g[None])[0, 0] for g in k])
    own_m = np.array([unbiased_inner(g[None], g[None])[0, 0] for g in m])
    scale = np.sqrt(np.maximum(np.outer(own_k, own_m), 1e-300))
    return unbiased_inner(k, m) / scale
