"""Blocks that add nothing, to hide the last ones from whoever looks there."""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.attacks.draft import NORM_OF, WRITERS, Draft


def append_blocks(checkpoint: Checkpoint, rng: np.random.Generator, count: int = 2) -> Checkpoint:
    """``count`` blocks after the last whose Wo and Wdown (and biases) are zero, so that the
    residual stream passes unchanged. The first, third ... have random weights of the size of some
    layer's, the others that layer's own. Exact."""
    draft = Draft(checkpoint)
    layers = draft.sizes.layers
    for k in range(count):
        new = layers + k
        draft.copy_layer(int(rng.integers(layers)), new)
        for part in NORM_OF if k % 2 == 0 else ():
            draft.rows(new, part, lambda w: w.std() * rng.normal(size=w.shape))
        for part in WRITERS:
            draft.rows(new, part, np.zeros_like)
    draft.config["num_hidden_layers"] = layers + count
    kinds = draft.config.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        draft.config["layer_types"] = kinds + kinds[-1:] * count
    return draft.done()
