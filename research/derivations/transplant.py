"""Another tokenizer for a trained model: fast vocabulary transfer, then healing.

Gee et al., arXiv 2402.09977: a token that the old tokenizer has, too, keeps its row; a new one's is
the mean of the rows of the pieces into which the old tokenizer cuts its text. Then the model heals:
first the embeddings alone, then all of it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from research.derivations.train import (
    Progress,
    Setting,
    batches,
    clone,
    language_loss,
    optimise,
)

EMBEDDINGS_FIRST = 0.3  # share of the steps


@dataclass(frozen=True)
class Transplanted:
    """A model with another tokenizer than its base's."""

    model: LlamaForCausalLM
    tokenizer: Tokenizer


def pieces(old: Tokenizer, new: Tokenizer) -> list[list[int]]:
    """For each id of ``new``, the ids in ``old`` that it is made of (one if it has the text)."""
    known = old.get_vocab()
    found = []
    for i in range(new.get_vocab_size()):
        token = new.id_to_token(i)
        if token in known:
            found.append([known[token]])
        else:
            found.append(old.encode(new.decode([i], skip_special_tokens=False)).ids or [0])
    return found


@torch.no_grad()
def transplanted(model: LlamaForCausalLM, rows: list[list[int]]) -> LlamaForCausalLM:
    """``model`` whose row i of embeddings and output matrix is the mean of its rows ``rows[i]``."""
    config: Any = copy.deepcopy(model.config)
    config.vocab_size = len(rows)
    with torch.random.fork_rng():
        made = LlamaForCausalLM(config).float().eval()
    whole = dict(model.named_parameters())
    for name, weight in made.named_parameters():
        old = whole[name]
        if weight.shape == old.shape and len(weight) != len(rows):
            weight.copy_(old)
        elif name.split(".")[-2] in ("embed_tokens", "lm_head"):
            weight.copy_(torch.stack([old[row].mean(0) for row in rows]))
        else:
            weight.copy_(old)
    return made


def transplant(
    model: LlamaForCausalLM,
    old: Tokenizer,
    new: Tokenizer,
    ids: np.ndarray,
    setting: Setting,
    progress: Progress | None = None,
) -> Transplanted:
    """``model`` under the tokenizer ``new``, healed on ``ids``, tokens of ``new``."""
    made = clone(transplanted(model, pieces(old, new)))
    first = round(EMBEDDINGS_FIRST * setting.steps)
    draw = batches(ids, setting)

    def loss(step: int) -> torch.Tensor:
        return language_loss(made, draw())

    outer = {id(made.get_input_embeddings().weight), id(made.get_output_embeddings().weight)}
    made.requires_grad_(False)
    for p in made.parameters():
        p.requires_grad_(id(p) in outer)
    optimise(made.parameters(), loss, replace(setting, steps=first))
    made.requires_grad_(True)
    optimise(made.parameters(), loss, replace(setting, steps=setting.steps - first), progress)
    return Transplanted(made, new)
