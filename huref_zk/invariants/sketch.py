"""The sketch: K x K invariant maps seen through two public ±1 matrices.

``M^ = P_L M P_R^T`` with P_L, P_R in {±1}^{p x K}. Every row is balanced, which makes the cosine of
sketches an unbiased estimate of the cosine of double-centred maps (HuRef's ICS), and P_L differs
from P_R, without which the trace leaks in.
"""

from __future__ import annotations

import hashlib

import numpy as np

from huref_zk.invariants.canonical import Canonical

PUBLIC_SEED = hashlib.sha256(b"huref_zk public sketch seed 1").digest()
SIDES = ("L", "R")


def signs(seed: bytes, side: str, p: int, count: int) -> np.ndarray:
    """P_L or P_R: int8 (p, count), entries ±1, as many +1 as -1 in every row.

    Row i: 64-bit keys from SHAKE-256("huref_zk signs" | seed | side | i | count); the half with the
    smaller keys, ties broken by position, is +1. Ties have probability below count^2 / 2^64.
    """
    if count % 2 or count < 2:
        raise ValueError("a balanced row needs an even number of tokens")
    out = np.full((p, count), -1, dtype=np.int8)
    for i in range(p):
        label = (
            b"huref_zk signs"
            + seed
            + side.encode()
            + i.to_bytes(4, "big")
            + count.to_bytes(4, "big")
        )
        keys = np.frombuffer(hashlib.shake_256(label).digest(8 * count), dtype="<u8")
        out[i, np.argsort(keys, kind="stable")[: count // 2]] = 1
    return out


def sketch(canonical: Canonical, seed: bytes, p: int = 16) -> np.ndarray:
    """Sketched maps float64 (2 layers * 3 terms, p, p): map 3*layer + term, terms a, b, f."""
    count = len(canonical.token_ids)
    E = canonical.E.astype(np.float64)
    left, right = (signs(seed, side, p, count) @ E for side in SIDES)
    maps = []
    for U, V in zip(canonical.U, canonical.V, strict=True):
        a, b = left @ U, right @ V
        start = 0
        for width in canonical.widths:
            maps.append(a[:, start : start + width] @ b[:, start : start + width].T)
            start += width
    return np.array(maps)


def ics_maps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cosine of each pair of maps: float64 (n,) for x, y of shape (n, p, p); 0 for a zero map."""
    dot = np.einsum("nab,nab->n", x, y)
    norms = np.sqrt(np.einsum("nab,nab->n", x, x) * np.einsum("nab,nab->n", y, y))
    return np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0)


def ics(x: np.ndarray, y: np.ndarray) -> float:
    """Invariant-terms cosine similarity: the mean of ics_maps (HuRef section 4.2)."""
    return float(ics_maps(np.asarray(x, np.float64), np.asarray(y, np.float64)).mean())
