"""Reinforcement learning with a programmatic reward: GRPO (Shao et al., arXiv 2402.03300).

For each prompt the model says several answers; an answer's advantage is its reward in standard
deviations from its group's mean, and a divergence from the reference is paid for. Each batch of
answers is learnt from once, so the ratio of new to old policy is one and is not clipped.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from research.derivations.corpus import windows
from research.derivations.preference import sample
from research.derivations.train import Progress, Setting, clone, optimise

Reward = Callable[[Tensor], Tensor]
GROUP = 8  # answers a prompt
BETA = 0.04  # what divergence from the reference costs, as the paper has it


def variety(answers: Tensor) -> Tensor:
    """The share of distinct tokens in each answer: (B,) for int64 (B, T). Its rule is a program's,
    as with tests that pass: no model judges."""
    ordered = answers.sort(dim=1).values
    distinct = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1)
    return distinct / answers.shape[1]


def token_likelihoods(model: LlamaForCausalLM, prompt: Tensor, answers: Tensor) -> Tensor:
    """log p of each token of the answers, (B, R), for int64 (B, P) and (B, R)."""
    whole = torch.cat((prompt, answers), dim=1)
    logits = model(input_ids=whole, logits_to_keep=answers.shape[1] + 1).logits[:, :-1]
    return logits.float().log_softmax(-1).gather(-1, answers[..., None]).squeeze(-1)


def advantages(rewards: Tensor, group: int) -> Tensor:
    """(B,): each reward in standard deviations from the mean of its run of ``group``."""
    parts = rewards.view(-1, group)
    spread = parts.std(1, keepdim=True, correction=0)
    return ((parts - parts.mean(1, keepdim=True)) / (spread + 1e-4)).flatten()


def grpo(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    reward: Reward = variety,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Train towards ``reward`` on prompts out of ``ids``: half of setting.context each, as long as
    the answers; setting.batch answers a step, in groups of GROUP."""
    tuned, rng = clone(model), np.random.default_rng(setting.seed)
    draw = torch.Generator().manual_seed(setting.seed)
    length, prompts = setting.context // 2, max(1, setting.batch // GROUP)

    def loss(step: int) -> Tensor:
        prompt = torch.from_numpy(windows(ids, rng, prompts, length)).repeat_interleave(GROUP, 0)
        answers = sample(tuned, prompt, length, draw)
        gain = advantages(reward(answers), GROUP)[:, None]
        ours = token_likelihoods(tuned, prompt, answers)
        with torch.no_grad():
            theirs = token_likelihoods(model, prompt, answers)
        ratio = (ours - ours.detach()).exp()
        away = (theirs - ours).exp() - (theirs - ours) - 1
        return (BETA * away - ratio * gain).mean()

    optimise(tuned.parameters(), loss, setting, progress)
    return tuned
