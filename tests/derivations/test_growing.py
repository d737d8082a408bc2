"""Upcycling, up-scaling, width pruning, merges of several models, other tokenizers, rounding in
training and rewards do what each of them claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from huref_zk.errors import InputError
from research.derivations.finetune import continued
from research.derivations.layers import stack
from research.derivations.merging import dare, franken, task_arithmetic, ties
from research.derivations.minitron import importance, minitron, narrow
from research.derivations.preference import sample
from research.derivations.reinforcement import advantages, grpo, token_likelihoods, variety
from research.derivations.rounding import quantise_weights
from research.derivations.rounding_aware import train_rounded
from research.derivations.sparse import linear_layers
from research.derivations.train import clone, held_out_loss, log_likelihood
from research.derivations.transplant import pieces, transplant, transplanted
from research.derivations.upcycling import upcycle
from research.derivations.upscaling import depth_order, upscale
from tests.support.toy_llama import VOCAB, tiny


def batch(text, rows: int = 4, context: int = 24) -> torch.Tensor:
    return torch.from_numpy(text[: rows * context].astype(np.int64)).view(rows, context)


@torch.no_grad()
def logits(model, ids: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids).logits


# ---------------------------------------------------------------- sparse upcycling


def test_an_upcycled_model_has_the_function_of_the_dense_one(model, text):
    ids = batch(text)
    mixture = upcycle(model, experts=4, top_k=2, seed=1)
    assert torch.allclose(logits(mixture, ids), logits(model, ids), atol=1e-4)
    # The control: with one expert disturbed the routers' choices matter.
    with torch.no_grad():
        mixture.model.layers[0].mlp.experts.down_proj[0] += 1
    assert not torch.allclose(logits(mixture, ids), logits(model, ids), atol=0.1)


def test_an_upcycled_model_learns_and_its_experts_part(model, other_text, setting):
    mixture = upcycle(model, seed=1)
    trained = continued(mixture, other_text, replace(setting, steps=20))
    before, after = (held_out_loss(m, other_text, 8, 24) for m in (mixture, trained))
    assert after < before - 0.1
    first, second = trained.model.layers[0].mlp.experts.down_proj[:2]
    assert (first - second).norm() > 1e-3 * first.norm()
    at_first = mixture.model.layers[0].mlp.experts.down_proj
    assert torch.equal(at_first[0], at_first[1])


# ---------------------------------------------------------------- depth up-scaling


def test_depth_order_is_the_papers():
    order = depth_order(32, 8)
    assert len(order) == 48 and order[:24] == list(range(24)) and order[24:] == list(range(8, 32))
    for cut in (0, 4, -1):
        with pytest.raises(InputError):
            depth_order(4, cut)
    assert depth_order(4, 1) == [0, 1, 2, 1, 2, 3]


def test_upscaling_stacks_and_trains(make, text, other_text, setting):
    model = make(3)
    untrained = upscale(model, text, replace(setting, steps=0), 1)
    assert torch.equal(
        logits(untrained, batch(text)), logits(stack(model, [0, 1, 1, 2]), batch(text))
    )
    trained = upscale(model, other_text, replace(setting, steps=20), 1)
    assert trained.config.num_hidden_layers == 4
    before, after = (held_out_loss(m, other_text, 8, 24) for m in (untrained, trained))
    assert after < before - 0.1


# ---------------------------------------------------------------- Minitron


def test_what_does_nothing_goes_first(model, text):
    """Neurons and channels that are never used are found, and the function stays."""
    blank = clone(model)
    gone, channels = torch.tensor([3, 11]), torch.tensor([1, 6])
    with torch.no_grad():
        for layer in blank.model.layers:
            layer.mlp.up_proj.weight[gone] = 0
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight[channels] = 0
        blank.model.norm.weight[channels] = 0
    by_channel, by_neuron = importance(blank, batch(text))
    assert set(by_channel.topk(2, largest=False).indices.tolist()) == set(channels.tolist())
    assert all(set((n == 0).nonzero().flatten().tolist()) == {3, 11} for n in by_neuron)
    neurons = blank.config.intermediate_size - 2
    made = narrow(blank, batch(text), blank.config.hidden_size, neurons)
    assert made.model.layers[0].mlp.down_proj.weight.shape[1] == neurons
    assert torch.allclose(logits(made, batch(text)), logits(blank, batch(text)), atol=1e-4)
    # The control: two more neurons are missed.
    fewer = narrow(blank, batch(text), blank.config.hidden_size, neurons - 8)
    assert not torch.allclose(logits(fewer, batch(text)), logits(blank, batch(text)), atol=1e-3)


def test_a_narrow_model_learns_the_wide_ones_predictions(model, text, setting):
    width, neurons = 3 * model.config.hidden_size // 4, model.config.intermediate_size // 2
    made, raw = (
        minitron(model, text, replace(setting, steps=steps), width=width, neurons=neurons)
        for steps in (30, 0)
    )
    assert made.model.embed_tokens.weight.shape == (VOCAB, width)
    assert made.config.head_dim == model.config.head_dim
    assert held_out_loss(made, text, 8, 24) < held_out_loss(raw, text, 8, 24) - 0.05
    for width in (0, model.config.hidden_size + 1):
        with pytest.raises(InputError):
            narrow(model, batch(text), width, neurons)


# ---------------------------------------------------------------- merges


def moved(model, changes):
    """A copy of which every parameter is changed by ``changes`` (a vector), over and over."""
    out = clone(model)
    with torch.no_grad():
        for p in out.parameters():
            n = p.numel()
            p += changes.repeat(n // len(changes) + 1)[:n].view_as(p)
    return out


def test_ties_trims_elects_and_averages_what_agrees(model):
    one = moved(model, torch.tensor([0.4, -0.3, 0.01, 0.02]))
    two = moved(model, torch.tensor([0.2, 0.5, 0.01, -0.02]))
    merged = ties(model, (one, two), density=0.5)
    wanted = moved(model, torch.tensor([0.3, 0.5, 0.0, 0.0]))
    for m, w in zip(merged.parameters(), wanted.parameters(), strict=True):
        if m.numel() % 4 == 0:
            assert torch.allclose(m, w, atol=1e-6)
    # The control: the plain sum is something else.
    summed = task_arithmetic(model, (one, two), 0.5)
    assert not torch.allclose(summed.lm_head.weight, merged.lm_head.weight, atol=0.05)


def test_dare_drops_and_makes_up_for_it(model):
    one = moved(model, torch.full((4,), 0.25))
    merged = dare(model, (one,), drop=0.75, seed=3)
    change = (merged.lm_head.weight - model.lm_head.weight).flatten()
    assert ((change.abs() < 1e-6) | ((change - 1).abs() < 1e-5)).all()
    assert 0.65 < (change.abs() < 1e-6).float().mean() < 0.85
    again = dare(model, (one,), drop=0.75, seed=3)
    assert torch.equal(again.lm_head.weight, merged.lm_head.weight)
    whole = dare(model, (one,), drop=0.0)
    assert torch.allclose(whole.lm_head.weight, one.lm_head.weight, atol=1e-6)


def test_a_franken_model_has_layers_of_both(make):
    one, two = make(3), tiny(3, seed=8)
    merged = franken(one, two, 1)
    for i, source in enumerate((one, two, two)):
        for mine, theirs in zip(
            merged.model.layers[i].parameters(), source.model.layers[i].parameters(), strict=True
        ):
            assert torch.equal(mine, theirs)
    assert torch.equal(merged.model.embed_tokens.weight, one.model.embed_tokens.weight)
    assert torch.equal(merged.lm_head.weight, two.lm_head.weight)


# ---------------------------------------------------------------- another tokenizer


def words(vocab: list[str], merges: list[tuple[str, str]]) -> Tokenizer:
    made = Tokenizer(models.BPE({text: i for i, text in enumerate(vocab)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return made


OLD = words(["a", "b", "c", "ab"], [("a", "b")])
NEW = words(["c", "b", "a", "abc", "bc", "ab"], [("a", "b"), ("b", "c"), ("ab", "c")])


def test_new_tokens_are_means_of_what_they_are_made_of(model):
    rows = pieces(OLD, NEW)
    assert rows == [[2], [1], [0], [3, 2], [1, 2], [3]]
    made = transplanted(model, rows)
    for name in ("embed_tokens", "lm_head"):
        new, old = (
            next(p for n, p in m.named_parameters() if f"{name}." in n) for m in (made, model)
        )
        assert torch.equal(new[5], old[3])
        assert torch.allclose(new[3], (old[3] + old[2]) / 2)
    assert torch.equal(
        made.model.layers[1].mlp.up_proj.weight, model.model.layers[1].mlp.up_proj.weight
    )


def test_a_transplanted_model_heals_and_brings_its_tokenizer(model, setting):
    ids = np.tile([0, 3, 4, 5, 1], 200).astype(np.int32)
    raw, healed = (transplant(model, OLD, NEW, ids, replace(setting, steps=s)) for s in (0, 20))
    assert healed.tokenizer.get_vocab_size() == healed.model.config.vocab_size == 6
    assert held_out_loss(healed.model, ids, 8, 24) < held_out_loss(raw.model, ids, 8, 24) - 0.5
    assert all(p.requires_grad for p in healed.model.parameters())


# ---------------------------------------------------------------- rounding in training


def test_trained_rounding_is_rounded_and_better_than_rounding_after(model, text, setting):
    how = replace(setting, steps=40, rate=2e-3)
    trained, plain = (
        train_rounded(model, text, how, 1, 16),
        quantise_weights(model, 1, 16),
    )
    for m in (trained, plain):
        for layer in linear_layers(m).values():
            groups = layer.weight.detach().view(layer.out_features, -1, 16)
            assert max(len(row.unique()) for row in groups.flatten(0, 1)) <= 2
    assert trained.state_dict().keys() == model.state_dict().keys()
    assert held_out_loss(trained, text, 8, 24) < held_out_loss(plain, text, 8, 24) - 0.05
    assert any(
        len(row.unique()) > 2
        for row in model.model.layers[0].mlp.up_proj.weight.detach().view(-1, 16)
    )


# ---------------------------------------------------------------- rewards


def test_variety_counts_distinct_tokens():
    answers = torch.tensor([[1, 1, 1, 1], [1, 2, 1, 2], [4, 3, 2, 1]])
    assert variety(answers).tolist() == [0.25, 0.5, 1.0]


def test_advantages_are_relative_to_the_group():
    got = advantages(torch.tensor([0.0, 2.0, 5.0, 5.0]), 2)
    assert torch.allclose(got, torch.tensor([-1.0, 1.0, 0.0, 0.0]), atol=1e-3)


def test_token_likelihoods_add_up(model, text):
    ids = batch(text, 2, 20)
    with torch.no_grad():
        got = token_likelihoods(model, ids[:, :12], ids[:, 12:])
        wanted = log_likelihood(model, ids[:, :12], ids[:, 12:])
    assert torch.allclose(got.sum(1), wanted, atol=1e-4)


def test_grpo_raises_its_reward_and_the_opposite_lowers_it(model, text, setting):
    """A reward that a program computes: how many of the answer's tokens are even."""

    def even(answers: torch.Tensor) -> torch.Tensor:
        return (answers % 2 == 0).float().mean(1)

    how = replace(setting, steps=25, batch=32, rate=3e-3)
    prompts = batch(text, 32, 12)

    def mean_reward(model) -> float:
        return float(even(sample(model, prompts, 12, torch.Generator().manual_seed(0))).mean())

    for_it = mean_reward(grpo(model, text, how, even))
    against = mean_reward(grpo(model, text, how, lambda answers: -even(answers)))
    assert against < mean_reward(model) - 0.05 < for_it - 0.1
