"""Feed-forward blocks as a Family entry describes them: dense ones, experts, shared experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import ACTIVATIONS, Family, text_config
from huref_zk.models.model import Model
from huref_zk.models.reading import (
    Dimensions,
    bias_vector,
    expect,
    finite,
    named,
    stored_shape,
    weight,
)


@dataclass(frozen=True)
class Block:
    """One feed-forward block: the dense one, an expert, the shared expert. up is the name of a
    tensor that holds the gate too if ``fused``; expert: its place in tensors of three axes; number:
    its place among the experts of a router, None for a block that all tokens use; shared: it stands
    beside experts."""

    up: str
    gate: str | None
    down: str
    width: int
    fused: bool = False
    expert: int | None = None
    number: int | None = None
    shared: bool = False


def ffn_blocks(model: Model, family: Family, dims: Dimensions, i: int) -> list[Block]:
    """The feed-forward blocks of layer i, without reading them: all experts, or the dense one."""
    if family.experts_gate_up and model.has(named(family.experts_gate_up, i)):
        assert family.experts_down
        names = [named(t, i) for t in (family.experts_gate_up, family.experts_down)]
        upper, lower = (model.shape(n) for n in names)
        if len(lower) != 3 or upper != (lower[0], 2 * lower[2], lower[1]):
            raise InputError(
                f"{model.source}: {names[0]} has shape {upper}, {names[1]} has {lower}"
            )
        found = [
            Block(names[0], None, names[1], lower[2], fused=True, expert=e, number=e)
            for e in range(lower[0])
        ]
        return found + _shared(model, family, i)
    if family.expert_up and model.has(named(family.expert_up, i, 0)):
        assert family.expert_down
        found = []
        for e in range(_experts(model, family)):
            ups, downs = named(family.expert_up, i, e), named(family.expert_down, i, e)
            gates = named(family.expert_gate, i, e) if family.expert_gate else None
            found.append(Block(ups, gates, downs, _width(model, family, downs), number=e))
        return found + _shared(model, family, i)
    if family.down is None:  # a mixture that has no dense layers: name what is missing
        assert family.expert_up
        expect(model, named(family.expert_up, i, 0), (0, dims.hidden))
    assert family.down
    down = named(family.down, i)
    width = dims.ffn if family.ffn_keys else _width(model, family, down)
    up = family.gate_up or family.up
    assert up
    gate = None if family.gate is None else named(family.gate, i)
    block = Block(named(up, i), gate, down, width, family.gate_up is not None)
    rows = width * (2 if block.fused else 1)  # checked before anybody makes room for it
    expect(model, block.up, stored_shape(family, rows, dims.hidden))
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
        both = weight(model, family, block.up, 2 * f, d)
        return both[f:], both[:f], weight(model, family, block.down, d, f)
    up = weight(model, family, block.up, f, d)
    gates = weight(model, family, block.gate, f, d) if gate and block.gate else None
    return up, gates, weight(model, family, block.down, d, f)


def read_biases(
    model: Model, family: Family, block: Block
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Biases (F,) of up and gate, None where the model has none."""
    config = text_config(model.config)
    keys = [k for k in family.ffn_bias_keys if config.get(k) is not None]
    if block.expert is not None or not (config[keys[0]] if keys else family.ffn_bias):
        return None, None
    f = block.width
    if block.fused:
        both = bias_vector(model, block.up, 2 * f)
        return both[f:], both[:f]
    gate = bias_vector(model, block.gate, f) if block.gate else None
    return bias_vector(model, block.up, f), gate


def activation_name(model: Model, family: Family) -> str:
    """What the feed-forward blocks are bent by, one of families.ACTIVATIONS. InputError."""
    config = text_config(model.config)
    found = [config[k] for k in family.activation_keys if config.get(k) is not None]
    name = found[0] if found else family.activation
    if name not in ACTIVATIONS:
        raise InputError(
            f"{model.source}: the activation {str(name)[:40]!r} is not known; "
            f"known: {', '.join(ACTIVATIONS)}"
        )
    return str(name)


@dataclass(frozen=True)
class Router:
    """weight float32 (experts, d); top_k: how many a token gets; normalised: their weights are made
    to sum to one."""

    weight: np.ndarray
    top_k: int
    normalised: bool


def read_router(
    model: Model, family: Family, dims: Dimensions, blocks: list[Block], i: int
) -> Router | None:
    """The router of layer i, None for a dense one. Raises InputError."""
    experts = [b for b in blocks if b.number is not None]
    if not experts:
        return None
    template = family.router
    if experts[0].expert is not None and family.fused_router is not None:
        template = family.fused_router
    if template is None:
        raise InputError(f"{model.source}: its map names no router for layer {i}'s experts")
    name = named(template, i)
    expect(model, name, (len(experts), dims.hidden))
    config = {**family.defaults, **text_config(model.config)}
    top_k = next((config[k] for k in family.top_k_keys if config.get(k) is not None), None)
    if type(top_k) is not int or not 0 < top_k <= len(experts):
        raise InputError(
            f"{model.source}: config says {' or '.join(family.top_k_keys)} = {top_k!r}; "
            f"a layer has {len(experts)} experts"
        )
    told = [config[k] for k in family.norm_topk_keys if config.get(k) is not None]
    normalised = bool(told[0]) if told else family.norm_topk
    return Router(finite(model.tensor(name), name), top_k, normalised)


def read_shared_router(model: Model, family: Family, dims: Dimensions, i: int) -> np.ndarray | None:
    """What weighs the shared expert of layer i, float32 (d,); None where it counts in full."""
    if family.shared_router is None:
        return None
    name = named(family.shared_router, i)
    expect(model, name, (1, dims.hidden))
    return finite(model.tensor(name), name)[0]


def _width(model: Model, family: Family, down: str) -> int:
    """F from the shape of a block's down matrix."""
    shape = model.shape(down)
    if len(shape) != 2:
        raise InputError(f"{model.source}: {down} has shape {shape}, not that of a matrix")
    return shape[0] if family.transposed else shape[1]


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
    gate = None if family.shared_gate is None else named(family.shared_gate, i)
    up, down = named(family.shared_up, i), named(family.shared_down, i)
    return [Block(up, gate, down, _width(model, family, down), shared=True)]
