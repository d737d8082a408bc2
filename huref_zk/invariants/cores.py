"""Cores: what a layer's blocks do, as three d x d matrices in the residual stream's coordinates.

Each invariant map of HuRef (section 4.2) is E W E^T with E the embeddings of some tokens. For the
whole model W is taken off what the blocks compute on the tokens' normalised embeddings x_k, so that
no rewriting of a block that keeps what it computes on every input moves it:

    a   sum_h w_h A_h / (1 + s_h^2)^(1/2)      A_h = Wq_h^T Wk_h, O_h = Wv_h^T Wo_h^T
    b   O = sum_h O_h                           the block's answer to a context of one token
    f   mean_k dy / dx at x_k                   of the feed-forward block y

with weights (out, in) as nn.Linear stores them and the gain of the norm before folded into what
reads. w_h = <X O_h, X O> / |X O| is how much head h writes of what all heads write: it is linear in
O_h, so that a head split into shares, or two that cancel, count for what they do. s_h is the spread
of head h's attention logits over the tokens: a head attends no more for being ever so sharp, and
one that writes next to nothing must not count for it. In a mixture each expert's share at x_k is
weighted by its router. What a norm after a block divides by, the block's own size over the x_k, is
divided out before its gain is applied.

A layer's core counts divided by the square root of its size as the tokens see it, |Xc W Xc^T|, Xc
being X centred over the tokens; the cores of the model are sums over layers.

Sizes, head weights and a dense block's Jacobian are taken over SUBSET of the tokens; that of a
mixture, whose experts see a few each, over all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.invariants.activations import BENT
from huref_zk.models.families import Family
from huref_zk.models.feed_forward import (
    Block,
    Router,
    activation_name,
    ffn_blocks,
    read_biases,
    read_block,
    read_router,
    read_shared_router,
)
from huref_zk.models.layers import gain, qk_gain_grouped, read_attention_grouped
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, bias_vector, finite, named

SUBSET = 512
"""How much more would change: docs/cores.md."""
TERMS = ("a", "b", "f")


@dataclass(frozen=True)
class Tokens:
    """What the blocks are asked about, float32. centred (S, d), some of the tokens: normalised as
    the first norm does, the mean over all K taken off. read (S, d), the same tokens, and every
    (K, d), all of them: as a block without a norm before it reads them; with one, normalised."""

    centred: np.ndarray
    read: np.ndarray
    every: np.ndarray


def layer_cores(
    model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b, f of layer i, float32 (d, d), as the model has them: not yet divided by their sizes.

    Raises InputError for missing or misshapen tensors, NaN and infinities.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as infinite
        a, b = attention_cores(model, family, dims, i, tokens)
        f = ffn_core(model, family, dims, i, tokens)
    for term, core in zip(TERMS, (a, b, f), strict=True):
        finite(core, f"{model.source}: layer {i}'s term {term}")
    return a, b, f


def size_of(core: np.ndarray, tokens: Tokens) -> float:
    """|Xc W Xc^T|, Frobenius."""
    seen = (tokens.centred @ core) @ tokens.centred.T
    return float(np.sqrt(np.square(seen, dtype=np.float64).sum()))


def attention_cores(
    model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens
) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) of layer i, float32 (d, d)."""
    q, k, v, o = read_attention_grouped(model, family, dims, i)
    before = gain(model, family, dims, family.attention_norm, i)
    after = gain(model, family, dims, family.attention_post_norm, i)
    q, k, v = (_folded(w, before, family) for w in (q, k, v))
    if family.layer_norm:
        o = _centred(o, 0)
    heads, kv, hd = dims.heads, dims.kv_heads, dims.head_dim
    if family.qk_norm is not None:
        q_gain = qk_gain_grouped(model, family, dims, family.q_norm, heads, i)
        k_gain = qk_gain_grouped(model, family, dims, family.k_norm, kv, i)
        q = _normed(q, family, tokens, heads, q_gain)
        k = _normed(k, family, tokens, kv, k_gain)
    group = heads // kv
    together = o.reshape(-1, kv, group, hd).sum(axis=2).reshape(-1, kv * hd)
    b = v.T @ together.T
    written = tokens.centred @ b
    if family.attention_post_norm is not None:
        scale = _unit(written)
        b, o, written = b * (scale * after), o * (scale * after)[:, None], written * (scale * after)
    norm = float(np.sqrt(np.square(written, dtype=np.float64).sum()))
    if norm == 0:
        return np.zeros_like(b), b
    values = (tokens.centred @ v.T).reshape(-1, kv, 1, hd)
    wanted = (written @ o).reshape(-1, kv, group, hd)
    w = np.einsum("skgh,skgh->kg", values, wanted, dtype=np.float64) / norm
    w /= np.sqrt(1 + _logit_variance(q, k, tokens, kv, hd))
    mixed = q.reshape(kv, group, hd, -1) * w.astype(np.float32)[:, :, None, None]
    return mixed.sum(axis=1).reshape(kv * hd, -1).T @ k, b


