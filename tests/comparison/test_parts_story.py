"""What happened, in words: every case is built and must be named, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from huref_zk.attacks import ATTACKS, Checkpoint, read_checkpoint
from huref_zk.attacks.checkpoint import name_of
from huref_zk.comparison.parts.finding import NAMES, Finding, percent, ranges
from huref_zk.comparison.parts.story import what_happened
from tests.support.franken import (
    aligned_stranger,
    matched,
    mixed_neurons,
    noisy,
    of_layers,
    of_width,
)

Build = Callable[[Checkpoint, Checkpoint], Checkpoint]


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return read_checkpoint("demo-base")


@pytest.fixture(scope="module")
def stranger(base: Checkpoint) -> Checkpoint:
    return aligned_stranger(base, read_checkpoint("demo-stranger"))


def told(a: Checkpoint, b: Checkpoint) -> dict[str, Finding]:
    found = what_happened(matched(a.model(), b.model()))
    assert [(f.name, f.confidence) for f in found if not 0 <= f.confidence <= 1] == []
    assert all(f.name in NAMES and f.words for f in found)
    return {f.name: f for f in found}


def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def attacked(name: str) -> Build:
    return lambda base, _: ATTACKS[name].run(base, rng())


def layers(*order: int) -> Build:
    """Layers of the base; those below 0 are the stranger's."""

    def build(base: Checkpoint, stranger: Checkpoint) -> Checkpoint:
        return of_layers(base, [(base, i) if i >= 0 else (stranger, -i - 1) for i in order])

    return build


def changed(parts: str, at: tuple[int, ...], change: Callable) -> Build:
    """The base with ``change(matrix, generator)`` on some matrices of some layers."""

    def build(base: Checkpoint, _: Checkpoint) -> Checkpoint:
        generator, tensors = rng(), dict(base.tensors)
        for i in at:
            for part in parts.split():
                w = tensors[name_of(i, part)]
                tensors[name_of(i, part)] = (w + change(w, generator)).astype(w.dtype)
        return replace(base, tensors=tensors)

    return build


