"""One layer's weights, read by a Family entry: whatever the layout, the same eight parts come out.

Biases and what a router says are no part of a bilinear map and are not read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config
from huref_zk.models.model import Model


@dataclass(frozen=True)
class Dimensions:
    """A model's sizes: d, heads, kv heads, head dimension, FFN width (all experts of the last layer
    side by side in a mixture), layers, vocabulary."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    layers: int
    vocab: int

    @property
    def width(self) -> int:
        """Of all heads side by side."""
        return self.heads * self.head_dim


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


@dataclass(frozen=True)
class Block:
    """One feed-forward block: the dense one, an expert, the shared expert. up is the name of a
    tensor that holds the gate too if ``fused``; expert: its place in tensors of three axes."""

    up: str
    gate: str | None
    down: str
    width: int
    fused: bool = False
    expert: int | None = None


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
    d, kv_width = dims.hidden, dims.kv_heads * dims.head_dim
    if family.qkv is not None:
        name = _name(family.qkv, i)
        fused = _weight(model, family, name, dims.width + 2 * kv_width, d)
        q, k, v = _cut(fused, family.qkv_layout, dims, f"{model.source}: {name}")
    else:
        assert family.q and family.k and family.v
        q = _weight(model, family, _name(family.q, i), dims.width, d)
        k, v = (_weight(model, family, _name(t, i), kv_width, d) for t in (family.k, family.v))
    o = _weight(model, family, _name(family.o, i), d, dims.width)
    return q, per_head(k, dims), per_head(v, dims), o


