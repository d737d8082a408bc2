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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from huref_zk.invariants.activations import BENT
from huref_zk.invariants.attention import attention_cores
from huref_zk.invariants.bending import Bend, bend_of
from huref_zk.invariants.factors import Factors, Tokens, centred, folded, unit
from huref_zk.models.families import Family, text_config
from huref_zk.models.feed_forward import (
    Block,
    activation_name,
    ffn_blocks,
    read_biases,
    read_block,
)
from huref_zk.models.model import Model
from huref_zk.models.reading import (
    Dimensions,
    bias_vector,
    finite,
    gain,
    gain_vector,
    named,
)
from huref_zk.models.routing import read_router, read_shared_router, routed

SUBSET = 512
"""How much more would change: docs/cores.md."""
TERMS = ("a", "b", "f")


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


def ffn_core(model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens) -> np.ndarray:
    """f of layer i, float32 (d, d): the mean Jacobian of the feed-forward block over the tokens."""
    f = np.zeros((dims.hidden, dims.hidden), dtype=np.float32)
    for inputs, outputs in _ffn_sides(model, family, dims, i, tokens):
        f += inputs.T @ outputs.T
    if family.ffn_post_norm is not None:
        f *= unit(tokens.centred @ f) * gain(model, family, dims, family.ffn_post_norm, i)
    return f


def ffn_factors(
    model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens
) -> Iterator[Factors]:
    """The same as factors, one block (one expert of a mixture) at a time."""
    sides = ((r, w.T) for r, w in _ffn_sides(model, family, dims, i, tokens))
    if family.ffn_post_norm is None:
        yield from sides
        return
    every = list(sides)
    written = sum((tokens.centred @ r.T) @ w for r, w in every)
    scale = unit(np.asarray(written)) * gain(model, family, dims, family.ffn_post_norm, i)
    yield from ((r, w * scale) for r, w in every)


def block_answers(
    model: Model, family: Family, dims: Dimensions, i: int, read: np.ndarray
) -> np.ndarray:
    """What the feed-forward blocks of layer i write for the rows ``read`` (n, d), normalised if a
    norm stands before them: float32 (n, d), without the bias of what is written."""
    reader = _reader(model, family, dims, i, read)
    out = np.zeros_like(read)
    for block, share in _shared_out(model, family, dims, i, reader):
        chosen = np.arange(len(read)) if share is None else np.flatnonzero(share)
        weights = None if share is None else share[chosen]
        up, gate, down = read_block(model, family, dims, block, gate=True)
        u, g = _before_bending(model, reader, block, (up, gate), chosen, weights)
        h = reader.bends.answer(u, g)
        if block.sub_norm is not None:
            down = down * gain_vector(model, family, block.sub_norm, block.width)
            square = np.square(h, dtype=np.float64).mean(axis=1, keepdims=True)
            h = (h / np.sqrt(np.maximum(square, 1e-30))).astype(np.float32)
        if weights is not None and not reader.scaled_input:
            h *= weights[:, None]
        out[chosen] += h @ (centred(down, 0) if family.layer_norm else down).T
    return out


