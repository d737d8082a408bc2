"""Distillation: a student of fresh weights learns a teacher's predictions, not its weights."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from research.derivations.train import Progress, Setting, batches, optimise

TEMPERATURE = 2.0


def fresh(model: LlamaForCausalLM, seed: int) -> LlamaForCausalLM:
    """An untrained model of the same architecture."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(copy.deepcopy(model.config)).float().eval()


def divergence(
    student: LlamaForCausalLM, teacher: LlamaForCausalLM, batch: Tensor, temperature: float = 1.0
) -> Tensor:
    """Mean KL(teacher || student) in nats over the tokens of int64 (B, T)."""
    with torch.no_grad():
        wanted = (teacher(input_ids=batch).logits / temperature).log_softmax(-1)
    given = (student(input_ids=batch).logits / temperature).log_softmax(-1)
    return F.kl_div(
        given.flatten(0, 1), wanted.flatten(0, 1), log_target=True, reduction="batchmean"
    )


def distil(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """A student of ``model`` (Hinton et al., arXiv 1503.02531): fresh weights from setting.seed."""
    student = fresh(model, setting.seed)
    draw = batches(ids, setting)

    def loss(step: int) -> Tensor:
        return TEMPERATURE**2 * divergence(student, model, draw(), TEMPERATURE)

    optimise(student.parameters(), loss, setting, progress)
    return student
