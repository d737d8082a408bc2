"""The similarity as the circuit computes it, and what its cells mean.

For each of the six maps t, with the integer maps X_t, Y_t of the two models (quantise.integer_maps)
and their exponents e (shape.energy_shift):

    N_t = [<X_t, X_t> / 2^e]                      squared norm (of Y_t likewise)
    D_t = [<X_t, Y_t> / 2^((e_x + e_y) / 2)]      product
    r_t = [2^48 / [sqrt(2^24 N_t)]]               1 / |X_t| (and of Y_t)
    c_t = [[D_t r_t(X) / 2^24] r_t(Y) / 2^24]     cosine, times 2^24

where [ ] rounds to nearest, halves away from zero. The sum of the c_t over 6 2^24 is the mean
cosine, that is, the ICS of the two sketches (sketch.ics) up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from huref_zk.errors import InputError
from huref_zk.proofs.similarity.shape import (
    CELL,
    CELL_BITS,
    FRACTION_BITS,
    MAX_ENERGY,
    MIN_ENERGY,
    MODELS,
    TOP,
    PairShape,
    energy_shift,
)

Map = Sequence[Sequence[int]]
Maps = Sequence[Map]
_ONE = float(1 << FRACTION_BITS)


@dataclass(frozen=True)
class Range:
    """Bounds on a similarity, both included, as cells: multiples of 2^-CELL_BITS."""

    low: int
    high: int

    @property
    def words(self) -> str:
        """The claim, as a person reads it."""
        low, high = self.low / (1 << CELL_BITS), self.high / (1 << CELL_BITS)
        if self.low == self.high:
            return f"s = {low:.5f}"
        if self == ANY:
            return "any s"
        if self.high == TOP:
            return f"s >= {low:.5f}"
        if self.low == -TOP:
            return f"s <= {high:.5f}"
        return f"{low:.5f} <= s <= {high:.5f}"

    @property
    def limits(self) -> list[int]:
        """What the circuit is told: -low and high, in units of the sum."""
        half = CELL // 2
        return [-(CELL * self.low - half), CELL * self.high + half - 1]

    def within(self, other: Range) -> bool:
        """Whether a similarity within these bounds is within the other ones."""
        return other.low <= self.low and self.high <= other.high


ANY = Range(-TOP, TOP)
"""No bound at all."""


def exactly(total: int) -> Range:
    """The one cell that a sum of cosines (units of 2^-FRACTION_BITS) lies in."""
    cell = (total + CELL // 2) // CELL
    return Range(cell, cell)


def at_least(threshold: float) -> Range:
    """s >= threshold, rounded up to a cell. InputError unless it lies in [-1, 1]."""
    return Range(_cell(threshold, math.ceil), TOP)


def at_most(threshold: float) -> Range:
    """s <= threshold, rounded down to a cell. InputError unless it lies in [-1, 1]."""
    return Range(-TOP, _cell(threshold, math.floor))


def _cell(value: float, rounding: Callable[[float], int]) -> int:
    if not -1 <= value <= 1:
        raise InputError(f"a similarity lies between -1 and 1, not at {value}")
    return rounding(value * (1 << CELL_BITS))


def holds(total: int, bounds: Range) -> bool:
    """Whether the circuit finds the sum within the bounds."""
    minus_low, high = bounds.limits
    return total + minus_low >= 0 and high - total >= 0


def sum_of_cosines(pair: PairShape, x: Maps, y: Maps) -> int:
    """6 s in units of 2^-FRACTION_BITS, exactly as the circuit computes it.

    x, y: six integer maps (16, 16) of the first and the second model, as quantise.integer_maps
    gives them. InputError when a map vanishes, when its size is beyond what the circuit is made
    for, and for the very few sizes whose square root ezkl rounds wrongly.
    """
    first, second = map(energy_shift, pair.shapes)
    total = 0
    for t, (a, b) in enumerate(zip(x, y, strict=True)):
        r_x = _inverse_norm(_divide(_dot(a, a), first), t, MODELS[0])
        r_y = _inverse_norm(_divide(_dot(b, b), second), t, MODELS[1])
        dot = _divide(_dot(a, b), (first + second) // 2)
        total += _divide(_divide(dot * r_x, FRACTION_BITS) * r_y, FRACTION_BITS)
    return total


def _dot(x: Map, y: Map) -> int:
    return sum(a * b for r, s in zip(x, y, strict=True) for a, b in zip(r, s, strict=True))


def _divide(value: int, bits: int) -> int:
    """value / 2^bits, rounded; first brought to a double's 53 bits, which is how ezkl does it."""
    return _nearest(math.ldexp(float(value), -bits))


def _inverse_norm(energy: int, t: int, which: str) -> int:
    if not MIN_ENERGY <= energy <= MAX_ENERGY:
        size = "vanishes" if energy == 0 else f"has size 2^{math.log2(energy):.1f}"
        raise InputError(
            f"map {t} of the {which} model {size}; a proof of similarity needs sizes of "
            f"2^{MIN_ENERGY.bit_length() - 1} to 2^{MAX_ENERGY.bit_length() - 1}"
        )
    norm = _nearest(_ONE * math.sqrt(energy / _ONE))
    # ezkl takes roots in double precision, and accepts none but the nearest integer.
    if not -norm < (energy << FRACTION_BITS) - norm * norm <= norm:
        raise InputError(
            f"map {t} of the {which} model has a size whose root this version of ezkl rounds "
            "wrongly; prove under another seed"
        )
    return _nearest(_ONE * (1.0 / (norm / _ONE)))


def _nearest(value: float) -> int:
    """The nearest integer, halves away from zero."""
    whole, part = divmod(abs(value), 1.0)
    return int(math.copysign(1, value)) * (int(whole) + (part >= 0.5))