def per_head(rows: np.ndarray, dims: Dimensions) -> np.ndarray:
    """(kv_heads hd, ...) -> (heads hd, ...): each kv head once for every head it serves."""
    if dims.kv_heads == dims.heads:
        return rows
    grouped = rows.reshape(dims.kv_heads, dims.head_dim, *rows.shape[1:])
    return np.repeat(grouped, dims.heads // dims.kv_heads, axis=0).reshape(-1, *rows.shape[1:])


def ffn_blocks(model: Model, family: Family, dims: Dimensions, i: int) -> list[Block]:
    """The feed-forward blocks of layer i, without reading them: all experts, or the dense one."""
    if family.experts_gate_up and model.has(_name(family.experts_gate_up, i)):
        assert family.experts_down
        names = [_name(t, i) for t in (family.experts_gate_up, family.experts_down)]
        upper, lower = (model.shape(n) for n in names)
        if len(lower) != 3 or upper != (lower[0], 2 * lower[2], lower[1]):
            raise InputError(
                f"{model.source}: {names[0]} has shape {upper}, {names[1]} has {lower}"
            )
        found = [Block(names[0], None, names[1], lower[2], True, e) for e in range(lower[0])]
        return found + _shared(model, family, i)
    if family.expert_up and model.has(_name(family.expert_up, i, 0)):
        assert family.expert_down
        found = []
        for e in range(_experts(model, family)):
            ups, downs = _name(family.expert_up, i, e), _name(family.expert_down, i, e)
            gates = _name(family.expert_gate, i, e) if family.expert_gate else None
            found.append(Block(ups, gates, downs, _width(model, family, downs)))
        return found + _shared(model, family, i)
    if family.down is None:  # a mixture that has no dense layers: name what is missing
        assert family.expert_up
        expect(model, _name(family.expert_up, i, 0), (0, dims.hidden))
    assert family.down
    down = _name(family.down, i)
    width = dims.ffn if family.ffn_keys else _width(model, family, down)
    up = family.gate_up or family.up
    assert up
    gate = None if family.gate is None else _name(family.gate, i)
    block = Block(_name(up, i), gate, down, width, family.gate_up is not None)
    rows = width * (2 if block.fused else 1)  # checked before anybody makes room for it
    expect(model, block.up, _stored(family, rows, dims.hidden))
    return [block]


def read_block(
    model: Model, family: Family, dims: Dimensions, block: Block, gate: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """(up (F, d), gate (F, d) or None, down (d, F)) of a block; gate=False spares reading it."""
    d, f = dims.hidden, block.width
    if block.expert is not None:
        index = np.array([block.expert])
        both = finite(model.rows(block.up, index)[0], block.up)
        return both[f:], both[:f], finite(model.rows(block.down, index)[0], block.down)
    if block.fused:
        both = _weight(model, family, block.up, 2 * f, d)
        return both[f:], both[:f], _weight(model, family, block.down, d, f)
    up = _weight(model, family, block.up, f, d)
    gates = _weight(model, family, block.gate, f, d) if gate and block.gate else None
    return up, gates, _weight(model, family, block.down, d, f)


def gain(
    model: Model, family: Family, dims: Dimensions, template: str | None, i: int
) -> np.ndarray:
    """What a norm multiplies by, float32 (d,); ones without a norm."""
    if template is None:
        return np.ones(dims.hidden, dtype=np.float32)
    return _gain(model, family, _name(template, i), dims.hidden)


def qk_gain(
    model: Model, family: Family, dims: Dimensions, template: str | None, heads: int, i: int
) -> np.ndarray | None:
    """What the norm on queries or keys multiplies by, float32 (H hd,); None without one."""
    if template is None:
        return None
    name = _name(template, i)
    if "{h}" in name:
        names = [name.replace("{h}", str(h)) for h in range(heads)]
        found = np.concatenate([_gain(model, family, n, dims.head_dim) for n in names])
    elif family.qk_norm == "head":
        found = np.tile(_gain(model, family, name, dims.head_dim), heads)
    else:
        found = _gain(model, family, name, heads * dims.head_dim)
    return per_head(found, dims) if heads == dims.kv_heads else found


def expect(model: Model, name: str, shape: tuple[int, ...]) -> None:
    """InputError unless a tensor has this shape."""
    found = model.shape(name)
    if tuple(found) != tuple(shape):
        raise InputError(f"{model.source}: {name} has shape {found}, its config implies {shape}")


def finite(values: np.ndarray, name: str) -> np.ndarray:
    """``values``; InputError when any is NaN or infinite."""
    # Finite as long as the sum is: max float32 times the largest tensor fits float64.
    if not math.isfinite(float(np.abs(values).sum(dtype=np.float64))):
        raise InputError(f"{name} holds NaN or infinite weights")
    return values


def _name(template: str, i: int, e: int = 0) -> str:
    return template.replace("{i}", str(i)).replace("{e}", str(e))  # no format: maps are untrusted


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _weight(model: Model, family: Family, name: str, rows: int, columns: int) -> np.ndarray:
    """A matrix (out, in) however it is stored, checked."""
    expect(model, name, _stored(family, rows, columns))
    values = finite(model.tensor(name), name)
    return values.T if family.transposed else values


def _stored(family: Family, rows: int, columns: int) -> tuple[int, int]:
    return (columns, rows) if family.transposed else (rows, columns)


def _gain(model: Model, family: Family, name: str, width: int) -> np.ndarray:
    expect(model, name, (width,))
    return finite(model.tensor(name), name) + np.float32(family.norm_offset)


def _width(model: Model, family: Family, down: str) -> int:
    """F from the shape of a block's down matrix."""
    shape = model.shape(down)
    if len(shape) != 2:
        raise InputError(f"{model.source}: {down} has shape {shape}, not that of a matrix")
    return shape[0] if family.transposed else shape[1]


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


def _experts(model: Model, family: Family) -> int:
    config = text_config(model.config)
    for key in family.experts_keys:
        value = config.get(key)
        if type(value) is int and 0 < value < 1 << 16:
            return value
    raise InputError(f"{model.source}: config does not say {' or '.join(family.experts_keys)}")


def _shared(model: Model, family: Family, i: int) -> list[Block]:
    if family.shared_up is None or family.shared_down is None:
        return []
    gate = None if family.shared_gate is None else _name(family.shared_gate, i)
    up, down = _name(family.shared_up, i), _name(family.shared_down, i)
    return [Block(up, gate, down, _width(model, family, down))]


def _joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
