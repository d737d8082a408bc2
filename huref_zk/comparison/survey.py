"""A survey: all that is kept of a model to compare it, in one pass over its layers.

    maps         every layer's three maps X C X^T (invariants/cores.py) in every frame (frames.py),
                 as P x P sketches under balanced signs
    gram         how the layers' cores lie to each other, without any token (gram.py)
    parameters   sketches of the raw parameters, for PCS
    parts        neurons and heads, where asked for (parts/)

One layer is held at a time. Cores are never made: their factors are looked at from both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.frames import Frames, P
from huref_zk.comparison.gram import Gram, Probe
from huref_zk.comparison.held import Held
from huref_zk.comparison.opened import OpenModel
from huref_zk.comparison.parameters import LayerParameters, layer_parameters
from huref_zk.comparison.parts.sketches import LayerParts, TokenView, layer_parts
from huref_zk.invariants.attention import attention_factors
from huref_zk.invariants.cores import TERMS, ffn_factors
from huref_zk.invariants.factors import Factors, Tokens
from huref_zk.models.families import Family
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, finite

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Survey:
    """maps float32 (n, 3, F, P, P) of n layers, terms a, b, f, in F frames; frames: their names;
    hidden: d; parameters, parts: one a layer (parts: none where they were not asked for)."""

    maps: np.ndarray
    frames: tuple[str, ...]
    hidden: int
    gram: Gram
    parameters: tuple[LayerParameters, ...]
    parts: tuple[LayerParts, ...] = ()


def survey(
    opened: OpenModel,
    frames: Frames,
    view: TokenView | None = None,
    progress: Progress | None = None,
) -> Survey:
    """Survey a model in its frames; view: how its parts are seen, None leaves them out.

    progress hears of every layer. InputError for missing or misshapen tensors, NaN and infinities.
    """
    family, dims = opened.family, opened.dims
    model = Held(opened.model)
    probe = Probe(dims.hidden)
    count = len(frames.names)
    maps = np.zeros((dims.layers, len(TERMS), count, P, P), dtype=np.float32)
    parameters, parts = [], []
    for i in range(dims.layers):
        model.forget()
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            for part, asked in frames.asked:
                for t, factors in _terms(model, family, dims, i, asked):
                    maps[i, t, part] = _sketched(frames.left[part], frames.right[part], factors)
            for t, factors in _terms(model, family, dims, i, probe.asked):
                probe.see(i, t, factors)
        finite(maps[i], f"{model.source}: layer {i}'s terms")
        parameters.append(layer_parameters(model, family, dims, i))
        if view is not None:
            parts.append(layer_parts(model, family, dims, i, view))
        if progress is not None:
            progress(i + 1, dims.layers)
    gram = probe.gram(dims.layers)
    return Survey(maps, frames.names, dims.hidden, gram, tuple(parameters), tuple(parts))


def _terms(
    model: Model, family: Family, dims: Dimensions, i: int, asked: Tokens
) -> Iterable[tuple[int, Iterable[Factors]]]:
    """(term, factors) of layer i."""
    a, b = attention_factors(model, family, dims, i, asked)
    return (0, a), (1, b), (2, ffn_factors(model, family, dims, i, asked))


def _sketched(left: np.ndarray, right: np.ndarray, factors: Iterable[Factors]) -> np.ndarray:
    """float32 (F, P, P): the map of a core in frames whose rows left, right (F, P, d) are."""
    count, p, d = left.shape
    out = np.zeros((count, p, p), dtype=np.float32)
    for r, w in factors:
        reads, writes = (
            (side.reshape(-1, d) @ x.T).reshape(count, p, -1) for side, x in ((left, r), (right, w))
        )
        out += reads @ writes.swapaxes(1, 2)
    return out
