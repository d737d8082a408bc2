"""What is kept of a layer to find its parts again in another model.

A neuron is a triple of vectors, gate, up and down, as the tokens see them: X g, X u, X d, with the
norm's gain folded in (invariants/cores.py). A head is two maps over the tokens, OV and QK. Each is
kept as a sketch: of a vector its products with r random directions of token space, of a map those
with s directions a side, brought to length one (view.py): cosines of sketches are about those of
what they stand for, with an error of 1 / sqrt(r).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.parts.joining import groups, join_heads, join_neurons
from huref_zk.comparison.parts.view import TokenView
from huref_zk.invariants.activations import BENT
from huref_zk.invariants.cores import Reader
from huref_zk.models.families import Family
from huref_zk.models.feed_forward import (
    Block,
    activation_name,
    ffn_blocks,
    read_biases,
    read_block,
)
from huref_zk.models.layers import gain, qk_gain_grouped, read_attention_grouped
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, finite

SIDE = 32
"""Directions a side that heads are kept by."""
DOWN, UP, GATE = 0, 1, 2
"""Rows of LayerParts.neurons."""


@dataclass(frozen=True)
class LayerParts:
    """neurons float16 (3, F, r): sketches of down, up, gate, of length one, or zero where the
    tokens see nothing; gated: whether there is a gate, else up stands for it. experts int16 (F,):
    the expert each belongs to, -1 for a block that all tokens use. sizes float32 (F,): how much
    each writes, their mean square being one. leaders int32 (F,): itself, or whom its sketch is part
    of (joining.py). heads float16 (H, 2, s, s): sketches of OV and QK, likewise of length one or
    zero; head_leaders int32 (H,). total: neurons the layer has; F, the largest, are kept."""

    neurons: np.ndarray
    gated: bool
    experts: np.ndarray
    sizes: np.ndarray
    leaders: np.ndarray
    heads: np.ndarray
    head_leaders: np.ndarray
    total: int


def layer_parts(
    model: Model, family: Family, dims: Dimensions, i: int, view: TokenView
) -> LayerParts:
    """The parts of layer i. Raises InputError for missing or misshapen tensors, NaN, infinities."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as infinite
        neurons = _layer_neurons(model, family, dims, i, view)
        heads, head_leaders = _heads(model, family, dims, i, view)
    total = len(neurons.sizes)
    neurons = neurons.largest(view.kept)
    square = float(np.square(neurons.sizes, dtype=np.float64).mean()) if total else 0.0
    return LayerParts(
        neurons=neurons.vectors,
        gated=neurons.gated,
        experts=neurons.experts,
        sizes=neurons.sizes / np.float32(np.sqrt(square)) if square > 0 else neurons.sizes,
        leaders=neurons.leaders,
        heads=heads,
        head_leaders=head_leaders,
        total=total,
    )


def _layer_neurons(
    model: Model, family: Family, dims: Dimensions, i: int, view: TokenView
) -> _Neurons:
    reader = Reader(
        before=gain(model, family, dims, family.ffn_norm, i),
        offset=None,  # the same for all tokens: no direction sees it
        tokens=view.some,
        family=family,
        activation=activation_name(model, family),
    )
    after = gain(model, family, dims, family.ffn_post_norm, i)
    blocks = ffn_blocks(model, family, dims, i)
    found = [_neurons(model, family, dims, block, reader, after, view) for block in blocks]
    return _Neurons.side_by_side([_Neurons.nothing(len(view.reading)), *found])


@dataclass(frozen=True)
class _Neurons:
    """Of one block, or of all of a layer: as LayerParts has them, sizes not yet divided."""

    vectors: np.ndarray
    gated: bool
    experts: np.ndarray
    sizes: np.ndarray
    leaders: np.ndarray

    @staticmethod
    def nothing(r: int) -> _Neurons:
        """Of a layer without a feed-forward block."""
        none = np.zeros(0, dtype=np.int32)
        return _Neurons(
            np.zeros((3, 0, r), np.float16),
            True,
            none.astype(np.int16),
            none.astype(np.float32),
            none,
        )

    @staticmethod
    def side_by_side(blocks: Sequence[_Neurons]) -> _Neurons:
        starts = np.cumsum([0, *(len(b.sizes) for b in blocks)])
        return _Neurons(
            np.concatenate([b.vectors for b in blocks], axis=1),
            all(b.gated for b in blocks),
            np.concatenate([b.experts for b in blocks]),
            np.concatenate([b.sizes for b in blocks]),
            np.concatenate([b.leaders + np.int32(n) for b, n in zip(blocks, starts, strict=False)]),
        )

    def largest(self, count: int) -> _Neurons:
        """The ``count`` largest, in their order; who led by one that is not kept leads itself."""
        if len(self.sizes) <= count:
            return self
        kept = np.sort(np.argsort(-self.sizes, kind="stable")[:count])
        place = np.full(len(self.sizes), -1)
        place[kept] = np.arange(count)
        leaders = place[self.leaders[kept]]
        return _Neurons(
            self.vectors[:, kept],
            self.gated,
            self.experts[kept],
            self.sizes[kept],
            np.where(leaders < 0, np.arange(count), leaders).astype(np.int32),
        )


