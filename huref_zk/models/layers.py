"""One layer's weights, read by a Family entry: whatever the layout, the same eight parts come out.

Biases and routers are no part of a bilinear map and are not read here (feed_forward.py does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config
from huref_zk.models.feed_forward import ffn_blocks, read_block
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, expect, gain_vector, named, weight


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
    config = {**family.defaults, **_given(text_config(model.config))}

    def number(keys: tuple[str, ...], default: int | None = None) -> int:
        key = next((k for k in keys if config.get(k) is not None), None)
        value = default if key is None else config[key]
        if type(value) is not int or not 0 < value < 1 << 24:
            named = key or (keys[0] if keys else "a size")
            raise InputError(
                f"{model.source}: config says {named} = {value!r}; a positive number is needed"
            )
        return value

    hidden, heads = number(family.hidden_keys), number(family.heads_keys)
    kv_heads = 1 if family.multi_query else number(family.kv_heads_keys, heads)
    if heads % kv_heads:
        raise InputError(f"{model.source}: {heads} heads do not divide into {kv_heads} kv heads")
    layers = number(family.layers_keys)
    dims = Dimensions(
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=number(family.head_dim_keys, hidden // heads),
        ffn=number(family.ffn_keys) if family.ffn_keys else 0,
        layers=layers,
        vocab=number(family.vocab_keys),
    )
    expect(model, family.embedding, (dims.vocab, dims.hidden))
    if dims.ffn:
        return dims
    width = sum(b.width for b in ffn_blocks(model, family, dims, layers - 1))
    return Dimensions(**{**vars(dims), "ffn": width})


def read_layer(model: Model, family: Family, dims: Dimensions, i: int) -> Layer:
    """All of layer i. Raises InputError for missing or misshapen tensors, NaN and infinities."""
    q, k, v, o = read_attention(model, family, dims, i)
    blocks = ffn_blocks(model, family, dims, i)
    parts = [read_block(model, family, dims, block, gate=True) for block in blocks]
    gates = [gate for _, gate, _ in parts if gate is not None]
    return Layer(
        q=q,
        k=k,
        v=v,
        o=o,
        up=_joined([up for up, _, _ in parts], 0),
        gate=_joined(gates, 0) if len(gates) == len(parts) else None,
        down=_joined([down for _, _, down in parts], 1),
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
    """q (H hd, d), k, v (kv hd, d), o (d, H hd) of layer i, float32."""
    d, kv_width = dims.hidden, dims.kv_heads * dims.head_dim
    if family.qkv is not None:
        name = named(family.qkv, i)
        fused = weight(model, family, name, dims.width + 2 * kv_width, d)
        q, k, v = _cut(fused, family.qkv_layout, dims, f"{model.source}: {name}")
    else:
        assert family.q and family.k and family.v
        q = weight(model, family, named(family.q, i), dims.width, d)
        k, v = (weight(model, family, named(t, i), kv_width, d) for t in (family.k, family.v))
    o = weight(model, family, named(family.o, i), d, dims.width)
    return q, k, v, o


def per_head(rows: np.ndarray, dims: Dimensions) -> np.ndarray:
    """(kv_heads hd, ...) -> (heads hd, ...): each kv head once for every head it serves."""
    if dims.kv_heads == dims.heads:
        return rows
    grouped = rows.reshape(dims.kv_heads, dims.head_dim, *rows.shape[1:])
    return np.repeat(grouped, dims.heads // dims.kv_heads, axis=0).reshape(-1, *rows.shape[1:])


def gain(
    model: Model, family: Family, dims: Dimensions, template: str | None, i: int
) -> np.ndarray:
    """What a norm multiplies by, float32 (d,); ones without a norm."""
    if template is None:
        return np.ones(dims.hidden, dtype=np.float32)
    return gain_vector(model, family, named(template, i), dims.hidden)


def qk_gain(
    model: Model, family: Family, dims: Dimensions, template: str | None, heads: int, i: int
) -> np.ndarray | None:
    """What the norm on queries or keys multiplies by, float32 (H hd,), keys' repeated as Layer has
    them; None without one."""
    found = qk_gain_grouped(model, family, dims, template, heads, i)
    return found if found is None or heads != dims.kv_heads else per_head(found, dims)


def qk_gain_grouped(
    model: Model, family: Family, dims: Dimensions, template: str | None, heads: int, i: int
) -> np.ndarray | None:
    """The same of each of ``heads`` heads once, float32 (heads hd,)."""
    if template is None:
        return None
    name = named(template, i)
    if "{h}" in name:
        names = [name.replace("{h}", str(h)) for h in range(heads)]
        found = np.concatenate([gain_vector(model, family, n, dims.head_dim) for n in names])
    elif family.qk_norm == "head":
        found = np.tile(gain_vector(model, family, name, dims.head_dim), heads)
    else:
        found = gain_vector(model, family, name, heads * dims.head_dim)
    return found


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _cut(
    fused: np.ndarray, layout: str, dims: Dimensions, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q, k, v out of one matrix; see Family for the layouts."""
    kv, group, d = dims.kv_heads, dims.heads // dims.kv_heads, dims.hidden
    if layout == "stacked":
        q, k, v = np.split(fused, [dims.width, dims.width + kv * dims.head_dim])
        return q, k, v
    if layout == "per_head" and group != 1:
        raise InputError(f"{what} is fused head by head, but there are fewer kv heads than heads")
    parts = fused.reshape(kv, group + 2, dims.head_dim, d)
    q, k, v = (part.reshape(-1, d) for part in (parts[:, :-2], parts[:, -2], parts[:, -1]))
    return q, k, v


def _joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
