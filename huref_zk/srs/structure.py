"""Whether an SRS file is well formed, by pairings on random combinations: without knowing tau.

An SRS whose digest nobody has published can still be *well formed*: powers of one tau, the Lagrange
points that belong to them, and the same tau in G2. That is checked here. What no check can show is
that nobody knows tau; a well-formed file of unknown origin stays one that its user has to trust.

With random r_i below 2^128, drawn here, not by whoever made the file (P_i: the powers, i < n):

    e(sum r_i P_{i+1}, G2) = e(sum r_i P_i, tau G2)      both sums over i < n - 1: P_{i+1} = tau P_i
                                                         for every i, or the two agree with
                                                         probability 2^-128
    sum r_i P_i = sum f(w^i) g_lagrange[i]               for the random f(x) = sum r_i x^i: the map
                                                         from coefficients to values is a bijection

Together with P_0 = G the first determines all powers, hence the second all Lagrange points. That
both draw on the same r_i costs nothing: what the first leaves open is a fact about the file, and
each fails to see its own kind of fault with probability 2^-128.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from huref_zk.curve.encoding import decode_raw
from huref_zk.curve.field import R, root_of_unity
from huref_zk.curve.group import GENERATOR, Point, msm, multiply, negate, sum_groups
from huref_zk.curve.pairing import G2_GENERATOR, decode_raw_g2, encode_raw_g2, product_is_one
from huref_zk.errors import InputError
from huref_zk.srs.insecure import TEST_TAU
from huref_zk.srs.layout import G1_BYTES, HEAD_BYTES, g2_points, read_k, read_stretch

Progress = Callable[[int, int], None]

CHECK_MAX_K = 20
"""The largest k whose structure is checked: ten minutes and half a gigabyte, in plain Python."""

_BITS = 128
_CHUNK = 1 << 14  # points held at once


def check_structure(path: str | os.PathLike[str], progress: Progress | None = None) -> int:
    """The k of an SRS file with a right structure under a secret that is no known one.

    Raises InputError naming what is wrong: a malformed file, a point that is not on its curve or is
    infinity, a first power or G2 that is not the generator, tau 0, 1, a root of unity of the
    domain or the test SRS's, tau in G2 outside the subgroup, powers that are not tau's, Lagrange
    points that are not those of the powers, k above CHECK_MAX_K. `progress` hears
    (points looked at, points in all).
    """
    path = Path(path)
    k = read_k(path)
    if k > CHECK_MAX_K:
        raise InputError(f"{path}: structure is checked up to k={CHECK_MAX_K} only, not {k}")
    n = 1 << k
    generator, tau = g2_points(path, k)
    if generator != encode_raw_g2(G2_GENERATOR):
        raise InputError(f"{path}: its first point of G2 is not the generator")
    try:
        tau_g2 = decode_raw_g2(tau)
    except InputError as error:
        raise InputError(f"{path}: tau in G2: {error}") from error
    _check_second_power(path, _point_at(path, 0), _point_at(path, 1))

    weights = [secrets.randbits(_BITS) for _ in range(n)]
    values = evaluate_on_domain(weights, k)
    here, next_, from_lagrange = [], [], []
    last_power: Point = None
    for start, points in _chunks(path, 0, n):
        for i, point in enumerate(points, start):
            if point is None or (i and point == GENERATOR):
                raise InputError(f"{path}: power {i} is a point that only a weak tau gives")
        end = start + len(points)
        last_power = points[-1]
        last = min(end, n - 1)  # power n - 1 has no successor, power 0 is nobody's
        here.append(msm(points[: last - start], weights[start:last]))
        first = max(start, 1)
        next_.append(msm(points[first - start :], weights[first - 1 : end - 1]))
        if progress is not None:
            progress(end, 2 * n)
    for start, points in _chunks(path, n, n):
        if None in points:
            raise InputError(f"{path}: a Lagrange point is infinity")
        end = start + len(points)
        from_lagrange.append(msm(points, values[start:end]))
        if progress is not None:
            progress(n + end, 2 * n)

    total, shifted, powers_sum, lagrange_sum = sum_groups(
        [here, next_, [*here, multiply(last_power, weights[-1])], from_lagrange]
    )
    if not product_is_one([(negate(shifted), G2_GENERATOR), (total, tau_g2)]):
        raise InputError(f"{path}: its powers are not those of the tau in its G2 point")
    if powers_sum != lagrange_sum:
        raise InputError(f"{path}: its Lagrange points do not belong to its powers")
    return k


def evaluate_on_domain(coefficients: Sequence[int], k: int) -> list[int]:
    """``f(w^i)`` mod r for all i < n = 2^k, of the polynomial with these n coefficients."""
    n = 1 << k
    if len(coefficients) != n:
        raise ValueError("as many coefficients as the domain has elements")
    values = [coefficients[int(format(i, f"0{k}b")[::-1], 2)] % R for i in range(n)]
    size = 2
    while size <= n:
        half = size // 2
        root = pow(root_of_unity(k), n // size, R)
        twiddle = 1
        for j in range(half):
            for i in range(j, n, size):
                odd = values[i + half] * twiddle % R
                values[i], values[i + half] = (values[i] + odd) % R, (values[i] - odd) % R
            twiddle = twiddle * root % R
        size *= 2
    return values


def _points(path: Path, start: int, count: int) -> list[Point]:
    data = read_stretch(path, HEAD_BYTES + G1_BYTES * start, G1_BYTES * count)
    out = []
    for i in range(count):
        try:
            out.append(decode_raw(data[64 * i : 64 * i + 64]))
        except InputError as error:
            raise InputError(f"{path}: point {start + i}: {error}") from error
    return out


def _point_at(path: Path, index: int) -> Point:
    return _points(path, index, 1)[0]


def _chunks(path: Path, start: int, count: int) -> Iterator[tuple[int, list[Point]]]:
    """(offset from `start`, points) of `count` points of the file, _CHUNK at a time."""
    for offset in range(0, count, _CHUNK):
        yield offset, _points(path, start + offset, min(_CHUNK, count - offset))


def _check_second_power(path: Path, first: Point, second: Point) -> None:
    if first != GENERATOR:
        raise InputError(f"{path}: its first power is not the generator")
    if second is None or second == GENERATOR:
        raise InputError(f"{path}: its tau is {0 if second is None else 1}")
    if second == multiply(GENERATOR, TEST_TAU):
        raise InputError(f"{path}: its tau is that of the test SRS, which everybody knows")
