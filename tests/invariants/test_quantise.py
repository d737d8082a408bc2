"""Quantisation: nothing of the fingerprint is lost, and the integers stay where they must."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from huref_zk.circuit.shape import U_BITS, shape_for
from huref_zk.errors import InputError
from huref_zk.invariants import quantise as module
from huref_zk.invariants.canonical import canonicalise
from huref_zk.invariants.quantise import LIMIT, integer_maps, map_bits, projected, quantise
from huref_zk.invariants.sketch import PUBLIC_SEED, ics, ics_maps, signs, sketch
from huref_zk.models.load import open_model
from tests.support.random_llm import form, llama

P = 16
TERMS = ("0a", "0b", "0f", "1a", "1b", "1f")


def shift_of(canonical) -> int:
    return shape_for(canonical.widths, len(canonical.token_ids), canonical.E.shape[1]).shift


@cache
def canonical_of(name: str):
    if name == "demo-base":
        return canonicalise(open_model("demo-base"))
    wide = dict(hidden_size=96, num_attention_heads=6, num_key_value_heads=2, head_dim=16)
    return form(llama(vocab_size=600, intermediate_size=256, **wide), tokens=512)


@pytest.fixture(params=["random", "demo-base"])
def canonical(request):
    return canonical_of(request.param)


@pytest.fixture
def small():
    return form(llama())


def terms(matrices, widths):
    """The six term blocks of two layers' matrices, in order."""
    for W in matrices:
        stop = 0
        for width in widths:
            yield W[:, stop : (stop := stop + width)]


def test_integer_maps_are_like_the_float_maps(canonical):
    q = quantise(canonical, shift_of(canonical))
    for seed in (PUBLIC_SEED, bytes(32)):
        exact, real = np.array(integer_maps(q, seed, P), float), sketch(canonical, seed, P)
        assert exact.shape == (6, P, P)
        assert ics(exact, real) >= 0.9999
        assert ics_maps(exact, real).min() >= 0.9999


def test_fewer_bits_would_be_seen(canonical, monkeypatch):
    """Control of the test above: with two bits a weight the likeness falls below its bound."""
    monkeypatch.setattr(module, "W_BITS", 1)
    monkeypatch.setattr(module, "MAX_SHIFT_PER_SIDE", 0)
    q = quantise(canonical, shift_of(canonical))
    exact = np.array(integer_maps(q, PUBLIC_SEED, P), float)
    assert ics(exact, sketch(canonical, PUBLIC_SEED, P)) < 0.9999


def test_the_same_again(canonical):
    one, two = (quantise(canonical, shift_of(canonical)) for _ in range(2))
    assert one.scales == two.scales
    for x, y in zip((one.E, *one.U, *one.V), (two.E, *two.U, *two.V), strict=True):
        assert np.array_equal(x, y)
    assert integer_maps(one, PUBLIC_SEED, P) == integer_maps(two, PUBLIC_SEED, P)


def test_every_integer_is_the_scaled_weight_rounded(canonical):
    q = quantise(canonical, shift_of(canonical))
    assert q.widths == canonical.widths
    assert q.E.dtype == np.int32
    expected = np.rint(canonical.E.astype(float) * 2.0 ** q.scales["E"])
    assert np.array_equal(q.E, np.clip(expected, -LIMIT, LIMIT))
    for side, found, real in (("U", q.U, canonical.U), ("V", q.V, canonical.V)):
        pairs = zip(TERMS, terms(found, q.widths), terms(real, q.widths), strict=True)
        for term, integers, weights in pairs:
            assert integers.dtype == np.int32
            scaled = np.rint(weights.astype(float) * 2.0 ** q.scales[side + term])
            assert np.array_equal(integers, np.clip(scaled, -LIMIT, LIMIT))


def test_scales_are_named_and_integers(canonical):
    """They go into the descriptor, which holds integers only."""
    q = quantise(canonical, shift_of(canonical))
    assert set(q.scales) == {"E", *("U" + t for t in TERMS), *("V" + t for t in TERMS)}
    assert all(type(scale) is int for scale in q.scales.values())


def test_maps_come_out_at_the_size_the_circuit_divides_by(canonical):
    """rms 2^(shift + 5), so that 7 bits of filters and the division leave U_BITS; give or take
    the last half bit."""
    shift = shift_of(canonical)
    found = np.array(integer_maps(quantise(canonical, shift), PUBLIC_SEED, P), float)
    bits = np.log2(np.sqrt((found**2).mean(axis=(1, 2))))
    assert (np.abs(bits + 7 - shift - U_BITS) < 0.6).all()


def test_the_size_does_not_depend_on_the_models(small):
    """Weights 1000 times larger or smaller give other scales and nearly the same integers."""
    shift = shift_of(small)
    base = quantise(small, shift)
    for factor in (2.0**-10, 2.0**10):
        scaled = replace(small, U=tuple(U * np.float32(factor) for U in small.U))
        q = quantise(scaled, shift)
        assert all(np.array_equal(x, y) for x, y in zip(q.U, base.U, strict=True))
        assert all(q.scales["U" + t] == base.scales["U" + t] - np.log2(factor) for t in TERMS)


def test_ties_go_to_even(small):
    e = quantise(small, shift_of(small)).scales["E"]
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.5, 1.25], np.float32) * 2.0**-e
    E = small.E.copy()
    E[0, :8] = halves
    q = quantise(replace(small, E=E), shift_of(small))
    assert q.scales["E"] == e
    assert q.E[0, :8].tolist() == [0, 2, 2, 0, -2, -2, 4, 1]


