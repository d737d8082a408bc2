"""How alike two parts are, and how alike two strangers may seem.

    neurons with a gate    |cos gate cos up cos down|
    without one            cos^2 up |cos down|
    heads                  max(0, cos OV) max(0, cos QK)

Signs of a neuron do not count: one split into shares of either sign is found in all of them, and so
is one whose gate was turned round (silu(z) - silu(-z) = z makes up for it elsewhere).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.parts.sketches import DOWN, GATE, UP

FLOOR = 0.1
"""No part counts as found below this: what strangers have in common stays under it (docs/parts.md).
"""
CEILING = 0.9
"""Nor does it take more than this: in toys of a few dimensions chance would do much."""
HEADS_FROM = 0.4
"""The same of heads."""
RATE = 0.1
"""Chance matches that are expected among all pairs of two models, at most."""
LEAD, LIKELY = 64, 0.04
"""Entries of a sketch that decide whether a pair is scored by all of them, and from which score."""
BLOCK = 1 << 21
"""Scores made at a time."""


def score_block(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Scores float32 (m, n) of neurons x (3, m, r) with y (3, n, r), float32."""
    out = x[DOWN] @ y[DOWN].T
    out *= x[UP] @ y[UP].T
    out *= x[GATE] @ y[GATE].T
    return np.abs(out, out=out)


@dataclass(frozen=True)
class Scored:
    """rows, columns int64 (n,); scores float32 (n,)."""

    rows: np.ndarray
    columns: np.ndarray
    scores: np.ndarray


def likely_pairs(x: np.ndarray, y: np.ndarray) -> Iterator[Scored]:
    """Pairs of neurons x (3, m, r) and y (3, n, r), float16, block by block: those whose
    leading LEAD entries alone score LIKELY at least, scored by all r."""
    left, right = _lead(x), _lead(y)
    for block in blocks(x.shape[1], y.shape[1]):
        s = score_block(left[:, block], right)
        some = np.flatnonzero(s.max(axis=1, initial=0) >= LIKELY)
        rows, columns = np.nonzero(s[some] >= LIKELY)
        rows = some[rows] + block.start
        scores = np.ones(len(rows), dtype=np.float32)
        for kind in (DOWN, UP, GATE):
            one, other = (
                side[kind][places].astype(np.float32) for side, places in ((x, rows), (y, columns))
            )
            scores *= np.einsum("nr,nr->n", one, other)
        yield Scored(rows, columns, np.abs(scores))


def _lead(x: np.ndarray) -> np.ndarray:
    """The leading entries, float32, of length one again."""
    out = x[..., :LEAD].astype(np.float32)
    norms = np.linalg.norm(out, axis=2, keepdims=True)
    return np.divide(out, norms, out=np.zeros_like(out), where=norms > 0)


def head_scores(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Scores float32 (m, n) of heads x (m, 2, s, s) with y (n, 2, s, s)."""
    a, b = (h.reshape(len(h), 2, -1).astype(np.float32) for h in (x, y))
    ov, qk = (a[:, n] @ b[:, n].T for n in (0, 1))
    return np.maximum(ov, 0) * np.maximum(qk, 0)


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """``rows`` in pieces of BLOCK scores with ``columns``."""
    step = max(1, BLOCK // max(columns, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def threshold(pairs: float, spreads: Sequence[float], gated: bool) -> float:
    """The score from which a neuron counts as found, when ``pairs`` pairs are looked at and cosines
    of any two neurons' down, up and gate have these root mean squares.

    Cosines of what has nothing in common are about normal. A product of three exceeds t times their
    spreads with a chance of about exp(-3/2 t^(2/3)); of a square and one more, exp(-3/2 (t /
    2)^(2/3)). That chance is put at RATE over the pairs.
    """
    rare = math.log(max(pairs, 1.0) / RATE)
    t = (2 * rare / 3) ** 1.5 * math.prod(spreads)
    return min(max(FLOOR, t if gated else 2 * t), CEILING)


def spreads(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Root mean squares of the cosines of neurons x (3, m, r) with y (3, n, r), kind by kind: in
    models with few dimensions that are read they are larger than the sketches' 1 / sqrt(r)."""
    wide = [side.astype(np.float32) for side in (x, y)]
    return [math.sqrt(float(np.square(a @ b.T).mean())) for a, b in zip(*wide, strict=True)]
