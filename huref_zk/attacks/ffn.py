"""Rewrites of the gated feed-forward block, down(act(gate x) * up x)."""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.attacks.draft import Draft


def permute_ffn(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """The neurons in random order: rows of Wgate and Wup, columns of Wdown. Exact."""
    draft = Draft(checkpoint)
    for i in range(draft.sizes.layers):
        order = rng.permutation(draft.sizes.ffn)
        for part in ("gate", "up"):
            draft.rows(i, part, lambda w, order: w[order], order)
        draft.columns(i, "down", lambda w, order: w[:, order], order)
    return draft.done()


def scale_ffn(checkpoint: Checkpoint, rng: np.random.Generator, log_sd: float = 0.5) -> Checkpoint:
    """Each neuron's row of Wup times s = ±exp(log_sd N(0, 1)), its column of Wdown divided by s;
    the gate, which the activation bends, is left alone. Exact."""
    draft = Draft(checkpoint)
    for i in range(draft.sizes.layers):
        size = draft.sizes.ffn
        s = rng.choice([-1.0, 1.0], size) * np.exp(log_sd * rng.normal(size=size))
        draft.rows(i, "up", lambda w, s: (w.T * s).T, s)
        draft.columns(i, "down", lambda w, s: w / s, s)
    return draft.done()
