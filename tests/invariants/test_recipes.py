"""The recipes: which layers and tokens, what is read, and the authors' own terms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.invariants.directions import how_many
from huref_zk.invariants.recipes import RECIPES, compute_cores
from huref_zk.invariants.sketch import exact_ics_of
from huref_zk.models.families import FAMILIES
from tests.support.random_llm import (
    FFN,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    MemoryModel,
    core_maps,
    distance,
    form,
    llama,
    llama_config,
    llama_tensors,
    maps,
)

FIXTURES = Path(__file__).parents[1] / "fixtures" / "huref"


def cores(model, recipe="whole", tokens=64, **options):
    return compute_cores(model, recipe=recipe, tokens=tokens, **options)


# --- the authors' terms -------------------------------------------------------------------------


def reference(family: str, file: str, name: str = "") -> tuple[MemoryModel, dict[str, np.ndarray]]:
    """(model, what the file holds). Rows of E that no reference map uses are NaN."""
    start = f"{family}/" if file == "official" else ""
    found = np.load(FIXTURES / f"{file}.npz")
    held = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
    config = json.loads(str(held["config"]))
    weights = {
        k.removeprefix(f"{name}/"): v
        for k, v in held.items()
        if k.endswith(".weight") and k.startswith(f"{name}/" if name else "")
    }
    embedding = next(f for f in FAMILIES if f.name == family).embedding
    full = np.full((config["vocab_size"], config["hidden_size"]), np.nan)
    full[held["ids"]] = weights[embedding]
    return MemoryModel(config, {**weights, embedding: full}), held


def whole_maps(found) -> np.ndarray:
    X = found.X.astype(np.float64)
    return np.array([X @ C.astype(np.float64) @ X.T for set_ in found.sets for C in set_])


@pytest.mark.parametrize("family, file, name", [("opt", "opt", ""), ("llama", "official", "a")])
def test_official_gives_the_authors_maps(family, file, name):
    """Plain and gated: all terms of the last two layers as their program computed them."""
    model, held = reference(family, file, name)
    found = cores(model, "official", token_ids=held["ids"])
    assert found.layer_ids == (1, 2)
    assert found.token_ids.tolist() == held["ids"].tolist()
    wanted = held["per_head"].astype(np.float64)
    assert (distance(whole_maps(found), wanted) < 1e-6).all()
    model.tensors[next(n for n in model.tensors if "layers.1" in n and "norm" not in n)][0] += 1
    assert (
        distance(whole_maps(cores(model, "official", token_ids=held["ids"])), wanted) > 1e-6
    ).any()


def test_official_gives_the_authors_ics():
    """In percent there; every map standardised, which double-centring comes near to."""
    (a, held), (b, _) = (reference("llama", "official", name) for name in ("a", "noisy"))
    found = exact_ics_of(*(cores(m, "official", token_ids=held["ids"]) for m in (a, b)))
    assert np.abs(100 * found - held["ics_per_head"]).max() < 1


@pytest.mark.parametrize("part", ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])
def test_the_reference_tells_one_wrong_weight(part):
    """Control: one weight of 4096 moved by its layer's rms is seen in its term alone."""
    model, held = reference("opt", "opt")
    (name,) = [n for n in model.tensors if f"layers.2.{part}" in n.replace("self_attn.", "")]
    moved = model.tensors[name].astype(np.float64)
    moved[3, 5] += np.sqrt((moved**2).mean())
    model.tensors[name] = moved
    found = cores(model, "official", token_ids=held["ids"])
    wrong = distance(whole_maps(found), held["per_head"]) > 1e-6
    term = {"q": 3, "k": 3, "v": 4, "o": 4, "f": 5}[part[0]]
    assert np.flatnonzero(wrong).tolist() == [term]


