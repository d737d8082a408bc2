"""One layer's weights, read by a Family entry: whatever the layout, the same eight parts come out.

Biases and routers are no part of a bilinear map and are not read here (feed_forward.py does).
Heads are those of heads.py, brought to one size: what is smaller is filled up with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config
from huref_zk.models.feed_forward import ffn_blocks, read_block
from huref_zk.models.heads import has_attention, qk_gain_grouped, read_heads
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, expect, gain, matrix_shape, named, number

__all__ = [
    "Layer",
    "dimensions",
    "gain",
    "per_head",
    "qk_gain",
    "qk_gain_grouped",
    "read_attention",
    "read_attention_grouped",
    "read_layer",
]


@dataclass(frozen=True)
class Layer:
    """float32, weights (out, in): q, k, v (H hd, d), o (d, H hd), keys and values repeated head by
    head as repeat_kv does; up, gate (F, d) and down (d, F), experts side by side; gate is None
    without one. attention_gain, ffn_gain (d,): of the norm before; attention_out_gain,
    ffn_out_gain (d,): of a norm on the block's output; ones where there is none. q_gain, k_gain
    (H hd,): of the norm on queries and keys; None where there is none. A norm's offset is added."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    o: np.ndarray
    up: np.ndarray
    gate: np.ndarray | None
    down: np.ndarray
    attention_gain: np.ndarray
    ffn_gain: np.ndarray
    attention_out_gain: np.ndarray
    ffn_out_gain: np.ndarray
    q_gain: np.ndarray | None
    k_gain: np.ndarray | None


