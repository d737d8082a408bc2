"""GBLM-Pruner (Das et al., arXiv 2311.04902): by weights, inputs and gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from huref_zk.errors import InputError
from research.derivations.corpus import windows
from research.derivations.train import Progress, clone, language_loss

ALPHA = 100.0  # weight of the gradients beside the inputs, as the paper has it


def linear_layers(model: LlamaForCausalLM) -> dict[str, nn.Linear]:
    """The matrices of all decoder layers by name; neither embeddings nor the output matrix."""
    found = model.model.layers.named_modules()
    return {name: module for name, module in found if isinstance(module, nn.Linear)}


def importance(
    model: LlamaForCausalLM,
    samples: Tensor,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """|W_ij| (ALPHA |G_ij| + |X_j|), like each weight: norms (l2) over samples and tokens.

    samples: int64 (n, T); each gives one gradient. The model is not changed.
    """
    layers = linear_layers(model)
    inputs = {name: torch.zeros(layer.in_features) for name, layer in layers.items()}
    gradients = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}

    def watch(name: str):
        def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            inputs[name] += given[0].detach().flatten(0, -2).square().sum(0)

        return hook

    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    weights = [layer.weight for layer in layers.values()]
    try:
        for done, sample in enumerate(samples):
            found = torch.autograd.grad(language_loss(model, sample[None]), weights)
            for name, gradient in zip(layers, found, strict=True):
                gradients[name] += gradient.square()
            if progress is not None:
                progress(done + 1, len(samples))
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: layer.weight.detach().abs() * (ALPHA * gradients[name].sqrt() + inputs[name].sqrt())
        for name, layer in layers.items()
    }


def gblm_prune(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    sparsity: float,
    samples: int,
    context: int,
    seed: int,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Zero the least important share ``sparsity`` of each output's weights, in every layer.

    Calibrated on ``samples`` windows of ``ids``. InputError unless 0 < sparsity < 1.
    """
    if not 0 < sparsity < 1:
        raise InputError(f"sparsity must lie between 0 and 1, not at {sparsity}")
    pruned = clone(model)
    rng = np.random.default_rng(seed)
    scores = importance(pruned, torch.from_numpy(windows(ids, rng, samples, context)), progress)
    with torch.no_grad():
        for name, layer in linear_layers(pruned).items():
            score = scores[name]
            count = int(sparsity * score.shape[1])
            least = score.topk(count, dim=1, largest=False).indices
            layer.weight.scatter_(1, least, 0.0)
    return pruned