def test_last_two_is_the_canonical_pair_without_its_strongest_directions():
    model = llama()
    found = cores(model, "last-two", token_ids=range(96, 160))
    E = form(model).E
    plain = maps(form(model, ids=range(96, 160)))
    assert np.allclose(found.X, E / np.sqrt(np.square(E).mean(axis=1, keepdims=True)), atol=1e-6)
    scale = np.sqrt(np.square(E.astype(float)).mean(axis=1))
    plain = plain / scale[:, None] / scale
    plain -= plain.mean(axis=1, keepdims=True)
    plain -= plain.mean(axis=2, keepdims=True)
    mine = core_maps(found)
    sizes = np.linalg.norm(plain, axis=(1, 2))
    total = sum((M @ M.T + M.T @ M) / n**2 for M, n in zip(plain, sizes, strict=True))
    _, vectors = np.linalg.eigh(total)
    Q = vectors[:, -how_many(HIDDEN, 64) :]
    P = np.eye(64) - Q @ Q.T
    assert (distance(mine, P @ plain @ P) < 1e-4).all()
    assert (distance(mine, plain) > 0.1).all()


# --- layers -------------------------------------------------------------------------------------


def test_whole_reads_every_layer_once():
    model = llama()
    found = cores(model)
    assert found.layer_ids == tuple(range(LAYERS))
    assert model.read[0] == "64 rows of model.embed_tokens.weight"
    assert len(model.read) == len(set(model.read)) == 1 + 9 * LAYERS


@pytest.mark.parametrize("recipe", ["last-two", "official"])
def test_two_layers_and_nothing_else_is_read(recipe):
    model = llama()
    found = cores(model, recipe)
    assert found.layer_ids == (LAYERS - 2, LAYERS - 1)
    assert {n.split(".")[2] for n in model.read[1:]} == {str(i) for i in found.layer_ids}


@pytest.mark.parametrize("recipe", RECIPES)
def test_chosen_layers_come_in_their_models_order(recipe):
    one, other = cores(llama(), recipe, layers=(0, 2)), cores(llama(), recipe, layers=[2, 0])
    assert one.layer_ids == other.layer_ids == (0, 2)
    assert np.array_equal(one.sets, other.sets)
    assert not np.array_equal(one.sets, cores(llama(), recipe, layers=(0, 1)).sets)


@pytest.mark.parametrize("ids", [(1, 1), (0,), (0, 1, 2), (-1, 0), (0, LAYERS), ()])
def test_other_choices_of_two_layers_are_refused(ids):
    with pytest.raises(InputError, match=f"choose two different layers from 0..{LAYERS - 1}"):
        cores(llama(), "last-two", layers=ids)
    cores(llama(), "last-two", layers=(0, LAYERS - 1))


@pytest.mark.parametrize("ids", [(1, 1), (-1, 0), (0, LAYERS), ()])
def test_other_choices_of_layers_are_refused(ids):
    with pytest.raises(InputError, match=f"choose different layers from 0..{LAYERS - 1}"):
        cores(llama(), layers=ids)
    assert cores(llama(), layers=(2,)).layer_ids == (2,)


def test_an_unknown_recipe_is_named():
    with pytest.raises(InputError, match="'half' is no recipe; known: whole, last-two, official"):
        cores(llama(), "half")


def appended(o: float, down: float) -> MemoryModel:
    """The model with a block appended whose outputs are scaled by ``o`` and ``down``."""
    base = llama_tensors()
    config = llama_config(num_hidden_layers=LAYERS + 1)
    extra = llama_tensors(seed=9, config=config)
    block = {n: w for n, w in extra.items() if n.startswith(f"model.layers.{LAYERS}.")}
    block[f"model.layers.{LAYERS}.self_attn.o_proj.weight"] *= o
    block[f"model.layers.{LAYERS}.mlp.down_proj.weight"] *= down
    return MemoryModel(config, {**base, **block})


@pytest.mark.parametrize("recipe", RECIPES)
def test_blocks_that_add_nothing(recipe):
    plain, found = cores(llama(), recipe), cores(appended(0, 0), recipe)
    assert np.array_equal(found.sets, plain.sets)
    assert found.facts["layers_total"] == LAYERS + 1
    if recipe != "whole":
        assert found.layer_ids == plain.layer_ids
        for o, down in ((1e-6, 0), (0, 1e-6), (1, 1)):
            assert cores(appended(o, down), recipe).layer_ids == (LAYERS - 1, LAYERS)


def test_two_blocks_that_do_something_are_needed():
    model = llama()
    for i in range(1, LAYERS):
        cores(model, "last-two")
        for part in ("self_attn.o_proj", "mlp.down_proj"):
            model.tensors[f"model.layers.{i}.{part}.weight"] *= 0
    with pytest.raises(InputError, match="fewer than 2 layers that are not zero"):
        cores(model, "last-two")
    cores(model)


