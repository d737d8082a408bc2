"""Noise shaped to what the picture sees: along the public signs, where the sketch has its rows.

The sketch of a map X C X^T is (P_L X) C (P_R X)^T. A change of C by (P_L X)^T K (P_R X), of rank
16, moves it as far as its size allows; here the writers (and the keys) change so that the core of
every layer moves along one K a term, and the layers' changes add up.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint, name_of
from huref_zk.attacks.draft import NORM_OF, Draft
from huref_zk.invariants.recipes import token_rows
from huref_zk.invariants.sketch import LEFT, PUBLIC_SEED, RIGHT, signs
from huref_zk.invariants.tokens import choose_tokens
from huref_zk.models.families import family_for

CHANGED = {"k": "q", "o": "v", "down": "up"}
"""Of each term what is changed, and what stands on its other side in the core."""


def aim_noise(
    checkpoint: Checkpoint, rng: np.random.Generator, relative_sd: float = 0.03
) -> Checkpoint:
    """Wk, Wo and Wdown of every layer changed by ``relative_sd`` of their size, under the seed that
    everybody knows. Not exact."""
    model = checkpoint.model()
    ids, _ = choose_tokens(model, checkpoint.sizes.vocab)
    X = token_rows(model, family_for(model), ids)[0].astype(np.float64)
    left, right = (
        signs(PUBLIC_SEED, side, count, len(ids)) @ X for side, count in (("L", LEFT), ("R", RIGHT))
    )
    draft = Draft(checkpoint)
    for part, other in CHANGED.items():
        wanted = left.T @ rng.normal(size=(LEFT, RIGHT)) @ right  # of the core, (d, d)
        for i in range(draft.sizes.layers):
            facing = draft[name_of(i, other)] * draft[name_of(i, NORM_OF[other])]
            w = draft[name_of(i, part)]
            if part == "k":
                facing = _by_group(facing, draft).sum(axis=1).reshape(len(w), -1)
            elif part == "o":
                groups = facing.reshape(draft.sizes.kv_heads, -1, facing.shape[1])
                facing = np.repeat(groups, _group(draft), axis=0).reshape(w.shape[1], -1)
            change = np.linalg.lstsq(facing.T, wanted, rcond=1e-3)[0]
            if part == "k":
                change /= draft[name_of(i, "attention_norm")]
            else:
                change = change.T
            size = relative_sd * np.linalg.norm(w) / max(float(np.linalg.norm(change)), 1e-30)
            draft[name_of(i, part)] = w + size * change
    return draft.done()


def _group(draft: Draft) -> int:
    return draft.sizes.heads // draft.sizes.kv_heads


def _by_group(q: np.ndarray, draft: Draft) -> np.ndarray:
    """Queries (heads hd, d) as (kv heads, heads a kv head, hd d)."""
    s = draft.sizes
    return q.reshape(s.kv_heads, _group(draft), -1)
