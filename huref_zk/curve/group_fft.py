"""Lagrange points from powers of tau, without knowing tau: an inverse Fourier transform in G1.

``L_i(tau) G = (1/n) sum_j w^(-ij) (tau^j G)`` for the n-th roots of unity 1, w, w^2, ...: the
inverse transform of the powers' points. Decimation in frequency, log2 n rounds of n/2 butterflies;
each multiplies a point by a root of unity, of full size, so the endomorphism halves the doublings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from huref_zk.curve.field import Q, R, powers, root_of_unity
from huref_zk.curve.group import (
    BETA,
    Pair,
    Point,
    lowered,
    negate,
    raised,
    split,
    sum_groups,
    sums,
)

Progress = Callable[[int, int], None]

_CHUNK = 1024  # points multiplied at once: enough to share inversions, little memory


def lagrange_points(taus: Sequence[Point], progress: Progress | None = None) -> list[Point]:
    """The n = 2^k Lagrange points of n powers ``tau^j G``, in halo2's order.

    `progress` hears (points multiplied, points to multiply). ValueError unless n is a power of two.
    """
    n = len(taus)
    if n < 2 or n & (n - 1):
        raise ValueError("the number of powers must be a power of two, at least 2")
    k = n.bit_length() - 1
    root = pow(root_of_unity(k), -1, R)
    total, done = (k - 1) * n // 2 + n, 0
    values = list(taus)
    size = n
    while size > 1:
        half = size // 2
        twiddles = powers(pow(root, n // size, R), half)
        lows = [i + j for i in range(0, n, size) for j in range(half)]
        lower = sum_groups([[values[i], values[i + half]] for i in lows])
        differences = sum_groups([[values[i], negate(values[i + half])] for i in lows])
        if half > 1:  # the last round's only factor is one
            scalars = twiddles * (n // size)
            differences = _multiples(differences, scalars, done, total, progress)
            done += len(differences)
        for i, low, high in zip(lows, lower, differences, strict=True):
            values[i], values[i + half] = low, high
        size = half
    values = [values[_reversed(i, k)] for i in range(n)]
    return _multiples(values, [pow(n, -1, R)] * n, done, total, progress)


def _reversed(index: int, bits: int) -> int:
    return int(format(index, f"0{bits}b")[::-1], 2)


def _multiples(
    points: list[Point], scalars: list[int], done: int, total: int, progress: Progress | None
) -> list[Point]:
    out: list[Point] = []
    for start in range(0, len(points), _CHUNK):
        out += multiply_each(points[start : start + _CHUNK], scalars[start : start + _CHUNK])
        if progress is not None:
            progress(done + len(out), total)
    return out


def multiply_each(points: Sequence[Point], scalars: Sequence[int]) -> list[Point]:
    """``[s * p for p, s in zip(points, scalars)]``, all ladders in step (scalars: taken mod r).

    Each scalar is split as a + b LAMBDA with |a|, |b| < 2^128 and both halves go through one
    ladder, whose table {P, Q, P + Q} (P, Q: the signed point and its image) is made once.
    """
    lows, highs = [], []
    firsts: list[Pair | None] = []
    seconds: list[Pair | None] = []
    for point, scalar in zip(points, scalars, strict=True):
        low, high = split(scalar % R)
        image = None if point is None else (BETA * point[0] % Q, point[1])
        firsts.append(raised(point if low >= 0 else negate(point)))
        seconds.append(raised(image if high >= 0 else negate(image)))
        lows.append(abs(low))
        highs.append(abs(high))
    both = sums(zip(firsts, seconds, strict=True))
    tables = [(None, p, q, s) for p, q, s in zip(firsts, seconds, both, strict=True)]
    totals: list[Pair | None] = [None] * len(tables)
    for bit in reversed(range(max((x.bit_length() for x in (*lows, *highs)), default=0))):
        totals = sums([t, t] for t in totals)
        terms = [
            table[(a >> bit & 1) + 2 * (b >> bit & 1)]
            for table, a, b in zip(tables, lows, highs, strict=True)
        ]
        totals = sums(zip(totals, terms, strict=True))
    return [lowered(total) for total in totals]
