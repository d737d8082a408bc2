"""A tiny LLaMA of transformers' own making, and what the loading tests ask of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from huref_zk.errors import InputError
from huref_zk.invariants.recipes import Cores, compute_cores
from huref_zk.models.load import open_model

VOCAB, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, LAYERS = 128, 64, 4, 2, 16, 96, 4


def build(seed: int = 0, **changes) -> LlamaForCausalLM:
    """A random model with grouped heads and norm gains that are not one."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        **{
            "vocab_size": VOCAB,
            "hidden_size": HIDDEN,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "intermediate_size": FFN,
            "num_hidden_layers": LAYERS,
            "max_position_embeddings": 64,
            "initializer_range": 0.1,
            **changes,
        }
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


def cores(ref: str | Path, recipe: str = "whole", **options) -> Cores:
    """The cores of the model at ``ref``, with its 64 rarest tokens."""
    model = open_model(str(ref), **options)
    return compute_cores(model, recipe=recipe, tokens=64, token_choice="rare")


def same(one: Cores, other: Cores) -> bool:
    """Whether two models' cores hold the same numbers."""
    matrices = ((one.X, *one.sets), (other.X, *other.sets))
    return one.layer_ids == other.layer_ids and all(
        np.array_equal(x, y) for x, y in zip(*matrices, strict=True)
    )


def refused(message: str, ref: str | Path, **options) -> None:
    """Opening ``ref`` and computing its cores ends in one InputError of one line that says
    ``message`` (a regular expression)."""
    with pytest.raises(InputError, match=message) as caught:
        cores(ref, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def edit_json(path: Path, **changes) -> None:
    """Set keys of a JSON object; a value of ``...`` drops the key."""
    data = json.loads(path.read_text())
    for key, value in changes.items():
        if value is ...:
            del data[key]
        else:
            data[key] = value
    path.write_text(json.dumps(data))
