"""Exact attacks keep what a model computes and what its fingerprint is made from.

Every one is checked on models of three architectures, with and without grouped heads, biases and
tied embeddings: transformers' logits stay, the canonical maps stay, the weights do not. Its twin in
rewrites.py, which forgets something, changes all three.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from huref_zk.attacks import ATTACKS, attack
from huref_zk.attacks.function import logits
from tests.support.rewrites import BROKEN
from tests.support.small_models import MODELS, checkpoint, likeness, new_ids, off, parameter_cosine

EXACT = [name for name, entry in ATTACKS.items() if entry.exact]
SAME = 1e-4  # of the logits' standard deviation


def inputs(model) -> np.ndarray:
    return np.arange(24) * 7 % 150 + 3


@cache
def plain(name: str) -> np.ndarray:
    return logits(checkpoint(name), inputs(checkpoint(name)))


def logits_off(name: str, attacked) -> float:
    """How far the attacked model's logits are, tokens matched by their text."""
    model = checkpoint(name)
    ids = new_ids(model, attacked)
    return off(logits(attacked, ids[inputs(model)])[:, ids], plain(name))


def test_every_exact_attack_has_a_broken_twin():
    assert set(BROKEN) == set(EXACT)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", EXACT)
def test_an_exact_attack(name, model):
    original = checkpoint(model)
    attacked = attack(name, original, seed=3)
    assert all(w.dtype == np.float32 for w in attacked.tensors.values())
    if name == "appended-blocks":
        assert attacked.sizes.layers == original.sizes.layers + 2
        assert len(attacked.tensors) > len(original.tensors)
    else:
        assert parameter_cosine(original, attacked) < 0.99
    assert any(not np.array_equal(w, original.tensors.get(n)) for n, w in attacked.tensors.items())
    assert logits_off(model, attacked) < SAME
    assert likeness(original, attacked).min() >= 0.9999


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", EXACT)
def test_its_broken_twin(name, model):
    """Control: what the test above measures does notice."""
    original = checkpoint(model)
    broken = BROKEN[name](original, attack(name, original, seed=3))
    assert logits_off(model, broken) > 100 * SAME
    if not (name == "head-permutation" and model == "llama-one-kv-head"):
        # With one key-value head the QK term is that head's key and the sum of all queries.
        assert likeness(original, broken).min() < 0.99


@pytest.mark.parametrize("name", [n for n in EXACT if ATTACKS[n].strength])
def test_at_full_strength(name):
    """Rounding stays below the mark at the most violent rewrites that are allowed."""
    original = checkpoint("mistral-grouped")
    strength = ATTACKS[name].strength
    most = 5 if strength.whole else min(strength.most, strength.exact_to)
    attacked = attack(name, original, seed=4, strength=most)
    assert logits_off("mistral-grouped", attacked) < SAME
    assert likeness(original, attacked).min() >= 0.9999


def test_beyond_its_exact_range_float32_gives_way():
    """Control: the limit that the table states is there for a reason."""
    strength = ATTACKS["value-mixing"].strength
    assert strength.exact_to < strength.most
    attacked = attack("value-mixing", checkpoint("mistral-grouped"), seed=4, strength=strength.most)
    assert logits_off("mistral-grouped", attacked) > SAME


def test_a_scale_needs_its_eps():
    """Control of the global scale: with the norms' eps left as it was, the logits move."""
    original = checkpoint("mistral-grouped")
    attacked = attack("global-scale", original, strength=0.1)
    eps = original.config["rms_norm_eps"]
    assert np.isclose(attacked.config["rms_norm_eps"], eps / 100)
    assert logits_off("mistral-grouped", attacked) < SAME
    attacked.config["rms_norm_eps"] = eps
    assert logits_off("mistral-grouped", attacked) > 10 * SAME


@pytest.mark.parametrize("name", EXACT)
def test_what_is_untied(name):
    """Only the attacks that must, because the output has to differ from the embedding."""
    unties = {"residual-rotation", "gain-rescaling", "gain-absorption", "everything"}
    attacked = attack(name, checkpoint("qwen2-grouped-tied"))
    assert attacked.tied == (name not in unties)
    assert attacked.config["tie_word_embeddings"] == attacked.tied


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_leaves_its_input_alone_and_obeys_its_seed(name):
    original = checkpoint("qwen2-grouped-tied")
    before = {n: w.copy() for n, w in original.tensors.items()}
    config = dict(original.config)
    once, again, other = (attack(name, original, seed=s) for s in (1, 1, 2))
    assert original.config == config
    assert all(np.array_equal(original.tensors[n], w) for n, w in before.items())
    assert same(once, again)
    assert same(once, other) == (name in ("gain-absorption", "global-scale"))


def same(one, other) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        np.array_equal(w, other.tensors[n]) for n, w in one.tensors.items()
    )


def test_noise_moves_the_function_and_the_maps_more_the_stronger_it_is():
    original = checkpoint("demo-base")
    attacked = [attack("weight-noise", original, strength=s) for s in (0.0, 0.02, 0.1, 0.5, 2.0)]
    assert same(attacked[0], original)
    moved = [logits_off("demo-base", a) for a in attacked]
    alike = [likeness(original, a).mean() for a in attacked]
    cosines = [parameter_cosine(original, a) for a in attacked]
    assert moved[0] == 0
    assert moved[1] > SAME
    assert np.all(np.diff(moved[:4]) > 0)
    assert np.all(np.diff(alike) < 0)
    assert np.all(np.diff(cosines) < 0)
    assert alike[1] > 0.99
    assert alike[-1] < 0.3
