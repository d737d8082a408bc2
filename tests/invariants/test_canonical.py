"""The canonical form: right against reference data, and blind to rewrites that keep the function.

The reference maps were computed by the program of HuRef's authors on tiny random models; see
fixtures/huref. Every rewrite is checked twice: transformers' logits stay, and so do the maps; each
has a twin that is nearly the same rewrite, breaks the function, and moves the maps.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.invariants.canonical import canonicalise
from huref_zk.invariants.sketch import PUBLIC_SEED, ics, sketch
from huref_zk.models.families import FAMILIES, family_of
from tests.support.random_llm import (
    FFN,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
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

FIXTURES = Path(__file__).parents[1] / "fixtures" / "huref"


# --- against the reference data ---------------------------------------------------------------


def reference(family: str) -> tuple[MemoryModel, dict[str, np.ndarray]]:
    """(model, what the file holds). What was left out of the file stands here as random numbers,
    the embeddings that no reference map uses as NaN."""
    held = dict(np.load(FIXTURES / f"{family}.npz"))
    config = json.loads(str(held.pop("config")))
    weights = {name: values for name, values in held.items() if name.endswith(".weight")}
    embedding = FAMILIES[[f.name for f in FAMILIES].index(family)].embedding
    full = np.full((config["vocab_size"], config["hidden_size"]), np.nan)
    full[held["ids"]] = weights[embedding]
    if family == "llama":  # the file has its last layer only
        for name in [n for n in weights if ".layers.2." in n]:
            other = np.random.default_rng(0).normal(size=weights[name].shape)
            weights[name.replace(".2.", ".1.")] = other
    return MemoryModel(config, {**weights, embedding: full}), held


def test_opt_gives_the_reference_maps():
    """All three terms of the last two layers."""
    model, held = reference("opt")
    found = canonicalise(model, tokens=32, token_ids=held["ids"], fold_norms=False)
    assert found.layer_ids == (1, 2)
    assert found.token_ids.tolist() == held["ids"].tolist()
    assert (distance(maps(found), held["per_head"]) < 1e-6).all()


def test_llama_gives_the_reference_maps():
    """QK and VO as the authors' program has them; FFN as up and down, without the gate that the
    authors multiply into it."""
    model, held = reference("llama")
    found = canonicalise(model, tokens=32, token_ids=held["ids"], fold_norms=False)
    last = maps(found)[3:]
    expected = np.concatenate([held["per_head"][:2], held["up_down"]])
    assert (distance(last, expected) < 1e-6).all()
    gated = distance(last[2:], held["per_head"][2:])
    assert (gated > 0.5).all()


@pytest.mark.parametrize("part", ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])
def test_the_reference_tells_one_wrong_weight(part):
    """Control: one weight of 4096 moved by its layer's rms is seen in its term alone."""
    model, held = reference("opt")
    (name,) = [n for n in model.tensors if f"layers.2.{part}" in n.replace("self_attn.", "")]
    moved = model.tensors[name].astype(np.float64)
    moved[3, 5] += np.sqrt((moved**2).mean())
    model.tensors[name] = moved
    found = canonicalise(model, tokens=32, token_ids=held["ids"], fold_norms=False)
    wrong = distance(maps(found), held["per_head"]) > 1e-6
    term = {"q": 3, "k": 3, "v": 4, "o": 4, "f": 5}[part[0]]
    assert np.flatnonzero(wrong).tolist() == [term]


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


def test_without_folding_a_moved_gain_moves_the_maps():
    """Why gains are folded: the plain terms do not survive what the folded ones do not notice."""
    config = llama_config()
    pair = [MemoryModel(config, t) for t in (llama_tensors(), rewritten("move_gains"))]
    plain = [sketch(form(m, fold_norms=False), PUBLIC_SEED) for m in pair]
    folded = [sketch(form(m), PUBLIC_SEED) for m in pair]
    assert ics(*plain) < 0.9
    assert ics(*folded) > 1 - 1e-9


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
    x, y = (sketch(f, PUBLIC_SEED) for f in forms)
    assert ics(x, y) > 1 - 1e-9
    assert abs(ics(x, sketch(form(llama(seed=1)), PUBLIC_SEED))) < 0.5


# --- families, layers, what is read -----------------------------------------------------------


@pytest.mark.parametrize(
    "model_type, name", [("llama", "llama"), ("mistral", "llama"), ("opt", "opt")]
)
def test_families(model_type, name):
    assert family_of({"model_type": model_type}).name == name


@pytest.mark.parametrize("config", [{}, {"model_type": None}, {"model_type": "mamba"}])
def test_unknown_families_are_refused_and_the_known_listed(config):
    with pytest.raises(InputError, match=r"known are: .*llama, mistral, .*opt, .* --map FILE"):
        family_of(config)


def test_the_last_two_layers_and_nothing_else_is_read():
    model = llama()
    found = form(model)
    assert found.layer_ids == (LAYERS - 2, LAYERS - 1)
    assert model.read[0] == "64 rows of model.embed_tokens.weight"
    assert {n.split(".")[2] for n in model.read[1:]} == {str(i) for i in found.layer_ids}
    assert len(model.read) == 1 + 2 * 8


def test_chosen_layers_come_in_their_models_order():
    one, other = form(llama(), layer_ids=(0, 2)), form(llama(), layer_ids=[2, 0])
    assert one.layer_ids == other.layer_ids == (0, 2)
    assert np.array_equal(maps(one), maps(other))
    assert not np.array_equal(maps(one), maps(form(llama(), layer_ids=(0, 1))))


