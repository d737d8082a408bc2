"""Canonical form of one layer: every architecture becomes bilinear pairs (U, V).

Each invariant map of HuRef (section 4.2) is written X U V^T X^T with X the embeddings of some
tokens:

    a: U = (Wq G)^T, V = (Wk G)^T        G = diag(gain of the norm before)
    b: U = (Wv G)^T, V = P Wo            P = diag(gain of a norm on the block's output)
    f: U = (Wup G)^T, V = P Wdown

with weights as nn.Linear stores them, (out, in). Keys and values of grouped heads are repeated
head by head, as Hugging Face's repeat_kv does; the experts of a mixture stand side by side, so that
their order does not matter. Folding the gains makes the form blind to how a checkpoint splits scale
between norms and weights, balancing U against V (balance.py) to how it splits scale between those.
Queries and keys that are normalised lose their scale first.
"""

from __future__ import annotations

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.balance import balance_columns, balance_heads
from huref_zk.models.families import Family
from huref_zk.models.feed_forward import ffn_blocks, read_block
from huref_zk.models.layers import gain, qk_gain, read_attention
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, expect, finite


def embed(model: Model, family: Family, ids: np.ndarray) -> np.ndarray:
    """Embeddings E of token ids, float32 (K, d), as the first layer's readers see them.

    A LayerNorm on the embeddings is applied. Where norms subtract the mean (``layer_norm``), so do
    we, row by row: a constant added along the all-ones direction, to the embeddings or to anything
    that writes to the residual stream or reads it behind a norm, changes nothing in such a model;
    with centred rows it changes no map either, since E 1 = 0. A factor common to all rows, as Gemma
    has, drops out of every likeness and is not applied. Raises InputError for non-finite rows.
    """
    E = finite(model.rows(family.embedding, ids), family.embedding)
    if family.embedding_norm is not None:
        E = _layer_normed(model, family.embedding_norm, E)
    if family.layer_norm:
        E = E - E.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    return E


def layer_pair(
    model: Model, family: Family, dims: Dimensions, i: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]]:
    """(U, V, widths) of layer i: U, V float32 (d, H_a + H_b + H_f), the gains folded in.

    Where norms subtract the mean, so do the columns of U and V: their part along all-ones meets
    nothing in E (see embed) and would only cost precision. Raises InputError for missing or
    misshapen tensors, NaN and infinities.
    """
    width = dims.width
    q, k, v, o = read_attention(model, family, dims, i)
    blocks = ffn_blocks(model, family, dims, i)
    widths = (width, width, sum(b.width for b in blocks))
    U, V = (np.empty((dims.hidden, sum(widths)), dtype=np.float32) for _ in range(2))

    def gain_of(template: str | None) -> np.ndarray:
        return gain(model, family, dims, template, i)[:, None]

    before, after = gain_of(family.attention_norm), gain_of(family.attention_post_norm)
    a, b = slice(0, width), slice(width, 2 * width)
    _fill(U, a, q.T, before, f"layer {i}'s query weight")
    _fill(V, a, k.T, before, f"layer {i}'s key weight")
    _fill(U, b, v.T, before, f"layer {i}'s value weight")
    _fill(V, b, o, after, f"layer {i}'s output weight")
    del q, k, v, o
    before, after = gain_of(family.ffn_norm), gain_of(family.ffn_post_norm)
    start = 2 * width
    for block in blocks:
        up, _, down = read_block(model, family, dims, block, gate=False)
        columns = slice(start, start := start + block.width)
        _fill(U, columns, up.T, before, block.up)
        _fill(V, columns, down, after, block.down)
        del up, down
    if family.layer_norm:
        for W in (U, V):
            W -= W.mean(axis=0, dtype=np.float64).astype(np.float32)
    if family.qk_norm is not None:
        for W, norm, heads in ((U, family.q_norm, dims.heads), (V, family.k_norm, dims.kv_heads)):
            gains = qk_gain(model, family, dims, norm, heads, i)
            assert gains is not None
            W[:, a] = _qk_normed(W[:, a], family, dims, gains)
    f = slice(2 * width, None)
    sizes = (dims.kv_heads, dims.head_dim)
    if family.rotary:
        balance_columns(U[:, a], V[:, a])
    else:
        balance_heads(V[:, a], U[:, a], *sizes)
    balance_heads(U[:, b], V[:, b], *sizes)
    balance_columns(U[:, f], V[:, f], idle=0.0)
    return U, V, widths


def _fill(W: np.ndarray, columns: slice, part: np.ndarray, gains: np.ndarray, what: str) -> None:
    with np.errstate(over="ignore"):  # a product that overflows is refused as infinite
        np.multiply(part, gains, out=W[:, columns])
    finite(W[:, columns], f"{what} times the gain of its norm")


def _qk_normed(W: np.ndarray, family: Family, dims: Dimensions, gains: np.ndarray) -> np.ndarray:
    """Columns (d, H hd) of queries or keys that a norm follows: each head (or the whole) brought to
    Frobenius norm one, since its scale changes nothing in the model; then times the norm's gains.
    In this order scale moved from the queries' gains to the keys' changes no map either."""
    heads = 1 if family.qk_norm == "whole" else dims.heads
    parts = W.reshape(W.shape[0], heads, -1).astype(np.float64)
    if family.qk_layer_norm:
        parts -= parts.mean(axis=2, keepdims=True)
    norms = np.sqrt(np.square(parts).sum(axis=(0, 2), keepdims=True))
    np.divide(parts, norms, out=parts, where=norms > 0)
    return np.asarray(parts.reshape(W.shape) * gains, dtype=np.float32)


def _layer_normed(model: Model, name: str, E: np.ndarray) -> np.ndarray:
    """LayerNorm of rows, in float64; its bias, if it has one, stands beside its weight."""
    names = [name]
    if model.has(name.removesuffix("weight") + "bias"):
        names.append(name.removesuffix("weight") + "bias")
    for each in names:
        expect(model, each, (E.shape[1],))
    gains, *bias = (finite(model.tensor(each), each) for each in names)
    eps = model.config.get("layer_norm_epsilon", model.config.get("norm_eps", 1e-5))
    if not isinstance(eps, float) or not 0 <= eps < 1:
        raise InputError(f"{model.source}: config says layer_norm_epsilon = {eps!r}")
    centred = E - E.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + eps)
    return np.asarray(centred / spread * gains + sum(bias), dtype=np.float32)
