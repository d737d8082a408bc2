"""How two models' parts are seen: random directions of token space, the same for both.

They are orthogonal to what strangers share: the mean over the tokens and the strongest patterns of
either model's embeddings. Those of both models are taken off, so that a strong pattern put into one
that nothing reads takes the place of none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.invariants.directions import how_many
from huref_zk.models.reading import Dimensions

SIZES = (256, 192, 128, 96)
"""Directions r of token space that neurons are kept by: the most that BYTES allow."""
BYTES = 300 << 20
"""For the neurons of one model."""
TASTED = 64
"""Tokens by which a neuron's size is told."""


@dataclass(frozen=True)
class Budget:
    """r, directions; kept: neurons of a layer, the largest, where there are more."""

    r: int
    kept: int


@dataclass(frozen=True)
class TokenView:
    """How one model's parts are seen, float32: reading and writing (r, d), token space's directions
    times the tokens as a block reads them and as they are; some (n, d), tokens as a block reads
    them; kept: neurons of a layer."""

    reading: np.ndarray
    writing: np.ndarray
    some: np.ndarray
    kept: int


def budget(*models: Dimensions) -> Budget:
    """What to keep of models that are to be compared: within BYTES for each."""
    entries = [BYTES // (6 * m.layers) for m in models]
    room = [size // m.ffn for size, m in zip(entries, models, strict=True)]
    r = next((r for r in SIZES if r <= min(room)), SIZES[-1])
    return Budget(r, min(entries) // r)


def token_projection(rows: Sequence[np.ndarray], r: int, seed: bytes = b"parts") -> np.ndarray:
    """float32 (K, r): random directions of token space without the mean and the strongest patterns
    of each of ``rows``, the models' X (K, d) over the same K tokens."""
    count = len(rows[0])
    off = [np.ones((count, 1))]
    off += [_strongest(X, how_many(X.shape[1], count)) for X in rows]
    basis, _ = np.linalg.qr(np.concatenate(off, axis=1))
    rng = np.random.default_rng(list(hashlib.sha256(seed).digest()))
    out = rng.normal(size=(count, r))
    out -= basis @ (basis.T @ out)
    return (out / np.sqrt(count)).astype(np.float32)


def token_view(X: np.ndarray, read: np.ndarray, projection: np.ndarray, kept: int) -> TokenView:
    """For one model: X, read (K, d) as recipes.token_rows gives them, over the projection's tokens;
    kept: see Budget."""
    chosen = np.linspace(0, len(X), min(TASTED, len(X)), endpoint=False).astype(int)
    reading = projection.T @ read
    return TokenView(
        reading=reading,
        writing=reading if read is X else projection.T @ X,
        some=read[chosen],
        kept=kept,
    )


def _strongest(X: np.ndarray, count: int) -> np.ndarray:
    """float64 (K, count): the strongest patterns over the tokens of centred rows."""
    from scipy.sparse.linalg import eigsh

    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    gram = centred.T @ centred
    values, vectors = eigsh(gram, k=count, v0=np.ones(len(gram)))  # v0: the same on every run
    kept = values > 1e-12 * max(float(values.max()), 0.0)
    return centred @ (vectors[:, kept] / np.sqrt(values[kept]))