def noise(w: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return 0.2 * w.std() * generator.normal(size=w.shape)


def low_rank(w: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    a, b = generator.normal(size=(len(w), 4)), generator.normal(size=(4, w.shape[1]))
    return 0.1 * w.std() * (a @ b)


def without_heads(base: Checkpoint, _: Checkpoint) -> Checkpoint:
    """Half of the heads of each layer write nothing."""
    tensors = dict(base.tensors)
    for i in range(base.sizes.layers):
        w = tensors[name_of(i, "o")].copy()
        w[:, : w.shape[1] // 2] = 0
        tensors[name_of(i, "o")] = w
    return replace(base, tensors=tensors)


def fewer(base: Checkpoint, _: Checkpoint) -> Checkpoint:
    return of_width(base, lambda rows: rows[rng().permutation(192)[:144]], 144)


def more(base: Checkpoint, _: Checkpoint) -> Checkpoint:
    def widened(rows: np.ndarray) -> np.ndarray:
        new = rows.std(axis=0) * rng().normal(size=(48, rows.shape[1]))
        return np.concatenate([rows, new.astype(rows.dtype)])

    return of_width(base, widened, 240)


ALL = (0, 1, 2, 3)
CASES: dict[str, tuple[Build, set[str], str]] = {
    "a rotation": (attacked("residual-rotation"), {"copy"}, "100 % of A's neurons are unchanged"),
    "noise everywhere": (
        lambda base, _: noisy(base, rng(), 0.2),
        {"trained further"},
        "trained further",
    ),
    "half the layers trained": (
        changed("gate up down q k v o", (2, 3), noise),
        {"trained further", "only some layers trained"},
        "B's layers 0-1 are as good as unchanged; layers 2-3 moved.",
    ),
    "low-rank changes": (
        changed("gate up down", ALL, low_rank),
        {"low-rank training"},
        "by matrices of low rank",
    ),
    "attention trained": (
        changed("q k v o", ALL, noise),
        {"only attention trained"},
        "heads have moved",
    ),
    "depth up-scaling": (
        layers(0, 1, 2, 1, 2, 3),
        {"copy", "depth up-scaling"},
        "6 of B's 6 layers are A's layers 0-2 and 1-3.",
    ),
    "every layer twice": (
        layers(0, 0, 1, 1, 2, 2, 3, 3),
        {"copy", "layers doubled"},
        "A's layers 0-3 are there more than once",
    ),
    "a layer dropped": (
        layers(0, 2, 3),
        {"copy", "layers dropped"},
        "A's layer 1 (1 of 4) is not in B.",
    ),
    "a layer inserted": (
        layers(0, 1, -3, 2, 3),
        {"copy", "layers inserted"},
        "B's layer 2 (1 of 5) is new.",
    ),
    "layers drawn anew": (
        layers(0, 1, -3, -4),
        {"copy", "layers re-drawn"},
        "In the place of A's layers 2-3 B has layers 2-3 with nothing of A",
    ),
    "layers in another order": (
        layers(0, 2, 1, 3),
        {"copy", "layers reordered"},
        "0, 2, 1, 3",
    ),
    "blocks that add nothing": (
        attacked("appended-blocks"),
        {"copy", "idle layers", "silent neurons", "silent heads"},
        "B's layers 4-5 are idle",
    ),
    "blocks split in two": (
        attacked("block-splitting"),
        {"copy", "blocks split", "silent neurons", "silent heads"},
        "are the attention of layers of A",
    ),
    "neurons of a layer in two": (
        attacked("neuron-spreading"),
        {"copy", "layers spread", "silent neurons", "silent heads"},
        "spread over several layers of B",
    ),
    "neurons pruned": (
        fewer,
        {"copy", "neurons pruned"},
        "192 of A's 768 neurons (25 %)",
    ),
    "neurons added": (
        more,
        {"copy", "neurons added"},
        "192 of B's 960 neurons (20 %)",
    ),
    "neurons split": (
        attacked("neuron-splitting"),
        {"copy", "neurons split"},
        "further pieces of neurons of A",
    ),
    "zero gates": (
        attacked("zero-gate-neurons"),
        {"copy", "silent neurons"},
        "128 of B's 896 neurons do nothing",
    ),
    "heads pruned": (
        without_heads,
        {"copy", "heads pruned", "silent heads"},
        "8 of A's 16 heads (50 %)",
    ),
    "experts made of a dense block": (
        attacked("unrouted-experts"),
        {"copy", "sparse upcycling", "neurons added"},
        "8 of B's 16 experts, in 4 layers, are copies of A's dense feed-forward blocks",
    ),
    "neurons dealt out to other layers": (
        lambda base, stranger: mixed_neurons(base, stranger, rng(), 0.95).checkpoint,
        {"copy", "layers mixed", "neurons added", "neurons pruned"},
        "are made of parts of several of A's layers",
    ),
    "another model": (
        lambda base, stranger: stranger,
        {"strangers"},
        "0 of B's 768 neurons and 0 of its 16 heads are found in A",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_done_is_named(base: Checkpoint, stranger: Checkpoint, case: str):
    build, names, words = CASES[case]
    found = told(base, build(base, stranger))
    assert set(found) == names
    assert any(words in f.words for f in found.values()), [f.words for f in found.values()]
    assert [(f.name, f.confidence) for f in found.values() if f.confidence < 0.9] == []


def test_merging_is_splitting_the_other_way_round(base: Checkpoint):
    split = ATTACKS["neuron-splitting"].run(base, rng())
    assert set(told(split, base)) == {"copy", "neurons merged"}


def test_layers_of_two_bases_are_told_apart(base: Checkpoint, stranger: Checkpoint):
    b = noisy(layers(0, -2, 2, -4)(base, stranger), rng(), 0.1).model()
    of_base, of_other = matched(base.model(), b), matched(stranger.model(), b)
    (found,) = what_happened(of_base, of_other)
    assert found.name == "two bases" and found.confidence > 0.99
    assert found.words == (
        "50 % of B's neurons are A's and 50 % are the second base's. B's layers 0, 2 are A's. B's "
        "layers 1, 3 are the second base's."
    )
    alone = what_happened(matched(base.model(), base.model()), matched(stranger.model(), b))
    assert [f.name for f in alone] == ["copy"]  # the control: a second base that adds nothing


def test_neurons_of_two_bases_are_told_apart(base: Checkpoint, stranger: Checkpoint):
    truth = mixed_neurons(base, stranger, rng(), 0.75)
    b = truth.checkpoint.model()
    (found,) = what_happened(matched(base.model(), b), matched(stranger.model(), b))
    assert found.evidence["shares"] == [0.75, 0.25]
    by_layer = (truth.layer >= 0).mean(axis=1)
    assert np.allclose(np.array(found.evidence["by_layer"])[:, 0], by_layer, atol=0.01)


def test_numbers_in_words():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8" and ranges([]) == ""
    assert [percent(x) for x in (0, 0.001, 0.5, 0.999, 1)] == [
        "0 %",
        "under 1 %",
        "50 %",
        "over 99 %",
        "100 %",
    ]
