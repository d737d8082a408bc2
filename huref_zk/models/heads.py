"""One layer's attention as heads, whatever it is made of: latents, gates and norms multiplied in.

What a norm inside the block divides by is the size of what it normalises: over the tokens given,
or, without any, over directions of the residual stream as if all were alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config
from huref_zk.models.fused import cut
from huref_zk.models.logits import logit_scale
from huref_zk.models.model import Model
from huref_zk.models.one_layer import Reading, Tokens
from huref_zk.models.reading import (
    Dimensions,
    bias_vector,
    expect,
    finite,
    gain,
    gain_vector,
    matrix_shape,
    named,
    number,
    weight,
)


@dataclass(frozen=True)
class Heads:
    """float32: q (heads hd, d), k (kv hd, d), v (kv vd, d), o (d, heads vd); before (d,): the gain
    of the norm before, not yet folded in; q_gain (heads hd,), k_gain (kv hd,): of a norm on queries
    and keys, None without one. scale: what logits are multiplied by; None: hd^(-1/2)."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    o: np.ndarray
    heads: int
    kv: int
    hd: int
    vd: int
    before: np.ndarray
    q_gain: np.ndarray | None = None
    k_gain: np.ndarray | None = None
    scale: float | None = None


def has_attention(model: Model, family: Family, i: int) -> bool:
    """Whether layer i has a block of attention; it must, where layers are not ``partial``."""
    if family.mixer is not None and model.has(named(family.mixer, i)):
        return False
    first = [t for t in (family.qkv, family.q_b, family.q) if t is not None]
    return not family.partial or any(model.has(named(t, i)) for t in first)


def read_heads(
    model: Model, family: Family, dims: Dimensions, i: int, tokens: Tokens | None = None
) -> Heads | None:
    """The heads of layer i; None where it has no attention.

    Raises InputError for missing or misshapen tensors, NaN and infinities.
    """
    if not has_attention(model, family, i):
        return None
    before = gain(model, family, dims, family.attention_norm, i)
    at = Reading(model, family, dims, i, tokens, before)
    heads, kv, hd, vd = _sizes(at)
    gate = None
    if family.qkv is not None:
        assert hd == vd
        name = named(family.qkv, i)
        fused = weight(model, family, name, (heads + 2 * kv) * hd, dims.hidden)
        q, k, v = cut(fused, family.qkv_layout, (heads, kv, hd), f"{model.source}: {name}")
    else:
        q, gate = _queries(at, heads, hd)
        k, v = _keys_values(at, kv, hd, vd)
    o = at.matrix(family.o, dims.hidden, heads * vd)
    if family.value_norm is not None:
        v = at.unit(v, kv if family.value_norm == "head" else 1)
        if family.value_gain is not None:
            o = o * gain_vector(model, family, named(family.value_gain, i), heads * vd)
    if family.attention_gate is not None:
        o = o * _gate(at, at.matrix, heads, vd)
    elif gate is not None:
        o = o * _opened(at, gate, None)
    gains: list[np.ndarray | None] = [None, None]
    if _normed(at):
        gains = [
            qk_gains(model, family, template, count, hd, j)
            for template, count, j in (
                (family.q_norm, heads, i),
                (family.k_norm, kv, _kv_layer(at)),
            )
        ]
    return Heads(
        q, k, v, o, heads, kv, hd, vd, before, gains[0], gains[1], logit_scale(model, family, hd)
    )


def _sizes(at: Reading) -> tuple[int, int, int, int]:
    """(heads, kv heads, head dimension of queries and keys, of values) of this layer."""
    family, dims = at.family, at.dims
    if not family.sizes_vary:
        return dims.heads, dims.kv_heads, dims.key_dim, dims.value_dim
    hd = dims.key_dim
    if at.has(family.q_norm):
        (hd,) = at.model.shape(named(str(family.q_norm), at.i))
    assert family.q and family.k
    rows = at.rank(family.q), matrix_shape(at.model, family, named(family.k, _kv_layer(at)))[0]
    if any(n % hd for n in rows) or rows[0] % rows[1]:
        raise InputError(f"{at.model.source}: layer {at.i}'s q and k have {rows} rows, not heads")
    kv, vd = rows[1] // hd, hd
    values = named(str(family.v), _kv_layer(at))
    if at.model.has(values):
        vd = matrix_shape(at.model, family, values)[0] // kv
    return rows[0] // hd, kv, hd, vd


