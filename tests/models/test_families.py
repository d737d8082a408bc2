"""Every entry of the table, on a tiny random model: right by the plain formula, and blind to what
keeps the function. Each rewrite is checked twice: the logits stay, and so do the maps; each has a
twin that is nearly the same, breaks the function, and moves the maps."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.invariants.canonical import embed, layer_pair
from huref_zk.invariants.recipes import compute_cores
from huref_zk.invariants.sketch import exact_ics_of
from huref_zk.models.families import FAMILIES, family_for, family_of, flaw
from huref_zk.models.layers import dimensions, read_layer
from huref_zk.models.load import open_model
from tests.support import random_llm
from tests.support.family_models import (
    CASES,
    LAYERS,
    TOKENS,
    build,
    config_of,
    logits_with,
    plain_maps,
    tensors_of,
)
from tests.support.family_rewrites import REWRITES, Weights, fits, mix_qk
from tests.support.random_llm import MemoryModel, distance, maps


@functools.cache
def opened(name: str):
    """(case, transformers model, config, tensors, family, sizes, logits, form of two layers)."""
    case = CASES[name]
    model = build(case)
    config, tensors = config_of(case, model), tensors_of(case, model)
    memory = MemoryModel(config, tensors)
    family = family_for(memory)
    found = form(config, tensors)
    logits = logits_with(case, model, tensors)
    return case, model, config, tensors, family, dimensions(memory, family), logits, found


def copied(tensors):
    return {name: values.copy() for name, values in tensors.items()}


def reset(case, model, tensors):
    logits_with(case, model, tensors)


def test_every_entry_makes_sense():
    """That each is tried, here or with transformers' own modules, test_family_types.py sees."""
    assert [flaw(family) for family in FAMILIES] == [None] * len(FAMILIES)
    names = {opened(name)[4].name for name in CASES}
    assert len(names) > 25 and names <= {family.name for family in FAMILIES}


@pytest.mark.parametrize("name", CASES)
def test_the_plain_formula(name, tmp_path):
    """The maps of the saved checkpoint, as the loaders read it, are those of expanded weights."""
    case, model, config, tensors, *_, found = opened(name)
    reset(case, model, tensors)
    expected = plain_maps(case, model, found.token_ids)
    assert (distance(maps(found), expected) < 1e-6).all()
    if case.remote is None:
        model.float().save_pretrained(tmp_path)
        model.double()
    else:
        from safetensors.numpy import save_file

        (tmp_path / "config.json").write_text(json.dumps(config))
        single = {n: w.astype(np.float32) for n, w in tensors.items()}
        save_file(single, tmp_path / "model.safetensors")
    read = random_llm.form(open_model(str(tmp_path)), TOKENS)
    assert (distance(maps(read), expected) < 1e-6).all()
    cores, same = compute_cores(open_model(str(tmp_path)), tokens=TOKENS), whole(config, tensors)
    assert cores.facts == same.facts
    assert exact_ics_of(cores, same).min() > 1 - 1e-9


@pytest.mark.parametrize("name", CASES)
def test_the_formula_tells_wrong_parts(name):
    """Control: any one of the weights moved a little moves its term."""
    _, _, config, tensors, family, dims, _, found = opened(name)
    expected = maps(found)
    moves = {
        "q": lambda w: w.qkv(1)[0][0],
        "k": lambda w: w.qkv(1)[1][0],
        "v": lambda w: w.qkv(1)[2][0],
        "o": lambda w: w.o(1),
        "up": lambda w: w.units(1)[-1].up[0],
        "down": lambda w: w.units(1)[-1].down,
    }
    for part, at in moves.items():
        moved = copied(tensors)
        view = at(Weights(moved, family, dims, MemoryModel(config, moved)))
        view[0] = view[0] * np.linspace(0.9, 1.1, view[0].size).reshape(view[0].shape)
        wrong = distance(maps(form(config, moved)), expected)
        term = {"q": 3, "k": 3, "v": 4, "o": 4, "up": 5, "down": 5}[part]
        assert np.flatnonzero(wrong > 1e-5).tolist() == [term]


def entry(name: str):
    """The table's entry for a case, without building it."""
    case = CASES[name]
    if case.remote is not None:
        return family_of(case.remote[0])
    return family_of({"model_type": case.model_type, **case.config})


PAIRS = [
    (n, r) for n in CASES for r in REWRITES if fits(r, entry(n), CASES[n].alibi, CASES[n].pinned)
]