@pytest.mark.parametrize("ids", [(1, 1), (0,), (0, 1, 2), (-1, 0), (0, LAYERS), ()])
def test_other_choices_of_layers_are_refused(ids):
    with pytest.raises(InputError, match=f"choose 2 different layers from 0..{LAYERS - 1}"):
        form(llama(), layer_ids=ids)
    form(llama(), layer_ids=(0, LAYERS - 1))


def appended(o: float, down: float) -> MemoryModel:
    """The model with a block appended whose outputs are scaled by ``o`` and ``down``."""
    base = llama_tensors()
    config = llama_config(num_hidden_layers=LAYERS + 1)
    extra = llama_tensors(seed=9, config=config)
    block = {n: w for n, w in extra.items() if n.startswith(f"model.layers.{LAYERS}.")}
    block[f"model.layers.{LAYERS}.self_attn.o_proj.weight"] *= o
    block[f"model.layers.{LAYERS}.mlp.down_proj.weight"] *= down
    return MemoryModel(config, {**base, **block})


def test_blocks_that_add_nothing_are_skipped():
    plain = form(llama())
    found = form(appended(0, 0))
    assert found.layer_ids == plain.layer_ids
    assert np.array_equal(maps(found), maps(plain))
    assert found.facts["layers_total"] == LAYERS + 1


@pytest.mark.parametrize("o, down", [(1e-6, 0), (0, 1e-6), (1, 1)])
def test_blocks_that_add_something_are_not(o, down):
    assert form(appended(o, down)).layer_ids == (LAYERS - 1, LAYERS)


def test_two_blocks_that_do_something_are_needed():
    model = llama()
    for i in range(1, LAYERS):
        form(model)
        for part in ("self_attn.o_proj", "mlp.down_proj"):
            model.tensors[f"model.layers.{i}.{part}.weight"] *= 0
    with pytest.raises(InputError, match="fewer than 2 layers that are not zero"):
        form(model)


def test_progress_and_facts():
    told = []
    found = form(llama(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
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
    assert found.widths == (HEADS * HEAD_DIM, HEADS * HEAD_DIM, FFN)
    for W in (*found.U, *found.V):
        assert W.shape == (HIDDEN, sum(found.widths))
        assert W.dtype == np.float32


@pytest.mark.parametrize("change", [{}, {"num_key_value_heads": None, "head_dim": None}])
def test_what_a_config_may_leave_out(change):
    """As many kv heads as heads, and heads that fill the hidden size, when it does not say."""
    config = llama_config(num_key_value_heads=HEADS, head_dim=HIDDEN // HEADS)
    model = MemoryModel({**config, **change}, llama_tensors(config=config))
    assert form(model).facts["kv_heads"] == HEADS
    assert form(model).facts["head_dim"] == HIDDEN // HEADS


# --- tokens -----------------------------------------------------------------------------------


def test_the_last_ids_are_taken():
    assert form(llama()).token_ids.tolist() == [*range(VOCAB - 64, VOCAB)]
    assert form(llama()).token_ids.dtype == np.int64


def test_special_ids_are_left_out():
    special = {VOCAB - 1, VOCAB - 5, 3}
    ids = form(llama(special=special)).token_ids.tolist()
    assert len(ids) == 64
    assert not special & set(ids)
    assert ids == sorted(set(range(VOCAB - 66, VOCAB)) - special)


def test_padding_rows_are_left_out():
    """Rows of the embedding beyond the tokenizer's last id belong to no token."""
    assert form(llama(size=150)).token_ids.tolist() == [*range(86, 150)]
    assert form(llama(size=VOCAB + 50)).token_ids.tolist() == [*range(VOCAB - 64, VOCAB)]


def test_the_number_of_tokens_is_even():
    found = form(llama(), tokens=63)
    assert found.token_ids.tolist() == [*range(VOCAB - 62, VOCAB)]
    assert found.warnings == ("62 tokens used; 63 were asked for",)
    assert form(llama(), tokens=62).warnings == ()


def test_a_small_vocabulary_is_used_whole_and_says_so():
    found = form(llama(special={0}), tokens=4096)
    assert found.token_ids.tolist() == [*range(2, VOCAB)]  # 159 regular ones, made even
    assert found.warnings == (f"{VOCAB - 2} tokens used; 4096 were asked for",)


def test_given_ids_keep_their_order():
    """The rarest come first in a file of tokens; E follows that order."""
    ids = [7, 150, 3, *range(40, 101)]
    found = form(llama(), token_ids=ids)
    assert found.token_ids.tolist() == ids
    assert np.array_equal(
        found.E, llama_tensors()["model.embed_tokens.weight"][ids].astype(np.float32)
    )
    assert form(llama(), tokens=32, token_ids=ids).token_ids.tolist() == ids[:32]


@pytest.mark.parametrize(
    "ids",
    [[*range(40), 5], [*range(39), VOCAB], [-1, *range(39)], [*range(38), 10**30, 5]],
)
def test_given_ids_must_be_distinct_and_known(ids):
    with pytest.raises(InputError, match=f"distinct and lie in 0..{VOCAB - 1}"):
        form(llama(), token_ids=ids)
    form(llama(), token_ids=range(40))


def test_too_few_tokens_are_refused():
    form(llama(), tokens=32)
    with pytest.raises(InputError, match="use at least 32"):
        form(llama(), tokens=31)
    form(llama(), token_ids=range(32))
    with pytest.raises(InputError, match="leaves only 30 usable tokens"):
        form(llama(), token_ids=range(31))
    form(llama(special=range(VOCAB - 32)))
    with pytest.raises(InputError, match="leaves only 30 usable tokens"):
        form(llama(special=range(VOCAB - 31)))
    with pytest.raises(InputError, match="leaves only 0 usable tokens"):
        form(llama(size=-4))
