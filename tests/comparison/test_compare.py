"""Comparing whole models: what cannot hide, what is flagged, what saved fingerprints allow."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.comparison.compare import Side, compare, open_side
from huref_zk.comparison.null import (
    RELATED_RATE,
    Null,
    fit,
    fit_extreme,
    judge,
    unrelated_pairs,
    unrelated_table,
)
from huref_zk.comparison.saved import make_fingerprint, write_fingerprint
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
    assert near.pairs == tuple((i, i) for i in range(LAYERS))
    assert not near.rearranged and near.pcs > 0.99
    assert far.verdict.word == "unrelated" and far.score < 0.2
    assert min(near.whole) > 0.8 and np.abs(far.whole).max() < 0.3


@pytest.mark.parametrize(
    "order", [(0, 1), (2, 3), (0, 2, 3), (0, 1, 1, 2, 3), (0, 1, 2, 3, 3, 3)], ids=str
)
def test_dropped_and_doubled_blocks_do_not_hide_a_model(base, order):
    a = side(MemoryModel(llama_config(), base))
    c = compare(a, side(with_layers(noisy(base, 0.05), order)))
    assert c.verdict.word == "related"
    assert c.score > 0.9
    assert all(order[j] == i for i, j in c.pairs)
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
    assert c.verdict.word == "unrelated"


def test_swapping_the_two_changes_nothing_but_their_places(base):
    a = side(MemoryModel(llama_config(), base), "a")
    b = side(with_layers(noisy(base, 0.05), (0, 2, 3)), "b")
    x, y = compare(a, b), compare(b, a)
    assert (x.a, x.b) == (y.b, y.a)
    assert x.score == pytest.approx(y.score)
    assert x.pairs == tuple((j, i) for i, j in y.pairs)
    assert x.overall("official") == pytest.approx(y.overall("official"))


def test_a_saved_fingerprint_does_as_well_as_the_model(tmp_path):
    path = tmp_path / "base.hzf"
    write_fingerprint(path, make_fingerprint("demo-base"))
    models = compare(open_side("demo-base"), open_side("demo-child"))
    half = compare(open_side(str(path)), open_side("demo-child"))
    flipped = compare(open_side("demo-child"), open_side(str(path)))
    assert half.score == pytest.approx(models.score, abs=1e-3)
    assert flipped.score == pytest.approx(half.score)
    assert half.pairs == models.pairs
    assert half.shuffled is not None and half.pcs is None
    assert half.whole is None and min(models.whole) > 0.9
    both = compare(open_side(str(path)), open_side(str(path)))
    assert both.score == pytest.approx(1) and both.shuffled is None
    assert both.verdict.word == "related" and both.verdict.p_shuffled is None


def test_two_saved_fingerprints_need_the_same_tokens():
    saved = make_fingerprint("demo-base")
    other = type(saved)(**{**vars(saved), "tokens": _shifted(saved.tokens)})
    a, b = Side("a", None, saved), Side("b", None, other)
    assert compare(a, a).score == pytest.approx(1)
    with pytest.raises(InputError, match="fingerprinted over different tokens"):
        compare(a, b)


def _shifted(tokens):
    texts = ("another word", *tokens.texts[1:])
    return type(tokens)(tokens.ids, texts)


def test_the_embedded_family():
    child = compare(open_side("demo-base"), open_side("demo-child"))
    stranger = compare(open_side("demo-base"), open_side("demo-stranger"))
    assert child.verdict.word == "related" and not child.rearranged
    assert stranger.verdict.word == "unrelated"
    assert child.describe()["verdict"]["rate"] == RELATED_RATE


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
    assert (law.mean(), law.std()) == pytest.approx((2.0, np.sqrt(2.5)))
    scale = np.sqrt(2.5 * 6) / np.pi
    far = law.mean() + 10 * law.std()
    assert null.p_value(far + scale) / null.p_value(far) == pytest.approx(np.exp(-1), rel=1e-3)


def test_verdicts_follow_the_table_and_the_shuffles():
    null = unrelated_pairs()
    high, low = null.threshold(RELATED_RATE) + 0.01, null.mean
    between = (null.threshold(1e-2) + null.threshold(RELATED_RATE)) / 2
    clear, unclear = Null(0.0, 0.005, 32), Null(0.0, 10.0, 32)
    assert judge(high, clear).word == "related"
    assert judge(high, None).word == "related"
    assert judge(high, unclear).word == "cannot tell"
    assert judge(between, clear).word == "cannot tell"
    assert judge(low, clear).word == "unrelated"


def test_the_bundled_table_bounds_the_rate():
    """The threshold leaves at most 1e-6 of the fitted null, and none of the table's pairs."""
    null = unrelated_pairs()
    assert null.count >= 60
    verdict = judge(0.5, None)
    assert null.p_value(verdict.threshold) == pytest.approx(1e-6, rel=1e-3)
    assert verdict.rate <= 1e-6
    assert all(pair["score"] < verdict.threshold for pair in unrelated_table())
