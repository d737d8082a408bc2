"""From the circuit's public output v to the latent z that StyleGAN2 draws."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np

from huref_zk.errors import InputError

# z is a multiple of 2^-40, so |z| <= sqrt(4096) = 2^6 takes 46 bits: exact in float64.
LATENT_BITS = 40
MAX_LENGTH = 4096
MAX_ENTRY_BITS = 128  # the circuit's integers are 128 bits wide


def latent_from_v(v: Sequence[int]) -> np.ndarray:
    """z = v / |v| * sqrt(n), float64 (n,), for n integers below 2^128 in size.

    That is the length a Gaussian vector has on average, and the one StyleGAN2's mapping network
    normalises to. Every entry is the exact quotient rounded to the nearest multiple of 2^-40 (half
    away from zero), by integer arithmetic: the same everywhere, and the same for v and c v, c > 0.

    Raises InputError when v is empty, too long, all zero, or not integers of that size.
    """
    if not 0 < len(v) <= MAX_LENGTH:
        raise InputError(f"a vector has 1 to {MAX_LENGTH} entries, not {len(v)}")
    for i, x in enumerate(v):
        if type(x) is not int:
            raise InputError(f"entry {i} of the vector is not an integer")
        if abs(x).bit_length() > MAX_ENTRY_BITS:
            raise InputError(f"entry {i} of the vector exceeds {MAX_ENTRY_BITS} bits")
    norm2 = sum(x * x for x in v)
    if norm2 == 0:
        raise InputError("the vector is all zero: it has no direction, so no picture")
    # isqrt(floor(q)) = floor(sqrt(q)), so twice = floor(2 |z_i| 2^40) exactly, then round.
    scale = len(v) << (2 * LATENT_BITS + 2)
    steps = [(isqrt(x * x * scale // norm2) + 1) // 2 for x in v]
    signed = [-s if x < 0 else s for s, x in zip(steps, v, strict=True)]
    return np.array(signed, dtype=np.int64).astype(np.float64) * 2.0**-LATENT_BITS
