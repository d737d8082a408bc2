"""Another number of blocks: some that add nothing or little, split ones, doubled ones."""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint, name_of
from huref_zk.attacks.draft import NORM_OF, WRITERS, Draft
from huref_zk.attacks.neurons import typical


def append_blocks(checkpoint: Checkpoint, rng: np.random.Generator, count: int = 2) -> Checkpoint:
    """``count`` blocks after the last whose Wo and Wdown (and biases) are zero, so that the
    residual stream passes unchanged. The first, third ... have random weights of the size of some
    layer's, the others that layer's own. Exact."""
    draft = Draft(checkpoint)
    layers = draft.sizes.layers
    draft.arrange([*range(layers), *rng.integers(layers, size=count).tolist()])
    for k in range(count):
        new = layers + k
        for part in NORM_OF if k % 2 == 0 else ():
            draft.rows(new, part, lambda w: typical(w) * rng.normal(size=w.shape))
        for part in WRITERS:
            draft.rows(new, part, np.zeros_like)
    return draft.done()


def insert_blocks(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 0.05
) -> Checkpoint:
    """A random block after every second one, whose writers are ``size`` times as large as those of
    the block before it. Not exact: every one adds a little noise."""
    draft = Draft(checkpoint)
    order = [i for layer in range(draft.sizes.layers) for i in [layer] * (1 + layer % 2)]
    draft.arrange(order)
    for k in range(1, len(order)):
        if order[k] == order[k - 1]:
            for part in NORM_OF:
                draft.rows(k, part, lambda w: typical(w) * rng.normal(size=w.shape))
            for part in WRITERS:
                draft.rows(k, part, lambda w: size * typical(w) * rng.normal(size=w.shape))
    return draft.done()


def split_blocks(checkpoint: Checkpoint, rng: np.random.Generator, size: float = 3.0) -> Checkpoint:
    """Every block as two: its attention beside a feed-forward block that writes nothing, then its
    feed-forward block beside attention that writes nothing; what is silent reads at random,
    ``size`` times as loud. Exact."""
    draft = Draft(checkpoint)
    draft.arrange([i for i in range(draft.sizes.layers) for _ in range(2)])
    halves = (("down", ("gate", "up")), ("o", ("q", "k", "v")))
    for k in range(2 * draft.sizes.layers):
        writer, readers = halves[k % 2]
        draft.rows(k, writer, np.zeros_like)
        for part in readers:
            draft.rows(k, part, lambda w: size * typical(w) * rng.normal(size=w.shape))
    return draft.done()


def spread_neurons(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """Every feed-forward block over two blocks, a random half of its neurons in each. Not exact:
    the second half reads what the first has written."""
    draft = Draft(checkpoint)
    draft.arrange([i for i in range(draft.sizes.layers) for _ in range(2)])
    for i in range(draft.sizes.layers):
        half = rng.permutation(draft.sizes.ffn) < draft.sizes.ffn // 2
        draft.columns(2 * i, "down", lambda w, half: w * half, half)
        draft.columns(2 * i + 1, "down", lambda w, half: w * ~half, half)
        draft.rows(2 * i + 1, "o", np.zeros_like)
        if (bias := name_of(2 * i + 1, "down", "bias")) in draft:
            draft.edit(bias, np.zeros_like)
    return draft.done()


def scale_up(checkpoint: Checkpoint, rng: np.random.Generator, share: float = 0.5) -> Checkpoint:
    """Depth up-scaling (SOLAR 10.7B, arXiv 2312.15166): the middle ``share`` of the blocks twice,
    the whole run after the whole run. Not exact. ``rng`` is not used."""
    draft = Draft(checkpoint)
    layers = draft.sizes.layers
    twice = max(1, round(share * layers))
    first = (layers - twice) // 2
    draft.arrange([*range(first + twice), *range(first, layers)])
    return draft.done()
