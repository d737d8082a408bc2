"""A tiny LLaMA, trained for a moment so that its losses and probes mean something."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from research.derivations.corpus import Pair
from research.derivations.finetune import continued
from research.derivations.train import Setting
from tests.support.toy_llama import VOCAB, chain, tiny


@pytest.fixture(scope="session")
def text() -> np.ndarray:
    return chain(0)


@pytest.fixture(scope="session")
def other_text() -> np.ndarray:
    """Text of another kind: it counts by threes."""
    rng = np.random.default_rng(9)
    steps = np.where(rng.random(4000) < 0.8, 3, rng.integers(0, VOCAB - 2, 4000))
    return (2 + np.cumsum(steps) % (VOCAB - 2)).astype(np.int32)


@pytest.fixture(scope="session")
def setting() -> Setting:
    return Setting(steps=12, batch=8, context=24, rate=3e-3, seed=3)


@pytest.fixture(scope="session")
def make(text):
    """make(layers): a model trained on ``text`` for a moment; one for each depth."""
    made: dict[int, LlamaForCausalLM] = {}

    def of(layers: int = 2) -> LlamaForCausalLM:
        if layers not in made:
            how = Setting(steps=40, batch=8, context=24, rate=1e-2, seed=1)
            made[layers] = continued(tiny(layers), text, how)
        return made[layers]

    return of


@pytest.fixture
def model(make):
    """The two-layer model, and a check that whoever used it left it as it was."""
    model = make(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    yield model
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} of the given model was changed"
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.fixture(scope="session")
def pairs() -> tuple[Pair, ...]:
    rng = np.random.default_rng(5)
    made = []
    for seed in range(40):
        p, r = rng.integers(3, 9, 2)
        made.append(
            Pair(chain(seed, p, 2, 20).astype(np.int64), chain(seed, r, 20, VOCAB).astype(np.int64))
        )
    return tuple(made)
