"""Preference tuning: DPO on given pairs, and SPIN, whose rejected answers are the model's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from research.derivations.corpus import windows
from research.derivations.train import Progress, Setting, clone, log_likelihood, optimise


@dataclass(frozen=True)
class Preferences:
    """Prompts int64 (n, P) with a chosen and a rejected continuation each, int64 (n, R)."""

    prompt: Tensor
    chosen: Tensor
    rejected: Tensor

    def __len__(self) -> int:
        return len(self.prompt)

    def take(self, rows: np.ndarray) -> Preferences:
        where = torch.from_numpy(rows)
        return Preferences(self.prompt[where], self.chosen[where], self.rejected[where])


def preferences(ids: np.ndarray, count: int, context: int, seed: int) -> Preferences:
    """``count`` windows of text, halved: the true second half is chosen, another's is rejected."""
    rng = np.random.default_rng(seed)
    whole = torch.from_numpy(windows(ids, rng, count, context))
    prompt, chosen = whole[:, : context // 2], whole[:, context // 2 :]
    return Preferences(prompt, chosen, chosen.roll(1, 0))


def margins(model: LlamaForCausalLM, reference: LlamaForCausalLM, pairs: Preferences) -> Tensor:
    """How much more than ``reference`` the model prefers the chosen answers, in nats, (n,):
    log p/p_ref of the chosen minus that of the rejected (DPO, eq. 7; SPIN, eq. 4.7)."""
    ours = log_likelihood(model, pairs.prompt, pairs.chosen)
    ours = ours - log_likelihood(model, pairs.prompt, pairs.rejected)
    with torch.no_grad():
        theirs = log_likelihood(reference, pairs.prompt, pairs.chosen)
        theirs = theirs - log_likelihood(reference, pairs.prompt, pairs.rejected)
    return ours - theirs


def dpo(
    model: LlamaForCausalLM,
    pairs: Preferences,
    setting: Setting,
    beta: float = 0.1,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Direct preference optimisation (Rafailov et al., arXiv 2305.18290, eq. 7).

    The reference is ``model``, which stays as it is. setting.context is not used.
    """
    tuned = clone(model)
    rng = np.random.default_rng(setting.seed)

    def loss(step: int) -> Tensor:
        batch = pairs.take(rng.integers(0, len(pairs), setting.batch))
        return -F.logsigmoid(beta * margins(tuned, model, batch)).mean()

    optimise(tuned.parameters(), loss, setting, progress)
    return tuned


@torch.no_grad()
def sample(model: LlamaForCausalLM, prompt: Tensor, length: int, draw: torch.Generator) -> Tensor:
    """Continuations drawn from the model at temperature 1: int64 (B, length) for (B, P)."""
    cache, given, drawn = None, prompt, []
    for _ in range(length):
        out = model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        given = torch.multinomial(out.logits[:, -1].float().softmax(-1), 1, generator=draw)
        drawn.append(given)
    return torch.cat(drawn, dim=1)


def self_play(
    opponent: LlamaForCausalLM, real: Preferences, draw: torch.Generator, batch: int = 32
) -> Preferences:
    """The same prompts and chosen answers; rejected is what ``opponent`` says instead."""
    length = real.chosen.shape[1]
    answers = [sample(opponent, part, length, draw) for part in real.prompt.split(batch)]
    return Preferences(real.prompt, real.chosen, torch.cat(answers))


def spin(
    model: LlamaForCausalLM,
    real: Preferences,
    setting: Setting,
    beta: float = 0.1,
    rounds: int = 2,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Self-play fine-tuning (Chen et al., arXiv 2401.01335, algorithm 1).

    Each round plays against the model of the round before, which also is the reference. The steps
    are shared out among the rounds; ``real.rejected`` is not used.
    """
    draw = torch.Generator().manual_seed(setting.seed)
    current = model
    for turn in range(rounds):
        steps = setting.steps * (turn + 1) // rounds - setting.steps * turn // rounds
        before = setting.steps * turn // rounds

        def tell(done: int, total: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, setting.steps)

        pairs = self_play(current, real, draw)
        part = replace(setting, steps=steps, seed=setting.seed + turn)
        current = dpo(current, pairs, part, beta, tell)
    return current
