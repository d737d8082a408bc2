"""Pruning, surgery, layer sharing, rounding and merging do what each of them claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from huref_zk.errors import InputError
from research.derivations.finetune import continued
from research.derivations.layers import cluster, crash, layer_outputs, linear_cka, stack
from research.derivations.merging import average, task_arithmetic
from research.derivations.rounding import quantise_weights, round_groups
from research.derivations.sparse import gblm_prune, importance, linear_layers
from research.derivations.structured import least_important, llm_prune, taylor
from research.derivations.surgery import behaviour_probe, operate, pooled, writes
from research.derivations.train import clone, held_out_loss
from tests.support.toy_llama import chain


def finite(model, text) -> bool:
    ids = torch.from_numpy(text[:40].astype(np.int64))[None]
    with torch.no_grad():
        return bool(torch.isfinite(model(input_ids=ids).logits).all())


# ---------------------------------------------------------------- GBLM-Pruner


def test_gblm_reaches_its_sparsity_in_every_row(model, text):
    for sparsity in (0.25, 0.5):
        pruned = gblm_prune(model, text, sparsity, samples=4, context=24, seed=0)
        for name, layer in linear_layers(pruned).items():
            zeros = (layer.weight == 0).sum(1)
            assert (zeros == int(sparsity * layer.in_features)).all(), name
            kept = layer.weight != 0
            assert torch.equal(layer.weight[kept], linear_layers(model)[name].weight[kept])
        assert finite(pruned, text)
    assert torch.equal(pruned.lm_head.weight, model.lm_head.weight)


def test_gblm_metric_is_the_papers(model, text):
    """|W| (alpha ||G|| + ||X||) recomputed for one matrix, sample by sample."""
    samples = torch.from_numpy(text[:72].astype(np.int64)).view(3, 24)
    got = importance(model, samples)["1.mlp.down_proj"]
    weight = model.model.layers[1].mlp.down_proj.weight
    gradient, inputs = torch.zeros_like(weight), torch.zeros(weight.shape[1])

    def watch(module, given):
        inputs.add_(given[0].detach()[0].square().sum(0))

    hook = model.model.layers[1].mlp.down_proj.register_forward_pre_hook(watch)
    for row in samples:
        loss = model(input_ids=row[None], labels=row[None]).loss
        gradient += torch.autograd.grad(loss, weight)[0] ** 2
    hook.remove()
    wanted = weight.abs() * (100 * gradient.sqrt() + inputs.sqrt())
    assert torch.allclose(got, wanted, rtol=1e-4)


def test_gblm_hurts_less_than_its_opposite(model, text):
    pruned = gblm_prune(model, text, 0.3, samples=8, context=24, seed=0)
    samples = torch.from_numpy(text[:192].astype(np.int64)).view(8, 24)
    scores, worst = importance(model, samples), clone(model)
    with torch.no_grad():
        for name, layer in linear_layers(worst).items():
            most = scores[name].topk(int(0.3 * layer.in_features), dim=1).indices
            layer.weight.scatter_(1, most, 0.0)
    assert held_out_loss(pruned, text, 16, 24) < held_out_loss(worst, text, 16, 24)


@pytest.mark.parametrize("sparsity", [0.0, 1.0, -1.0, float("nan")])
def test_gblm_refuses_a_sparsity_out_of_range(model, text, sparsity):
    with pytest.raises(InputError):
        gblm_prune(model, text, sparsity, samples=1, context=24, seed=0)


# ---------------------------------------------------------------- LLM-Pruner


def test_llm_pruner_narrows_every_layer(model, text, setting):
    pruned = llm_prune(model, text, replace(setting, steps=0), groups=1, channels=12)
    config = pruned.config
    assert (config.num_attention_heads, config.num_key_value_heads) == (2, 1)
    assert (config.intermediate_size, config.head_dim) == (36, 8)
    attention, mlp = pruned.model.layers[1].self_attn, pruned.model.layers[1].mlp
    assert attention.q_proj.weight.shape == (16, 32) and attention.o_proj.weight.shape == (32, 16)
    assert attention.k_proj.weight.shape == attention.v_proj.weight.shape == (8, 32)
    assert mlp.up_proj.weight.shape == (36, 32) and mlp.down_proj.weight.shape == (32, 36)
    assert finite(pruned, text)
    assert model.config.intermediate_size == 48


def test_narrowed_and_zeroed_are_one_function(model, text, setting):
    """Zeroing in all layers what narrowing removes: the same logits, by two ways."""
    how = replace(setting, steps=0)
    narrow = llm_prune(model, text, how, groups=1, channels=12)
    zeroed = llm_prune(model, text, how, groups=1, channels=12, layers=[0, 1])
    less = llm_prune(model, text, how, groups=1, channels=11, layers=[0, 1])
    ids = torch.from_numpy(text[:30].astype(np.int64))[None]
    with torch.no_grad():
        a, b, c = (m(input_ids=ids).logits for m in (narrow, zeroed, less))
    assert torch.allclose(a, b, atol=1e-5)
    assert not torch.allclose(a, c, atol=1e-5)  # the control


def test_nothing_removed_is_nothing_changed(model, text, setting):
    pruned = llm_prune(model, text, replace(setting, steps=0), groups=0, channels=0)
    for a, b in zip(pruned.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_zeroed_parts_stay_zero_in_the_recovery(model, text, setting):
    pruned = llm_prune(model, text, setting, groups=1, channels=12, layers=[1])
    last = pruned.model.layers[1]
    gone = (last.mlp.up_proj.weight == 0).all(1)
    assert gone.sum() == 12
    assert torch.equal(gone, (last.mlp.gate_proj.weight == 0).all(1))
    assert torch.equal(gone, (last.mlp.down_proj.weight == 0).all(0))
    for name, zeros in {"q": 16, "k": 8, "v": 8}.items():
        weight = getattr(last.self_attn, f"{name}_proj").weight
        assert (weight == 0).all(1).sum() == zeros
    assert (last.self_attn.o_proj.weight == 0).all(0).sum() == 16
    assert not (pruned.model.layers[0].mlp.up_proj.weight == 0).any()  # that one was not chosen
    untrained = llm_prune(model, text, replace(setting, steps=0), groups=1, channels=12, layers=[1])
    before, after = (held_out_loss(m, text, 16, 24) for m in (untrained, pruned))
    assert after < before  # the recovery recovers


def test_the_least_important_go(model, text, setting):
    scores = taylor(model, text, setting)
    mlp = "model.layers.0.mlp."
    channel = sum(scores[f"{mlp}{n}_proj.weight"].sum(1) for n in ("gate", "up"))
    channel = channel + scores[f"{mlp}down_proj.weight"].sum(0)
    kept = least_important(model, scores, 0, 1, 12)
    gone = np.setdiff1d(np.arange(48), kept.channels.numpy())
    assert channel[gone].max() <= channel[kept.channels].min()
    assert len(kept.groups) == 1 and len(kept.channels) == 36


@pytest.mark.parametrize("groups, channels", [(2, 0), (0, 48), (-1, 0)])
def test_llm_pruner_leaves_something(model, text, setting, groups, channels):
    with pytest.raises(InputError):
        llm_prune(model, text, setting, groups=groups, channels=channels)


# ---------------------------------------------------------------- Model Surgery


@pytest.fixture(scope="module")
def kinds():
    """Texts of low and of high tokens."""
    return [
        [torch.from_numpy(chain(seed + i, 20, *limits).astype(np.int64)) for i in range(40)]
        for seed, limits in ((100, (2, 22)), (200, (22, 48)))
    ]


def test_the_probe_tells_behaviours_apart(model, kinds):
    probe = behaviour_probe(model, *(part[:30] for part in kinds))
    assert torch.isclose(probe.norm(), torch.tensor(1.0))
    a, b = (pooled(model, part[30:]) @ probe for part in kinds)  # texts it has not seen
    assert a.min() > b.max()
    turned = behaviour_probe(model, *(part[:30] for part in reversed(kinds)))
    assert torch.allclose(turned, -probe, atol=1e-4)


def test_surgery_changes_chosen_rows_only(model, kinds):
    probe = behaviour_probe(model, *kinds)
    edited, touched = operate(model, probe, kinds[0], [1], rows=5, strength=0.5)
    assert list(touched) == [1] and len(touched[1]) == 5
    for name, base in model.named_parameters():
        change = (edited.get_parameter(name) - base).detach()
        if name == "model.layers.1.mlp.gate_proj.weight":
            assert torch.equal(change.abs().sum(1).nonzero().flatten(), touched[1])
            wanted = 0.5 * base.norm(dim=1).mean() * probe
            assert torch.allclose(change[touched[1]], wanted.expand(5, -1), atol=1e-5)
            cosines = (base @ probe) / base.norm(dim=1)
            assert cosines[touched[1]].max() < cosines.median()
        else:
            assert not change.any(), name


def test_what_neurons_write_is_up_times_down(model, kinds):
    """The change of the hidden state along the probe, from the weights alone."""
    probe = behaviour_probe(model, *kinds)
    mlp, given = model.model.layers[1].mlp, []
    hook = mlp.register_forward_pre_hook(lambda module, x: given.append(x[0][0]))
    with torch.no_grad():
        for text in kinds[0]:
            model.model(text[None])
        hook.remove()
        up = mlp.up_proj(torch.cat(given)).mean(0)
        wanted = torch.stack([up[k] * (mlp.down_proj.weight[:, k] @ probe) for k in range(48)])
    assert torch.allclose(writes(model, probe, [1], kinds[0])[1], wanted, atol=1e-5)


def test_surgery_shifts_the_probe(model, kinds):
    """The behaviour's score falls on its texts, and more for a larger edit; the controls: strength
    0 does nothing, and the opposite edit raises it."""
    for with_it, without in (kinds, kinds[::-1]):
        probe = behaviour_probe(model, with_it, without)

        def score(strength, probe=probe, with_it=with_it):
            edited, _ = operate(model, probe, with_it, [0, 1], rows=6, strength=strength)
            return float((pooled(edited, with_it) @ probe).mean())

        before = float((pooled(model, with_it) @ probe).mean())
        assert score(0.0) == before
        assert score(4.0) < score(2.0) < before - 0.01 < before < score(-1.0)


# ---------------------------------------------------------------- CRaSh


def test_cka_of_a_turned_copy_is_one():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=rng, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64))[0]
    assert linear_cka(x, 3 * x @ turn + 1) == pytest.approx(1)
    assert linear_cka(x, torch.randn(200, 6, generator=rng, dtype=torch.float64)) < 0.2


def test_clusters_are_parted_where_neighbours_differ():
    assert cluster([0.9, 0.1, 0.8, 0.7], 2) == [range(0, 2), range(2, 5)]
    assert cluster([0.9, 0.1, 0.8, 0.7], 3) == [range(0, 2), range(2, 4), range(4, 5)]
    assert cluster([], 1) == [range(0, 1)]
    for count in (0, 3):
        with pytest.raises(InputError):
            cluster([0.5], count)


def test_layer_outputs_are_those_of_the_layers(make, text):
    model = make(5)
    batch = torch.from_numpy(text[:40].astype(np.int64)).view(2, 20)
    states = layer_outputs(model, batch)
    with torch.no_grad():
        whole = model(input_ids=batch).logits
        again = model.lm_head(model.model.norm(states[-1])).view_as(whole)
    assert len(states) == 5 and torch.allclose(whole, again, atol=1e-5)


@pytest.mark.parametrize("share", [True, False])
def test_crash_has_the_expected_layers(make, text, setting, share):
    model = make(5)
    made, order = crash(model, text, replace(setting, steps=0), adapters=1, clusters=2, share=share)
    assert made.config.num_hidden_layers == len(made.model.layers) == len(order)
    assert len(order) == (5 if share else 4)
    assert (order[0], order[-1]) == (0, 4) and order == sorted(order)
    assert len(set(order)) == 4
    for layer, source in zip(made.model.layers, order, strict=True):
        for a, b in zip(layer.parameters(), model.model.layers[source].parameters(), strict=True):
            assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()
    assert finite(made, text)


def test_crash_trains_its_adapters_alone(make, text, setting):
    model = make(5)
    made, order = crash(model, text, setting, adapters=1, clusters=2, share=True)
    moved = [
        not all(
            torch.equal(a, b)
            for a, b in zip(
                layer.parameters(), model.model.layers[source].parameters(), strict=True
            )
        )
        for layer, source in zip(made.model.layers, order, strict=True)
    ]
    assert moved == [True, False, False, False, True]
    assert torch.equal(made.lm_head.weight, model.lm_head.weight)
    assert all(p.requires_grad for p in made.parameters())


def test_a_stack_in_order_is_the_model(make, text):
    model = make(5)
    ids = torch.from_numpy(text[:30].astype(np.int64))[None]
    with torch.no_grad():
        wanted, same, other = (
            m(input_ids=ids).logits
            for m in (model, stack(model, range(5)), stack(model, [0, 2, 1, 3, 4]))
        )
    assert torch.equal(wanted, same) and not torch.allclose(wanted, other, atol=1e-3)


def test_crash_needs_layers_between(model, text, setting):
    with pytest.raises(InputError):
        crash(model, text, setting, adapters=1, clusters=1, share=True)


# ---------------------------------------------------------------- rounding


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_leaves_few_levels_in_a_group(model, text, bits):
    group = 16
    rounded = quantise_weights(model, bits, group)
    for name, layer in linear_layers(rounded).items():
        base = linear_layers(model)[name].weight.view(layer.out_features, -1, group)
        parts = layer.weight.view_as(base)
        step = (base.amax(2) - base.amin(2)) / (2**bits - 1)
        assert ((parts - base).abs().amax(2) <= 0.51 * step).all(), name
        assert not torch.equal(parts, base)
    assert torch.equal(rounded.model.embed_tokens.weight, model.model.embed_tokens.weight)
    assert finite(rounded, text)


def test_levels_of_a_long_group():
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4096, generator=rng)
    for bits in (4, 8):
        rounded = round_groups(weight, bits, 2048)
        levels = [len(part.unique()) for part in rounded.view(6, 2048)]
        assert max(levels) <= 2**bits and min(levels) > 2 ** (bits - 1)
    assert len(weight[0].unique()) > 4000  # the control
    flat = torch.full((2, 8), 0.3)
    assert torch.equal(round_groups(flat, 4, 8), flat)  # a group without a range
    with pytest.raises(InputError):
        round_groups(weight, 4, 1000)


# ---------------------------------------------------------------- merging


def test_merging_is_the_average(model, text, other_text, setting):
    first, second = continued(model, text, setting), continued(model, other_text, setting)
    merged = average(first, second)
    for m, a, b in zip(merged.parameters(), first.parameters(), second.parameters(), strict=True):
        assert torch.allclose(m, (a + b) / 2, atol=1e-6)
    for a, b in zip(average(first, second, 0.0).parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b)


def test_task_vectors_are_added(model, text, other_text, setting):
    first, second = continued(model, text, setting), continued(model, other_text, setting)
    merged = task_arithmetic(model, [first, second], 0.6)
    for m, o, a, b in zip(*(x.parameters() for x in (merged, model, first, second)), strict=True):
        assert torch.allclose(m, o + 0.6 * ((a - o) + (b - o)), atol=1e-5)
    for a, b in zip(
        task_arithmetic(model, [first], 1.0).parameters(), first.parameters(), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-6)
