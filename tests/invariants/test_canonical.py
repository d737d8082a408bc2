"""The canonical form of layers: blind to rewrites that keep the function.

Every rewrite is checked twice: transformers' logits stay, and so do the maps; each has a twin that
is nearly the same rewrite, breaks the function, and moves the maps.
"""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.invariants.sketch import ics
from huref_zk.models.families import family_of
from tests.support.random_llm import (
    LAYERS,
    VOCAB,
    MemoryModel,
    distance,
    form,
    llama,
    llama_config,
    llama_tensors,
    maps,
)
from tests.support.rewrites import REWRITES, WRITERS, layers

# --- rewrites that keep the function ----------------------------------------------------------


def logits(tensors) -> np.ndarray:
    """What transformers computes on some tokens, in double precision."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **{k: v for k, v in llama_config().items() if k != "model_type"},
        max_position_embeddings=32,
        rms_norm_eps=1e-12,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).double().eval()
    model.load_state_dict({n: torch.from_numpy(np.array(w)) for n, w in tensors.items()})
    with torch.no_grad():
        return model(torch.arange(12).reshape(1, -1) * 7 % VOCAB).logits.numpy()


def rewritten(name: str, broken: bool = False) -> dict[str, np.ndarray]:
    tensors = {n: w.copy() for n, w in llama_tensors().items()}
    REWRITES[name](tensors, np.random.default_rng(5), broken)
    return tensors


@pytest.mark.parametrize("name", REWRITES)
def test_a_rewrite_that_keeps_the_function_keeps_the_maps(name):
    before, after = llama_tensors(), rewritten(name)
    moved = [n for n in before if not np.allclose(before[n], after[n])]
    assert len(moved) >= LAYERS  # it does change the weights
    plain = logits(before)
    assert np.abs(logits(after) - plain).max() < 1e-6 * np.abs(plain).max()
    config = llama_config()
    found = maps(form(MemoryModel(config, after)))
    assert (distance(found, maps(form(MemoryModel(config, before)))) < 1e-5).all()


@pytest.mark.parametrize("name", REWRITES)
def test_a_rewrite_that_breaks_the_function_moves_the_maps(name):
    """Control of the test above."""
    before, after = llama_tensors(), rewritten(name, broken=True)
    plain = logits(before)
    assert np.abs(logits(after) - plain).max() > 1e-2 * np.abs(plain).max()
    config = llama_config()
    found = maps(form(MemoryModel(config, after)))
    assert distance(found, maps(form(MemoryModel(config, before)))).max() > 0.1


def test_a_global_scale_leaves_the_likeness():
    """The residual stream scaled: the norms undo it; maps grow, their directions stay."""
    before, after = llama_tensors(), {n: w.copy() for n, w in llama_tensors().items()}
    after["model.embed_tokens.weight"] *= 3
    for p in layers(after):
        for name in WRITERS:
            after[p[name]] *= 3
    assert np.abs(logits(after) - logits(before)).max() < 1e-6
    forms = [form(MemoryModel(llama_config(), t)) for t in (before, after)]
    grown = [np.linalg.norm(maps(f), axis=(1, 2)) for f in forms]
    assert np.allclose(grown[1] / grown[0], [9, 27, 27] * 2, rtol=1e-5)
    x, y = (maps(f) for f in forms)
    assert ics(x, y) > 1 - 1e-9
    assert abs(ics(x, maps(form(llama(seed=1))))) < 0.5


# --- families ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model_type, name", [("llama", "llama"), ("mistral", "llama"), ("opt", "opt")]
)
def test_families(model_type, name):
    assert family_of({"model_type": model_type}).name == name


@pytest.mark.parametrize(
    "config", [{}, {"model_type": None}, {"model_type": ["llama"]}, {"model_type": "x"}]
)
def test_unknown_families_are_refused_and_told_where_the_known_are(config):
    with pytest.raises(InputError, match=r"`huref-zk models` lists the 1\d\d that .* --map FILE"):
        family_of(config)
