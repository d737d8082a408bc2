"""One layer's weights in one form for every architecture: what canonical form and PCS read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.canonical import Dimensions, expect, finite
from huref_zk.families import Family
from huref_zk.load.model import Model


@dataclass(frozen=True)
class Layer:
    """float32, as nn.Linear stores weights, (out, in); heads expanded: keys and values of a group
    are repeated for each of its heads.

    q, k, v: (heads * head_dim, d); o: (d, heads * head_dim); up, gate: (F, d), gate None where the
    FFN has none; down: (d, F). Gains (d,): of the norms before, and of norms after a block.
    """

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


def read_layer(model: Model, family: Family, dims: Dimensions, i: int) -> Layer:
    """The weights of layer i. InputError for missing, misshapen or non-finite tensors."""
    d, width, kv_width = dims.hidden, dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim

    def weight(template: str, shape: tuple[int, ...]) -> np.ndarray:
        name = template.format(i=i)
        expect(model, name, shape)
        return finite(model.tensor(name), name)

    def per_head(w: np.ndarray) -> np.ndarray:  # (kv_heads * head_dim, d) -> (heads * head_dim, d)
        grouped = w.reshape(dims.kv_heads, dims.head_dim, d)
        return np.repeat(grouped, dims.heads // dims.kv_heads, axis=0).reshape(width, d)

    offset = np.float32(family.norm_offset)
    return Layer(
        q=weight(family.q, (width, d)),
        k=per_head(weight(family.k, (kv_width, d))),
        v=per_head(weight(family.v, (kv_width, d))),
        o=weight(family.o, (d, width)),
        up=weight(family.up, (dims.ffn, d)),
        gate=None if family.gate is None else weight(family.gate, (dims.ffn, d)),
        down=weight(family.down, (d, dims.ffn)),
        attention_gain=weight(family.attention_norm, (d,)) + offset,
        ffn_gain=weight(family.ffn_norm, (d,)) + offset,
        attention_out_gain=np.ones(d, dtype=np.float32),
        ffn_out_gain=np.ones(d, dtype=np.float32),
    )
