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
    matrix_shape,
    named,
    stored_shape,
    weight,
)


@dataclass(frozen=True)
class Block:
    """One feed-forward block: the dense one, an expert, the shared expert. up is the name of a
    tensor that holds the gate too if ``fused``; expert: its place in tensors of three axes; number:
    its place among the experts of a router, None for a block that all tokens use; shared: it stands
    beside experts. sub_norm: a norm before down."""

    up: str
    gate: str | None
    down: str
    width: int
    fused: bool = False
    expert: int | None = None
    number: int | None = None
    shared: bool = False
    sub_norm: str | None = None


def ffn_blocks(model: Model, family: Family, dims: Dimensions, i: int) -> list[Block]:
    """The feed-forward blocks of layer i, without reading them: all experts, or the dense one; none
    where a layer of a ``partial`` family has none."""
    several = family.experts_gate_up or family.experts_up
    if several and model.has(named(several, i)):
        assert family.experts_down
        names = [named(t, i) for t in (several, family.experts_down)]
        return _fused_experts(model, family, *names) + _shared(model, family, i)
    if family.expert_up and model.has(named(family.expert_up, i, 0)):
        assert family.expert_down
        found = []
        for e in range(_experts(model, family, i)):
            ups, downs = named(family.expert_up, i, e), named(family.expert_down, i, e)
            gates = named(family.expert_gate, i, e) if family.expert_gate else None
            found.append(Block(ups, gates, downs, _width(model, family, downs), number=e))
        return found + _shared(model, family, i)
    if family.partial and not (family.down and model.has(named(family.down, i))):
        return []
    if family.down is None:  # a mixture that has no dense layers: name what is missing
        wanted = family.expert_up or several
        assert wanted
        expect(model, named(wanted, i, 0), (0, dims.hidden))
    assert family.down
    down = named(family.down, i)
    width = dims.ffn if family.ffn_keys else _width(model, family, down)
    up = family.gate_up or family.up
    assert up
    gate = None if family.gate is None else named(family.gate, i)
    inside = None if family.ffn_sub_norm is None else named(family.ffn_sub_norm, i)
    fused = family.gate_up is not None
    block = Block(named(up, i), gate, down, width, fused, sub_norm=inside)
    rows = width * (2 if block.fused else 1)  # checked before anybody makes room for it
    expect(model, block.up, stored_shape(family, rows, dims.hidden))
    return [block]


def _fused_experts(model: Model, family: Family, up: str, down: str) -> list[Block]:
    """Experts in tensors of three axes, (experts, out, in) or (experts, in, out)."""
    upper, lower = model.shape(up), model.shape(down)
    both = 2 if family.experts_gate_up else 1
    if len(upper) == len(lower) == 3 and family.experts_transposed:
        width, fits = lower[1], upper == (lower[0], lower[2], both * lower[1])
    elif len(upper) == len(lower) == 3:
        width, fits = lower[2], upper == (lower[0], both * lower[2], lower[1])
    else:
        width, fits = 0, False
    if not fits:
        raise InputError(f"{model.source}: {up} has shape {upper}, {down} has {lower}")
    return [
        Block(up, None, down, width, fused=both == 2, expert=e, number=e) for e in range(lower[0])
    ]


def read_block(
    model: Model, family: Family, dims: Dimensions, block: Block, gate: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """(up (F, d), gate (F, d) or None, down (d, F)) of a block; gate=False spares reading it."""
    d, f = dims.hidden, block.width
    if block.expert is not None:
        index = np.array([block.expert])
        both = finite(model.rows(block.up, index)[0], block.up)
        down = finite(model.rows(block.down, index)[0], block.down)
        if family.experts_transposed:
            both, down = both.T, down.T
        expect_matrix(model, block.down, down, (d, f))
        if not block.fused:
            return both, None, down
        first, second = _two(family, both)
        return second, first, down
    if block.fused:
        both = weight(model, family, block.up, 2 * f, d)
        return both[f:], both[:f], weight(model, family, block.down, d, f)
    up = weight(model, family, block.up, f, d)
    gates = weight(model, family, block.gate, f, d) if gate and block.gate else None
    return up, gates, weight(model, family, block.down, d, f)


def expect_matrix(model: Model, name: str, found: np.ndarray, shape: tuple[int, int]) -> None:
    """InputError unless what was read has this shape."""
    if found.shape != shape:
        raise InputError(
            f"{model.source}: {name} holds matrices {found.shape}, its config implies {shape}"
        )


def _two(family: Family, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(gate, up) of an expert's rows."""
    if family.experts_interleaved:
        return both[::2], both[1::2]
    f = len(both) // 2
    return both[:f], both[f:]


def read_biases(
    model: Model, family: Family, block: Block
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Biases (F,) of up and gate, None where the model has none."""
    f = block.width
    if block.expert is not None:
        if not family.experts_bias:
            return None, None
        name = block.up + "_bias"
        rows = finite(model.rows(name, np.array([block.expert]))[0], name)
        if rows.shape != ((2 if block.fused else 1) * f,):
            raise InputError(f"{model.source}: {name} has shape {model.shape(name)}")
        if not block.fused:
            return rows, None
        gates, ups = _two(family, rows)
        return ups, gates
    config = text_config(model.config)
    keys = [k for k in family.ffn_bias_keys if config.get(k) is not None]
    if not (config[keys[0]] if keys else family.ffn_bias):
        return None, None
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


def _width(model: Model, family: Family, down: str) -> int:
    """F from the shape of a block's down matrix."""
    return matrix_shape(model, family, down)[1]


def _experts(model: Model, family: Family, i: int) -> int:
    config = text_config(model.config)
    for key in family.experts_keys:
        value = config.get(key)
        if isinstance(value, list) and i < len(value):
            value = value[i]
        if type(value) is int and 0 < value < 1 << 16:
            return value
    raise InputError(f"{model.source}: config does not say {' or '.join(family.experts_keys)}")


def _shared(model: Model, family: Family, i: int) -> list[Block]:
    first = family.shared_gate_up or family.shared_up
    if first is None or family.shared_down is None:
        return []
    up, down = named(first, i), named(family.shared_down, i)
    if not model.has(up) and not model.has(down):
        return []  # as many of these experts as the config says, and it may say none
    gate = None if family.shared_gate is None else named(family.shared_gate, i)
    width = _width(model, family, down)
    return [Block(up, gate, down, width, fused=family.shared_gate_up is not None, shared=True)]
