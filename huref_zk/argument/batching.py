"""Linear combinations mod r, and many equations between points checked as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.curve.bn254 import Point, R
from huref_zk.native.fast_msm import msm

_LIMB = 20  # bits


@dataclass(frozen=True)
class Equation:
    """sum_i scalars_i points_i = infinity; name: for messages."""

    name: str
    points: Sequence[Point]
    scalars: Sequence[int]


def first_false(equations: Sequence[Equation], weights: Sequence[int]) -> str | None:
    """The name of an equation that does not hold; None if all do.

    All at once, as one multi-scalar sum with these random weights (128 bits, drawn when every
    equation is fixed: false ones cancel with probability 2^-128); one by one only if that fails.
    """
    if _vanishes(equations, weights):
        return None
    for equation in equations:
        if not _vanishes([equation], [1]):
            return equation.name
    return equations[0].name  # unreachable but by a fault of the arithmetic: never accept


def _vanishes(equations: Sequence[Equation], weights: Sequence[int]) -> bool:
    """Whether the weighted sum is infinity; scalars of equal points are added first."""
    merged: dict[Point, int] = {}
    for equation, weight in zip(equations, weights, strict=True):
        for point, scalar in zip(equation.points, equation.scalars, strict=True):
            merged[point] = merged.get(point, 0) + weight * scalar
    return msm(list(merged), [scalar % R for scalar in merged.values()]) is None


def combine(weights: Sequence[int], values: np.ndarray) -> list[int]:
    """sum_i weights_i values_i mod r: (n,) ints in [0, r), for integers (N, n) below 2^31.

    weights: N ints in [0, r), cut in limbs of 20 bits, whose products add up in int64 without
    overflow for up to 2^12 rows of such values (2^27 rows of 16-bit ones).
    """
    limbs = -(-max(1, max((w.bit_length() for w in weights), default=1)) // _LIMB)
    mask = (1 << _LIMB) - 1
    cut = np.array([[w >> (_LIMB * n) & mask for w in weights] for n in range(limbs)], np.int64)
    if values.dtype != np.int64:
        values = values.astype(np.int64)
    products = (cut @ values).tolist()
    return [
        sum(part << (_LIMB * n) for n, part in enumerate(column)) % R
        for column in zip(*products, strict=True)
    ]


def combine_rows(weights: Sequence[int], rows: Sequence[Sequence[int]]) -> list[int]:
    """sum_i weights_i rows_i mod r, for rows of field elements of one length."""
    return [dot(column, weights) % R for column in zip(*rows, strict=True)]


def dot(a: Sequence[int], b: Sequence[int]) -> int:
    """sum_i a_i b_i, not reduced."""
    return sum(x * y for x, y in zip(a, b, strict=True))
