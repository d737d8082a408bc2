"""The sketch: its signs are public, balanced and independent; its cosine is that of whole maps."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from huref_zk.invariants.recipes import Cores, compute_cores
from huref_zk.invariants.sketch import (
    LEFT,
    PUBLIC_SEED,
    RIGHT,
    exact_ics_of,
    ics,
    ics_maps,
    signs,
    sketch,
)
from tests.support.random_llm import core_maps, llama


def seeds(count: int) -> list[bytes]:
    return [hashlib.sha256(bytes([i])).digest() for i in range(count)]


def centred(maps: np.ndarray) -> np.ndarray:
    """Row and column means taken away from each map."""
    maps = maps - maps.mean(axis=1, keepdims=True)
    return maps - maps.mean(axis=2, keepdims=True)


def cores_of(seed: int = 0, recipe: str = "whole") -> Cores:
    return compute_cores(llama(seed), recipe=recipe, tokens=64)


def noisy(cores: Cores, amount: float, seed: int = 1) -> Cores:
    """The cores with noise of ``amount`` times their rms on all numbers."""
    rng = np.random.default_rng(seed)

    def disturb(W):
        return (W + amount * W.std() * rng.normal(size=W.shape)).astype(np.float32)

    return replace(cores, X=disturb(cores.X), sets=tuple(map(disturb, cores.sets)))


def test_signs_are_what_the_definition_says():
    """Row by row: the half of the tokens with the smaller 64-bit keys is +1."""
    found = signs(PUBLIC_SEED, "R", 3, 40)
    for i, row in enumerate(found):
        label = b"huref_zk signs" + PUBLIC_SEED + b"R" + i.to_bytes(4, "big")
        stream = hashlib.shake_256(label + (40).to_bytes(4, "big")).digest(320)
        keys = [int.from_bytes(stream[8 * j : 8 * j + 8], "little") for j in range(40)]
        plus = set(sorted(range(40), key=lambda j: keys[j])[:20])
        assert row.tolist() == [1 if j in plus else -1 for j in range(40)]


def test_signs_of_the_public_seed_do_not_change():
    """Every published fingerprint hangs on these."""
    content = b"".join(signs(PUBLIC_SEED, side, 16, 4096).tobytes() for side in "LR")
    assert hashlib.sha256(content).hexdigest() == (
        "9023b95f7badf7d368e99e973bb2198958762b3630b3bc3834f9a803f4f3a2f6"
    )


@pytest.mark.parametrize("count", [2, 64, 4096])
@pytest.mark.parametrize("side", ["L", "R"])
def test_rows_are_balanced(side, count):
    found = signs(PUBLIC_SEED, side, 16, count)
    assert found.shape == (16, count)
    assert found.dtype == np.int8
    assert set(np.unique(found)) == {-1, 1}
    assert (found.sum(axis=1, dtype=int) == 0).all()


@pytest.mark.parametrize("count", [0, 1, 63])
def test_rows_that_cannot_be_balanced(count):
    with pytest.raises(ValueError, match="even"):
        signs(PUBLIC_SEED, "L", 16, count)
    signs(PUBLIC_SEED, "L", 16, 64)


def test_signs_are_deterministic_and_independent():
    """Equal only when seed, side, row and count are: else about half of the signs agree."""
    one, two = seeds(2)
    base = signs(one, "L", 16, 4096)
    assert np.array_equal(base, signs(one, "L", 16, 4096))
    others = [signs(two, "L", 16, 4096), signs(one, "R", 16, 4096), np.roll(base, 1, axis=0)]
    for other in others:
        assert abs((base.astype(int) * other).mean()) < 0.02
    # Rows do not depend on how many there are, but do on how many tokens.
    assert np.array_equal(base[:4], signs(one, "L", 4, 4096))
    assert not np.array_equal(base[:, :64], signs(one, "L", 16, 64))


@pytest.mark.parametrize("recipe", ["whole", "last-two"])
def test_a_sketch_is_the_whole_map_between_two_sign_matrices(recipe):
    """Two groups of left rows: both see the one set of cores, or each one of two."""
    cores = cores_of(recipe=recipe)
    maps = core_maps(cores)
    maps = np.concatenate([maps, maps]) if len(maps) == 3 else maps
    left, right = (
        signs(PUBLIC_SEED, side, p, 64).astype(float) for side, p in (("L", LEFT), ("R", RIGHT))
    )
    groups = [left[:16], left[16:]]
    expected = np.array([groups[n // 3] @ m @ right.T for n, m in enumerate(maps)])
    found = sketch(cores, PUBLIC_SEED)
    assert found.shape == (6, 16, 16) and found.dtype == np.float64
    # Rows of signs are balanced, so the mean over tokens, which core_maps takes off, is not seen.
    assert np.allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert np.array_equal(found, sketch(cores, PUBLIC_SEED))
    assert not np.allclose(found, sketch(cores, seeds(1)[0]))


def test_what_balanced_rows_take_away():
    """A part that is constant along rows or columns of a map is invisible to its sketch."""
    cores = cores_of()
    moved = replace(cores, X=cores.X + np.float32(30))
    x, y = sketch(cores, PUBLIC_SEED), sketch(moved, PUBLIC_SEED)
    assert np.allclose(x, y, atol=1e-3 * np.abs(x).max())
    assert exact_ics_of(cores, moved).min() > 1 - 1e-5


@pytest.mark.parametrize("noise, likeness", [(0.1, 0.85), (0.3, 0.4), (1.0, 0.0)])
def test_the_likeness_of_sketches_estimates_that_of_whole_maps(noise, likeness):
    """Of double-centred ones: the mean over 40 seeds is within three standard errors and 0.01."""
    one = cores_of()
    other = noisy(one, noise)
    whole = ics(core_maps(one), core_maps(other))
    assert whole > likeness
    assert whole == pytest.approx(exact_ics_of(one, other).mean(), abs=1e-9)
    found = np.array([ics(sketch(one, s), sketch(other, s)) for s in seeds(40)])
    assert abs(found.mean() - whole) < 3 * found.std() / np.sqrt(40) + 0.01
    assert found.std() < 0.2


def test_unrelated_models_and_permuted_tokens_are_unlike():
    one, other = cores_of(0), cores_of(1)
    permuted = replace(one, X=one.X[np.random.default_rng(0).permutation(64)])
    near = noisy(one, 0.1)
    far = [
        np.mean([ics(sketch(one, s), sketch(x, s)) for s in seeds(20)]) for x in (other, permuted)
    ]
    assert (np.abs(far) < 0.2).all()
    assert np.mean([ics(sketch(one, s), sketch(near, s)) for s in seeds(20)]) > 0.8


def test_the_exact_likeness_is_that_of_the_maps():
    one, two = cores_of(0, "last-two"), cores_of(1, "last-two")
    found = exact_ics_of(one, two)
    assert found.shape == (6,)
    assert np.allclose(found, ics_maps(core_maps(one), core_maps(two)), atol=1e-9)
    assert np.allclose(exact_ics_of(one, one), 1)
    zero = replace(two, sets=(two.sets[0] * 0, two.sets[1]))
    assert exact_ics_of(one, zero)[:3].tolist() == [0, 0, 0]


def test_one_sign_matrix_for_both_sides_would_let_the_trace_in():
    """Why P_L differs from P_R: with one for both, unrelated maps look alike when both have a
    trace, though it is a small part of them."""
    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(2, 512, 512)) + 4 * np.eye(512) for _ in range(2))
    whole = ics(centred(one), centred(other))

    def likeness(left: str, right: str) -> float:
        found = []
        for s in seeds(10):
            P, Q = (signs(s, side, 16, 512).astype(float) for side in (left, right))
            found.append(ics(P @ one @ Q.T, P @ other @ Q.T))
        return float(np.mean(found))

    assert whole < 0.05
    assert abs(likeness("L", "R") - whole) < 0.05
    assert likeness("L", "L") > 0.3


def test_ics_is_a_mean_of_cosines():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 16, 16))
    assert ics(x, x) == pytest.approx(1, abs=1e-12)
    assert ics(x, -x) == pytest.approx(-1, abs=1e-12)
    scales = np.array([1e-9, 1, 3, 10, 1e3, 1e9])[:, None, None]
    assert ics(x, y * scales) == pytest.approx(ics(x, y), abs=1e-12)
    norm = np.linalg.norm
    cosines = [np.sum(a * b) / norm(a) / norm(b) for a, b in zip(x, y, strict=True)]
    assert np.allclose(ics_maps(x, y), cosines)
    assert ics(x, y) == pytest.approx(np.mean(cosines))
    integers = (x * 1000).astype(np.int64)
    assert ics(integers, integers) == pytest.approx(1, abs=1e-12)


def test_a_zero_map_is_like_nothing():
    x = np.random.default_rng(0).normal(size=(6, 16, 16))
    zero = x.copy()
    zero[2] = 0
    assert ics_maps(x, zero).tolist() == pytest.approx([1, 1, 0, 1, 1, 1])
    assert ics(zero, zero) == pytest.approx(5 / 6)