@pytest.mark.parametrize("name, rewrite", PAIRS)
def test_rewrites(name, rewrite):
    case, model, config, tensors, family, dims, logits, found = opened(name)
    size = np.abs(logits).max()
    for broken in (False, True):
        changed = copied(tensors)
        weights = Weights(changed, family, dims, MemoryModel(config, changed))
        REWRITES[rewrite](weights, np.random.default_rng(5), broken)
        assert any(not np.array_equal(changed[n], tensors[n]) for n in tensors)
        moved = np.abs(logits_with(case, model, changed) - logits).max() / size
        far = distance(maps(form(config, changed)), maps(found))
        alike = exact_ics_of(whole(config, changed), whole(config, tensors))
        if broken:
            assert moved > 1e-2
            assert far.max() > 0.1
            assert alike.min() < 0.99
        else:
            assert moved < 1e-4
            assert (far < 1e-6).all()
            assert (alike > 0.9999).all()


@pytest.mark.parametrize("name", [n for n in CASES if not entry(n).rotary])
def test_mixed_queries_keep_their_integers(name):
    """Without RoPE, queries and keys may be mixed as violently as one likes: as integers of one
    scale they would lose their map, if the canonical form did not undo it."""
    _, _, config, tensors, family, dims, *_ = opened(name)
    changed = copied(tensors)
    model = MemoryModel(config, changed)
    mix_qk(Weights(changed, family, dims, model), np.random.default_rng(5), False, 4.0)
    a = slice(0, dims.width)

    def likeness(family) -> float:
        plain = [W[:, a] for W in layer_pair(MemoryModel(config, tensors), family, dims, 1)[:2]]
        mixed = [W[:, a] for W in layer_pair(model, family, dims, 1)[:2]]
        whole = [np.rint(W * (32 / np.sqrt(np.mean(W**2)))) for W in mixed]  # rms 32
        M, N = plain[0] @ plain[1].T, whole[0] @ whole[1].T
        return float((M * N).sum() / np.linalg.norm(M) / np.linalg.norm(N))

    assert likeness(family) > 0.99
    assert likeness(replace(family, rotary=True)) < 0.9


def form(config, tensors):
    return random_llm.form(MemoryModel(config, tensors), TOKENS)


def whole(config, tensors):
    return compute_cores(MemoryModel(config, tensors), tokens=TOKENS)


# --- what else an entry may say ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name, prefix", [("gpt2", "transformer."), ("bloom", "transformer."), ("llama", "model.")]
)
def test_names_without_their_prefix(name, prefix):
    """As checkpoints of a base model have them."""
    _, _, config, tensors, *_, found = opened(name)
    bare = {n.removeprefix(prefix): w for n, w in tensors.items()}
    assert prefix + "x" not in bare and family_for(MemoryModel(config, bare)).prefixes == ("",)
    assert np.array_equal(maps(form(config, bare)), maps(found))
    wrong = {f"other.{n}": w for n, w in bare.items()}
    with pytest.raises(InputError, match=f"{prefix}.*missing"):
        form(config, wrong)


def test_gemma3_leaves_sizes_out():
    """Its multimodal checkpoints leave out what is the default."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}

    class Shapes(MemoryModel):
        def shape(self, name):
            return (262208, 2560)

    model = Shapes({"model_type": "gemma3", "text_config": text}, {})
    dims = dimensions(model, family_for(model))
    assert (dims.heads, dims.kv_heads, dims.head_dim, dims.vocab) == (8, 4, 256, 262208)
    text["num_attention_heads"] = 16
    assert dimensions(model, family_for(model)).heads == 16


def test_the_first_names_of_falcon():
    _, _, config, tensors, *_, found = opened("falcon 40b")
    old = {k: v for k, v in config.items() if not k.startswith("num_")}
    old |= {"model_type": "RefinedWeb", "n_head": 4, "n_head_kv": 2, "n_layer": LAYERS}
    assert np.array_equal(maps(form(old, tensors)), maps(found))


@pytest.mark.parametrize(
    "config, words",
    [
        ({"model_type": "opt", "do_layer_norm_before": False}, "normalised in place"),
        (
            {"model_type": "bloom", "apply_residual_connection_post_layernorm": True},
            "normalised in place",
        ),
        ({"model_type": "mpt", "attn_config": {"qk_ln": True}}, "queries and keys"),
        ({"model_type": "chatglm"}, "known variant.*multi_query_attention"),
        ({"model_type": "falcon", "multi_query": True}, "known variant.*new_decoder"),
    ],
)
def test_variants_that_are_refused(config, words):
    with pytest.raises(InputError, match=words):
        family_of(config)
    mended = {
        **config,
        "do_layer_norm_before": True,
        "apply_residual_connection_post_layernorm": False,
        "attn_config": {},
        "multi_query_attention": True,
        "new_decoder_architecture": True,
    }
    assert family_of(mended).name == config["model_type"]


def test_opt_with_a_projection_is_refused():
    _, _, config, tensors, *_ = opened("opt")
    narrow = {**tensors, "model.decoder.embed_tokens.weight": np.ones((96, 16))}
    with pytest.raises(InputError, match=r"embed_tokens.weight has shape \(96, 16\)"):
        form(config, narrow)
    form(config, tensors)


def test_a_layer_is_what_its_pair_is_made_of():
    """read_layer's parts, gains left apart, make the pair of a model without norms on queries."""
    _, _, config, tensors, family, dims, *_ = opened("gemma2")
    model = MemoryModel(config, tensors)
    x = read_layer(model, family, dims, 0)
    U, V, widths = layer_pair(model, family, dims, 0)
    assert widths == (32, 32, 40)
    g, h = x.attention_gain, x.ffn_gain
    left = [(x.q * g).T, (x.v * g).T, (x.up * h).T]
    right = [(x.k * g).T, x.attention_out_gain[:, None] * x.o, x.ffn_out_gain[:, None] * x.down]
    for columns, u, v in zip(np.split(np.arange(104), [32, 64]), left, right, strict=True):
        assert np.allclose(U[:, columns] @ V[:, columns].T, u @ v.T, atol=1e-5)
    for columns in (slice(0, 32), slice(64, 104)):  # each column's scale halved
        assert np.allclose(*(np.linalg.norm(W[:, columns], axis=0) for W in (U, V)))
    assert x.gate is not None and x.gate.shape == x.up.shape
    assert x.q_gain is None and opened("opt")[4].gate is None
    assert all(v.dtype == np.float32 for v in vars(x).values() if v is not None)


