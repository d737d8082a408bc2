"""LLM-Pruner (Ma et al., arXiv 2305.11627): whole heads and FFN channels go, then a short recovery.

Coupled weights live and die together: an FFN channel is a row of gate and up and a column of down;
a group of heads is a key-value head with the query heads it serves, rows of q, k, v and columns of
o. Importance is the first-order Taylor term |w dL/dw|, summed over a group (the paper's "element",
first order). The paper recovers with LoRA; here all weights are trained for a few steps.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from huref_zk.errors import InputError
from research.derivations.train import (
    Progress,
    Setting,
    batches,
    clone,
    language_loss,
    optimise,
)

CALIBRATION = 2  # batches that importance is measured on


@dataclass(frozen=True)
class Kept:
    """What stays of a layer: sorted indices of FFN channels and of groups of heads."""

    channels: Tensor
    groups: Tensor


def taylor(model: LlamaForCausalLM, ids: np.ndarray, setting: Setting) -> dict[str, Tensor]:
    """|w dL/dw| of every parameter, by name, on CALIBRATION batches. The model is not changed."""
    draw = batches(ids, setting)
    names, weights = zip(*model.named_parameters(), strict=True)
    loss = torch.stack([language_loss(model, draw()) for _ in range(CALIBRATION)]).mean()
    gradients = torch.autograd.grad(loss, weights)
    return {n: (w * g).detach().abs() for n, w, g in zip(names, weights, gradients, strict=True)}


def least_important(
    model: LlamaForCausalLM, scores: dict[str, Tensor], layer: int, groups: int, channels: int
) -> Kept:
    """What is left of a layer without its least important ``groups`` and ``channels``."""
    config: Any = model.config  # whose sizes are declared optional
    prefix = f"model.layers.{layer}."

    def score(name: str) -> Tensor:
        return scores[f"{prefix}{name}.weight"]

    channel = score("mlp.gate_proj").sum(1) + score("mlp.up_proj").sum(1)
    channel = channel + score("mlp.down_proj").sum(0)
    count = config.num_key_value_heads
    rows = [score(f"self_attn.{n}_proj").sum(1) for n in "qkv"] + [score("self_attn.o_proj").sum(0)]
    group = torch.stack([r.view(count, -1).sum(1) for r in rows]).sum(0)
    return Kept(
        channel.topk(len(channel) - channels).indices.sort().values,
        group.topk(count - groups).indices.sort().values,
    )


def _rows(groups: Tensor, size: int) -> Tensor:
    """Row numbers of whole groups of ``size`` rows each."""
    return (groups[:, None] * size + torch.arange(size)).flatten()


def _selections(model: LlamaForCausalLM, layer: int, kept: Kept) -> dict[str, tuple[int, Tensor]]:
    """Name of a weight -> (dimension, indices that stay)."""
    config: Any = model.config  # whose sizes are declared optional
    size = config.head_dim
    query = _rows(kept.groups, size * config.num_attention_heads // config.num_key_value_heads)
    key = _rows(kept.groups, size)
    parts = {
        "mlp.gate_proj": (0, kept.channels),
        "mlp.up_proj": (0, kept.channels),
        "mlp.down_proj": (1, kept.channels),
        "self_attn.q_proj": (0, query),
        "self_attn.k_proj": (0, key),
        "self_attn.v_proj": (0, key),
        "self_attn.o_proj": (1, query),
    }
    return {f"model.layers.{layer}.{name}.weight": part for name, part in parts.items()}


def _narrowed(model: LlamaForCausalLM, kept: Sequence[Kept]) -> LlamaForCausalLM:
    """A model of smaller widths that holds what stays; every layer keeps as much."""
    config: Any = copy.deepcopy(model.config)
    ratio = config.num_attention_heads // config.num_key_value_heads
    config.intermediate_size = len(kept[0].channels)
    config.num_key_value_heads = len(kept[0].groups)
    config.num_attention_heads = ratio * len(kept[0].groups)
    config.head_dim = model.config.head_dim
    select: dict[str, tuple[int, Tensor]] = {}
    for layer, part in enumerate(kept):
        select |= _selections(model, layer, part)
    with torch.no_grad(), torch.random.fork_rng():
        narrow = LlamaForCausalLM(config).eval()
        whole = dict(model.named_parameters())
        for name, weight in narrow.named_parameters():
            stays: Tensor = whole[name]
            if name in select:
                stays = stays.index_select(*select[name])
            weight.copy_(stays)
    return narrow


def llm_prune(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    *,
    groups: int,
    channels: int,
    layers: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Remove ``groups`` of heads and FFN ``channels`` from each layer, then train for a while.

    layers None: from all layers, whose matrices become smaller. A config knows one width only, so
    when some ``layers`` are named, what goes is zero in these, and stays zero in the recovery.
    InputError when nothing would be left.
    """
    config: Any = model.config  # whose sizes are declared optional
    if not (0 <= groups < config.num_key_value_heads and 0 <= channels < config.intermediate_size):
        raise InputError(
            f"{groups} groups of {config.num_key_value_heads} and {channels} channels of "
            f"{config.intermediate_size} cannot go"
        )
    scores = taylor(model, ids, setting)
    chosen = range(config.num_hidden_layers) if layers is None else layers
    kept = [least_important(model, scores, i, groups, channels) for i in chosen]
    gone: dict[str, tuple[int, Tensor]] = {}
    if layers is None:
        pruned = _narrowed(model, kept)
    else:
        pruned = clone(model)
        for i, part in zip(chosen, kept, strict=True):
            for name, (dim, stays) in _selections(model, i, part).items():
                everything = torch.ones(pruned.get_parameter(name).shape[dim], dtype=torch.bool)
                everything[stays] = False
                gone[name] = (dim, everything.nonzero().flatten())

    @torch.no_grad()
    def clear() -> None:
        for name, (dim, indices) in gone.items():
            pruned.get_parameter(name).index_fill_(dim, indices, 0.0)

    clear()
    draw = batches(ids, setting)
    optimise(
        pruned.parameters(), lambda step: language_loss(pruned, draw()), setting, progress, clear
    )
    return pruned