def _logit_variance(q: np.ndarray, k: np.ndarray, tokens: Tokens, kv: int, hd: int) -> np.ndarray:
    """s_h^2, float64 (kv, heads a kv head): the mean square over pairs of tokens of the logits
    x Wq_h^T Wk_h x'^T / hd^(1/2)."""
    grams = []
    for w in (q, k):
        seen = (tokens.centred @ w.T).reshape(len(tokens.centred), -1, hd).transpose(1, 2, 0)
        grams.append((seen @ seen.swapaxes(1, 2)).astype(np.float64) / seen.shape[2])
    queries, keys = grams[0].reshape(kv, -1, hd, hd), grams[1]
    variance: np.ndarray = np.einsum("kgij,kij->kg", queries, keys) / hd
    return variance


def ffn_core(model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens) -> np.ndarray:
    """f of layer i, float32 (d, d): the mean Jacobian of the feed-forward block over the tokens."""
    blocks = ffn_blocks(model, family, dims, i)
    reader = Reader(
        before=gain(model, family, dims, family.ffn_norm, i),
        offset=_offset(model, family, dims, i),
        tokens=tokens.every if any(b.number is not None for b in blocks) else tokens.read,
        family=family,
        activation=activation_name(model, family),
    )
    shares = _shares(model, family, dims, i, blocks, reader)
    f = np.zeros((dims.hidden, dims.hidden), dtype=np.float32)
    for block, share in zip(blocks, shares, strict=True):
        chosen = None if share is None else np.flatnonzero(share)
        if chosen is not None and not len(chosen):
            continue  # an expert that no token is sent to does nothing
        weights = None if share is None else share[chosen]
        inputs, outputs = block_sides(model, family, dims, block, reader, chosen, weights)
        f += inputs.T @ outputs.T
    if family.ffn_post_norm is not None:
        f *= _unit(tokens.centred @ f) * gain(model, family, dims, family.ffn_post_norm, i)
    return f


@dataclass(frozen=True)
class Reader:
    """How a block reads the tokens (S, d): times ``before`` (d,), plus ``offset`` (d,) or nothing,
    and bent by an activation."""

    before: np.ndarray
    offset: np.ndarray | None
    tokens: np.ndarray
    family: Family
    activation: str

    def folded(self, w: np.ndarray) -> np.ndarray:
        """Weights (out, d) on the normalised embeddings."""
        return _folded(w, self.before, self.family)

    def seen(
        self,
        w: np.ndarray,
        folded: np.ndarray,
        bias: np.ndarray | None = None,
        chosen: np.ndarray | None = None,
    ) -> np.ndarray:
        """What rows of w (out, d), folded, say of the chosen tokens, or of all: (n, out)."""
        out = (self.tokens if chosen is None else self.tokens[chosen]) @ folded.T
        for more in (bias, None if self.offset is None else w @ self.offset):
            if more is not None:
                out += more
        return out


