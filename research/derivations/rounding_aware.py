"""Quantisation-aware training: weights learn to be rounded.

The forward pass sees rounded weights, the gradient passes the rounding as if it were not there
(Jacob et al., arXiv 1712.05877), and the loss is the distance from the original's predictions, as
in LLM-QAT (Liu et al., arXiv 2305.17888).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import LlamaForCausalLM

from research.derivations.distil import divergence
from research.derivations.rounding import round_groups
from research.derivations.sparse import linear_layers
from research.derivations.train import Progress, Setting, batches, clone, optimise


class Rounded(nn.Module):
    """Rounds in the forward pass, lets gradients through unchanged."""

    def __init__(self, bits: int, group: int):
        super().__init__()
        self.bits, self.group = bits, group

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (round_groups(weight, self.bits, self.group) - weight).detach()


def train_rounded(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    bits: int,
    group: int,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Every matrix of every layer of ``bits``, trained so; embeddings and output matrix train
    unrounded. InputError as of ``round_groups``."""
    student = clone(model)
    layers = linear_layers(student)
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", Rounded(bits, group))
    draw = batches(ids, setting)
    optimise(
        student.parameters(), lambda step: divergence(student, model, draw()), setting, progress
    )
    for layer in layers.values():
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    with torch.no_grad():
        for layer in layers.values():  # the sum weight + (rounded - weight) is not exact
            layer.weight.copy_(round_groups(layer.weight, bits, group))
    return clone(student).requires_grad_(True)
