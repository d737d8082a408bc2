"""Integers: nothing of the fingerprint is lost, and they stay where they must."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from unittest import mock

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.invariants import quantise as module
from huref_zk.invariants.encoder import load_encoder
from huref_zk.invariants.quantise import (
    LIMIT,
    MAP_BITS,
    Quantised,
    integer_maps,
    map_norms,
    projected,
    quantise,
    quantised_of,
)
from huref_zk.invariants.recipes import RECIPES, compute_cores
from huref_zk.invariants.sketch import LEFT, PUBLIC_SEED, RIGHT, ics, ics_maps, signs, sketch
from huref_zk.models.load import open_model
from tests.support.random_llm import llama

SHIFT = 34
NAMES = ("random", "demo-base", "demo-base, last-two", "demo-base, official")


@cache
def cores_of(name: str):
    if name == "random":
        wide = dict(hidden_size=96, num_attention_heads=6, num_key_value_heads=2, head_dim=16)
        model = llama(vocab_size=900, intermediate_size=256, **wide)
        return compute_cores(model, tokens=512)
    recipe = name.split(", ")[-1]
    return compute_cores(open_model("demo-base"), recipe=recipe if recipe in RECIPES else "whole")


@pytest.fixture(params=NAMES)
def cores(request):
    return cores_of(request.param)


@pytest.fixture
def small():
    return compute_cores(llama(), tokens=128)


def real(q, seed) -> np.ndarray:
    return np.array(integer_maps(q, seed), float)


def test_integer_maps_are_like_the_float_maps(cores):
    q = quantise(cores, SHIFT)
    for seed in (PUBLIC_SEED, bytes(32)):
        exact, floats = real(q, seed), sketch(cores, seed)
        assert exact.shape == (6, 16, 16)
        assert ics_maps(exact, floats).min() >= 0.9999


def test_fewer_bits_would_be_seen(cores):
    """Control of the test above: with a divisor a hundred times smaller, five bits less."""
    q = quantise(cores, SHIFT - 7)
    assert ics(real(q, PUBLIC_SEED), sketch(cores, PUBLIC_SEED)) < 0.9999


def test_norms_come_out_where_the_circuit_wants_them(cores):
    norms = np.log2(map_norms(real(quantise(cores, SHIFT), PUBLIC_SEED)) / 2.0**SHIFT)
    assert (np.abs(norms - 15) < 0.6).all()
    if len(cores.sets) == 2:  # each map has a scale of its own
        assert (np.abs(norms - 15) < 0.01).all()
    else:  # two maps share one: their mean is where it should be
        assert (np.abs(norms[:3] + norms[3:] - 30) < 0.02).all()


def test_every_integer_is_the_scaled_number_rounded(cores):
    q = quantise(cores, SHIFT)
    assert q.clipped == 0
    assert set(q.scales) == {"E"} | {f"C{s}{t}" for s in range(len(cores.sets)) for t in "abf"}
    assert all(repr(float(v)) == v for v in q.scales.values())
    assert q.E.dtype == np.int16
    assert np.array_equal(q.E, np.rint(cores.X.astype(float) * float(q.scales["E"])))
    for s, (found, floats) in enumerate(zip(q.C, cores.sets, strict=True)):
        assert found.dtype == np.int16
        for t in range(3):
            scale = float(q.scales[f"C{s}{'abf'[t]}"])
            assert np.array_equal(found[t], np.rint(floats[t].astype(float) * scale))
    again = quantise(cores, SHIFT)
    assert again.scales == q.scales and np.array_equal(again.C, q.C)


def test_rows_have_one_scale_whatever_the_model():
    """E is a function of each token's embedding alone; but for the authors' plain rows."""
    for name in NAMES[:3]:
        assert quantise(cores_of(name), SHIFT).scales["E"] == "128.0"
    q = quantise(cores_of(NAMES[3]), SHIFT)
    assert q.scales["E"] != "128.0"
    assert np.sqrt(np.mean(np.square(q.E.astype(float)))) == pytest.approx(128, rel=1e-3)


def test_the_size_of_cores_does_not_matter(small):
    base = quantise(small, SHIFT)
    for factor in (2.0**-20, 2.0**20):
        q = quantise(replace(small, sets=(small.sets[0] * np.float32(factor),)), SHIFT)
        assert np.array_equal(q.C, base.C)
        assert float(q.scales["C0a"]) == pytest.approx(float(base.scales["C0a"]) / factor)


def with_outlier(cores, size: float):
    """The cores with one entry of `f` set to ``size`` times the rms."""
    found = cores.sets[0].copy()
    found[2, 3, 4] = size * np.sqrt(np.square(found[2]).mean())
    return replace(cores, sets=(found,))


# Of a model this narrow no entry is large beside all the others together: larger divisors, which
# take larger integers, make it so.


def test_outliers_lower_their_cores_scale_as_far_as_norms_allow():
    cores, shift = cores_of("demo-base"), SHIFT + 3
    plain = quantise(cores, shift)
    mild = quantise(with_outlier(cores, 60), shift)
    assert plain.clipped == mild.clipped == 0
    assert np.abs(mild.C[0][2].astype(int)).max() == LIMIT
    assert float(mild.scales["C0f"]) < float(plain.scales["C0f"])
    assert mild.scales["C0a"] == plain.scales["C0a"]
    norms = map_norms(real(mild, PUBLIC_SEED)) / 2.0**shift
    assert (norms >= 2**13.4).all()
    floats = sketch(with_outlier(cores, 60), PUBLIC_SEED)
    assert ics_maps(real(mild, PUBLIC_SEED), floats).min() > 0.9999


def test_what_is_still_too_large_is_clipped_and_counted():
    q = quantise(with_outlier(cores_of("demo-base"), 28), SHIFT + 5)
    assert q.clipped == 1 and q.C[0][2, 3, 4] == LIMIT
    assert quantise(with_outlier(cores_of("demo-base"), 20), SHIFT + 4).clipped == 0


def test_outliers_that_hide_all_else_are_refused():
    cores, shift = cores_of("demo-base"), SHIFT + 5
    quantise(with_outlier(cores, 20), shift)
    with pytest.raises(InputError, match="so large that in 15 bits nothing else is seen"):
        quantise(with_outlier(cores, 1e6), shift)


@pytest.mark.parametrize("term", range(3))
def test_a_core_of_zeros_is_refused(small, term):
    quantise(small, SHIFT)
    found = small.sets[0].copy()
    found[term] = 0
    with pytest.raises(InputError, match=f"term {'abf'[term]} is zero throughout"):
        quantise(replace(small, sets=(found,)), SHIFT)


def test_zero_embeddings_are_refused():
    cores = cores_of(NAMES[3])
    with pytest.raises(InputError, match="the embedding is zero throughout"):
        quantise(replace(cores, X=cores.X * 0), SHIFT)


# --- exact --------------------------------------------------------------------------------------


def random_integers(rng, K=64, d=12, sets=2, size=LIMIT) -> Quantised:
    def draw(*shape):
        return rng.integers(-size, size + 1, shape).astype(np.int16)

    return Quantised(draw(K, d), tuple(draw(3, d, d) for _ in range(sets)), {})


@pytest.mark.parametrize("sets", [1, 2])
def test_integer_maps_are_exact(sets):
    """The same in Python's integers, without the projected rows between."""
    q = random_integers(np.random.default_rng(sets), sets=sets)
    E = q.E.astype(object)
    left = signs(PUBLIC_SEED, "L", LEFT, 64).astype(object) @ E
    right = signs(PUBLIC_SEED, "R", RIGHT, 64).astype(object) @ E
    found_left, Y, B = projected(q, PUBLIC_SEED)
    assert np.array_equal(found_left, left) and np.array_equal(B, right)
    assert Y.shape == (32, 3, 12) and Y.dtype == B.dtype == np.int64
    maps = integer_maps(q, PUBLIC_SEED)
    for s in range(2):
        rows = slice(16 * s, 16 * s + 16)
        for t, core in enumerate(q.C[s % sets]):
            wanted = left[rows] @ core.astype(object)
            assert np.array_equal(Y[rows, t], wanted)
            assert maps[3 * s + t] == (wanted @ right.T).tolist()
    assert type(maps[0][0][0]) is int


