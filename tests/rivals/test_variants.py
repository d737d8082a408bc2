"""The exact ICS: the authors' figures on their own data; the same with and without K x K maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from research.rivals.variants import VARIANTS, exact_ics, ics_of, variant_maps
from tests.support.random_llm import (
    HIDDEN,
    MemoryModel,
    distance,
    form,
    llama,
    maps,
)

REFERENCE = Path(__file__).parent.parent / "fixtures" / "huref"


def reference(family: str, name: str) -> tuple[MemoryModel, dict[str, np.ndarray]]:
    """(model, what the file holds of its family). Rows of E that no term uses are NaN."""
    start = f"{family}/"
    held = {
        k[len(start) :]: v
        for k, v in np.load(REFERENCE / "official.npz").items()
        if k.startswith(start)
    }
    config = json.loads(str(held["config"]))
    tensors = {k[len(name) + 1 :]: v for k, v in held.items() if k.startswith(f"{name}/")}
    (embedding,) = [k for k in tensors if "embed_tokens" in k]
    full = np.full((config["vocab_size"], config["hidden_size"]), np.nan)
    full[held["ids"]] = tensors[embedding]
    return MemoryModel(config, {**tensors, embedding: full}), held


def side(model, ids):
    family = family_for(model)
    return model, family, dimensions(model, family), ids


def test_official_terms_are_the_authors():
    """A gated model: their program's terms of the last two layers, and the same in float64."""
    model, held = reference("llama", "a")
    dims = side(model, held["ids"])[2]
    found = variant_maps(model, None, dims, (1, 2), held["ids"], "official")
    assert distance(found, held["per_head"].astype(np.float64)).max() < 1e-6
    assert distance(found, held["terms"].astype(np.float64)).max() < 1e-6
    other = variant_maps(model, None, dims, (1, 2), held["ids"], "canonical")
    assert distance(other, held["per_head"].astype(np.float64)).min() > 1e-3


def test_official_terms_are_the_authors_without_a_gate():
    held = dict(np.load(REFERENCE / "opt.npz"))
    tensors = {k: v for k, v in held.items() if k.endswith(".weight")}
    config = json.loads(str(held["config"]))
    name = "model.decoder.embed_tokens.weight"
    full = np.full((config["vocab_size"], config["hidden_size"]), np.nan)
    full[held["ids"]] = tensors[name]
    model = MemoryModel(config, {**tensors, name: full})
    dims = side(model, held["ids"])[2]
    found = variant_maps(model, None, dims, (1, 2), held["ids"], "official")
    assert distance(found, held["per_head"].astype(np.float64)).max() < 1e-6


def test_official_ics_is_the_authors():
    """In percent there; every map standardised."""
    a, held = reference("llama", "a")
    b, _ = reference("llama", "noisy")
    found = exact_ics(side(a, held["ids"]), side(b, held["ids"]), ((1, 1), (2, 2)), "official")
    np.testing.assert_allclose(100 * found.ravel(), held["ics_per_head"], rtol=1e-6)
    np.testing.assert_allclose(100 * found.ravel(), held["ics"], rtol=1e-5)  # theirs is float32


# More tokens than the hidden size of 32, or fewer: without and with K x K maps.
@pytest.mark.parametrize("count", [80, 24])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_exact_ics_is_that_of_the_maps_themselves(variant, count):
    a, b, ids = *two(), np.arange(60, 60 + count)
    found, expected = both_ways(side(a, ids), side(b, ids), variant)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.abs(found).max() < 0.9  # two models, not one
    same = exact_ics(side(a, ids), side(a, ids), ((0, 0),), variant)
    np.testing.assert_allclose(same, 1, atol=1e-12)


@pytest.mark.parametrize("count", [80, 24])
@pytest.mark.parametrize("variant", VARIANTS)
def test_of_wide_models_in_float32(variant, count, monkeypatch):
    """Also where the maps' mean is many times their spread, and with weights of any scale."""
    monkeypatch.setattr("research.rivals.variants.SINGLE_FROM", HIDDEN)
    a, b, ids = *two(), np.arange(60, 60 + count)
    for model in (a, b):
        model.tensors["model.embed_tokens.weight"] += 10
        model.tensors["model.layers.3.self_attn.q_proj.weight"] *= 1e30
        model.tensors["model.layers.3.self_attn.k_proj.weight"] *= 1e-30
    found, expected = both_ways(side(a, ids), side(b, ids), variant)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - expected).max() > 1e-15  # float32 indeed


def two() -> tuple[MemoryModel, MemoryModel]:
    return llama(1), llama(2)


def both_ways(a, b, variant: str) -> tuple[np.ndarray, np.ndarray]:
    """ICS of two layers each, float64 (6,): exact_ics, and by the maps themselves."""
    maps_of = [
        variant_maps(model, family, dims, layers, ids, variant)
        for (model, family, dims, ids), layers in ((a, (1, 3)), (b, (2, 3)))
    ]
    return exact_ics(a, b, ((1, 2), (3, 3)), variant).ravel(), ics_of(*maps_of, variant)


def test_models_of_different_widths():
    ids = np.arange(60, 84)
    a, b = llama(1), llama(2, hidden_size=16, num_attention_heads=2, num_key_value_heads=2)
    found, expected = both_ways(side(a, ids), side(b, ids), "official")
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_every_term_of_either_model_is_told():
    model = side(llama(1), np.arange(60, 140))
    heard = []
    exact_ics(model, model, ((0, 0), (1, 1)), "official", lambda *told: heard.append(told))
    assert heard == [(n, 12) for n in range(1, 13)]


def test_canonical_maps_are_the_double_centred_ones():
    model = llama(1)
    plain = maps(form(model, 64))
    centred = plain - plain.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=2, keepdims=True)
    ids = np.arange(96, 160)
    found = variant_maps(model, None, side(model, ids)[2], (2, 3), ids, "canonical")
    assert distance(found, centred).max() < 1e-5
    assert distance(found, plain).max() > 1e-3  # centring does something here


def test_a_map_of_zeros_has_no_ics():
    ids = np.arange(60, 140)
    a, b = llama(1), llama(2)
    b.tensors["model.layers.3.self_attn.o_proj.weight"][:] = 0
    found = exact_ics(side(a, ids), side(b, ids), ((3, 3),), "canonical")
    assert found[0, 1] == 0 and found[0, 0] != 0


def test_an_unknown_variant_is_named():
    ids = np.arange(60, 140)
    with pytest.raises(InputError, match="'offical' is no variant"):
        exact_ics(side(llama(1), ids), side(llama(1), ids), ((0, 0),), "offical")
