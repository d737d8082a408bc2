"""Integers with public power-of-two scales: what is committed and proven.

A real block W becomes round(W 2^e), ties to even, clipped to ±LIMIT. E has one exponent e; each of
the three term blocks of each layer has one for U and one for V, chosen so that the integer maps
come out near the size that the circuit divides by. Scales do not touch the fingerprint beyond
rounding, since every map is normalised by its own size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.canonical import Canonical
from huref_zk.invariants.sketch import PUBLIC_SEED, SIDES, signs, sketch

LIMIT = (1 << 15) - 1
E_BITS = 6  # rms of the integers in E is about 2^6 ...
W_BITS = 7  # ... and of those in U and V 2^7, give or take the calibration
MAX_SHIFT_PER_SIDE = 5
I128_BITS = 126  # ezkl computes witnesses in signed 128-bit integers
FILTER_BITS = 11  # a 4x4 filter of entries up to 127 multiplies a bound by at most 2^11


@dataclass(frozen=True)
class Quantised:
    """E int32 (K, d); U, V: per layer int32 (d, H_a + H_b + H_f); scales: exponent by block, "E",
    "U0a" (U of the first layer, term a) to "V1f"; clipped: how many entries were clipped."""

    E: np.ndarray
    U: tuple[np.ndarray, ...]
    V: tuple[np.ndarray, ...]
    widths: tuple[int, int, int]
    scales: dict[str, int]
    clipped: int


def quantise(canonical: Canonical, shift: int) -> Quantised:
    """Quantise ``canonical`` for a circuit that divides by 2^shift (circuit/shape.py).

    Raises InputError for an all-zero term, and when the bounds of ``map_bits`` are exceeded.
    """
    e = _exponent(canonical.E, E_BITS, "the embedding")
    sizes = np.sqrt((sketch(canonical, PUBLIC_SEED) ** 2).mean(axis=(1, 2)))
    scales = {"E": e}
    us, vs = [], []
    E, clipped = _round(canonical.E, e)
    index = 0
    for layer, (U, V) in enumerate(zip(canonical.U, canonical.V, strict=True)):
        start = 0
        u_parts: list[np.ndarray] = []
        v_parts: list[np.ndarray] = []
        for term, width in zip("abf", canonical.widths, strict=True):
            block = slice(start, start + width)
            eu = _exponent(U[:, block], W_BITS, f"term {term}")
            ev = _exponent(V[:, block], W_BITS, f"term {term}")
            # Bring the sketched map's rms to 2^(shift + 5): the filters add 7 bits, u keeps 12.
            if sizes[index] > 0:
                wanted = shift + 5 - math.log2(sizes[index]) - 2 * e - eu - ev
                extra = max(-2 * MAX_SHIFT_PER_SIDE, min(2 * MAX_SHIFT_PER_SIDE, round(wanted)))
                eu, ev = eu + extra // 2, ev + extra - extra // 2
            for name, parts, scale, W in (("U", u_parts, eu, U), ("V", v_parts, ev, V)):
                integers, lost = _round(W[:, block], scale)
                parts.append(integers)
                clipped += lost
                scales[f"{name}{layer}{term}"] = scale
            start += width
            index += 1
        us.append(np.concatenate(u_parts, axis=1))
        vs.append(np.concatenate(v_parts, axis=1))
    result = Quantised(E, tuple(us), tuple(vs), canonical.widths, scales, clipped)
    bits = map_bits(result)
    if bits + FILTER_BITS > I128_BITS:
        raise InputError(
            f"the integer maps may reach 2^{bits}; the circuit holds 2^{I128_BITS - FILTER_BITS}"
        )
    return result


def map_bits(q: Quantised) -> int:
    """b such that |M^| < 2^b under every seed, from the integers themselves.

    |A_ij| <= |P_i E| |U_j| <= sqrt(K) |E|_F max_j |U_j| by Cauchy-Schwarz, likewise B, and
    |M| <= H max|A| max|B|.
    """
    rows = math.sqrt(q.E.shape[0]) * float(np.linalg.norm(q.E.astype(np.float64)))
    columns = [
        max(float(np.linalg.norm(W.astype(np.float64), axis=0).max()) for W in side)
        for side in (q.U, q.V)
    ]
    bound = max(q.widths) * rows * rows * columns[0] * columns[1]
    return math.ceil(math.log2(max(bound, 1.0))) + 1


def projected(q: Quantised, seed: bytes, p: int) -> tuple[np.ndarray, np.ndarray]:
    """A = (P_L E) U and B = (P_R E) V, exact, int64 (p, L).

    int64 holds them: |P E| <= K 2^15 <= 2^31 for K <= 2^16, and Cauchy-Schwarz (map_bits) keeps
    |A| <= 2^63 because the maps, at least its square, stay below 2^126.
    """
    left, right = (
        signs(seed, side, p, q.E.shape[0]).astype(np.int64) @ q.E.astype(np.int64) for side in SIDES
    )
    a, b = (
        np.concatenate([x @ W.astype(np.int64) for W in side], axis=1)
        for x, side in ((left, q.U), (right, q.V))
    )
    return a, b


def integer_maps(q: Quantised, seed: bytes, p: int) -> list[list[list[int]]]:
    """The sketched integer maps M^ = A_t B_t^T, exact Python integers, (6, p, p)."""
    a, b = (m.astype(object) for m in projected(q, seed, p))
    maps, start = [], 0
    while start < a.shape[1]:
        for width in q.widths:
            maps.append((a[:, start : start + width] @ b[:, start : start + width].T).tolist())
            start += width
    return maps


def _exponent(W: np.ndarray, bits: int, what: str) -> int:
    rms = math.sqrt(float(np.mean(np.square(W, dtype=np.float64))))
    if rms == 0:
        raise InputError(f"{what} is zero throughout; this model has no such fingerprint")
    return round(bits - math.log2(rms))


def _round(W: np.ndarray, exponent: int) -> tuple[np.ndarray, int]:
    scaled = np.rint(W.astype(np.float64) * 2.0**exponent)
    clipped = int((np.abs(scaled) > LIMIT).sum())
    return np.clip(scaled, -LIMIT, LIMIT).astype(np.int32), clipped
