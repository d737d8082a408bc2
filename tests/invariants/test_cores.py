"""What a thief may add to a model or rewrite in it without changing what it computes does not move
the cores of `whole`; and what looks alike but changes the function does."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from huref_zk.attacks.checkpoint import EMBEDDING, name_of
from huref_zk.attacks.function import logits
from huref_zk.invariants.recipes import compute_cores
from huref_zk.invariants.sketch import PUBLIC_SEED, exact_ics_of, ics_maps, sketch
from huref_zk.models.routing import Router, routed
from tests.support.family_models import CASES, build, config_of, logits_with, tensors_of
from tests.support.hiding import HIDING, Copy, small_blocks
from tests.support.random_llm import MemoryModel
from tests.support.small_models import MODELS, checkpoint, off

IDS = np.arange(24) * 7 % 150 + 3
SAME = 0.9999


@functools.cache
def cores_of(name: str):
    return compute_cores(checkpoint(name).model(), tokens=512)


def alike(name: str, changed) -> np.ndarray:
    """(exact ICS of the three terms, those of the six sketches), one after the other."""
    base = cores_of(name)
    found = compute_cores(changed.model(), tokens=512, token_ids=base.token_ids.tolist())
    sketches = (sketch(c, PUBLIC_SEED) for c in (base, found))
    return np.concatenate([exact_ics_of(base, found), ics_maps(*sketches)])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("what", HIDING)
def test_what_computes_nothing_counts_nothing(what, model):
    original = checkpoint(model)
    changed = HIDING[what](original, np.random.default_rng(3))
    assert off(logits(changed, IDS), logits(original, IDS)) < 1e-3
    assert changed.tensors[name_of(0, "q")].shape != original.tensors[name_of(0, "q")].shape or (
        changed.sizes.ffn > original.sizes.ffn
    )
    assert alike(model, changed).min() >= SAME


def disturbed(checkpoint_, what: str):
    """The rewritten model with one of the new parts made to do something."""
    changed = HIDING[what](checkpoint_, np.random.default_rng(3))
    work, rng = Copy(changed), np.random.default_rng(4)
    parts = {
        "neurons with a zero gate": "gate",
        "neurons that write nothing": "down",
        "neurons split": "down",
        "silent heads": "o",
        "heads that cancel": "o",
        "heads split": "o",
        "a wider residual stream": "o",
    }
    for i in range(changed.sizes.layers):
        w = work.at(i, parts[what])
        new = rng.normal(size=w.shape) * w.std()
        work.put(i, parts[what], np.where(w == 0, new, np.roll(w, 1, axis=-1)))
    return work.done()


@pytest.mark.parametrize("what", HIDING)
def test_its_twin_that_computes_something_is_seen(what):
    """Control of the test above."""
    original = checkpoint("mistral-grouped")
    changed = disturbed(original, what)
    assert off(logits(changed, IDS), logits(original, IDS)) > 0.1
    assert alike("mistral-grouped", changed).min() < 0.95


@pytest.mark.parametrize("strength", [100.0, 1000.0])
@pytest.mark.parametrize("what", ["silent heads", "neurons that write nothing"])
def test_however_large_the_junk(what, strength):
    changed = HIDING[what](checkpoint("demo-base"), np.random.default_rng(3), strength)
    assert alike("demo-base", changed).min() >= SAME


def test_a_head_that_hardly_writes_does_not_count_for_being_sharp():
    """Logits of a million, an output of a ten-thousandth: nothing to the function, nor to `a`."""
    original = checkpoint("demo-base")
    changed = HIDING["silent heads"](original, np.random.default_rng(3), 1000.0)
    work, rng = Copy(changed), np.random.default_rng(4)
    s = original.sizes
    for i in range(s.layers):
        o = work.at(i, "o")
        new = o[:, s.heads * s.head_dim :]
        new[...] = 1e-7 * o.std() * rng.normal(size=new.shape)  # its values are a thousandfold
        work.put(i, "o", o)
    changed = work.done()
    assert off(logits(changed, IDS), logits(original, IDS)) < 1e-2
    assert alike("demo-base", changed).min() > 0.999


def test_small_blocks_move_it_by_their_share():
    original = checkpoint("demo-base")
    found = [
        alike("demo-base", small_blocks(original, np.random.default_rng(3), s))[:3].min()
        for s in (0.0, 0.01, 0.05, 1.0)
    ]
    assert found[0] >= SAME
    assert found[1] > 0.98 and found[2] > 0.95 and found[3] < 0.95
    assert np.all(np.diff(found) < 0)


def test_rows_of_rare_tokens_drawn_anew_do_not_matter_to_common_ones():
    original = checkpoint("demo-base")
    E = original.tensors[EMBEDDING].copy()
    rare = np.array(original.token_order[-1040:])
    E[rare] = E.std() * np.random.default_rng(0).normal(size=(len(rare), E.shape[1]))
    changed = replace(original, tensors={**original.tensors, EMBEDDING: E})
    assert alike("demo-base", changed).min() >= SAME
    base = compute_cores(original.model(), tokens=512, token_choice="rare")
    other = compute_cores(changed.model(), tokens=512, token_choice="rare")
    assert exact_ics_of(base, other).max() < 0.2  # control: of rare ones nothing is left


def test_the_child_and_the_stranger():
    base, child, stranger = (
        compute_cores(MemoryOf(name), tokens=4096) for name in ("base", "child", "stranger")
    )
    assert exact_ics_of(base, child).min() > 0.9
    assert np.abs(exact_ics_of(base, stranger)).max() < 0.05


def MemoryOf(name: str):
    from huref_zk.models.load import open_model

    return open_model(f"demo-{name}")


# --- mixtures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_routing_is_transformers(normalised, top_k):
    import torch

    rng = np.random.default_rng(1)
    logits_ = 3 * rng.normal(size=(40, 5)).astype(np.float32)
    found = routed(logits_, Router(np.zeros((5, 3)), top_k, normalised))
    p = torch.from_numpy(logits_).softmax(dim=-1)
    top, at = p.topk(top_k, dim=-1)
    if normalised:
        top = top / top.sum(dim=-1, keepdim=True)
    assert np.allclose(found, torch.zeros_like(p).scatter(1, at, top).numpy(), atol=1e-6)
    assert ((found > 0).sum(axis=1) == top_k).all()


@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_an_expert_counts_where_its_router_sends_tokens(name):
    """An expert of junk that no token reaches counts nothing, here or in the model."""
    case = CASES[name]
    model = build(case)
    config, tensors = config_of(case, model), tensors_of(case, model)
    rng, d = np.random.default_rng(2), 24
    changed = dict(tensors)
    count = 4
    # Every token gets a constant share of one direction, by which a router can shun an expert.
    shunned = rng.normal(size=d)
    for key, w in tensors.items():
        if key.endswith(("embed_tokens.weight", "embed.weight")):
            changed[key] = w + 3 * shunned
    plain = {k: w.copy() for k, w in changed.items()}
    for i in range(2):
        start = f"model.layers.{i}.mlp."
        gain = tensors[f"model.layers.{i}.post_attention_layernorm.weight"]
        router = changed[start + "gate.weight"].copy()
        router[count - 1] = -50 * shunned / gain
        changed[start + "gate.weight"] = plain[start + "gate.weight"] = router
        for part in ("gate_up_proj", "down_proj"):
            w = changed[start + "experts." + part].copy()
            w[count - 1] = 100 * rng.normal(size=w[0].shape)
            changed[start + "experts." + part] = w
    before, after = (logits_with(case, model, t) for t in (plain, changed))
    assert np.abs(after - before).max() < 1e-9 * np.abs(before).max()
    cores = [compute_cores(MemoryModel(config, t), tokens=64) for t in (plain, changed)]
    assert exact_ics_of(*cores).min() >= SAME
    # Control: the same in an expert that is reached.
    reached = {k: w.copy() for k, w in plain.items()}
    for i in range(2):
        reached[f"model.layers.{i}.mlp.experts.down_proj"][0] *= -3
    assert exact_ics_of(cores[0], compute_cores(MemoryModel(config, reached), tokens=64))[2] < 0.95