def _ffn_sides(
    model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """block_sides of every block that some token is sent to."""
    blocks = ffn_blocks(model, family, dims, i)
    mixture = any(b.number is not None for b in blocks)
    reader = _reader(model, family, dims, i, tokens.every if mixture else tokens.read)
    for block, share in _shared_out(model, family, dims, i, reader):
        chosen = None if share is None else np.flatnonzero(share)
        if chosen is not None and not len(chosen):
            continue  # an expert that no token is sent to does nothing
        weights = None if share is None else share[chosen]
        yield block_sides(model, family, dims, block, reader, chosen, weights)


def _reader(model: Model, family: Family, dims: Dimensions, i: int, tokens: np.ndarray) -> Reader:
    return Reader(
        before=gain(model, family, dims, family.ffn_norm, i),
        offset=_offset(model, family, dims, i),
        tokens=tokens,
        family=family,
        activation=activation_name(model, family),
        bend=bend_of(model, family, i),
    )


@dataclass(frozen=True)
class Reader:
    """How a block reads the tokens (S, d): times ``before`` (d,), plus ``offset`` (d,) or nothing,
    and bent by an activation, or as ``bend`` says."""

    before: np.ndarray
    offset: np.ndarray | None
    tokens: np.ndarray
    family: Family
    activation: str
    bend: Bend | None = None

    @property
    def bends(self) -> Bend:
        return Bend(BENT[self.activation]) if self.bend is None else self.bend

    @property
    def scaled_input(self) -> bool:
        """Whether a router's weight multiplies what an expert reads."""
        return self.family.scaled_input

    def folded(self, w: np.ndarray) -> np.ndarray:
        """Weights (out, d) on the normalised embeddings."""
        return folded(w, self.before, self.family)

    def seen(
        self,
        w: np.ndarray,
        folded: np.ndarray,
        bias: np.ndarray | None = None,
        chosen: np.ndarray | None = None,
        scale: np.ndarray | None = None,
    ) -> np.ndarray:
        """What rows of w (out, d), folded, say of the chosen tokens, or of all, times scale (n,):
        (n, out)."""
        tokens = self.tokens if chosen is None else self.tokens[chosen]
        out = (tokens if scale is None else tokens * scale[:, None]) @ folded.T
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
    inner = reader.folded(up)
    u, g = _before_bending(model, reader, block, (up, gate), chosen, weights)
    of_up, of_gate = reader.bends.slopes(u, g)
    if block.sub_norm is not None:
        down = down * gain_vector(model, family, block.sub_norm, block.width)
        of_up = of_up * unit(reader.bends.answer(u, g))
        of_gate = None if of_gate is None else of_gate * unit(reader.bends.answer(u, g))
    inner = inner * _mean(of_up, weights, reader)[:, None]
    if gate is not None and of_gate is not None:
        inner += reader.folded(gate) * _mean(of_gate, weights, reader)[:, None]
    return inner, centred(down, 0) if family.layer_norm else down


def _before_bending(
    model: Model,
    reader: Reader,
    block: Block,
    weights: tuple[np.ndarray, np.ndarray | None],
    chosen: np.ndarray | None,
    share: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """What up and gate say of the chosen tokens, (n, F)."""
    up, gate = weights
    up_bias, gate_bias = read_biases(model, reader.family, block)
    scale = share if reader.scaled_input and block.number is not None else None
    u = reader.seen(up, reader.folded(up), up_bias, chosen, scale)
    if gate is None:
        return u, None
    return u, reader.seen(gate, reader.folded(gate), gate_bias, chosen, scale)


def _shared_out(
    model: Model, family: Family, dims: Dimensions, i: int, reader: Reader
) -> Iterator[tuple[Block, np.ndarray | None]]:
    """The layer's blocks, each with how much it counts at each token (S,); None: everywhere in
    full."""
    blocks = ffn_blocks(model, family, dims, i)
    router = read_router(model, family, dims, blocks, i)
    p = None
    if router is not None:
        logits = reader.seen(router.weight, reader.folded(router.weight), router.bias)
        p = routed(logits, router)
    halved = router is not None and _averaged(model, family)
    for block in blocks:
        share = None
        if block.number is not None and p is not None:
            share = p[:, block.number]
        elif block.shared:
            w = read_shared_router(model, family, dims, i)
            share = None if w is None else 1 / (1 + np.exp(-_told(reader, w[None])[:, 0]))
        if halved:
            share = (np.ones(len(reader.tokens)) if share is None else share) / 2
        yield block, None if share is None else share.astype(np.float32)


def _averaged(model: Model, family: Family) -> bool:
    key = family.share_key
    return key is not None and text_config(model.config).get(key) == "average"


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
