"""Neurons that do nothing, and neurons in shares: the feed-forward block with more of them.

A neuron is act(g x) (u x) d, with g, u rows of Wgate and Wup and d a column of Wdown.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint, name_of
from huref_zk.attacks.draft import Draft

FEWEST, SHARE = 16, 6
"""As many neurons are added as a SHARE-th of those that are there, FEWEST at least."""
NORMAL_MEDIAN = 0.6745
"""Of the absolute value of a standard normal."""


def add_zero_gates(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 10.0
) -> Checkpoint:
    """Neurons with g = 0, which answer act(0) = 0, whatever they read and write. Exact."""
    return _added(checkpoint, rng, size, ("up", "down"))


def add_dead_neurons(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 10.0
) -> Checkpoint:
    """Neurons that read, and write nothing: d = 0. Exact."""
    return _added(checkpoint, rng, size, ("gate", "up"))


def _added(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float, loud: tuple[str, ...]
) -> Checkpoint:
    """Random neurons, ``size`` times the model's own in the parts ``loud``, zero in the others."""
    draft = Draft(checkpoint)
    count = how_many(draft.sizes.ffn)
    for i in range(draft.sizes.layers):
        for part in ("gate", "up", "down"):
            more = junk(draft, rng, i, part, count, size if part in loud else 0.0)
            shut = part not in loud
            draft.grow(i, part, more, np.zeros(count) if shut else rng.normal(size=count))
    draft.config["intermediate_size"] += count
    return draft.done()


def add_cancelling_neurons(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 10.0
) -> Checkpoint:
    """Pairs of neurons with one gate, whose ups and downs are s u and d / s against -u / s and
    s d with a random s: what the one writes the other takes back. Exact."""
    draft = Draft(checkpoint)
    half = how_many(draft.sizes.ffn) // 2
    for i in range(draft.sizes.layers):
        gate, up = (junk(draft, rng, i, part, half, size) for part in ("gate", "up"))
        down = junk(draft, rng, i, "down", half, size)
        s = np.exp(rng.normal(size=half))
        bias = rng.normal(size=half)
        draft.grow(i, "gate", np.concatenate([gate, gate]), np.tile(bias, 2))
        scaled = [(up.T * s).T, -(up.T / s).T]
        draft.grow(i, "up", np.concatenate(scaled), np.concatenate([bias * s, -bias / s]))
        draft.grow(i, "down", np.concatenate([down / s, down * s], axis=1))
    draft.config["intermediate_size"] += 2 * half
    return draft.done()


def split_neurons(
    checkpoint: Checkpoint, rng: np.random.Generator, sd: float = 3.0, share: float = 1.0
) -> Checkpoint:
    """A ``share`` of the neurons twice, each output shared out: s d and (1 - s) d with
    s = sd N(0, 1). Exact."""
    draft = Draft(checkpoint)
    for i in range(draft.sizes.layers):
        chosen = choose(rng, draft.sizes.ffn, share)
        for part in ("gate", "up"):
            draft.rows(i, part, lambda w, c: np.concatenate([w, w[c]]), chosen)
        down, s = draft[name_of(i, "down")], sd * rng.normal(size=len(chosen))
        more = down[:, chosen] * (1 - s)
        down[:, chosen] *= s
        draft[name_of(i, "down")] = np.concatenate([down, more], axis=1)
    draft.config["intermediate_size"] += len(chosen)
    return draft.done()


def merge_neurons(
    checkpoint: Checkpoint, rng: np.random.Generator, share: float = 0.05
) -> Checkpoint:
    """The neurons whose gates are most alike merged two by two until ``share`` of them are gone:
    gates averaged, u d^T + u' d'^T replaced by the best product of one u and one d. Not exact, but
    for neurons that were split. ``rng`` is not used."""
    draft = Draft(checkpoint)
    count = int(share * draft.sizes.ffn)
    for i in range(draft.sizes.layers):
        gate, up, down = (draft[name_of(i, part)] for part in ("gate", "up", "down"))
        kept = np.ones(len(gate), dtype=bool)
        for a, b in _likest(gate, count):
            gate[a] = (gate[a] + gate[b]) / 2
            left, sizes, right = np.linalg.svd(
                np.stack([up[a], up[b]]).T @ np.stack([down[:, a], down[:, b]]),
                full_matrices=False,
            )
            up[a], down[:, a] = left[:, 0] * sizes[0] ** 0.5, right[0] * sizes[0] ** 0.5
            kept[b] = False
        for part, w in (("gate", gate), ("up", up), ("down", down)):
            draft[name_of(i, part)] = w
        for part in ("gate", "up"):
            draft.rows(i, part, lambda w, kept: w[kept], kept)
        draft.columns(i, "down", lambda w, kept: w[:, kept], kept)
    draft.config["intermediate_size"] -= count
    return draft.done()


def _likest(gate: np.ndarray, count: int) -> list[tuple[int, int]]:
    """``count`` disjoint pairs of rows with the highest cosines."""
    unit = gate / np.maximum(np.linalg.norm(gate, axis=1, keepdims=True), 1e-30)
    alike = np.triu(unit @ unit.T, 1)
    order = np.argsort(-alike, axis=None)
    taken: set[int] = set()
    pairs = []
    for flat in order:
        a, b = divmod(int(flat), len(gate))
        if a < b and not {a, b} & taken:
            taken |= {a, b}
            pairs.append((a, b))
        if len(pairs) == count:
            break
    return pairs


def choose(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """A random ``share`` of 0 .. count - 1, one at least, in order."""
    return np.sort(rng.permutation(count)[: max(1, round(share * count))])


def how_many(ffn: int) -> int:
    """How many neurons are added to a block that has ``ffn``; an even number."""
    return max(FEWEST, ffn // SHARE) // 2 * 2


def junk(
    draft: Draft, rng: np.random.Generator, i: int, part: str, count: int, size: float
) -> np.ndarray:
    """Random rows (count, d) of what reads, or columns (d, count) of what writes, ``size`` times
    as large as the layer's own."""
    w = draft[name_of(i, part)]
    shape = (len(w), count) if part in ("o", "down") else (count, w.shape[1])
    return size * typical(w) * rng.normal(size=shape)


def typical(w: np.ndarray) -> float:
    """The size of w's entries by the median of those that are not zero, which junk that was added
    before does not set."""
    sizes = np.abs(w[w != 0])
    return float(np.median(sizes)) / NORMAL_MEDIAN if len(sizes) else 0.0
