"""What every trained derivation shares: settings, the loop, and losses."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from huref_zk.errors import InputError
from research.derivations.corpus import windows

Progress = Callable[[int, int], None]
WARM_UP = 0.1  # of all steps, linearly; then a cosine down to nothing
CLIP = 1.0  # largest norm of a step's gradient


@dataclass(frozen=True)
class Setting:
    """How long and how hard to train.

    steps: optimiser steps; batch: sequences a step; context: tokens a sequence; rate: AdamW's peak
    learning rate; seed: of batches, fresh weights and sampling.
    """

    steps: int
    batch: int = 16
    context: int = 96
    rate: float = 1e-3
    seed: int = 0


def clone(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A copy that shares nothing with ``model``, in evaluation mode (no dropout)."""
    return copy.deepcopy(model).eval()


def optimise(
    parameters: Iterable[Tensor],
    loss_at: Callable[[int], Tensor],
    setting: Setting,
    progress: Progress | None = None,
    after: Callable[[], None] | None = None,
) -> list[float]:
    """AdamW with warm-up and cosine decay on ``loss_at(step)``; the losses, one a step.

    after: called when a step is made, to put back what must not move.
    """
    trained = [p for p in parameters if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=setting.rate, weight_decay=0.0)
    warm = max(1, round(WARM_UP * setting.steps))
    losses = []
    for step in range(setting.steps):
        decay = 0.5 * (1 + math.cos(math.pi * max(0, step - warm) / max(1, setting.steps - warm)))
        for group in optimiser.param_groups:
            group["lr"] = setting.rate * min(1.0, (step + 1) / warm) * decay
        loss = loss_at(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimiser.step()
        if after is not None:
            after()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step + 1, setting.steps)
    optimiser.zero_grad(set_to_none=True)  # not copied along with the model
    return losses


def batches(ids: np.ndarray, setting: Setting) -> Callable[[], Tensor]:
    """A source of random windows int64 (batch, context). InputError for too short a text."""
    if len(ids) <= setting.context:
        raise InputError(f"{len(ids)} tokens of text are fewer than one window")
    rng = np.random.default_rng(setting.seed)
    return lambda: torch.from_numpy(windows(ids, rng, setting.batch, setting.context))


def language_loss(model: LlamaForCausalLM, batch: Tensor) -> Tensor:
    """Mean next-token loss of int64 (B, T), in nats."""
    return model(input_ids=batch, labels=batch).loss


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, ids: np.ndarray, count: int, context: int) -> float:
    """Mean next-token loss in nats over ``count`` evenly spaced windows of a token array."""
    starts = np.linspace(0, len(ids) - context, count).astype(int)
    losses = []
    for part in np.array_split(starts, max(1, count // 8)):
        batch = torch.from_numpy(np.stack([ids[s : s + context] for s in part]).astype(np.int64))
        losses += [float(language_loss(model, batch))] * len(part)
    return float(np.mean(losses))


def log_likelihood(model: LlamaForCausalLM, prompt: Tensor, response: Tensor) -> Tensor:
    """log p(response | prompt) in nats, (B,), for int64 (B, P) and (B, R)."""
    length = response.shape[1]
    whole = torch.cat((prompt, response), dim=1)
    logits = model(input_ids=whole, logits_to_keep=length + 1).logits[:, :-1]
    chosen = logits.float().log_softmax(-1).gather(-1, response[..., None])
    return chosen.squeeze(-1).sum(1)
