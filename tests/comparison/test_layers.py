"""Sketches of all layers, and the matching that finds moved ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from huref_zk.comparison.layers import (
    Opened,
    layer_ics,
    layer_sketches,
    match_layers,
    matched_score,
    rows_of,
)
from huref_zk.comparison.tokens import MISSING
from huref_zk.invariants.canonical import embed, layer_pair
from huref_zk.invariants.sketch import PUBLIC_SEED, signs
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from tests.support.random_llm import LAYERS, form, llama, maps

P = 8


def opened(model, ids):
    family = family_for(model)
    return Opened(model, family, dimensions(model, family), rows_of(model, family, ids))


@pytest.fixture(scope="module")
def ids():
    return np.arange(96, 160)


def test_a_sketch_is_a_layers_map_between_two_sign_matrices(ids):
    model = llama(3)
    family = family_for(model)
    plain = Opened(model, family, dimensions(model, family), embed(model, family, ids))
    found, _ = layer_sketches(plain, PUBLIC_SEED, P)
    left, right = (signs(PUBLIC_SEED, side, P, 64).astype(float) for side in "LR")
    wanted = np.array([left @ m @ right.T for m in maps(form(model, 64))])
    assert found.shape == (LAYERS, 3, P, P)
    np.testing.assert_allclose(
        found[-2:].reshape(6, P, P), wanted, atol=1e-4 * np.abs(wanted).max()
    )


def test_shuffled_sketches_are_those_of_a_model_with_shuffled_rows(ids):
    model, rng = llama(3), np.random.default_rng(0)
    shuffles = np.array([rng.permutation(64) for _ in range(2)])
    rows = opened(model, ids)
    plain, shuffled = layer_sketches(rows, PUBLIC_SEED, P, shuffles)
    assert shuffled.shape == (2, LAYERS, 3, P, P)
    U, V, (_, _, width) = layer_pair(model, rows.family, rows.dims, LAYERS - 1)
    full = rows.E @ U[:, -width:] @ V[:, -width:].T @ rows.E.T  # the last layer's term f, K x K
    moved = full[np.ix_(shuffles[1], shuffles[1])]
    left, right = (signs(PUBLIC_SEED, side, P, 64).astype(float) for side in "LR")
    np.testing.assert_allclose(
        shuffled[1, -1, 2], left @ moved @ right.T, atol=1e-4 * np.abs(plain).max()
    )


def test_missing_tokens_add_nothing(ids):
    model = llama(3)
    partly = ids.copy()
    partly[::4] = MISSING
    rows = rows_of(model, family_for(model), partly)
    assert not rows[::4].any()
    np.testing.assert_allclose(rows.sum(axis=0), 0, atol=1e-9)
    assert rows[1::4].any()


def test_what_all_models_share_is_taken_off(ids):
    """A direction shared with a stranger, strong and the same for every token, does not count."""
    model, other = llama(3), llama(4)
    frequency = np.random.default_rng(2).normal(size=160)
    plain = score(model, other, ids)
    for m, direction in ((model, 0), (other, 5)):
        m.tensors["model.embed_tokens.weight"][:, direction] += 30 * frequency
    shared = [embed(m, family_for(m), ids) for m in (model, other)]
    assert np.corrcoef(shared[0][:, 0], shared[1][:, 5])[0, 1] > 0.99
    assert score(model, other, ids) == pytest.approx(plain, abs=0.1)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(32, 32)))[0]
    rows = rows_of(model, family_for(model), ids)
    model.tensors["model.embed_tokens.weight"] = model.tensors["model.embed_tokens.weight"] @ turn
    np.testing.assert_allclose(rows_of(model, family_for(model), ids), rows @ turn, atol=1e-4)


def score(a, b, ids):
    x, y = (layer_sketches(opened(m, ids), PUBLIC_SEED, P)[0] for m in (a, b))
    return matched_score(layer_ics(x, y))[0]


def test_layer_ics_is_the_cosine_of_the_maps():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(5, 3, 4, 4))
    y[4, 1] = 0
    found = layer_ics(x, y)
    assert found.shape == (2, 5, 3)
    a, b = x[1, 2].ravel(), y[3, 2].ravel()
    assert found[1, 3, 2] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert not found[:, 4, 1].any()


def test_the_matching_is_the_best_increasing_one():
    rng = np.random.default_rng(5)
    for _ in range(20):
        scores = rng.normal(size=(4, 5))
        pairs = match_layers(scores)
        assert all(i < k and j < m for (i, j), (k, m) in itertools.pairwise(pairs))
        assert sum(scores[p] for p in pairs) == pytest.approx(best_by_hand(scores))


def best_by_hand(scores):
    """The same by trying everything."""
    n, m = scores.shape
    if not n or not m:
        return 0.0
    rest = best_by_hand(scores[1:])
    return max([rest] + [scores[0, j] + best_by_hand(scores[1:, j + 1 :]) for j in range(m)])


def ics_like(n, m, alike):
    """ICS (n, m, 3): 0.9 for the pairs in ``alike``, near zero elsewhere."""
    ics = np.random.default_rng(0).normal(scale=0.02, size=(n, m, 3))
    for pair in alike:
        ics[pair] = 0.9
    return ics


@pytest.mark.parametrize(
    ("what", "n", "m", "alike"),
    [
        ("the same", 6, 6, [(i, i) for i in range(6)]),
        ("the last two dropped", 6, 4, [(i, i) for i in range(4)]),
        ("one in the middle dropped", 6, 5, [(i, i - (i > 2)) for i in range(6) if i != 2]),
        ("two appended", 6, 8, [(i, i) for i in range(6)]),
        ("one put in front", 6, 7, [(i, i + 1) for i in range(6)]),
    ],
)
def test_blocks_that_come_and_go_do_not_hide_a_model(what, n, m, alike):
    score, pairs = matched_score(ics_like(n, m, alike))
    assert set(alike) <= set(pairs)
    assert score == pytest.approx(0.9, abs=0.03)


def test_without_kin_the_score_stays_low():
    score, _ = matched_score(ics_like(6, 6, []))
    assert 0 <= score < 0.05
