"""What is kept of a layer, and what is joined before it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.attacks import ATTACKS, Checkpoint, read_checkpoint
from huref_zk.attacks.checkpoint import name_of
from huref_zk.comparison.parts import view
from huref_zk.comparison.parts.joining import groups, join_heads, join_neurons
from huref_zk.comparison.parts.view import BYTES, SIZES, budget, token_projection
from huref_zk.errors import InputError
from huref_zk.models.reading import Dimensions
from tests.support.franken import matched, sketched


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return read_checkpoint("demo-base")


def sizes(layers: int, ffn: int) -> Dimensions:
    return Dimensions(4096, 32, 32, 128, ffn, layers, 32_000)


@pytest.mark.parametrize(("layers", "ffn"), [(4, 192), (32, 11_008), (80, 28_672), (32, 114_688)])
def test_a_models_sketches_stay_within_their_bytes(layers: int, ffn: int):
    found = budget(sizes(layers, ffn), sizes(4, 192))
    assert found.r in SIZES and found.kept > 0
    assert layers * min(ffn, found.kept) * 3 * 2 * found.r <= BYTES


def test_a_seven_billion_model_keeps_every_neuron():
    found = budget(sizes(32, 11_008))
    assert found.r == 128 and found.kept >= 11_008


def test_directions_see_neither_the_mean_nor_strong_patterns():
    rng = np.random.default_rng(1)
    pattern = rng.normal(size=512)
    X = rng.normal(size=(512, 64)) + 30 * np.outer(pattern, rng.normal(size=64))
    projection = token_projection([X.astype(np.float32), rng.normal(size=(512, 32))], 16)
    assert projection.shape == (512, 16)
    size = np.linalg.norm(projection, axis=0).mean()
    assert np.abs(projection.sum(axis=0)).max() < 1e-4 * size * np.sqrt(512)
    assert np.abs(pattern @ projection).max() < 0.05 * size * np.linalg.norm(pattern)
    plain = token_projection([rng.normal(size=(512, 64))], 16)  # the control: it is only taken off
    assert np.abs(pattern @ plain).max() > 0.5 * np.linalg.norm(plain, axis=0).mean()


def test_neurons_of_one_gate_are_joined():
    rng = np.random.default_rng(2)
    gate, up, down = (rng.normal(size=(50, 32)) for _ in range(3))
    n, m = 30 * rng.normal(size=(2, 32))
    wanted = np.outer(up[7], down[7])
    gate[[20, 40]] = gate[7]
    up[20], down[20] = -n, down[7] + m
    up[40], down[40] = -up[7], m
    up[7], down[7] = up[7] + n, down[7] + m
    found = groups(gate)
    assert [g.tolist() for g in found] == [[7, 20, 40]]
    leaders = join_neurons(up, down, found, gated=True)
    assert leaders[[7, 20, 40]].tolist() == [7, 7, 7] and (np.delete(leaders, [20, 40])).max() == 49
    assert np.allclose(np.outer(up[7], down[7]), wanted) and not up[[20, 40]].any()


def test_neurons_of_one_gate_that_are_two_stay_two():
    rng = np.random.default_rng(3)
    gate, up, down = (rng.normal(size=(9, 16)) for _ in range(3))
    gate[4] = gate[2]
    wanted = np.outer(up[2], down[2]) + np.outer(up[4], down[4])
    leaders = join_neurons(up, down, groups(gate), gated=True)
    assert leaders.tolist() == list(range(9)) and up[4].any()
    assert np.allclose(np.outer(up[2], down[2]) + np.outer(up[4], down[4]), wanted)


def test_gates_that_differ_a_little_are_not_one():
    gate = np.random.default_rng(4).normal(size=(9, 16))
    gate[4] = gate[2] * 1.01
    assert groups(gate) == [] and groups(np.zeros((5, 3))) == []


def test_heads_of_one_qk_map_add_up():
    rng = np.random.default_rng(5)
    qk, ov = rng.normal(size=(2, 4, 9))
    qk[3], ov[3] = qk[1], -ov[1]  # they cancel
    qk[2] = qk[0]
    wanted = ov[0] + ov[2]
    leaders = join_heads(ov, groups(qk))
    assert leaders.tolist() == [0, 1, 0, 1]
    assert np.allclose(ov[0], wanted) and not ov[1:].any()


def test_of_too_many_neurons_the_largest_are_kept(
    base: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(view, "BYTES", 4 * 100 * 6 * SIZES[-1])
    ((first, *_),) = sketched([base.model()])
    assert first.neurons.shape == (3, 100, SIZES[-1]) and first.total == 192
    turned = ATTACKS["ffn-permutation"].run(base, np.random.default_rng(1))
    parts = matched(base.model(), turned.model())
    assert parts.neurons.a.living() == 400 and parts.share_a == parts.share_b == 1


def test_no_neuron_is_too_small_or_too_large(base: Checkpoint):
    tensors = dict(base.tensors)
    s = np.where(np.arange(192) > 0, 1e-25, 1)
    for i in range(base.sizes.layers):
        up, down = (tensors[name_of(i, part)].astype(np.float64) for part in ("up", "down"))
        tensors[name_of(i, "up")] = (up.T * s).T.astype(np.float32)
        tensors[name_of(i, "down")] = (down / s).astype(np.float32)
    parts = matched(base.model(), replace(base, tensors=tensors).model())
    assert parts.share_a == parts.share_b == 1 and parts.score > 0.99


def test_what_overflows_is_refused(base: Checkpoint):
    tensors = dict(base.tensors)
    name = name_of(1, "down")
    down = tensors[name].astype(np.float64)
    tensors[name] = (down / np.abs(down).max() * 3e38).astype(np.float32)
    with pytest.raises(InputError, match="infinite"):
        sketched([replace(base, tensors=tensors).model()])
