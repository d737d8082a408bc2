"""Comparing whole models: what cannot hide, what is flagged, what saved fingerprints allow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from huref_zk.comparison.compare import Side, compare, open_side
from huref_zk.comparison.null import fit, fit_extreme, unrelated_pairs, unrelated_table
from huref_zk.comparison.saved import make_fingerprint, write_fingerprint
from huref_zk.comparison.verdict import RELATED_RATE, judge
from huref_zk.comparison.views import LAYERS as LAYERS_VIEW
from huref_zk.comparison.views import NAMES, NO_TOKENS, WHOLE, View
from huref_zk.errors import InputError
from tests.support.random_llm import HIDDEN, LAYERS, MemoryModel, llama, llama_config, llama_tensors


def side(model, name="m"):
    return Side(name, model, None)


def noisy(tensors, scale, seed=9):
    rng = np.random.default_rng(seed)
    return {k: v + scale * v.std() * rng.normal(size=v.shape) for k, v in tensors.items()}


@pytest.fixture(scope="module")
def base():
    return llama_tensors(1)


def with_layers(tensors, order):
    """The model whose layers are those of ``order``, in that order."""
    out = {k: v for k, v in tensors.items() if "layers." not in k}
    for new, old in enumerate(order):
        start = f"model.layers.{old}."
        for k, v in tensors.items():
            if k.startswith(start):
                out[f"model.layers.{new}." + k[len(start) :]] = v.copy()
    return MemoryModel(llama_config(num_hidden_layers=len(order)), out)


def test_a_noisy_copy_is_related_and_a_stranger_is_not(base):
    a = side(MemoryModel(llama_config(), base))
    near = compare(a, side(MemoryModel(llama_config(), noisy(base, 0.05))))
    far = compare(a, side(llama(2)))
    assert near.verdict.word == "related" and near.score > 0.9
    assert near.layers.pairs == tuple((i, i) for i in range(LAYERS))
    assert not near.rearranged and near.pcs > 0.99
    assert far.verdict.word == "unrelated" and far.score < 0.3
    assert [j.view.name for j in near.views] == list(NAMES)


@pytest.mark.parametrize(
    "order", [(0, 1), (2, 3), (0, 2, 3), (0, 1, 1, 2, 3), (0, 1, 2, 3, 3, 3)], ids=str
)
def test_dropped_and_doubled_blocks_do_not_hide_a_model(base, order):
    a = side(MemoryModel(llama_config(), base))
    c = compare(a, side(with_layers(noisy(base, 0.05), order)))
    assert c.verdict.word == "related"
    assert c.score > 0.9
    assert all(order[j] == i for i, j in c.layers.pairs)
    control = compare(a, side(with_layers(llama_tensors(2), order)))
    assert control.verdict.word != "related"


def test_rearranged_parameters_are_flagged_and_only_they(base):
    turned = {k: v.copy() for k, v in base.items()}
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(HIDDEN, HIDDEN)))[0]
    for k, v in turned.items():
        if k.endswith("layernorm.weight") or k == "model.norm.weight":
            v[:] = 1  # a rotation commutes with the norm only without gains
    plain = {k: v.copy() for k, v in turned.items()}
    for k, v in turned.items():
        if "o_proj" in k or "down_proj" in k:
            turned[k] = rotation.T @ v
        elif v.ndim == 2:
            turned[k] = v @ rotation
    a = side(MemoryModel(llama_config(), plain))
    c = compare(a, side(MemoryModel(llama_config(), turned)))
    assert c.verdict.word == "related" and c.score > 0.999
    assert c.pcs < 0.5 and c.rearranged
    control = compare(a, a)
    assert not control.rearranged and control.pcs == pytest.approx(1)


def test_models_of_other_sizes_are_compared_without_pcs(base):
    a = side(MemoryModel(llama_config(), base))
    other = llama(3, hidden_size=24, num_attention_heads=3, num_key_value_heads=3)
    c = compare(a, side(other))
    assert c.pcs is None and not c.rearranged
    assert c.verdict.word != "related"


def test_swapping_the_two_changes_nothing_but_their_places(base):
    a = side(MemoryModel(llama_config(), base), "a")
    b = side(with_layers(noisy(base, 0.05), (0, 2, 3)), "b")
    x, y = compare(a, b), compare(b, a)
    assert (x.a, x.b) == (y.b, y.a)
    assert x.layers.pairs == tuple((j, i) for i, j in y.layers.pairs)
    for name in (WHOLE, LAYERS_VIEW):
        assert x.view(name).view.score == pytest.approx(y.view(name).view.score, abs=1e-6)


def test_a_saved_fingerprint_does_as_well_as_the_model(tmp_path):
    path = tmp_path / "base.hzf"
    write_fingerprint(path, make_fingerprint("demo-base"))
    models = compare(open_side("demo-base"), open_side("demo-child"))
    half = compare(open_side(str(path)), open_side("demo-child"))
    flipped = compare(open_side("demo-child"), open_side(str(path)))
    assert half.score == pytest.approx(models.score, abs=0.02)  # other tokens: the model's own
    assert flipped.score == pytest.approx(half.score)
    assert half.layers.pairs == models.layers.pairs
    assert half.pcs == pytest.approx(models.pcs)
    assert half.parts is None and half.findings == () and models.parts is not None
    assert [j.view.name for j in half.views] == [WHOLE, LAYERS_VIEW, NO_TOKENS]
    both = compare(open_side(str(path)), open_side(str(path)))
    assert both.score == pytest.approx(1) and both.verdict.word == "related"


def test_two_saved_fingerprints_need_the_same_tokens():
    saved = make_fingerprint("demo-base")
    other = replace(saved, tokens=replace(saved.tokens, texts=("x", *saved.tokens.texts[1:])))
    a, b = Side("a", None, saved), Side("b", None, other)
    assert compare(a, a).score == pytest.approx(1)
    with pytest.raises(InputError, match="fingerprinted over different tokens"):
        compare(a, b)


def test_the_embedded_family():
    child = compare(open_side("demo-base"), open_side("demo-child"))
    stranger = compare(open_side("demo-base"), open_side("demo-stranger"))
    assert child.verdict.word == "related" and not child.rearranged and child.score > 0.9
    assert stranger.verdict.word == "unrelated" and stranger.score < 0.1
    said = child.describe()
    assert said["verdict"]["rate"] == RELATED_RATE and set(said["views"]) == set(NAMES)
    # Every view by itself tells them apart.
    for name in NAMES:
        assert child.view(name).related and not stranger.view(name).related
    assert len(said["views"][WHOLE]["frames"]) == 13
    assert json.loads(json.dumps(said))["views"] == said["views"]


def test_tokens_known_by_number_only_are_said(base):
    c = compare(side(MemoryModel(llama_config(), base)), side(llama(2)))
    assert c.tokens_by == "number" and any("by their number only" in note for note in c.notes)
    named = compare(open_side("demo-base"), open_side("demo-base"))
    assert named.tokens_by == "text" and named.notes == ()


# --- verdicts ------------------------------------------------------------------------------------


def view(name, statistic, shuffled=(0.0, 1.0, -1.0)):
    """Whose shuffles are as far from it as matters."""
    values = np.array(shuffled * 20) * 1e-4 if len(shuffled) == 3 else np.array(shuffled)
    return View(name, statistic, statistic, values, {})


def test_one_view_is_enough_and_chance_is_corrected_for():
    low = [view(name, unrelated_pairs(name).mean) for name in NAMES]
    judged, verdict = judge(low)
    assert verdict.word == "unrelated" and not any(j.related for j in judged)
    for n, name in enumerate(NAMES):
        table = unrelated_pairs(name)
        far, near = (table.threshold(rate / 4) for rate in (RELATED_RATE / 2, 2 * RELATED_RATE))
        judged, verdict = judge([*low[:n], view(name, far), *low[n + 1 :]])
        assert verdict.word == "related" and [j.related for j in judged].count(True) == 1
        assert verdict.p == pytest.approx(RELATED_RATE / 2, rel=1e-3)
        assert judge([*low[:n], view(name, near), *low[n + 1 :]])[1].word == "cannot tell"
        # One view alone is not corrected for others.
        assert judge([view(name, near)])[1].word == "related"


def test_a_view_whose_shuffles_reach_as_high_counts_nothing():
    far = unrelated_pairs(WHOLE).threshold(1e-9)
    shuffled = far + np.linspace(-0.1, 0.1, 40)
    assert judge([view(WHOLE, far)])[1].word == "related"
    judged, verdict = judge([view(WHOLE, far, shuffled)])
    assert verdict.word == "unrelated" and judged[0].p == judged[0].p_shuffled


def test_the_score_is_that_of_the_views_that_tell():
    strong = view(NO_TOKENS, unrelated_pairs(NO_TOKENS).threshold(1e-12))
    weak = [view(WHOLE, 0.02), view(LAYERS_VIEW, 0.03)]
    hidden = replace(strong, score=0.7)
    assert judge([*weak, hidden])[1].score == 0.7
    trend = replace(strong, score=0.4)  # sure, but too little to be more than a trend
    assert judge([*weak, trend])[1].word == "unrelated"
    chance = replace(view(NO_TOKENS, 0.0), score=0.2)
    assert judge([*weak, chance])[1].score == 0.03  # of whole and layers, where none tells


# --- the null ----------------------------------------------------------------------------------


def test_p_values_are_those_of_students_t():
    null = fit([0.0, 1.0, 2.0, 3.0, 4.0])
    assert (null.mean, null.count) == (2.0, 5)
    assert null.sd == pytest.approx(np.sqrt(2.5))
    assert null.p_value(2.0) == pytest.approx(0.5)
    # t = 2.776 leaves 2.5 % above at 4 degrees of freedom, in every table.
    assert null.p_value(2 + 2.776 * np.sqrt(2.5 * 1.2)) == pytest.approx(0.025, abs=1e-4)
    assert null.p_value(null.threshold(1e-6)) == pytest.approx(1e-6, rel=1e-3)


def test_the_tables_law_is_gumbels():
    """By its moments; its tail is exponential, far heavier than a normal's."""
    null = fit_extreme([0.0, 1.0, 2.0, 3.0, 4.0])
    law = null.law()
    assert (law.mean(), law.std()) == pytest.approx((2.0, null.sd)) and null.sd >= np.sqrt(2.5)
    scale = null.sd * np.sqrt(6) / np.pi
    far = law.mean() + 10 * law.std()
    assert null.p_value(far + scale) / null.p_value(far) == pytest.approx(np.exp(-1), rel=1e-3)


def test_the_bundled_table_bounds_the_rate():
    """No pair of the table is called related, each judged by its views' statistics."""
    table = unrelated_table()
    assert len(table) >= 60
    for pair in table:
        _, verdict = judge([view(n, s) for n, s in pair["statistics"].items()])
        assert verdict.word != "related", pair
    for name in NAMES:
        assert unrelated_pairs(name).count >= 60
