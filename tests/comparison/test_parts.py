"""Parts of models put together from two, found again: precision and recall against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.attacks import ATTACKS, Checkpoint, read_checkpoint
from huref_zk.comparison.parts import matching
from huref_zk.comparison.parts.partners import NOBODY, Partners
from tests.support.franken import aligned_stranger, matched, mixed_neurons, noisy

KEEP_PLACES = (
    "residual-rotation",
    "gain-rescaling",
    "ffn-scaling",
    "value-mixing",
    "query-turning",
)
"""Exact rewrites that leave every neuron and head in its place."""


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return read_checkpoint("demo-base")


@pytest.fixture(scope="module")
def stranger(base: Checkpoint) -> Checkpoint:
    return aligned_stranger(base, read_checkpoint("demo-stranger"))


def rewritten(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    rng = np.random.default_rng(seed)
    for name in KEEP_PLACES:
        checkpoint = ATTACKS[name].run(checkpoint, rng)
    return checkpoint


def precision_recall(side: Partners, layer: np.ndarray, part: np.ndarray) -> tuple[float, float]:
    """Of partners told, those that are true; of true ones, those told."""
    told_layer, told_part = np.array(side.layer), np.array(side.part)
    told, there = told_layer != NOBODY, layer != NOBODY
    right = told & there & (told_layer == layer) & (told_part == part)
    return right.sum() / max(told.sum(), 1), right.sum() / there.sum()


@pytest.mark.parametrize(("share", "noise"), [(0.5, 0.0), (0.5, 0.1), (0.05, 0.1), (0.95, 0.1)])
def test_neurons_of_two_models_dealt_out_to_all_layers(
    base: Checkpoint, stranger: Checkpoint, share: float, noise: float
):
    rng = np.random.default_rng(7)
    truth = mixed_neurons(base, stranger, rng, share)
    b = noisy(rewritten(truth.checkpoint, 3), rng, noise)
    parts = matched(base.model(), b.model())
    precision, recall = precision_recall(parts.neurons.b, truth.layer, truth.part)
    assert precision >= 0.99 and recall >= 0.99
    assert abs(parts.share_b - share) < 0.01 and abs(parts.share_a - share) < 0.01
    of_other = matched(stranger.model(), b.model())
    foreign = np.broadcast_to(np.arange(4)[:, None], truth.layer.shape)
    where = np.where(truth.layer == NOBODY, foreign, NOBODY)
    precision, recall = precision_recall(
        of_other.neurons.b, where, np.broadcast_to(np.arange(192), where.shape)
    )
    assert precision >= 0.99 and recall >= 0.99


def test_the_search_by_samples_finds_what_the_whole_one_does(
    base: Checkpoint, stranger: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(7)
    truth = mixed_neurons(base, stranger, rng)
    b = noisy(rewritten(truth.checkpoint, 3), rng, 0.1)
    monkeypatch.setattr(matching, "WHOLE", 0)
    parts = matched(base.model(), b.model())
    precision, recall = precision_recall(parts.neurons.b, truth.layer, truth.part)
    assert precision >= 0.99 and recall >= 0.99


def test_a_child_is_found_and_a_stranger_is_not(base: Checkpoint):
    child = matched(base.model(), read_checkpoint("demo-child").model())
    assert child.score > 0.85 and child.share_a == child.share_b == child.heads.a.share() == 1
    other = matched(base.model(), read_checkpoint("demo-stranger").model())
    assert other.score < 0.01 and other.share_a == other.share_b == other.heads.a.share() == 0
    assert max(child.shuffled) < 0.01 and max(other.shuffled) < 0.01
    assert max(float(s.max()) for s in other.neurons.b.score) < 0.03


@pytest.mark.parametrize(
    "name",
    [
        "everything",
        "neuron-hiding",
        "head-splitting",
        "gate-turning",
        "unrouted-experts",
        "block-splitting",
    ],
)
def test_every_part_of_a_rewritten_model_is_found(base: Checkpoint, name: str):
    b = ATTACKS[name].run(base, np.random.default_rng(1))
    parts = matched(base.model(), b.model())
    assert parts.score > 0.95 and parts.share_a == 1 and parts.heads.a.share() == 1


def test_either_way_round_the_pairs_are_the_same(base: Checkpoint, stranger: Checkpoint):
    b = mixed_neurons(base, stranger, np.random.default_rng(5)).checkpoint
    there, back = matched(base.model(), b.model()), matched(b.model(), base.model())
    pairs = {tuple(p) for p in there.neurons.pairs.tolist()}
    assert pairs == {(i, m, j, n) for j, n, i, m in back.neurons.pairs.tolist()}
    assert there.score == pytest.approx(back.score) and there.share_a == back.share_b
