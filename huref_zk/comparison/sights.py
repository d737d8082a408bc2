"""Two surveys brought to one set of coordinates, frame by frame, without what strangers share.

A few patterns over the tokens carry much of every map: they tell how often a token occurs, and
strangers share them (invariants/directions.py). The strongest patterns of either model's maps are
taken off both: in a sketch S = P_L M P_R^T a pattern q of the map is the vector P_L q, so that
whatever is orthogonal to it in the sketch has lost the pattern wholly, and little else.

By the maps alone, and those of either model by themselves: rows of the embedding that nothing reads
take the place of none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.frames import AFTER, OUTPUT, P
from huref_zk.comparison.survey import Survey
from huref_zk.invariants.directions import FEWEST, SHARE

MOST = P // 4
"""Patterns of one model that are taken off at most, and of the output's rows, which tell how often
a token follows: strangers share more there."""


@dataclass(frozen=True)
class Sight:
    """Both models' maps, float64 (n, 3, q, q) and (m, 3, q, q), in one frame or, crosswise, in two;
    name: which."""

    name: str
    a: np.ndarray
    b: np.ndarray


def sights(x: Survey, y: Survey) -> list[Sight]:
    """All that can be laid beside each other: every frame with itself, and the embeddings of common
    tokens with what the other model's first block makes of them."""
    names = [(name, name) for name in x.frames if name in y.frames]
    first = x.frames[0]
    names += [(first, AFTER), (AFTER, first)]
    return [_sight(x, y, *pair) for pair in names]


def whole(maps: np.ndarray) -> np.ndarray:
    """float64 (3, q, q): the sum over layers of maps (n, 3, q, q), each divided by the square root
    of its size, as the recipe ``whole`` has it."""
    sizes = np.linalg.norm(maps, axis=(-1, -2), keepdims=True)
    roots = np.sqrt(sizes)
    return np.divide(maps, roots, out=np.zeros(maps.shape), where=sizes > 0).sum(axis=0)


def unit(maps: np.ndarray) -> np.ndarray:
    """Maps (..., q, q) of length one; zero ones stay."""
    sizes = np.linalg.norm(maps, axis=(-1, -2), keepdims=True)
    return np.divide(maps, sizes, out=np.zeros(maps.shape), where=sizes > 0)


def _sight(x: Survey, y: Survey, name_x: str, name_y: str) -> Sight:
    a, b = (
        s.maps[:, :, s.frames.index(name)].astype(np.float64)
        for s, name in ((x, name_x), (y, name_y))
    )
    counts = [
        MOST if name == OUTPUT else min(max(FEWEST, s.hidden // SHARE), MOST)
        for s, name in ((x, name_x), (y, name_y))
    ]
    left, right = (
        _without([_strongest(whole(m), side, k) for m, k in zip((a, b), counts, strict=True)])
        for side in (0, 1)
    )
    name = name_x if name_x == name_y else f"{name_x} / {name_y}"
    return Sight(name, left.T @ a @ right, left.T @ b @ right)


def _strongest(maps: np.ndarray, side: int, count: int) -> np.ndarray:
    """float64 (P, count): the strongest patterns of maps (3, P, P) on their left (0) or right."""
    flat = unit(maps)
    gram = np.einsum("tij,tkj->ik" if side == 0 else "tji,tjk->ik", flat, flat)
    strongest: np.ndarray = np.linalg.eigh(gram)[1][:, -count:]
    return strongest


def _without(patterns: list[np.ndarray]) -> np.ndarray:
    """float64 (P, P - k): an orthonormal basis of what is orthogonal to all of the patterns."""
    found = np.concatenate(patterns, axis=1)
    basis: np.ndarray = np.linalg.qr(found, mode="complete")[0][:, found.shape[1] :]
    return basis
