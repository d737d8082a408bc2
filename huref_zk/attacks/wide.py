"""A wider residual stream: silent dimensions, and what can be hidden with their help.

A dimension to which nothing is ever written is zero at every token, so anything may read it. The
norms' mean is over more entries then, for which the gains and eps make up.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import (
    DEFAULT_EPS,
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    PARTS,
    Checkpoint,
    name_of,
)
from huref_zk.attacks.draft import NORM_OF, WRITERS, Draft
from huref_zk.attacks.neurons import typical

HELPERS = 2
"""Dimensions that the adapter needs: a constant, and what brings all rows to one length."""


def widen(
    checkpoint: Checkpoint, rng: np.random.Generator, share: float = 0.25, size: float = 10.0
) -> Checkpoint:
    """``share`` of the hidden size more dimensions, which everything reads, ``size`` times as loud
    as what it reads else, and to which nothing is written. Exact; unties the embeddings."""
    draft = Draft(checkpoint)
    draft.untie()
    add_dimensions(draft, round_up(draft, share * draft.sizes.hidden), rng, size)
    return draft.done()


def round_up(draft: Draft, wanted: float) -> int:
    """At least ``wanted``, and a multiple of the heads in all, as transformers wants it."""
    d, heads = draft.sizes.hidden, draft.sizes.heads
    return int(np.ceil((d + wanted) / heads)) * heads - d


def add_dimensions(
    draft: Draft, more: int, rng: np.random.Generator | None = None, size: float = 0.0
) -> None:
    """``more`` silent dimensions of the stream, read by random weights or, without ``rng``, not.

    The embeddings must not be tied, or all that reads the new dimensions is their output.
    """
    d = draft.sizes.hidden
    ratio = (d / (d + more)) ** 0.5

    def read(w: np.ndarray) -> np.ndarray:
        new = (
            np.zeros((len(w), more))
            if rng is None
            else size * typical(w) * rng.normal(size=(len(w), more))
        )
        return np.concatenate([w, new], axis=1)

    def written(w: np.ndarray) -> np.ndarray:
        return np.concatenate([w, np.zeros((more, *w.shape[1:]))])

    def gains(w: np.ndarray) -> np.ndarray:
        return np.concatenate([w * ratio, np.ones(more)])

    draft.edit(EMBEDDING, lambda w: np.pad(w, ((0, 0), (0, more))))
    if HEAD in draft:
        draft.edit(HEAD, read)
    draft.edit(FINAL_NORM, gains)
    for i in range(int(draft.config["num_hidden_layers"])):
        for part in PARTS:
            if part in WRITERS:
                draft.rows(i, part, written)
            elif part in NORM_OF:
                draft.columns(i, part, read)
            else:
                draft.edit(name_of(i, part), gains)
    draft.config["hidden_size"] = d + more
    draft.config["head_dim"] = draft.sizes.head_dim
    eps = draft.config.get("rms_norm_eps")
    draft.config["rms_norm_eps"] = (DEFAULT_EPS if eps is None else eps) * ratio**2
