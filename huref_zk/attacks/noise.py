"""Noise on the weights: the one attack here that costs the model something."""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.attacks.draft import Draft


def add_noise(
    checkpoint: Checkpoint, rng: np.random.Generator, relative_sd: float = 0.1
) -> Checkpoint:
    """Gaussian noise on every matrix, the embeddings' included, of ``relative_sd`` times the
    matrix's standard deviation; gains and biases stay. Not exact: the function changes."""
    draft = Draft(checkpoint)
    for name in draft.names():
        values = draft[name]
        if values.ndim == 2:
            draft[name] = values + relative_sd * values.std() * rng.normal(size=values.shape)
    return draft.done()