def test_a_mixture_reads_its_experts_either_way():
    """One by one, as checkpoints have them, or all in one tensor."""
    for name in ("mixtral", "qwen2_moe"):
        _, _, config, tensors, family, dims, _, found = opened(name)
        apart = {}
        for tensor, w in tensors.items():
            if ".experts." not in tensor:
                apart[tensor] = w
                continue
            i = tensor.split(".")[2]
            for e, part in enumerate(w):
                if tensor.endswith("gate_up_proj"):
                    gate, up = np.split(part, 2)
                    apart[at(family.expert_gate, i, e)] = gate
                    apart[at(family.expert_up, i, e)] = up
                else:
                    apart[at(family.expert_down, i, e)] = part
        assert np.array_equal(maps(form(config, apart)), maps(found))
        x, y = (read_layer(MemoryModel(config, t), family, dims, 0) for t in (tensors, apart))
        assert np.array_equal(x.gate, y.gate)
        del apart[at(family.expert_down, 1, 2)]
        with pytest.raises(InputError, match=r"experts\.2\..*missing"):
            form(config, apart)


def at(template: str, i, e) -> str:
    return template.replace("{i}", str(i)).replace("{e}", str(e))


def test_layers_of_different_widths():
    """A mixture whose last layer is dense."""
    _, _, config, tensors, family, _, _, _ = opened("qwen3_moe")
    rng, mixed = np.random.default_rng(0), copied(tensors)
    for name in [n for n in mixed if n.startswith("model.layers.1.mlp.")]:
        del mixed[name]
    for part, shape in (("up", (40, 24)), ("gate", (40, 24)), ("down", (24, 40))):
        mixed[f"model.layers.1.mlp.{part}_proj.weight"] = rng.normal(size=shape)
    model = MemoryModel(config, mixed)
    dims = dimensions(model, family)
    assert [layer_pair(model, family, dims, i)[2] for i in (0, 1)] == [(32, 32, 48), (32, 32, 40)]
    assert whole(config, mixed).layer_ids == (0, 1)


def test_a_zero_head_stays_zero():
    _, _, config, tensors, family, dims, *_ = opened("qwen3")
    zero = copied(tensors)
    zero["model.layers.1.self_attn.q_proj.weight"][:8] = 0
    U, _, _ = layer_pair(MemoryModel(config, zero), family, dims, 1)
    assert np.isfinite(U).all()
    assert not U[:, :8].any() and U[:, 8:].any(axis=0).all()


def test_blooms_embeddings_are_normalised():
    _, _, config, tensors, family, *_ = opened("bloom")
    model, ids = MemoryModel(config, tensors), np.arange(4)
    grown = copied(tensors)
    grown[family.embedding] *= 7.0
    E, F = embed(model, family, ids), embed(MemoryModel(config, grown), family, ids)
    assert np.allclose(E, F, atol=1e-4)
    for eps in ("1e-5", -1.0, 2.0):
        with pytest.raises(InputError, match="layer_norm_epsilon"):
            embed(MemoryModel({**config, "layer_norm_epsilon": eps}, tensors), family, ids)


def test_ones_do_not_cost_precision():
    """A shift along all-ones a thousand times the weights leaves U and V as they were."""
    _, _, config, tensors, family, dims, *_ = opened("gpt2")
    shifted = copied(tensors)
    shifted["transformer.h.1.mlp.c_proj.weight"] += 100
    pairs = [layer_pair(MemoryModel(config, t), family, dims, 1) for t in (tensors, shifted)]
    assert np.abs(pairs[0][1] - pairs[1][1]).max() < 1e-4
    cores = [whole(config, t) for t in (tensors, shifted)]
    assert exact_ics_of(*cores).min() > 1 - 1e-6
