"""The sketch: invariant maps, K x K, seen through public ±1 matrices.

``M^ = P_L M P_R^T`` with P_L in {±1}^{32 x K} and P_R in {±1}^{16 x K}. Every row is balanced,
which makes the cosine of sketches an unbiased estimate of the cosine of double-centred maps
(HuRef's ICS), and P_L differs from P_R, without which the trace leaks in.

The 32 left rows are two groups of 16. Map 3 s + t is group s of term t: of the one set of cores of
a recipe that has one, of the s-th set of a recipe that has two.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from huref_zk.invariants.recipes import Cores

PUBLIC_SEED = hashlib.sha256(b"huref_zk public sketch seed 1").digest()
SIDES = ("L", "R")
GROUP = 16
GROUPS = 2
LEFT = GROUP * GROUPS
RIGHT = 16


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


def group_rows(s: int) -> slice:
    """The left rows of group s."""
    return slice(GROUP * s, GROUP * (s + 1))


def sketch(cores: Cores, seed: bytes) -> np.ndarray:
    """Sketched maps float64 (6, 16, 16): map 3 s + t, groups s, terms t = a, b, f."""
    count = len(cores.token_ids)
    X = cores.X.astype(np.float64)
    left = signs(seed, "L", LEFT, count) @ X
    right = signs(seed, "R", RIGHT, count) @ X
    return np.array(
        [
            left[group_rows(s)] @ core.astype(np.float64) @ right.T
            for s in range(GROUPS)
            for core in cores.sets[s % len(cores.sets)]
        ]
    )


def exact_ics_of(x: Cores, y: Cores) -> np.ndarray:
    """ICS over all K tokens, float64 (3,) a set: the cosine of double-centred maps X C X^T, which
    sketches estimate; 0 for a map of zeros. x and y: of one recipe, over the same tokens."""
    E, F = (c.X - c.X.mean(axis=0, dtype=np.float64) for c in (x, y))
    grams = {"ab": E.T @ F, "aa": E.T @ E, "bb": F.T @ F}

    def inner(C: np.ndarray, D: np.ndarray, gram: np.ndarray) -> float:
        return float(np.einsum("ij,ij->", C, gram @ D @ gram.T))

    out = []
    for C, D in zip(np.concatenate(x.sets), np.concatenate(y.sets), strict=True):
        norms = inner(C, C, grams["aa"]) * inner(D, D, grams["bb"])
        out.append(inner(C, D, grams["ab"]) / np.sqrt(norms) if norms > 0 else 0.0)
    return np.array(out)


def ics_maps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cosine of each pair of maps: float64 (n,) for x, y of shape (n, p, p); 0 for a zero map."""
    dot = np.einsum("nab,nab->n", x, y)
    norms = np.sqrt(np.einsum("nab,nab->n", x, x) * np.einsum("nab,nab->n", y, y))
    return np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0)


def ics(x: np.ndarray, y: np.ndarray) -> float:
    """Invariant-terms cosine similarity: the mean of ics_maps (HuRef section 4.2)."""
    return float(ics_maps(np.asarray(x, np.float64), np.asarray(y, np.float64)).mean())
