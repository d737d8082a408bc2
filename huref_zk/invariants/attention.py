"""The cores a and b of a layer's attention, and their factors: see cores.py."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from huref_zk.invariants.factors import Factors, Tokens, centred, folded, unit
from huref_zk.models.families import Family
from huref_zk.models.heads import read_heads
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, gain


def attention_cores(
    model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens
) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) of layer i, float32 (d, d); zero where it has no attention."""
    heads = _heads(model, family, dims, i, tokens)
    if heads is None:
        a, b = (np.zeros((dims.hidden, dims.hidden), dtype=np.float32) for _ in range(2))
        return a, b
    b = heads.v.T @ heads.together.T
    written = tokens.centred @ b
    if heads.after is not None:
        scale = unit(written) * heads.after
        b, written = b * scale, written * scale
        heads = heads.scaled(scale)
    mixed = _mixed(heads, written, tokens)
    return np.zeros_like(b) if mixed is None else mixed.T @ heads.k, b


def attention_factors(
    model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens
) -> tuple[list[Factors], list[Factors]]:
    """The same as factors, which are a few times cheaper to look at than cores are to make."""
    heads = _heads(model, family, dims, i, tokens)
    if heads is None:
        return [], []
    written = (tokens.centred @ heads.v.T) @ heads.together.T
    if heads.after is not None:
        scale = unit(written) * heads.after
        written, heads = written * scale, heads.scaled(scale)
    mixed = _mixed(heads, written, tokens)
    a = [] if mixed is None else [(mixed, heads.k)]
    return a, [(heads.v, heads.together.T)]


@dataclass(frozen=True)
class _Heads:
    """What attention reads and writes, float32: q (H hd, d), k (kv hd, d), v (kv vd, d), o (d, H
    vd), together (d, kv vd) the sum over each group's o; after (d,): the gain of a norm after, None
    without one. scale: what logits are multiplied by; None: hd^(-1/2)."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    o: np.ndarray
    together: np.ndarray
    after: np.ndarray | None
    kv: int
    hd: int
    vd: int
    scale: float | None

    def scaled(self, scale: np.ndarray) -> _Heads:
        """What is written times scale (d,)."""
        o, together = self.o * scale[:, None], self.together * scale[:, None]
        return replace(self, o=o, together=together)


def _heads(model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens) -> _Heads | None:
    found = read_heads(model, family, dims, i, tokens)
    if found is None:
        return None
    q, k, v = (folded(w, found.before, family) for w in (found.q, found.k, found.v))
    o = centred(found.o, 0) if family.layer_norm else found.o
    heads, kv, hd, vd = found.heads, found.kv, found.hd, found.vd
    if found.q_gain is not None:
        q = _normed(q, family, tokens, heads, found.q_gain)
        k = _normed(k, family, tokens, kv, found.k_gain)
    together = o.reshape(-1, kv, heads // kv, vd).sum(axis=2).reshape(-1, kv * vd)
    after = None
    if family.attention_post_norm is not None:
        after = gain(model, family, dims, family.attention_post_norm, i)
    return _Heads(q, k, v, o, together, after, kv, hd, vd, found.scale)


def _mixed(heads: _Heads, written: np.ndarray, tokens: Tokens) -> np.ndarray | None:
    """sum_h w_h Wq_h over each kv head's queries, (kv hd, d); None where nothing is written."""
    kv, hd, vd = heads.kv, heads.hd, heads.vd
    norm = float(np.sqrt(np.square(written, dtype=np.float64).sum()))
    if norm == 0:
        return None
    values = (tokens.centred @ heads.v.T).reshape(len(written), kv, 1, vd)
    wanted = (written @ heads.o).reshape(len(written), kv, -1, vd)
    w = np.einsum("skgh,skgh->kg", values, wanted, dtype=np.float64) / norm
    w /= np.sqrt(1 + _logit_variance(heads, tokens))
    mixed = heads.q.reshape(kv, -1, hd, heads.q.shape[1])
    mixed = mixed * w.astype(np.float32)[:, :, None, None]
    out: np.ndarray = mixed.sum(axis=1).reshape(kv * hd, -1)
    return out


def _logit_variance(heads: _Heads, tokens: Tokens) -> np.ndarray:
    """s_h^2, float64 (kv, heads a kv head): the mean square over pairs of tokens of the logits
    x Wq_h^T Wk_h x'^T / hd^(1/2), or as they are scaled."""
    kv, hd = heads.kv, heads.hd
    grams = []
    for w in (heads.q, heads.k):
        seen = (tokens.centred @ w.T).reshape(len(tokens.centred), -1, hd).transpose(1, 2, 0)
        grams.append((seen @ seen.swapaxes(1, 2)).astype(np.float64) / seen.shape[2])
    queries, keys = grams[0].reshape(kv, -1, hd, hd), grams[1]
    variance: np.ndarray = np.einsum("kgij,kij->kg", queries, keys)
    return variance / hd if heads.scale is None else variance * heads.scale**2


def _normed(
    w: np.ndarray, family: Family, tokens: Tokens, heads: int, gains: np.ndarray | None
) -> np.ndarray:
    """Queries or keys (heads hd, d) that a norm follows: their scale changes nothing in the model,
    so each head (or the whole) is brought to a mean square of one over the tokens; then times the
    norm's gains."""
    assert gains is not None
    parts = w.reshape(heads, -1, w.shape[1])
    if family.qk_norm == "head" and family.qk_layer_norm:
        parts = centred(parts, 1)
    seen = np.square(tokens.centred @ parts.reshape(w.shape).T, dtype=np.float64)
    squares = seen.reshape(len(seen), heads, -1).mean(axis=(0, 2))
    if family.qk_norm == "whole":
        squares[:] = squares.mean()
    scale = np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    scaled = parts * scale[:, None, None].astype(np.float32)
    return (scaled.reshape(w.shape) * gains[:, None]).astype(np.float32)