def test_outliers_are_clipped_and_counted(small):
    """Under a divisor so large that weights are scaled up as far as they may be."""
    shift = shift_of(small) + 20
    assert quantise(small, shift).clipped == 0
    up = slice(2 * small.widths[0], None)
    U = small.U[1].copy()
    U[3, up.start], U[4, up.start + 1] = 1e4, -1e4
    q = quantise(replace(small, U=(small.U[0], U)), shift)
    assert q.clipped == 2
    assert q.U[1][3, up.start] == LIMIT
    assert q.U[1][4, up.start + 1] == -LIMIT
    assert max(np.abs(W).max() for W in (q.E, *q.U, *q.V)) == LIMIT


@pytest.mark.parametrize("side", ["U", "V"])
@pytest.mark.parametrize("term", range(3))
@pytest.mark.parametrize("layer", range(2))
def test_a_zero_term_is_refused(small, side, term, layer):
    quantise(small, shift_of(small))
    matrices = [W.copy() for W in getattr(small, side)]
    list(terms([matrices[layer]], small.widths))[term][...] = 0
    with pytest.raises(InputError, match=f"term {'abf'[term]} is zero throughout"):
        quantise(replace(small, **{side: tuple(matrices)}), shift_of(small))


def test_zero_embeddings_are_refused(small):
    with pytest.raises(InputError, match="the embedding is zero throughout"):
        quantise(replace(small, E=small.E * 0), shift_of(small))
    quantise(small, shift_of(small))


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_extreme_weights_are_no_trouble(small, factor):
    """Float32's outskirts: the exponents take them up."""
    real = np.float32(factor)
    odd = replace(small, E=small.E * real, V=tuple(V * real for V in small.V))
    q = quantise(odd, shift_of(small))
    found = np.array(integer_maps(q, PUBLIC_SEED, P), float)
    assert ics(found, sketch(small, PUBLIC_SEED, P)) >= 0.9999


def test_a_dead_product_is_no_trouble():
    """U and V not zero, but their map is: nothing to calibrate by, and no division by zero."""
    canonical = form(llama())
    U, V = canonical.U[0].copy(), canonical.V[0].copy()
    width = canonical.widths[0]
    U[:, 1:width], V[:, : width - 1] = 0, 0  # they meet in no column
    q = quantise(replace(canonical, U=(U, canonical.U[1]), V=(V, canonical.V[1])), 40)
    assert not np.any(integer_maps(q, PUBLIC_SEED, P)[0])
    assert np.any(integer_maps(q, PUBLIC_SEED, P)[1])


def test_integer_maps_are_exact(small):
    """The same in Python's integers, without the projected rows between."""
    q = quantise(small, shift_of(small))
    E = q.E.astype(object)
    left, right = (signs(PUBLIC_SEED, side, P, 64).astype(object) @ E for side in "LR")
    expected = [
        ((left @ U.astype(object)) @ (right @ V.astype(object)).T).tolist()
        for U, V in zip(terms(q.U, q.widths), terms(q.V, q.widths), strict=True)
    ]
    found = integer_maps(q, PUBLIC_SEED, P)
    assert found == expected
    assert type(found[0][0][0]) is int
    a, b = projected(q, PUBLIC_SEED, P)
    assert a.shape == b.shape == (P, 2 * sum(q.widths))
    assert a.dtype == b.dtype == np.int64


def largest(q, seed) -> int:
    return max(abs(x) for m in integer_maps(q, seed, P) for row in m for x in row)


def test_no_seed_leaves_the_bound(small):
    q = quantise(small, shift_of(small))
    seeds = [bytes([i]) * 32 for i in range(20)]
    assert max(largest(q, seed) for seed in seeds) < 1 << map_bits(q)


def test_the_bound_holds_where_it_is_reached():
    """The worst case: half of E's columns are the first row of P_L, half that of P_R."""
    base = quantise(form(llama()), 40)
    left, right = (signs(PUBLIC_SEED, side, P, 64) for side in "LR")
    half = base.E.shape[1] // 2
    E = np.repeat(np.stack([left[0], right[0]], axis=1) * np.int32(LIMIT), half, axis=1)
    U, V = np.zeros_like(base.U[0]), np.zeros_like(base.V[0])
    U[:half], V[half:] = LIMIT, LIMIT
    q = replace(base, E=E, U=(U, U), V=(V, V))
    # One bit since both halves count in the norm of E, one for rounding up, one to be below it.
    assert 1 << (map_bits(q) - 4) < largest(q, PUBLIC_SEED) < 1 << map_bits(q)
    a, _ = projected(q, PUBLIC_SEED, P)
    assert int(a[0, 0]) == 64 * half * LIMIT * LIMIT


def test_overflow_is_refused(small, monkeypatch):
    """One bit less than the maps may need is refused; what they may need is not."""
    shift = shift_of(small)
    bits = map_bits(quantise(small, shift)) + module.FILTER_BITS
    monkeypatch.setattr(module, "I128_BITS", bits)
    quantise(small, shift)
    monkeypatch.setattr(module, "I128_BITS", bits - 1)
    with pytest.raises(InputError, match=rf"may reach 2\^{bits - module.FILTER_BITS}"):
        quantise(small, shift)


def test_models_of_any_size_fit():
    """The bound as a function of shape alone: 70B-class widths and 2^16 tokens stay below i128."""
    norms = [2.0**6 * np.sqrt(2**16 * 8192), 2.0 ** (7 + 5) * np.sqrt(8192)]
    bits = np.log2(28672 * 2**16 * norms[0] ** 2 * norms[1] ** 2)
    assert bits + 1 + module.FILTER_BITS < module.I128_BITS
