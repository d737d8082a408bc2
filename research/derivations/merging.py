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


@torch.no_grad()
def ties(
    base: LlamaForCausalLM,
    tuned: Sequence[LlamaForCausalLM],
    density: float = 0.2,
    scale: float = 1.0,
) -> LlamaForCausalLM:
    """TIES (Yadav et al., arXiv 2306.01708): of each model's change the largest share ``density``
    stays, each weight's sign is elected by the sum, and the mean of those that agree is added."""
    merged = clone(base)
    others = zip(*(t.parameters() for t in tuned), strict=True)
    for m, b, tuned_weights in zip(merged.parameters(), base.parameters(), others, strict=True):
        changes = torch.stack([_largest(t - b, density) for t in tuned_weights])
        m.add_(_elected(changes), alpha=scale)
    return merged


@torch.no_grad()
def dare(
    base: LlamaForCausalLM,
    tuned: Sequence[LlamaForCausalLM],
    drop: float = 0.5,
    scale: float = 1.0,
    seed: int = 0,
) -> LlamaForCausalLM:
    """DARE (Yu et al., arXiv 2311.03099) with TIES: each entry of a change is dropped with
    probability ``drop``, what stays is divided by 1 - drop, and signs are elected as in TIES."""
    merged = clone(base)
    draw = torch.Generator().manual_seed(seed)
    others = zip(*(t.parameters() for t in tuned), strict=True)
    for m, b, tuned_weights in zip(merged.parameters(), base.parameters(), others, strict=True):
        kept = [torch.rand(b.shape, generator=draw) >= drop for _ in tuned_weights]
        changes = [(t - b) * k / (1 - drop) for t, k in zip(tuned_weights, kept, strict=True)]
        m.add_(_elected(torch.stack(changes)), alpha=scale)
    return merged


def _largest(change: torch.Tensor, density: float) -> torch.Tensor:
    """``change`` with all but its largest share ``density`` of entries zero."""
    count = max(1, round(density * change.numel()))
    kept = torch.zeros(change.numel())
    where = change.abs().flatten().topk(count).indices
    kept[where] = change.flatten()[where]
    return kept.view_as(change)


def _elected(changes: torch.Tensor) -> torch.Tensor:
    """The mean of those of (n, ...) that are not zero and have the sign of their sum."""
    agree = (changes * changes.sum(0).sign()) > 0
    return (changes * agree).sum(0) / agree.sum(0).clamp(min=1)


@torch.no_grad()
def franken(first: LlamaForCausalLM, second: LlamaForCausalLM, cut: int) -> LlamaForCausalLM:
    """The first ``cut`` layers and the embeddings of ``first``, all else of ``second``."""
    merged = clone(second)
    taken = dict(first.named_parameters())
    for name, weight in merged.named_parameters():
        parts = name.split(".")
        if "embed_tokens" in name or (parts[1] == "layers" and int(parts[2]) < cut):
            weight.copy_(taken[name])
    return merged