def _queries(at: Reading, heads: int, hd: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(q, the gate's rows among them or None)."""
    family, d = at.family, at.dims.hidden
    if family.q_b is not None and at.has(family.q_b):
        assert family.q_a is not None
        rank = at.rank(family.q_a)
        inner = at.matrix(family.q_a, rank, d)
        outer = at.matrix(family.q_b, heads * hd, rank)
        return _through(at, inner, outer, family.q_a_norm), None
    assert family.q is not None
    if not family.gated_q:
        return at.matrix(family.q, heads * hd, d), None
    both = at.matrix(family.q, 2 * heads * hd, d).reshape(heads, 2, hd, d)
    return both[:, 0].reshape(-1, d), both[:, 1].reshape(-1, d)


def _keys_values(at: Reading, kv: int, hd: int, vd: int) -> tuple[np.ndarray, np.ndarray]:
    family, d = at.family, at.dims.hidden
    if family.kv_a is None:
        j = _kv_layer(at)
        names = [named(str(t), j) for t in (family.k, family.v)]
        k = weight(at.model, family, names[0], kv * hd, d)
        if family.sizes_vary and not at.model.has(names[1]):
            return _same_stream(at, k, j), _same_stream(at, k, j)  # values are the keys
        v = weight(at.model, family, names[1], kv * vd, d)
        return _same_stream(at, k, j), _same_stream(at, v, j)
    assert family.kv_b is not None
    turned = number(at.model, family, family.rope_dim_keys)
    rank = at.rank(family.kv_a) - turned
    if rank <= 0:
        raise InputError(f"{at.model.source}: {named(family.kv_a, at.i)} has too few rows")
    inner = at.matrix(family.kv_a, rank + turned, d)
    plain = hd - turned
    outer = at.matrix(family.kv_b, kv * (plain + vd), rank)
    both = _through(at, inner[:rank], outer, family.kv_a_norm).reshape(kv, plain + vd, d)
    k = np.empty((kv, hd, d), dtype=np.float32)
    k[:, :plain] = both[:, :plain]
    k[:, plain:] = inner[rank:]
    return k.reshape(-1, d), np.ascontiguousarray(both[:, plain:]).reshape(-1, d)


def _through(at: Reading, inner: np.ndarray, outer: np.ndarray, norm: str | None) -> np.ndarray:
    """outer (n, r) after inner (r, d), normalised between."""
    if norm is not None:
        gains = gain_vector(at.model, at.family, named(norm, at.i), len(inner))
        inner, outer = at.unit(inner), outer * gains
    product: np.ndarray = outer @ inner
    return product


def _kv_layer(at: Reading) -> int:
    """The layer whose keys and values layer i reads."""
    family, i = at.family, at.i
    if family.shared_kv is None:
        return i
    config = {**family.defaults, **text_config(at.model.config)}
    shared, kinds = config.get(family.shared_kv) or 0, config.get("layer_types")
    first = at.dims.layers - shared
    if type(shared) is not int or not 0 <= shared < at.dims.layers or i < first:
        return i
    if not isinstance(kinds, list) or len(kinds) != at.dims.layers:
        raise InputError(f"{at.model.source}: config does not say layer_types")
    same = [j for j in range(first) if kinds[j] == kinds[i]]
    if not same:
        raise InputError(f"{at.model.source}: layer {i} has no layer to take its keys from")
    return same[-1]


def _same_stream(at: Reading, w: np.ndarray, j: int) -> np.ndarray:
    """Keys or values of layer j as if this layer's norm stood before them."""
    if j == at.i:
        return w
    theirs = gain(at.model, at.family, at.dims, at.family.attention_norm, j)
    ratio = np.divide(theirs, at.before, out=np.zeros_like(theirs), where=at.before != 0)
    return w * ratio


def _gate(at: Reading, matrix: Any, heads: int, vd: int) -> np.ndarray:
    """How far o's columns are open, (heads vd,): the mean over the tokens."""
    template = str(at.family.attention_gate)
    rows = at.rank(template)
    if rows not in (heads, heads * vd):
        raise InputError(f"{at.model.source}: {named(template, at.i)} has {rows} rows, not heads")
    w = matrix(template, rows, at.dims.hidden)
    name = named(template, at.i)
    bias = None
    if at.has(at.family.attention_gate_bias):
        beside = named(str(at.family.attention_gate_bias), at.i)
        bias = finite(at.model.tensor(beside), beside)
        if bias.ndim != 1 or rows % bias.size:
            raise InputError(f"{at.model.source}: {beside} has shape {bias.shape}")
        bias = np.repeat(bias, rows // bias.size)
    elif at.model.has(name.removesuffix("weight") + "bias"):
        bias = bias_vector(at.model, name, rows)
    opened = _opened(at, w, bias)
    return np.repeat(opened, vd) if rows == heads != heads * vd else opened


def _opened(at: Reading, w: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """(n,): the mean over the tokens of what opens a gate with rows w (n, d)."""
    if at.tokens is None:
        return np.ones(len(w), dtype=np.float32)
    z = (at.tokens.read @ (w * at.before).T).astype(np.float64)
    if bias is not None:
        z += bias
    with np.errstate(over="ignore"):
        y = np.logaddexp(0, z) if at.family.gate_activation == "softplus" else 1 / (1 + np.exp(-z))
    mean: np.ndarray = y.mean(axis=0).astype(np.float32)
    return mean


def _normed(at: Reading) -> bool:
    """Whether queries and keys of this layer are normalised."""
    if at.family.qk_norm is None or at.family.qk_norm_where is None:
        return at.family.qk_norm is not None
    where = text_config(at.model.config).get(at.family.qk_norm_where)
    return not isinstance(where, list) or at.i >= len(where) or bool(where[at.i])


def qk_gain_grouped(
    model: Model, family: Family, dims: Dimensions, template: str | None, heads: int, i: int
) -> np.ndarray | None:
    """What the norm on queries or keys multiplies by, of each of ``heads`` heads, float32
    (heads head_dim,), ones for what has no gain; None without a norm."""
    if family.qk_norm is None:
        return None
    out = np.ones((heads, dims.head_dim), dtype=np.float32)
    if not has_attention(model, family, i):
        return out.reshape(-1)
    if family.sizes_vary:
        at = Reading(model, family, dims, i, None, out[0])
        hd = _sizes(at)[2]
        j = _kv_layer(at) if template == family.k_norm else i
        out[:, :hd] = qk_gains(model, family, template, heads, hd, j).reshape(heads, hd)
    else:
        found = qk_gains(model, family, template, heads, dims.key_dim, i)
        out[:, : dims.key_dim] = found.reshape(heads, -1)
    return out.reshape(-1)


def qk_gains(
    model: Model, family: Family, template: str | None, heads: int, hd: int, i: int
) -> np.ndarray:
    """The same for heads of another size."""
    if template is None:
        return np.ones(heads * hd, dtype=np.float32)
    offset = family.norm_offset if family.qk_norm_offset is None else family.qk_norm_offset
    name = named(template, i)
    if "{h}" in name:
        names = [name.replace("{h}", str(h)) for h in range(heads)]
        return np.concatenate([gain_vector(model, family, n, hd, offset) for n in names])
    if len(model.shape(name)) == 2:
        expect(model, name, (heads, hd))
        return finite(model.tensor(name), name).reshape(-1) + np.float32(offset)
    if family.qk_norm == "head":
        return np.tile(gain_vector(model, family, name, hd, offset), heads)
    return gain_vector(model, family, name, heads * hd, offset)
