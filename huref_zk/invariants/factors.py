"""What a layer's blocks are made of: factors, and the tokens that they are asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.models.families import Family

Factors = tuple[np.ndarray, np.ndarray]
"""(R, W), float32 (r, d): a core, or a part of one, is R^T W."""


@dataclass(frozen=True)
class Tokens:
    """What the blocks are asked about, float32. centred (S, d), some of the tokens: normalised as
    the first norm does, the mean over all K taken off. read (S, d), the same tokens, and every
    (K, d), all of them: as a block without a norm before it reads them; with one, normalised."""

    centred: np.ndarray
    read: np.ndarray
    every: np.ndarray


def folded(w: np.ndarray, gains: np.ndarray, family: Family) -> np.ndarray:
    """w (out, d) times gains (d,); what meets nothing in embeddings of mean zero is taken off."""
    out = w * gains
    return centred(out, 1) if family.layer_norm else out


def centred(w: np.ndarray, axis: int) -> np.ndarray:
    return w - w.mean(axis=axis, keepdims=True, dtype=np.float64).astype(np.float32)


def unit(written: np.ndarray) -> np.float32:
    """What brings ``written`` (S, d) to a mean square of one; 1 where it is zero."""
    square = float(np.square(written, dtype=np.float64).mean())
    return np.float32(1 / np.sqrt(square) if square > 0 else 1)