def _neurons(
    model: Model,
    family: Family,
    dims: Dimensions,
    block: Block,
    reader: Reader,
    after: np.ndarray,
    view: TokenView,
) -> _Neurons:
    up, gate, down = read_block(model, family, dims, block, gate=True)
    up_bias, gate_bias = read_biases(model, family, block)
    inner = reader.folded(up)
    seen_up = inner @ view.reading.T
    seen_down = (after[:, None] * _written(down, family)).T @ view.writing.T
    if gate is None:
        bent, bias, sketches = inner, up_bias, [seen_down, seen_up]
        bends = reader.seen(up, inner, up_bias)
    else:
        bent, bias = reader.folded(gate), gate_bias
        bends = reader.seen(gate, bent, gate_bias)
        sketches = [seen_down, seen_up, bent @ view.reading.T]
    finite(np.array(sketches), f"{model.source}: {block.up} as the tokens see it")
    told = sketches[-1] if bias is None else np.column_stack([sketches[-1], bias])
    leaders = join_neurons(seen_up, seen_down, groups(told), gate is not None)
    active = np.square(BENT[reader.activation](bends)[0], dtype=np.float64).mean(axis=0)
    sizes = np.sqrt(active) * _lengths(seen_down, 1)[:, 0]
    if gate is not None:
        sizes *= _lengths(seen_up, 1)[:, 0]
    else:
        sketches.append(seen_up)
    return _Neurons(
        vectors=np.array([_unit(s, axis=1) for s in sketches]),
        gated=gate is not None,
        experts=np.full(block.width, -1 if block.number is None else block.number, np.int16),
        sizes=sizes[leaders].astype(np.float32),
        leaders=leaders,
    )


def _heads(
    model: Model, family: Family, dims: Dimensions, i: int, view: TokenView
) -> tuple[np.ndarray, np.ndarray]:
    """(float16 (H, 2, s, s): OV and QK of every query head, leaders int32 (H,))."""
    q, k, v, o = read_attention_grouped(model, family, dims, i)
    before = gain(model, family, dims, family.attention_norm, i)
    after = gain(model, family, dims, family.attention_post_norm, i)
    heads, kv, hd = dims.heads, dims.kv_heads, dims.head_dim
    side = min(SIDE, len(view.writing))
    # Attention reads what the first norm gives, as in cores.
    reading = view.writing[:side] * before
    seen = {}
    for name, w, count in (("q", q, heads), ("k", k, kv), ("v", v, kv)):
        seen[name] = (w @ reading.T).reshape(count, hd, side)
    seen["o"] = ((after[:, None] * _written(o, family)).T @ view.writing[:side].T).reshape(
        heads, hd, side
    )
    if family.qk_norm is not None:
        for name, template, count in (("q", family.q_norm, heads), ("k", family.k_norm, kv)):
            gains = qk_gain_grouped(model, family, dims, template, count, i)
            assert gains is not None
            if family.qk_norm == "head" and family.qk_layer_norm:
                seen[name] = seen[name] - seen[name].mean(axis=1, keepdims=True)
            seen[name] = seen[name] * gains.reshape(count, hd, 1)
    k_of, v_of = (np.repeat(seen[name], heads // kv, axis=0) for name in ("k", "v"))
    ov = (v_of.swapaxes(1, 2) @ seen["o"]).reshape(heads, -1)
    qk = (seen["q"].swapaxes(1, 2) @ k_of).reshape(heads, -1)
    finite(np.array([ov, qk]), f"{model.source}: layer {i}'s heads as the tokens see them")
    leaders = join_heads(ov, groups(qk if family.qk_norm is None else _unit(qk, axis=1)))
    maps = np.stack([_unit(ov, axis=1), _unit(qk, axis=1)], axis=1)
    return maps.reshape(heads, 2, side, side), leaders


def _written(w: np.ndarray, family: Family) -> np.ndarray:
    """What writes, (d, n); what a norm that takes the mean off never sees is taken off."""
    if not family.layer_norm:
        return w
    return w - w.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)


def _unit(values: np.ndarray, axis: int) -> np.ndarray:
    """float16, of length one along an axis; zero where nothing is seen. However small: a neuron's
    up may be made so, and its down large."""
    norms = _lengths(values, axis)
    out = np.zeros(values.shape)
    return np.divide(values, norms, out=out, where=norms > 0).astype(np.float16)


def _lengths(values: np.ndarray, axis: int) -> np.ndarray:
    """float64, the axis kept: single precision cannot hold the squares of all that it can."""
    return np.asarray(np.linalg.norm(values.astype(np.float64), axis=axis, keepdims=True))
