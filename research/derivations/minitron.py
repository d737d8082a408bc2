"""Minitron's width pruning (Muralidharan et al., arXiv 2407.14679), then distillation.

Importance is by activations on a small calibration set: of an FFN neuron the size of its output, of
a channel of the residual stream the size of what the norms give there, summed over layers; over the
tokens as a norm (l2), over samples as a mean. What matters least goes from the whole model, and the
pruned one learns the original's predictions.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from huref_zk.errors import InputError
from research.derivations.distil import divergence
from research.derivations.train import Progress, Setting, batches, optimise


@torch.no_grad()
def importance(model: LlamaForCausalLM, batch: Tensor) -> tuple[Tensor, list[Tensor]]:
    """(channels (d,), neurons of each layer (F,)) for int64 (B, T)."""
    channels: list[Tensor] = []
    neurons: list[Tensor] = []

    def mean_size(x: Tensor) -> Tensor:
        return x.norm(dim=1).mean(0)

    def after_norm(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        channels.append(mean_size(out))

    def before_down(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        neurons.append(mean_size(given[0]))

    hooks = []
    for layer in model.model.layers:
        hooks.append(layer.input_layernorm.register_forward_hook(after_norm))
        hooks.append(layer.post_attention_layernorm.register_forward_hook(after_norm))
        hooks.append(layer.mlp.down_proj.register_forward_pre_hook(before_down))
    try:
        model(input_ids=batch)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(channels).sum(0), neurons


@torch.no_grad()
def narrow(model: LlamaForCausalLM, batch: Tensor, width: int, neurons: int) -> LlamaForCausalLM:
    """``model`` with its ``width`` most important channels and ``neurons`` neurons a layer; heads
    stay as they are. InputError for more than there are, or none."""
    old: Any = model.config
    if not (0 < width <= old.hidden_size and 0 < neurons <= old.intermediate_size):
        raise InputError(
            f"{width} channels of {old.hidden_size} and {neurons} neurons of "
            f"{old.intermediate_size} cannot stay"
        )
    by_channel, by_neuron = importance(model, batch)
    channels = by_channel.topk(width).indices.sort().values
    config: Any = copy.deepcopy(old)
    config.hidden_size, config.intermediate_size = width, neurons
    config.head_dim = old.head_dim
    with torch.random.fork_rng():
        made = LlamaForCausalLM(config).float().eval()
    whole = dict(model.named_parameters())
    for name, weight in made.named_parameters():
        kept: Tensor = whole[name]
        part = name.split(".")[-2]
        if "mlp" in name:
            stay = by_neuron[int(name.split(".")[2])].topk(neurons).indices.sort().values
            kept = kept.index_select(1 if part == "down_proj" else 0, stay)
        writes = part in ("o_proj", "down_proj") or kept.dim() == 1
        weight.copy_(kept.index_select(0 if writes else 1, channels))
    return made


def minitron(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    *,
    width: int,
    neurons: int,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Prune to ``width`` channels and ``neurons`` neurons a layer, then learn ``model``'s
    predictions on ``ids``."""
    draw = batches(ids, setting)
    student = narrow(model, draw(), width, neurons)
    optimise(
        student.parameters(), lambda step: divergence(student, model, draw()), setting, progress
    )
    return student
