"""Low-rank adapters (Hu et al., arXiv 2106.09685), trained and merged into the weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from research.derivations.train import (
    Progress,
    Setting,
    batches,
    clone,
    language_loss,
    optimise,
)

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj")
SCALE = 2.0  # alpha / r


class Adapted(nn.Module):
    """A frozen linear layer and a trained low-rank one beside it: W x + SCALE B A x.

    A: (rank, in), small random; B: (out, rank), zero, so that training starts from the base.
    """

    def __init__(self, frozen: nn.Linear, rank: int, draw: torch.Generator):
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        rows, columns = frozen.weight.shape
        self.a = nn.Parameter(torch.randn(rank, columns, generator=draw) / columns**0.5)
        self.b = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + SCALE * (x @ self.a.T) @ self.b.T

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One linear layer that does the same; the frozen one is changed."""
        self.frozen.weight += SCALE * self.b @ self.a
        return self.frozen.requires_grad_(True)


def attach(model: LlamaForCausalLM, rank: int, seed: int) -> LlamaForCausalLM:
    """A copy with adapters on TARGETS in every layer; all other weights are frozen."""
    adapted = clone(model).requires_grad_(False)
    draw = torch.Generator().manual_seed(seed)
    for layer in adapted.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name in TARGETS:
                if hasattr(part, name):
                    setattr(part, name, Adapted(getattr(part, name), rank, draw))
    return adapted


def merge(adapted: LlamaForCausalLM) -> LlamaForCausalLM:
    """A copy of a model with adapters that has them added to its weights instead."""
    merged = clone(adapted)
    for layer in merged.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name in TARGETS:
                if hasattr(part, name):
                    setattr(part, name, getattr(part, name).merged())
    return merged.requires_grad_(True)


def train_adapters(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    rank: int = 8,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """``attach``, then next-token training of the adapters alone."""
    adapted = attach(model, rank, setting.seed)
    draw = batches(ids, setting)
    optimise(adapted.parameters(), lambda step: language_loss(adapted, draw()), setting, progress)
    return adapted


def lora(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    rank: int = 8,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Train adapters of the given rank on ``ids`` and merge them."""
    return merge(train_adapters(model, ids, setting, rank, progress))
