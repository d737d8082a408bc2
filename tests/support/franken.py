"""Models put together from two, with the truth about every part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from huref_zk.attacks import Checkpoint
from huref_zk.attacks.checkpoint import PARTS, name_of
from huref_zk.comparison.parts.matching import match_parts
from huref_zk.comparison.parts.partners import Parts
from huref_zk.comparison.parts.sketches import LayerParts, layer_parts
from huref_zk.comparison.parts.view import budget, token_projection, token_view
from huref_zk.invariants.recipes import token_rows
from huref_zk.invariants.tokens import choose_tokens
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.model import Model

TOKENS = 1024
"""Enough for models of these sizes, and four times as quick as all."""


def matched(a: Model, b: Model, tokens: int = TOKENS) -> Parts:
    """Two models matched by their parts."""
    one, other = sketched([a, b], tokens)
    return match_parts(one, other)


def sketched(models: Sequence[Model], tokens: int = TOKENS) -> list[list[LayerParts]]:
    """The parts of models over the commonest tokens of the first, by text, comparable with one
    another. All have every token."""
    families = [family_for(m) for m in models]
    dims = [dimensions(m, f) for m, f in zip(models, families, strict=True)]
    ids, _ = choose_tokens(models[0], min(d.vocab for d in dims), tokens)
    text = {i: t for t, i in (models[0].vocabulary() or {}).items()}
    kept = budget(*dims)
    rows = []
    for model, family in zip(models, families, strict=True):
        theirs = model.vocabulary() or {}
        mine = np.array([theirs.get(text.get(int(i), ""), i) for i in ids])
        rows.append(token_rows(model, family, mine))
    projection = token_projection([X for X, _ in rows], kept.r)
    views = [token_view(X, read, projection, kept.kept) for X, read in rows]
    return [
        [layer_parts(m, f, d, i, view) for i in range(d.layers)]
        for m, f, d, view in zip(models, families, dims, views, strict=True)
    ]


def aligned_stranger(base: Checkpoint, stranger: Checkpoint) -> Checkpoint:
    """The stranger's blocks behind the base's embedding: what a franken-merge takes parts from."""
    kept = {n: w for n, w in base.tensors.items() if not n.startswith("model.layers.")}
    blocks = {n: w for n, w in stranger.tensors.items() if n.startswith("model.layers.")}
    return replace(base, tensors={**blocks, **kept})


@dataclass(frozen=True)
class Truth:
    """checkpoint; layer, part int (n_layers, F): where in A each neuron comes from, -1 nowhere."""

    checkpoint: Checkpoint
    layer: np.ndarray
    part: np.ndarray


def mixed_neurons(
    a: Checkpoint, other: Checkpoint, rng: np.random.Generator, share: float = 0.5
) -> Truth:
    """A with neurons replaced by another model's, and those that stay dealt out to its layers at
    random."""
    layers, width = a.sizes.layers, a.sizes.ffn
    kept = rng.permutation(layers * width)[: int(share * layers * width)]
    source = np.full(layers * width, -1)
    source[rng.permutation(layers * width)[: len(kept)]] = kept
    source = source.reshape(layers, width)
    tensors = dict(a.tensors)
    stacks = {}
    for part in ("gate", "up", "down"):
        sides = [_rows(c, part) for c in (a, other)]
        stacks[part] = [np.concatenate(side) for side in sides]
    for i in range(layers):
        foreign = i * width + np.arange(width)
        gain = a.tensors[name_of(i, "ffn_norm")]
        for part, (mine, theirs) in stacks.items():
            rows = np.where(source[i, :, None] >= 0, mine[source[i]], theirs[foreign])
            if part == "down":
                tensors[name_of(i, part)] = rows.T.astype(np.float32)
            else:
                tensors[name_of(i, part)] = (rows / gain).astype(np.float32)
    there = source >= 0
    return Truth(
        replace(a, tensors=tensors),
        np.where(there, source // width, -1),
        np.where(there, source % width, -1),
    )


def _rows(checkpoint: Checkpoint, part: str) -> list[np.ndarray]:
    """By layer (F, d): what reads with the norm's gain folded in, what writes as it is."""
    out = []
    for i in range(checkpoint.sizes.layers):
        w = checkpoint.tensors[name_of(i, part)].astype(np.float64)
        out.append(w.T if part == "down" else w * checkpoint.tensors[name_of(i, "ffn_norm")])
    return out


def of_layers(a: Checkpoint, order: Sequence[tuple[Checkpoint, int]]) -> Checkpoint:
    """A with other blocks: layer n of the new model is the n-th (model, layer) of ``order``."""
    tensors = {n: w for n, w in a.tensors.items() if not n.startswith("model.layers.")}
    for n, (source, i) in enumerate(order):
        for part in PARTS:
            for kind in ("weight", "bias"):
                if (name := name_of(i, part, kind)) in source.tensors:
                    tensors[name_of(n, part, kind)] = source.tensors[name]
    return replace(a, config={**a.config, "num_hidden_layers": len(order)}, tensors=tensors)


def of_width(a: Checkpoint, change: Callable[[np.ndarray], np.ndarray], ffn: int) -> Checkpoint:
    """A with ``change`` applied to the neurons of each layer, rows (F, n) of all three matrices."""
    tensors = dict(a.tensors)
    for i in range(a.sizes.layers):
        down, gate, up = (tensors[name_of(i, part)] for part in ("down", "gate", "up"))
        d = a.sizes.hidden
        new = change(np.concatenate([gate, up, down.T], axis=1))
        tensors[name_of(i, "gate")], tensors[name_of(i, "up")] = new[:, :d], new[:, d : 2 * d]
        tensors[name_of(i, "down")] = new[:, 2 * d :].T
    return replace(a, config={**a.config, "intermediate_size": ffn}, tensors=tensors)


def noisy(checkpoint: Checkpoint, rng: np.random.Generator, share: float) -> Checkpoint:
    """Noise of a share of its size on every matrix of the blocks."""
    tensors = {
        n: w + share * w.std() * rng.normal(size=w.shape).astype(w.dtype)
        if n.startswith("model.layers.") and w.ndim == 2
        else w
        for n, w in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=tensors)
