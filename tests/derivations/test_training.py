"""Fine-tuning, adapters, preference tuning and distillation do what each of them claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from huref_zk.errors import InputError
from research.derivations.corpus import Pair
from research.derivations.distil import distil, divergence, fresh
from research.derivations.finetune import IGNORED, continued, masked, sft
from research.derivations.lora import TARGETS, attach, lora, merge, train_adapters
from research.derivations.preference import (
    Preferences,
    dpo,
    margins,
    preferences,
    sample,
    self_play,
    spin,
)
from research.derivations.train import (
    Setting,
    batches,
    held_out_loss,
    log_likelihood,
    optimise,
)


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_continued_pretraining_learns_the_new_text(model, other_text, setting):
    tuned = continued(model, other_text, replace(setting, steps=40))
    before, after = (held_out_loss(m, other_text, 16, 24) for m in (model, tuned))
    assert after < before - 0.3
    assert same(continued(model, other_text, replace(setting, steps=0)), model)  # the control


def test_training_depends_on_the_seed_alone(model, text, setting):
    short = replace(setting, steps=2)
    torch.manual_seed(1)
    one = continued(model, text, short)
    torch.manual_seed(2)
    assert same(one, continued(model, text, short))
    assert not same(one, continued(model, text, replace(short, seed=4)))


def test_progress_counts_steps(model, text, setting):
    told = []
    continued(model, text, replace(setting, steps=3), lambda *step: told.append(step))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_text_shorter_than_a_window_is_refused(text, setting):
    batches(text[: setting.context + 1], setting)()
    with pytest.raises(InputError):
        batches(text[: setting.context], setting)


def test_optimise_minimises():
    x = torch.tensor([3.0, -2.0], requires_grad=True)
    losses = optimise([x], lambda step: x.square().sum(), Setting(steps=200, rate=0.1))
    assert losses[0] == 13.0 and losses[-1] < 1e-3


def test_sft_trains_on_responses_only(model, pairs):
    """Gradient check: labels of a prompt carry no loss, and those of the response do."""
    ids, labels = masked(pairs[:6])
    for row, pair in enumerate(pairs[:6]):
        p, r = len(pair.prompt), len(pair.response)
        assert (labels[row, :p] == IGNORED).all() and (labels[row, p + r :] == IGNORED).all()
        assert torch.equal(labels[row, p : p + r], torch.from_numpy(pair.response))
        assert torch.equal(ids[row, :p], torch.from_numpy(pair.prompt))

    def gradient(labels):
        logits = model(input_ids=ids).logits.detach().requires_grad_()
        wanted = labels[:, 1:].flatten()
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), wanted).backward()
        return logits.grad.abs().sum(-1)

    trained = gradient(labels)
    for row, pair in enumerate(pairs[:6]):
        p, r = len(pair.prompt), len(pair.response)
        assert (trained[row, : p - 1] == 0).all()
        assert (trained[row, p - 1 : p + r - 1] > 0).all()
        assert (trained[row, p + r - 1 :] == 0).all()
    # The control: without the mask, prompts are trained on as well.
    assert (gradient(ids)[0, : len(pairs[0].prompt) - 1] > 0).all()
    # And the model's own loss is that of these labels.
    own = model(input_ids=ids, labels=labels).loss
    logits = model(input_ids=ids).logits[:, :-1].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten())
    assert torch.allclose(own, expected, atol=1e-6)


def test_padding_changes_no_response(model, pairs):
    """A short pair scores the same alone and padded beside a longer one."""
    short, long = sorted(pairs, key=lambda p: len(p.prompt) + len(p.response))[:: len(pairs) - 1]
    alone, labels = masked([short])
    padded, padded_labels = masked([short, long])
    assert padded.shape[1] > alone.shape[1]
    one = model(input_ids=alone, labels=labels).loss
    other = model(input_ids=padded[:1], labels=padded_labels[:1]).loss
    assert torch.allclose(one, other, atol=1e-5)


def test_sft_learns_responses_and_not_prompts(model, pairs, setting):
    """Every prompt here is a token the model never gets to predict: it stays unlearned."""
    fixed = [Pair(np.full(6, 7), np.full(6, 30)) for _ in pairs]
    tuned = sft(model, fixed, replace(setting, steps=30))
    prompt, response = (torch.full((1, 6), t) for t in (7, 30))

    @torch.no_grad()
    def gain(tuned, first, then):
        return float(log_likelihood(tuned, first, then) - log_likelihood(model, first, then))

    assert gain(tuned, prompt, response) > 5
    assert gain(tuned, prompt[:, :1], prompt[:, 1:]) < 1
    # The control: trained on the whole text, the prompt is learned as well.
    whole = continued(model, np.tile([7] * 12 + [30] * 12, 40), replace(setting, steps=30))
    assert gain(whole, prompt[:, :1], prompt[:, 1:]) > 5


def test_lora_merged_is_the_adapters_forward(model, text, setting):
    adapted = train_adapters(model, text, setting, rank=3)
    merged = merge(adapted)
    ids = torch.from_numpy(text[:48].astype(np.int64))[None]
    with torch.no_grad():
        wanted, given, base = (m(input_ids=ids).logits for m in (adapted, merged, model))
    assert torch.allclose(wanted, given, atol=1e-5)
    assert not torch.allclose(wanted, base, atol=1e-2)  # the control: adapters do something
    with torch.no_grad():  # and before training they do nothing
        untrained = attach(model, 3, 0)(input_ids=ids).logits
    assert torch.equal(untrained, base)


def test_lora_changes_its_targets_by_its_rank(model, other_text, setting):
    merged = lora(model, other_text, setting, rank=3)
    assert merged.state_dict().keys() == model.state_dict().keys()
    for name, base in model.named_parameters():
        change = (merged.get_parameter(name) - base).detach()
        if name.split(".")[-2] in TARGETS:
            values = torch.linalg.svdvals(change.double())
            assert values[2] > 1e-5 * values[0] > 0, name
            assert values[3] < 1e-4 * values[0], name
        else:
            assert not change.any(), name
    assert all(p.requires_grad for p in merged.parameters())
    full = continued(model, other_text, setting)  # the control: training without rank
    weight = "model.layers.0.mlp.up_proj.weight"
    values = torch.linalg.svdvals(full.get_parameter(weight) - model.get_parameter(weight))
    assert values[3] > 1e-3 * values[0]


def test_log_likelihood_is_the_sum_over_the_response(model, text):
    ids = torch.from_numpy(text[:40].astype(np.int64)).view(2, 20)
    with torch.no_grad():
        got = log_likelihood(model, ids[:, :12], ids[:, 12:])
        every = model(input_ids=ids).logits.log_softmax(-1)
    wanted = sum(every[:, t - 1].gather(1, ids[:, t : t + 1])[:, 0] for t in range(12, 20))
    assert torch.allclose(got, wanted, atol=1e-4)


def test_dpo_raises_the_preference_margin(model, text, setting):
    pairs = preferences(text, 32, setting.context, 0)
    assert len(pairs) == 32 and pairs.chosen.shape == (32, setting.context // 2)
    assert not torch.equal(pairs.chosen, pairs.rejected)
    tuned = dpo(model, pairs, replace(setting, steps=20, rate=1e-3))
    # The control: wishes turned round turn the margin round.
    turned = Preferences(pairs.prompt, pairs.rejected, pairs.chosen)
    other = dpo(model, turned, replace(setting, steps=20, rate=1e-3))
    with torch.no_grad():
        assert (margins(model, model, pairs) == 0).all()
        assert margins(tuned, model, pairs).mean() > 0.5
        assert margins(other, model, pairs).mean() < -0.5


def test_dpo_stays_nearer_with_a_larger_beta(model, text, setting):
    pairs = preferences(text, 16, setting.context, 0)
    long = replace(setting, steps=40, rate=1e-3)
    tuned = [dpo(model, pairs, long, beta) for beta in (0.05, 2.0)]
    with torch.no_grad():
        weak, strong = (margins(t, model, pairs).mean() for t in tuned)
    assert 0 < strong < weak


def test_sampling_follows_the_model(model, text):
    """Many samples of the next token have the frequencies of its distribution."""
    prompt = torch.from_numpy(text[:10].astype(np.int64))[None]
    drawn = sample(model, prompt.repeat(4000, 1), 1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(input_ids=prompt).logits[0, -1].softmax(-1)
    seen = torch.bincount(drawn[:, 0], minlength=len(wanted)) / 4000
    assert (seen - wanted).abs().max() < 0.03
    assert (seen - wanted.roll(1)).abs().max() > 0.1  # the control


def test_sampling_with_the_cache_is_that_without(model, text):
    prompt = torch.from_numpy(text[:16].astype(np.int64)).view(2, 8)
    got = sample(model, prompt, 6, torch.Generator().manual_seed(1))
    draw, whole = torch.Generator().manual_seed(1), prompt
    for _ in range(6):
        with torch.no_grad():
            last = model(input_ids=whole).logits[:, -1].softmax(-1)
        whole = torch.cat((whole, torch.multinomial(last, 1, generator=draw)), 1)
    assert torch.equal(got, whole[:, 8:])


def test_spin_prefers_the_text_to_its_own_answers(model, other_text, setting):
    real = preferences(other_text, 32, setting.context, 0)
    told = []
    how = replace(setting, steps=21, rate=1e-3)
    tuned = spin(model, real, how, progress=lambda *s: told.append(s))
    assert told == [(i, 21) for i in range(1, 22)]
    own = self_play(model, real, torch.Generator().manual_seed(8))
    assert torch.equal(own.chosen, real.chosen) and not torch.equal(own.rejected, real.rejected)
    with torch.no_grad():
        assert margins(tuned, model, own).mean() > 0.5
        chosen = log_likelihood(tuned, real.prompt, real.chosen)
        assert (chosen > log_likelihood(model, real.prompt, real.chosen)).float().mean() > 0.8
    assert same(spin(model, real, replace(how, steps=0)), model)  # the control


def test_a_student_nears_its_teacher_in_function_only(model, text, setting):
    how = replace(setting, steps=60, rate=1e-2)
    student = distil(model, text, how)
    untrained = fresh(model, how.seed)
    ids = torch.from_numpy(text[:240].astype(np.int64)).view(10, 24)
    with torch.no_grad():
        assert divergence(model, model, ids) < 1e-6
        assert divergence(student, model, ids) < 0.5 * divergence(untrained, model, ids)
    a, b = (
        torch.cat([p.detach().flatten() for n, p in m.named_parameters() if "norm" not in n])
        for m in (student, model)
    )
    assert abs(float(torch.nn.functional.cosine_similarity(a, b, dim=0))) < 0.2
