"""How the layers' cores of a model lie to each other: a view that no embedding has a part in.

    G[lt, ms] = <D_lt, D_ms> / (|D_lt| |D_ms|)      H[lt, ms] = <D_lt, D'_ms> / (|D_lt| |D'_ms|)

over layers l, m and terms t, s, with D = S^-1 C, D' = S^-1 C^T of cores C of length one, and S the
sum of all C C^T + C^T C: without it a few directions, which strangers share, would say it all.
Turning the residual stream turns C, S and D alike and moves neither G nor H; tr(C_l C_m) is what
layer m reads of what layer l writes. The blocks are asked about random rows, not tokens.

Each core is seen through WIDTH random directions, C O and C^T O, or through all d where there are
no more than EXACT. The directions come in two halves, so that what their choice adds is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from huref_zk.invariants.cores import TERMS
from huref_zk.invariants.factors import Factors, Tokens

EXACT = 1024
WIDTH = 128
ASKED = 128
POWERS = 30
FLOOR = 1e-3
"""What S counts for at least, of its largest eigenvalue."""


@dataclass(frozen=True)
class Gram:
    """halves float32 (2, 2, n, 3, n, 3): by each half of the directions, G and H over n layers and
    terms a, b, f; zero where a core is."""

    halves: np.ndarray


class Probe:
    """Collects what cores say of the directions, for models of hidden size d."""

    def __init__(self, d: int):
        rng = np.random.default_rng(11)
        rows = rng.normal(size=(ASKED, d))
        rows /= np.sqrt(np.square(rows).mean(axis=1, keepdims=True))
        read = rows.astype(np.float32)
        self.asked = Tokens(read, read, read)
        if d <= EXACT:
            directions = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.sqrt(d)
        else:
            directions = rng.normal(size=(d, WIDTH))
        self._directions = directions.astype(np.float32)
        self._seen: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def see(self, i: int, t: int, factors: Iterable[Factors]) -> None:
        """Term t of layer i is the sum of R^T W over the factors; more may be added later."""
        through = self._directions
        nothing = np.zeros_like(through)
        there, back = self._seen.pop((i, t), (nothing, nothing))
        for r, w in factors:
            there, back = there + r.T @ (w @ through), back + w.T @ (r @ through)
        self._seen[i, t] = there, back

    def gram(self, layers: int) -> Gram:
        """Of what was seen of so many layers."""
        keys = [divmod(n, len(TERMS)) for n in range(layers * len(TERMS))]
        sides = [np.array([self._seen[key][side] for key in keys]) for side in (0, 1)]
        lengths = np.sqrt(sum(np.square(s, dtype=np.float64).sum(axis=(1, 2)) for s in sides) / 2)
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        sides = [side * scale[:, None, None].astype(np.float32) for side in sides]
        d, width = self._directions.shape
        read = sum(
            np.einsum("nik,njk->ij", side, side, optimize=True, dtype=np.float32) for side in sides
        )
        flattened = _inverse(read)
        for side in sides:
            for n in range(len(side)):
                side[n] = flattened @ side[n]
        middle = width if width == d else width // 2
        cuts = slice(0, middle), slice(width - middle, width)
        halves = np.array([_products(*(s[:, :, cut] for s in sides)) for cut in cuts])
        lengths = np.sqrt(np.einsum("hii->i", halves[:, 0]) / 2)
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        halves *= scale[:, None] * scale
        shape = (2, 2, layers, len(TERMS), layers, len(TERMS))
        return Gram(halves.reshape(shape).astype(np.float32))


def _inverse(read: np.ndarray) -> np.ndarray:
    """float32 (d, d): S^-1, its eigenvalues raised by FLOOR of the largest."""
    vector = np.ones(len(read), dtype=np.float64)
    for _ in range(POWERS):  # the largest eigenvalue, near enough
        vector = read @ vector
        largest = float(np.linalg.norm(vector))
        vector /= max(largest, 1e-30)
    raised = read + np.eye(len(read), dtype=np.float32) * np.float32(FLOOR * largest + 1e-30)
    return np.asarray(np.linalg.inv(raised), dtype=np.float32)


def _products(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """float64 (2, n, n): products of D, D' (n, d, w) with each other: mean of both, and across."""
    there, back = (side.reshape(len(side), -1) for side in (there, back))
    across = there @ back.T
    return np.array([there @ there.T + back @ back.T, across + across.T], dtype=np.float64) / 2