def dimensions(model: Model, family: Family) -> Dimensions:
    """Sizes from the config, checked against the embedding's shape. Raises InputError."""

    def size(keys: tuple[str, ...], default: int | None = None) -> int:
        return number(model, family, keys, default)

    hidden, heads = size(family.hidden_keys), size(family.heads_keys)
    kv_heads = 1 if family.multi_query else size(family.kv_heads_keys, heads)
    if heads % kv_heads:
        raise InputError(f"{model.source}: {heads} heads do not divide into {kv_heads} kv heads")
    layers = _count(model, family)
    if family.nope_dim_keys:
        key_dim = size(family.nope_dim_keys) + size(family.rope_dim_keys)
    else:
        key_dim = size(family.head_dim_keys, hidden // heads)
    value_dim = size(family.value_dim_keys, key_dim)
    dims = Dimensions(
        hidden=hidden,
        heads=heads,
        kv_heads=heads if family.kv_b is not None else kv_heads,
        head_dim=max(key_dim, value_dim),
        ffn=size(family.ffn_keys) if family.ffn_keys else 0,
        layers=layers,
        vocab=size(family.vocab_keys),
        key_dim=key_dim,
        value_dim=value_dim,
    )
    expect(model, family.embedding, (dims.vocab, dims.hidden))
    if family.sizes_vary:
        dims = _widest(model, family, dims)
    if dims.ffn:
        return dims
    width = 0
    for i in reversed(range(layers)):
        width = sum(b.width for b in ffn_blocks(model, family, dims, i))
        if width or not family.partial:
            break
    return replace(dims, ffn=width)


def _count(model: Model, family: Family) -> int:
    """How many layers: a number, or as many as a list or a pattern has entries."""
    config = text_config(model.config)
    told = next((config[k] for k in family.layers_keys if config.get(k) is not None), None)
    if isinstance(told, (list, str)) and 0 < len(told) < 1 << 16:
        return len(told)
    return number(model, family, family.layers_keys)


def _widest(model: Model, family: Family, dims: Dimensions) -> Dimensions:
    """Heads enough for every layer, each with keys and values of its own."""
    heads, head_dim = 1, 1
    for i in range(dims.layers):
        if not has_attention(model, family, i):
            continue
        hd = dims.key_dim
        if family.q_norm is not None and model.has(named(family.q_norm, i)):
            hd = model.shape(named(family.q_norm, i))[-1]
        rows = matrix_shape(model, family, named(str(family.q), i))[0]
        columns = matrix_shape(model, family, named(family.o, i))[1]
        heads = max(heads, rows // hd)
        head_dim = max(head_dim, hd, columns // (rows // hd))
    return replace(dims, heads=heads, kv_heads=heads, head_dim=head_dim)


def read_layer(model: Model, family: Family, dims: Dimensions, i: int) -> Layer:
    """All of layer i. Raises InputError for missing or misshapen tensors, NaN and infinities."""
    q, k, v, o = read_attention(model, family, dims, i)
    blocks = ffn_blocks(model, family, dims, i)
    parts = [read_block(model, family, dims, block, gate=True) for block in blocks]
    gates = [gate for _, gate, _ in parts if gate is not None]
    none = np.zeros((0, dims.hidden), dtype=np.float32)
    return Layer(
        q=q,
        k=k,
        v=v,
        o=o,
        up=_joined([up for up, _, _ in parts], 0) if parts else none,
        gate=_joined(gates, 0) if gates and len(gates) == len(parts) else None,
        down=_joined([down for _, _, down in parts], 1) if parts else none.T,
        attention_gain=gain(model, family, dims, family.attention_norm, i),
        ffn_gain=gain(model, family, dims, family.ffn_norm, i),
        attention_out_gain=gain(model, family, dims, family.attention_post_norm, i),
        ffn_out_gain=gain(model, family, dims, family.ffn_post_norm, i),
        q_gain=qk_gain(model, family, dims, family.q_norm, dims.heads, i),
        k_gain=qk_gain(model, family, dims, family.k_norm, dims.kv_heads, i),
    )


def read_attention(
    model: Model, family: Family, dims: Dimensions, i: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """q, k, v, o of layer i as Layer has them."""
    q, k, v, o = read_attention_grouped(model, family, dims, i)
    return q, per_head(k, dims), per_head(v, dims), o


def read_attention_grouped(
    model: Model, family: Family, dims: Dimensions, i: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """q (H hd, d), k, v (kv hd, d), o (d, H hd) of layer i, float32; zeros without attention."""
    found = read_heads(model, family, dims, i)
    shape = (dims.heads, dims.kv_heads, dims.head_dim, dims.hidden)
    if found is None:
        nothing = np.zeros((dims.width, dims.hidden), dtype=np.float32)
        few = nothing[: dims.kv_heads * dims.head_dim]
        return nothing, few, few, nothing.T
    if (found.heads, found.kv, found.hd, found.vd) == (*shape[:2], shape[2], shape[2]):
        return found.q, found.k, found.v, found.o
    h, kv, hd, _ = shape
    k = _repeated(found.k, found.kv, kv * found.heads // h if h % kv == 0 else 0)
    v = _repeated(found.v, found.kv, kv * found.heads // h if h % kv == 0 else 0)
    return (
        _filled(found.q, found.heads, h, hd),
        _filled(k, kv * found.heads // h, kv, hd),
        _filled(v, kv * found.heads // h, kv, hd),
        _filled(found.o.T, found.heads, h, hd).T,
    )


def _repeated(rows: np.ndarray, kv: int, wanted: int) -> np.ndarray:
    """Rows of kv heads, each as often as ``wanted`` of them need."""
    if wanted == kv:
        return rows
    if kv == 0 or wanted % kv:
        raise InputError(f"{kv} heads of keys cannot stand for {wanted}")
    return np.repeat(rows.reshape(kv, -1, rows.shape[1]), wanted // kv, axis=0).reshape(
        -1, rows.shape[1]
    )


def _filled(rows: np.ndarray, heads: int, wanted: int, hd: int) -> np.ndarray:
    """Rows of heads as those of more and longer heads, the rest zero."""
    out = np.zeros((wanted, hd, rows.shape[1]), dtype=np.float32)
    parts = rows.reshape(heads, -1, rows.shape[1])
    out[:heads, : parts.shape[1]] = parts
    return out.reshape(-1, rows.shape[1])


def per_head(rows: np.ndarray, dims: Dimensions) -> np.ndarray:
    """(kv_heads hd, ...) -> (heads hd, ...): each kv head once for every head it serves."""
    if dims.kv_heads == dims.heads:
        return rows
    grouped = rows.reshape(dims.kv_heads, -1, *rows.shape[1:])
    return np.repeat(grouped, dims.heads // dims.kv_heads, axis=0).reshape(-1, *rows.shape[1:])


def qk_gain(
    model: Model, family: Family, dims: Dimensions, template: str | None, heads: int, i: int
) -> np.ndarray | None:
    """What the norm on queries or keys multiplies by, float32 (H hd,), keys' repeated as Layer has
    them; None without one."""
    found = qk_gain_grouped(model, family, dims, template, heads, i)
    return found if found is None or heads != dims.kv_heads else per_head(found, dims)


def _joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
