"""Integers: what is committed and proven.

E = round(2^7 x), clipped at ±LIMIT: under whole and last-two a function of each token's embedding
alone (x has a mean square of one, so nothing is clipped up to d = 65,536). Each core has one real
scale, chosen so that under the public seed the norm n_t that the circuit divides by (encoder.py)
comes out near 2^15. Scales do not touch the fingerprint beyond rounding, since every map is
normalised by its own size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.encoder import load_encoder
from huref_zk.invariants.recipes import Cores
from huref_zk.invariants.sketch import GROUPS, LEFT, PUBLIC_SEED, RIGHT, group_rows, signs, sketch

TERMS = "abf"
LIMIT = (1 << 15) - 1
E_BITS = 7
NORM_BITS = 15
LEAST_BITS = 13.5
"""Outliers lower a core's scale until its norms are near 2^13.5; what still exceeds LIMIT then is
clipped."""
MAP_BITS = 115
"""Maps stay below 2^115, which leaves ezkl's 128-bit witnesses room for the filters."""
LIMB = 15


@dataclass(frozen=True)
class Quantised:
    """E int16 (K, d); C: one or two sets int16 (3, d, d); scales: the decimal repr of what floats
    were multiplied by: "E", and "C0a" (first set, term a) to "C1f"; clipped: how many entries were.
    """

    E: np.ndarray
    C: tuple[np.ndarray, ...]
    scales: dict[str, str]
    clipped: int = 0


def quantise(cores: Cores, shift: int) -> Quantised:
    """Integers for a circuit that divides maps by 2^shift (circuit/shape.py).

    Raises InputError for a core of zeros, and where outliers leave no scale that keeps the norms in
    the circuit's range.
    """
    scale = 2.0**E_BITS
    if cores.recipe == "official":
        scale /= _rms(cores.X, "the embedding")
    E, clipped = _round(cores.X, scale)
    scales = {"E": repr(scale)}
    norms = map_norms(sketch(cores, PUBLIC_SEED)) * scale**2 / 2.0**shift
    sets = []
    for s, parts in enumerate(cores.sets):
        found = np.empty(parts.shape, dtype=np.int16)
        for t, term in enumerate(TERMS):
            # One set serves both groups, two one each.
            of = norms[t::3] if len(cores.sets) == 1 else norms[3 * s + t : 3 * s + t + 1]
            factor = _core_scale(parts[t], of, f"term {term}")
            found[t], lost = _round(parts[t], factor)
            clipped += lost
            scales[f"C{s}{term}"] = repr(factor)
        sets.append(found)
    result = Quantised(E, tuple(sets), scales, clipped)
    if clipped:
        _check_clipped(result, shift)
    return result


def quantised_of(matrices: Mapping[str, np.ndarray], core_sets: Sequence[str]) -> Quantised:
    """The integers of a witness (commitment/witness.py): E int16 (K, d), core sets (d, 3, d)."""
    return Quantised(
        matrices["E"], tuple(np.swapaxes(matrices[name], 0, 1) for name in core_sets), {}
    )


def map_norms(maps: np.ndarray) -> np.ndarray:
    """The norm n_t of each map's first convolution, float64 (6,), for a divisor of one."""
    m = np.asarray(maps, dtype=np.float64).reshape(-1, 4, 4, 4, 4)
    u = np.einsum("cixjy,cfxy->cfij", m, load_encoder().filt)
    return np.asarray(np.sqrt(np.square(u).sum(axis=(1, 2, 3))))


def projected(q: Quantised, seed: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P_L E int64 (32, d), Y = P_L E C int64 (32, 3, d), B = P_R E int64 (16, d)), exact.

    Rows of group s are multiplied by the set s, or by the one there is. With K, d <= 2^16 and 15
    bits an entry, |P E| <= 2^31 and |Y| <= 2^62.
    """
    count = len(q.E)
    E = q.E.astype(np.float64)
    # Sums of integers below 2^53 are exact in float64, whatever their order.
    left, right = (
        (signs(seed, side, p, count).astype(np.float64) @ E).astype(np.int64)
        for side, p in (("L", LEFT), ("R", RIGHT))
    )
    Y = np.empty((LEFT, len(TERMS), E.shape[1]), dtype=np.int64)
    for s in range(GROUPS):
        rows = left[group_rows(s)]
        high, low = (part.astype(np.float64) for part in (rows >> 16, rows & 0xFFFF))
        for t, core in enumerate(q.C[s % len(q.C)]):
            C = core.astype(np.float64)
            Y[group_rows(s), t] = ((high @ C).astype(np.int64) << 16) + (low @ C).astype(np.int64)
    return left, Y, right


def integer_maps(q: Quantised, seed: bytes) -> list[list[list[int]]]:
    """The sketched integer maps Y_t B^T, exact Python integers, (6, 16, 16): map 3 s + t."""
    _, Y, B = projected(q, seed)
    maps = []
    for s in range(GROUPS):
        for t in range(len(TERMS)):
            rows = Y[group_rows(s), t]
            total = np.zeros((rows.shape[0], RIGHT), dtype=object)
            # Limbs of 15 bits times 31 bits, d <= 2^16 of them: below 2^63.
            for n in range(0, 64, LIMB):
                limb = rows >> n if n + LIMB >= 64 else (rows >> n) & ((1 << LIMB) - 1)
                total += (limb @ B.T).astype(object) * (1 << n)
            maps.append(total.tolist())
    return maps


def _core_scale(core: np.ndarray, norms: np.ndarray, what: str) -> float:
    """The factor that brings norms to 2^15 in the geometric mean, or less for the sake of the
    largest entries."""
    if not norms.min() > 0:
        raise InputError(f"{what} is zero throughout; this model has no such fingerprint")
    usual = 2.0**NORM_BITS / float(np.exp(np.log(norms).mean()))
    least = min(2.0**LEAST_BITS / float(norms.min()), usual)
    return float(min(usual, max(LIMIT / float(np.abs(core).max()), least)))


def _check_clipped(q: Quantised, shift: int) -> None:
    norms = map_norms(np.array(integer_maps(q, PUBLIC_SEED), dtype=np.float64)) / 2.0**shift
    if norms.min() < 2.0 ** (LEAST_BITS - 0.25):
        raise InputError(
            "a few entries of this model's cores are so large that in 15 bits nothing else is seen"
        )


def _rms(values: np.ndarray, what: str) -> float:
    rms = math.sqrt(float(np.mean(np.square(values, dtype=np.float64))))
    if rms == 0:
        raise InputError(f"{what} is zero throughout; this model has no such fingerprint")
    return rms


def _round(values: np.ndarray, scale: float) -> tuple[np.ndarray, int]:
    scaled = np.rint(values.astype(np.float64) * scale)
    clipped = int((np.abs(scaled) > LIMIT).sum())
    return np.clip(scaled, -LIMIT, LIMIT).astype(np.int16), clipped
