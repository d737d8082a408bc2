"""What a prover wins who uses every freedom that the circuit's gadgets leave, all at once.

ezkl's division takes any quotient within one unit of the true one: two integers, unless the
division leaves no rest. So a prover may choose

    u       each of the 384 filtered entries, rounded up or down
    guess   of each norm's inverse, likewise; what it wins there is gone after Newton's step
    1/|u|   each of the six, likewise

and nothing else: square root and reciprocal are the nearest integers, by the circuit's own
comparisons (a root's sign is the range condition's doing). v is a smooth function of all that, so
the search is linear algebra: in the direction in which v turns most, round everything that way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from huref_zk.invariants.encoder import (
    GUESS_BITS,
    INVERSE_BITS,
    MAPS,
    Encoder,
    Maps,
    load_encoder,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
SIZE = MAPS * 64


@dataclass(frozen=True)
class Slack:
    """Angles in radians. honest: the farthest accepted v that was found, from the honest one;
    between: the farthest two that were found; bound: what no two can exceed, to first order."""

    honest: float
    between: float
    bound: float


def measure(maps: Maps, shift: int, starts: int = 16) -> Slack:
    """Search among the accepted witnesses of these maps, whose norms must not be zero."""
    with threadpool_limits(1):  # on busy cores the small factorisations take twenty times as long
        return _measure(maps, shift, starts)


def _measure(maps: Maps, shift: int, starts: int) -> Slack:
    encoder = load_encoder()
    low, high, near = quotients(maps, shift)
    true = (near, [scale_of(n)[1] for n in norms_of(near)])
    v = vector(encoder, *true)
    turn = turning(encoder, near.astype(np.float64), v)
    honest = between = 0.0
    for direction in directions(turn, starts):
        pair = [witness(low, high, direction if up else -direction) for up in (True, False)]
        ends = [vector(encoder, *chosen) for chosen in pair]
        between = max(between, angle(*ends))
        honest = max(honest, *(angle(v, end) for end in ends))
    return Slack(honest, between, bound(turn))


def quotients(maps: Maps, shift: int) -> tuple[Integers, Integers, Integers]:
    """For every entry of u (6, 4, 4, 4): the quotient rounded down, up, and to nearest."""
    m = np.array(maps, dtype=object).reshape(MAPS, 4, 4, 4, 4)
    raw = np.einsum("cixjy,cfxy->cfij", m, load_encoder().filt.astype(object))
    one = 1 << shift
    down, up = raw // one, -(-raw // one)
    near = np.where(2 * (raw - down * one) >= one, up, down)
    return down.astype(np.int64), up.astype(np.int64), near.astype(np.int64)


def norms_of(u: Integers) -> list[int]:
    """|u| of each map, to the nearest integer."""
    squares = [int((x.astype(object) ** 2).sum()) for x in u]
    roots = [math.isqrt(s) for s in squares]
    return [r + (s - r * r > r) for s, r in zip(squares, roots, strict=True)]


def scale_of(norm: int) -> tuple[int, int, int]:
    """1 / norm in units of 2^-INVERSE_BITS as the circuit accepts it: least, nearest, largest."""
    quotient = ((1 << (2 * GUESS_BITS + 1)) + norm) // (2 * norm)
    found = []
    for guess in {quotient >> GUESS_BITS, -(-quotient >> GUESS_BITS)}:
        step = guess * ((1 << (GUESS_BITS + 1)) - norm * guess)
        bits = 2 * GUESS_BITS - INVERSE_BITS
        found += [step >> bits, -(-step >> bits)]
    return min(found), round((1 << INVERSE_BITS) / norm), max(found)


def vector(encoder: Encoder, u: Integers, scale: list[int]) -> Floats:
    """v of any choice of u and of the inverse norms: exact integers, then floats."""
    y = u * np.array(scale, dtype=np.int64)[:, None, None, None]
    h = np.maximum(np.einsum("cfij,ocf->oij", y, encoder.w1), 0)
    v = np.einsum("oij,qo->qij", h, encoder.w2) - encoder.b2[:, None, None]
    return v.reshape(-1).astype(np.float64)


def witness(low: Integers, high: Integers, direction: Floats) -> tuple[Integers, list[int]]:
    """The accepted witness that goes farthest in a direction of (u, scales)."""
    up = direction[:SIZE].reshape(low.shape) > 0
    u = np.where(up, high, low)
    sizes = norms_of(u)
    scales = [
        scale_of(n)[2 if more else 0] for n, more in zip(sizes, direction[SIZE:] > 0, strict=True)
    ]
    return u, scales


def turning(encoder: Encoder, u: Floats, v: Floats) -> Floats:
    """(512, 384 + 6): by how much v turns, in radians, for a unit of u and for a unit of each
    inverse norm. u: not zero in any map."""
    size = np.sqrt((u**2).sum(axis=(1, 2, 3)))
    scale = 2.0**INVERSE_BITS / size
    open_ = np.einsum("cfij,ocf,c->oij", u, encoder.w1, scale) > 0
    columns = []
    for c in range(MAPS):
        flat = u[c].ravel()
        # d (u / |u|) = (1 - u u^T / |u|^2) du / |u|; one more direction: u itself, by the scale.
        moves = scale[c] * (np.eye(flat.size) - np.outer(flat, flat) / size[c] ** 2)
        moves = np.concatenate([moves, flat[:, None]], axis=1).reshape(4, 4, 4, -1)
        mixed = np.einsum("fijk,of->oijk", moves, encoder.w1[:, c]) * open_[..., None]
        columns.append(np.einsum("oijk,qo->qijk", mixed, encoder.w2).reshape(v.size, -1))
    whole = np.concatenate([m[:, :-1] for m in columns] + [m[:, -1:] for m in columns], axis=1)
    length = np.linalg.norm(v)
    across: Floats = (whole - np.outer(v, v @ whole) / length**2) / length
    return across


def bound(turn: Floats) -> float:
    """What no two accepted vectors differ by, to first order: each entry of u by a unit at most,
    each inverse norm by two (rounding, and what is left of the guess)."""
    u, scales = turn[:, :SIZE], turn[:, SIZE:]
    wide = float(np.linalg.norm(u, 2)) * SIZE**0.5
    return wide + 2 * float(np.linalg.norm(scales, 2)) * MAPS**0.5


def directions(turn: Floats, starts: int) -> Iterator[Floats]:
    """Corners of the box of all choices from which no single change turns v further, reached from
    the directions in which it turns most and from random ones."""
    gram = turn.T @ turn
    _, _, right = np.linalg.svd(turn, full_matrices=False)
    rng = np.random.default_rng(0)
    for start in [*right[: starts // 2], *rng.normal(size=(starts // 2, turn.shape[1]))]:
        corner = np.where(start > 0, 1.0, -1.0)
        for _ in range(100):
            moved = np.where(gram @ corner > 0, 1.0, -1.0)
            if (moved == corner).all():
                break
            corner = moved
        yield corner


def angle(x: Floats, y: Floats) -> float:
    """Between two vectors, exact for small angles."""
    a, b = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return float(2 * np.arcsin(min(1.0, np.linalg.norm(a - b) / 2)))
