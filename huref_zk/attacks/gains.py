"""Rewrites of the norms' gains: W diag(gain) can be split at will between weight and norm."""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.attacks.draft import Draft


def rescale_gains(
    checkpoint: Checkpoint, rng: np.random.Generator, log_sd: float = 1.0
) -> Checkpoint:
    """Every gain times exp(log_sd N(0, 1)), the columns of the weights that follow divided by the
    same. Exact; unties the embeddings (the final norm's compensation goes into the output)."""
    draft = Draft(checkpoint)
    draft.replace_gains(lambda old: old * np.exp(log_sd * rng.normal(size=old.shape)))
    return draft.done()


def absorb_gains(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """All gains moved into the weights that follow: every norm's gain is 1. Exact; unties the
    embeddings. ``rng`` is not used."""
    draft = Draft(checkpoint)
    draft.replace_gains(np.ones_like)
    return draft.done()
