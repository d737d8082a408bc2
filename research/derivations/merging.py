"""Models made of several of one origin, without training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaForCausalLM

from research.derivations.train import clone


@torch.no_grad()
def average(
    first: LlamaForCausalLM, second: LlamaForCausalLM, share: float = 0.5
) -> LlamaForCausalLM:
    """(1 - share) first + share second, weight by weight (model soups, arXiv 2203.05482)."""
    merged = clone(first)
    for a, b in zip(merged.parameters(), second.parameters(), strict=True):
        a.lerp_(b, share)
    return merged


@torch.no_grad()
def task_arithmetic(
    base: LlamaForCausalLM, tuned: Sequence[LlamaForCausalLM], scale: float = 0.7
) -> LlamaForCausalLM:
    """base + scale * sum of (tuned - base): task vectors added (arXiv 2212.04089)."""
    merged = clone(base)
    others = zip(*(t.parameters() for t in tuned), strict=True)
    for m, b, tuned_weights in zip(merged.parameters(), base.parameters(), others, strict=True):
        for t in tuned_weights:
            m.add_(t - b, alpha=scale)
    return merged