def test_the_largest_integers_do_not_overflow():
    """All entries at the limit with the signs that add up, in a model as wide and as long as may
    be: K = d = 2^16 in the formulas, here the same sums with fewer, larger steps."""
    K, d = 4096, 256
    left = signs(PUBLIC_SEED, "L", LEFT, K)[0].astype(np.int64)
    E = np.repeat((left * LIMIT).astype(np.int16)[:, None], d, axis=1)
    C = np.full((3, d, d), LIMIT, dtype=np.int16)
    found, Y, _ = projected(Quantised(E, (C,), {}), PUBLIC_SEED)
    assert int(found[0, 0]) == K * LIMIT
    assert int(Y[0, 0, 0]) == d * K * LIMIT * LIMIT
    # At K = d = 2^16: |P E| <= 2^31, |Y| <= 2^62, and a map's entry at most 2^16 * 2^62 * 2^31.
    assert 16 + 15 <= 31 and 31 + 15 + 16 <= 62 and MAP_BITS > 16 + 62 + 31


def test_maps_of_the_largest_rows_are_exact():
    rng = np.random.default_rng(3)
    q = random_integers(rng, d=4)
    big = rng.integers(-(1 << 62), 1 << 62, (32, 3, 4))
    right = rng.integers(-(1 << 31), 1 << 31, (16, 4))
    wanted = (big[:16, 0].astype(object) @ right.astype(object).T).tolist()
    with mock.patch.object(module, "projected", lambda *_: (None, big, right)):
        assert integer_maps(q, PUBLIC_SEED)[0] == wanted


def test_norms_are_those_of_the_encoders_first_convolution():
    m = np.random.default_rng(0).normal(size=(6, 16, 16))
    filt = load_encoder().filt
    for c in range(6):
        total = 0.0
        for f in range(4):
            for i in range(4):
                for j in range(4):
                    patch = m[c, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
                    total += float((patch * filt[c, f]).sum()) ** 2
        assert map_norms(m)[c] == pytest.approx(np.sqrt(total))


@pytest.mark.parametrize("name", NAMES)
def test_a_witness_gives_the_same_integers(name):
    q = quantise(cores_of(name), SHIFT)
    names = ("C",) if len(q.C) == 1 else ("C0", "C1")
    matrices = {"E": q.E} | {n: np.swapaxes(C, 0, 1) for n, C in zip(names, q.C, strict=True)}
    again = quantised_of(matrices, names)
    assert integer_maps(again, bytes(32)) == integer_maps(q, bytes(32))
