"""What a thief may do that costs the model little: compare says related, with a high score.

Each attack by itself, and several at once; the control is the same done to a stranger.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.attacks import attack, read_checkpoint
from huref_zk.attacks.checkpoint import EMBEDDING, HEAD, Checkpoint
from huref_zk.comparison.compare import Comparison, Side, compare, open_side


def held(model: Checkpoint) -> Comparison:
    return compare(open_side("demo-base"), Side("attacked", model.model(), None))


def done(model: Checkpoint, *names: str) -> Checkpoint:
    for n, name in enumerate(names):
        model = attack(name, model, seed=n)
    return model


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return read_checkpoint("demo-base")


@pytest.mark.parametrize(
    "names",
    [
        ("zero-gate-neurons",),
        ("silent-heads",),
        ("appended-blocks",),
        ("block-splitting",),
        ("embedding-adapter",),
        ("residual-rotation", "small-blocks"),
        ("zero-gate-neurons", "silent-heads", "small-blocks", "residual-widening"),
        ("marked-stream",),
    ],
    ids=", ".join,
)
def test_exact_attacks_hide_nothing(base, names):
    c = held(done(base, *names))
    assert c.verdict.word == "related" and c.score > 0.98


def redrawn(model: Checkpoint, first: int) -> Checkpoint:
    """Rows of the embedding from ``first`` on, by the order of learning, drawn anew; the output
    stays."""
    order = list(model.token_order)[model.alphabet :] + list(model.token_order)[: model.alphabet]
    tensors = {k: v.copy() for k, v in model.tensors.items()}
    tensors.setdefault(HEAD, tensors[EMBEDDING].copy())
    rows = order[first:]
    rng = np.random.default_rng(2)
    E = tensors[EMBEDDING]
    E[rows] = rng.normal(scale=E.std(), size=(len(rows), E.shape[1])).astype(E.dtype)
    return replace(model, tensors=tensors)


def disturbed(model: Checkpoint) -> Checkpoint:
    """The matrices of the last two layers with noise as large as they are."""
    rng = np.random.default_rng(4)
    last = tuple(f"model.layers.{i}." for i in (model.sizes.layers - 2, model.sizes.layers - 1))
    tensors = {
        k: (v + v.std() * rng.normal(size=v.shape)).astype(v.dtype)
        if k.startswith(last) and v.ndim == 2
        else v
        for k, v in model.tensors.items()
    }
    return replace(model, tensors=tensors)


def test_re_drawn_rows_leave_the_others(base):
    quarter = held(redrawn(base, 3 * len(base.token_order) // 4))
    assert quarter.verdict.word == "related" and quarter.score > 0.98
    assert quarter.view("whole").view.frames["eighth 8"] < 0.2  # the control: these rows are gone
    # One eighth left, the first learnt; and none, of the embedding.
    most = held(redrawn(base, len(base.token_order) // 8))
    assert most.verdict.word == "related" and most.view("whole").view.frames["eighth 1"] > 0.9
    assert held(redrawn(base, 0)).verdict.word == "related"


def test_disturbed_layers_leave_the_others(base):
    c = held(disturbed(base))
    assert c.verdict.word == "related" and c.score > 0.75


def test_all_of_it_together(base):
    rows = redrawn(base, 3 * len(base.token_order) // 4)
    names = ("zero-gate-neurons", "silent-heads", "small-blocks")
    c = held(done(disturbed(rows), *names))
    assert c.verdict.word == "related" and c.score > 0.6


def test_the_same_done_to_a_stranger_makes_no_kin():
    stranger = read_checkpoint("demo-stranger")
    names = ("zero-gate-neurons", "silent-heads", "small-blocks", "residual-widening")
    assert held(done(stranger, *names)).verdict.word != "related"
    assert held(done(stranger, "embedding-adapter")).verdict.word != "related"