def test_layers_add_up():
    """Dropped, doubled and reordered layers change the sum by their share."""
    model, tensors = llama(), llama_tensors()

    def stacked(order) -> MemoryModel:
        held = {n: w for n, w in tensors.items() if ".layers." not in n}
        for new, old in enumerate(order):
            for name, w in tensors.items():
                if f".layers.{old}." in name:
                    held[name.replace(f".layers.{old}.", f".layers.{new}.")] = w
        return MemoryModel(llama_config(num_hidden_layers=len(order)), held)

    base = cores(model)
    assert exact_ics_of(base, cores(stacked([3, 1, 0, 2]))).min() > 1 - 1e-6
    for order, least, most in (([0, 1, 2], 0.4, 0.9), ([0, 1, 2, 3, 3], 0.6, 0.98)):
        alike = exact_ics_of(base, cores(stacked(order)))
        assert (alike > least).all() and (alike < most).all()
    assert np.abs(exact_ics_of(base, cores(llama(seed=1)))).max() < 0.3


# --- facts and tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize("recipe, layers, sets", [("whole", LAYERS, 1), ("official", 2, 2)])
def test_progress_facts_and_shapes(recipe, layers, sets):
    told = []
    found = cores(llama(), recipe, progress=lambda done, total: told.append((done, total)))
    assert told == [(n + 1, layers) for n in range(layers)]
    assert found.recipe == recipe
    assert found.facts == {
        "architecture": "llama",
        "hidden_size": HIDDEN,
        "heads": HEADS,
        "kv_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "ffn": FFN,
        "layers_total": LAYERS,
        "vocab_size": VOCAB,
    }
    assert found.X.shape == (64, HIDDEN) and found.X.dtype == np.float32
    assert [s.shape for s in found.sets] == [(3, HIDDEN, HIDDEN)] * sets
    assert all(s.dtype == np.float32 for s in found.sets)


@pytest.mark.parametrize("change", [{}, {"num_key_value_heads": None, "head_dim": None}])
def test_what_a_config_may_leave_out(change):
    """As many kv heads as heads, and heads that fill the hidden size, when it does not say."""
    config = llama_config(num_key_value_heads=HEADS, head_dim=HIDDEN // HEADS)
    model = MemoryModel({**config, **change}, llama_tensors(config=config))
    facts = cores(model).facts
    assert (facts["kv_heads"], facts["head_dim"]) == (HEADS, HIDDEN // HEADS)


def test_rows_have_a_mean_square_of_one_but_officials():
    model = llama()
    model.tensors["model.embed_tokens.weight"][:, 3] *= 10
    for recipe in ("whole", "last-two"):
        X = cores(model, recipe).X.astype(float)
        assert np.allclose(np.square(X).mean(axis=1), 1, atol=1e-6)
    plain = cores(model, "official")
    rows = model.tensors["model.embed_tokens.weight"][plain.token_ids]
    assert np.array_equal(plain.X, rows.astype(np.float32))


def test_a_row_of_zeros_stays_one():
    model = llama()
    model.tensors["model.embed_tokens.weight"][70] = 0
    found = cores(model, token_ids=range(40, 104))
    assert not found.X[30].any() and found.X[29].any()
    assert np.isfinite(found.sets[0]).all()


def test_how_tokens_were_chosen_is_told():
    assert cores(llama()).token_choice == "common"
    assert cores(llama(), token_choice="rare").token_choice == "rare"
    given = cores(llama(), token_ids=range(64))
    assert (given.token_choice, given.token_ids.tolist()) == ("given", [*range(64)])


def test_weights_that_are_not_numbers_are_refused():
    model = llama()
    cores(model)
    model.tensors["model.layers.1.mlp.gate_proj.weight"][3, 4] = np.inf
    with pytest.raises(InputError, match=r"gate_proj\.weight holds NaN"):
        cores(model)


def test_an_unknown_activation_is_named():
    cores(llama(hidden_act="gelu"))
    with pytest.raises(InputError, match="activation 'prelu' is not known; known: gelu, "):
        cores(llama(hidden_act="prelu"))
    assert exact_ics_of(cores(llama()), cores(llama(hidden_act="relu")))[2] < 0.9999
