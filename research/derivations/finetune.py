"""Fine-tuning of all weights: on instructions with answers, and on more text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from research.derivations.corpus import Pair
from research.derivations.train import (
    Progress,
    Setting,
    batches,
    clone,
    language_loss,
    optimise,
)

IGNORED = -100  # torch's label for a position without a loss


def masked(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """(token ids, labels), int64 (B, longest): padded on the right; labels only on responses.

    Nothing attends to what comes after it, so the padding needs no attention mask.
    """
    longest = max(len(p.prompt) + len(p.response) for p in pairs)
    ids = torch.zeros(len(pairs), longest, dtype=torch.int64)
    labels = torch.full_like(ids, IGNORED)
    for row, pair in enumerate(pairs):
        start, stop = len(pair.prompt), len(pair.prompt) + len(pair.response)
        ids[row, :start] = torch.from_numpy(pair.prompt)
        ids[row, start:stop] = labels[row, start:stop] = torch.from_numpy(pair.response)
    return ids, labels


def sft(
    model: LlamaForCausalLM,
    pairs: Sequence[Pair],
    setting: Setting,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Supervised fine-tuning (InstructGPT, arXiv 2203.02155): loss on the responses only."""
    tuned = clone(model)
    rng = np.random.default_rng(setting.seed)

    def loss(step: int) -> Tensor:
        ids, labels = masked([pairs[i] for i in rng.integers(0, len(pairs), setting.batch)])
        return tuned(input_ids=ids, labels=labels).loss

    optimise(tuned.parameters(), loss, setting, progress)
    return tuned


def continued(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Continued pretraining (Gururangan et al., arXiv 2004.10964): next-token loss on ``ids``."""
    tuned = clone(model)
    draw = batches(ids, setting)
    optimise(tuned.parameters(), lambda step: language_loss(tuned, draw()), setting, progress)
    return tuned