def block_sides(
    model: Model,
    family: Family,
    dims: Dimensions,
    block: Block,
    reader: Reader,
    chosen: np.ndarray | None,
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """(R, W): the block's part of f is R^T W^T, R float32 (F, d) what reads, W (d, F) what writes.

    chosen, weights (n,): the tokens that the block answers, and how much each answer counts; None:
    all, in full.
    """
    up, gate, down = read_block(model, family, dims, block, gate=True)
    up_bias, gate_bias = read_biases(model, family, block)
    bend = BENT[reader.activation]
    inner = reader.folded(up)
    u = reader.seen(up, inner, up_bias, chosen)
    if gate is None:
        inner = inner * _mean(bend(u)[1], weights, reader)[:, None]
    else:
        outer = reader.folded(gate)
        y, slope = bend(reader.seen(gate, outer, gate_bias, chosen))
        slope *= u
        inner = inner * _mean(y, weights, reader)[:, None]
        inner += outer * _mean(slope, weights, reader)[:, None]
    return inner, _centred(down, 0) if family.layer_norm else down


def routed(logits: np.ndarray, router: Router) -> np.ndarray:
    """Weights (S, experts) for a router's logits, as transformers has them: softmax over all
    experts, the top_k kept, made to sum to one if ``normalised``."""
    logits = logits.astype(np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    kept = np.argsort(-p, axis=1, kind="stable")[:, : router.top_k]
    out = np.zeros_like(p)
    np.put_along_axis(out, kept, np.take_along_axis(p, kept, axis=1), axis=1)
    if router.normalised:
        out /= out.sum(axis=1, keepdims=True)
    return out.astype(np.float32)


def _shares(
    model: Model, family: Family, dims: Dimensions, i: int, blocks: list[Block], reader: Reader
) -> list[np.ndarray | None]:
    """How much each block counts at each token (S,); None: everywhere in full."""
    router = read_router(model, family, dims, blocks, i)
    p = None if router is None else routed(_told(reader, router.weight), router)
    out: list[np.ndarray | None] = []
    for block in blocks:
        share = None
        if block.number is not None and p is not None:
            share = p[:, block.number]
        elif block.shared:
            w = read_shared_router(model, family, dims, i)
            share = None if w is None else 1 / (1 + np.exp(-_told(reader, w[None])[:, 0]))
        out.append(share)
    return out


def _told(reader: Reader, w: np.ndarray) -> np.ndarray:
    return reader.seen(w, reader.folded(w))


def _offset(model: Model, family: Family, dims: Dimensions, i: int) -> np.ndarray | None:
    """The bias of the norm before the feed-forward block."""
    if not family.norm_bias or family.ffn_norm is None:
        return None
    return bias_vector(model, named(family.ffn_norm, i), dims.hidden)


def _mean(values: np.ndarray, weights: np.ndarray | None, reader: Reader) -> np.ndarray:
    """(F,): mean over all the tokens of values (n, F) at those chosen."""
    if weights is None:
        return values.mean(axis=0, dtype=np.float64).astype(np.float32)
    return (weights @ values) / np.float32(len(reader.tokens))


def _folded(w: np.ndarray, gains: np.ndarray, family: Family) -> np.ndarray:
    """w (out, d) times gains (d,); what meets nothing in embeddings of mean zero is taken off."""
    out = w * gains
    return _centred(out, 1) if family.layer_norm else out


def _centred(w: np.ndarray, axis: int) -> np.ndarray:
    return w - w.mean(axis=axis, keepdims=True, dtype=np.float64).astype(np.float32)


def _unit(written: np.ndarray) -> np.float32:
    """What brings ``written`` (S, d) to a mean square of one; 1 where it is zero."""
    square = float(np.square(written, dtype=np.float64).mean())
    return np.float32(1 / np.sqrt(square) if square > 0 else 1)


def _normed(
    w: np.ndarray, family: Family, tokens: Tokens, heads: int, gains: np.ndarray | None
) -> np.ndarray:
    """Queries or keys (heads hd, d) that a norm follows: their scale changes nothing in the model,
    so each head (or the whole) is brought to a mean square of one over the tokens; then times the
    norm's gains."""
    assert gains is not None
    parts = w.reshape(heads, -1, w.shape[1])
    if family.qk_norm == "head" and family.qk_layer_norm:
        parts = _centred(parts, 1)
    seen = np.square(tokens.centred @ parts.reshape(w.shape).T, dtype=np.float64)
    squares = seen.reshape(len(seen), heads, -1).mean(axis=(0, 2))
    if family.qk_norm == "whole":
        squares[:] = squares.mean()
    scale = np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    scaled = parts * scale[:, None, None].astype(np.float32)
    return (scaled.reshape(w.shape) * gains[:, None]).astype(np.float32)
