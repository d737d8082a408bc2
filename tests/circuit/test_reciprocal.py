"""1 / n: ezkl takes quotients in double precision, so they must be exact at every norm in range."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from huref_zk.circuit.shape import shape_for
from huref_zk.invariants.encoder import (
    GUESS_BITS,
    INVERSE_BITS,
    NORM_MAX,
    NORM_MIN,
    encode_exact,
    inverse,
    load_encoder,
)
from tests.support.circuit_rows import columns_of, maps_with_norms, output_of, rows_of_maps

SMALL = shape_for(16)
NORMS = np.arange(NORM_MIN, NORM_MAX + 1)


def rounded(x: np.ndarray) -> np.ndarray:
    """Rust's f64::round: to nearest, halves away from zero."""
    return np.trunc(x + np.copysign(0.5, x))


def ezkl_quotient(bits: int) -> np.ndarray:
    """round(2^(2 bits) / n) for every n in range, by ezkl's formula (tensor/ops.rs, `recip`)."""
    scale = np.float64(1 << bits)
    return rounded(scale * (np.float64(1) / (NORMS.astype(np.float64) / scale))).astype(np.int64)


def exact_quotient(bits: int) -> np.ndarray:
    return ((1 << (2 * bits + 1)) + NORMS) // (2 * NORMS)


def test_the_quotient_is_exact_at_every_norm():
    """2 bits < 53: half a unit in the last place of 2^52 / n is less than 1 / (2 n), which is as
    near as 2^52 / n comes to a half."""
    assert (ezkl_quotient(GUESS_BITS) == exact_quotient(GUESS_BITS)).all()


def test_one_bit_more_would_not_do():
    """The control: the same formula with two bits more, as a circuit with one quotient needs."""
    wrong = NORMS[ezkl_quotient(GUESS_BITS + 1) != exact_quotient(GUESS_BITS + 1)]
    assert {22539, 32681, 40330} <= set(wrong.tolist())


def test_no_quotient_is_a_tie():
    """At a tie ezkl's gadget wants the lower, its witness has the upper: none of them may be."""
    assert not ((1 << (2 * GUESS_BITS + 1)) % NORMS == 0)[NORMS & (NORMS - 1) != 0].any()


def test_the_inverse_by_ezkls_formulas_at_every_norm():
    guess = rounded(ezkl_quotient(GUESS_BITS) / np.float64(1 << GUESS_BITS)).astype(np.int64)
    step = guess * ((1 << (GUESS_BITS + 1)) - NORMS * guess)
    assert np.abs(step).max() < 1 << 53
    found = rounded(step / np.float64(1 << (2 * GUESS_BITS - INVERSE_BITS))).astype(np.int64)
    assert found.tolist() == [inverse(int(n)) for n in NORMS]


def test_the_inverse_is_near():
    """Within 0.63 units of 2^INVERSE_BITS / n everywhere; half a unit is rounding."""
    worst = max(
        abs(inverse(n) - Fraction(1 << INVERSE_BITS, n)) for n in range(NORM_MIN, NORM_MAX + 1, 7)
    )
    assert worst < Fraction(63, 100)


@pytest.mark.parametrize("first", [22539, 24109, NORM_MIN])
def test_ezkl_at_norms_that_were_bad(circuit, tmp_path, first):
    """Six maps whose norms are norms at which the one quotient rounds wrongly, or the ends."""
    wrong = NORMS[ezkl_quotient(GUESS_BITS + 1) != exact_quotient(GUESS_BITS + 1)]
    wanted = [first, NORM_MAX, *wrong[wrong > first][:4].tolist()]
    maps = maps_with_norms(SMALL, wanted, seed=first)
    found = output_of(circuit, columns_of(rows_of_maps(SMALL, maps)), tmp_path)
    assert found == [*encode_exact(load_encoder(), maps, SMALL.shift), 12, 0, 0, 0]
