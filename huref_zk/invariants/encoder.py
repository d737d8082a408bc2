"""The CNN encoder: six sketched invariant maps -> one vector v of 512 integers.

After HuRef section 4.3 (a convolutional encoder trained contrastively whose output is made Gaussian
by a discriminator). Ours is all convolution and all integer, because it runs inside a circuit:

    u[c,f] = conv 4x4 stride 4 of map c with filter (c,f), divided by 2^shift and rounded
    y[c,f] = u[c,f] / |u[c]|                      one norm a map: the paper's standardisation
    h[o]   = relu( sum_cf w1[o,c,f] y[c,f] )      1x1 convolution
    v[q]   = sum_o w2[q,o] h[o] - b2[q]           1x1 convolution

Standardising after the first convolution instead of before it rescales 384 numbers instead of
1,536, and in a circuit rescaling is what costs. The maps need no centring: sketches with balanced
rows are already centred.

Shapes: maps (6, 16, 16); filt (6, 4, 4, 4) as (map, filter, row, column); w1 (32, 6, 4);
w2 (32, 32); b2 (32,); u and y (6, 4, 4, 4) as (map, filter, i, j); h and v (32, 4, 4);
v is flattened in C order to 512.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from huref_zk.errors import EnvironmentLacks

VERSION = "encoder-2"
MAPS = 6  # two groups of left signs times the terms a, b, f
P = 16  # rows of a map, and columns
FILTERS = 4
HIDDEN = 32
OUT = 32
V_LENGTH = OUT * 4 * 4
# 1/|u| is taken in units of 2^-INVERSE_BITS, from a first guess in units of 2^-GUESS_BITS
# (``inverse``): |u| is near 2^15, which leaves the one 14 bits and the other 11.
INVERSE_BITS = 29
GUESS_BITS = 26
NORM_MIN, NORM_MAX = 1 << 13, 1 << 17
"""Between which the circuit demands every |u| to lie, ends included."""
CONDITIONS = 2 * MAPS
"""How many conditions the circuit counts: two a map."""
WEIGHTS = Path(__file__).resolve().parent.parent / "data" / "encoder.npz"

Maps = Sequence[Sequence[Sequence[int]]]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoder:
    """Integer weights, each int64: filt (6,4,4,4), w1 (32,6,4), w2 (32,32), b2 (32,)."""

    filt: _Integers
    w1: _Integers
    w2: _Integers
    b2: _Integers

    @property
    def digest(self) -> str:
        """SHA-256, hex, over the version and the arrays as little-endian int64 in C order."""
        h = hashlib.sha256(VERSION.encode())
        for a in (self.filt, self.w1, self.w2, self.b2):
            h.update(np.ascontiguousarray(a, dtype="<i8").tobytes())
        return h.hexdigest()


@lru_cache(maxsize=1)
def load_encoder(path: Path = WEIGHTS) -> Encoder:
    """The shipped encoder. Raises EnvironmentLacks when its file is missing or damaged."""
    shapes = {
        "filt": (MAPS, FILTERS, 4, 4),
        "w1": (HIDDEN, MAPS, FILTERS),
        "w2": (OUT, HIDDEN),
        "b2": (OUT,),
    }
    try:
        with np.load(path, allow_pickle=False) as z:
            arrays = {k: np.asarray(z[k], dtype=np.int64) for k in shapes}
    except (OSError, KeyError, ValueError) as e:
        raise EnvironmentLacks(
            f"the encoder's weights {path} cannot be read ({e}); reinstall"
        ) from e
    for k, shape in shapes.items():
        if arrays[k].shape != shape:
            raise EnvironmentLacks(
                f"{path}: {k} has shape {arrays[k].shape}, not {shape}; reinstall"
            )
    return Encoder(**arrays)


def encode_float(encoder: Encoder, maps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """v in real numbers, without rounding, for maps (6, 16, 16) float64; returns float64 (512,)."""
    m = np.asarray(maps, dtype=np.float64).reshape(MAPS, 4, 4, 4, 4)  # map, i, row, j, column
    u = np.einsum("cixjy,cfxy->cfij", m, encoder.filt)
    norm = np.sqrt((u**2).sum(axis=(1, 2, 3)))
    scale = np.divide(2.0**INVERSE_BITS, norm, out=np.zeros_like(norm), where=norm > 0)
    h = np.maximum(np.einsum("cfij,ocf,c->oij", u, encoder.w1, scale), 0.0)
    v: npt.NDArray[np.float64] = np.einsum("oij,qo->qij", h, encoder.w2)
    return (v - encoder.b2[:, None, None]).reshape(-1)


def encode_exact(encoder: Encoder, maps: Maps, shift: int) -> list[int]:
    """v as the circuit computes it, in Python integers: what an honest proof publishes.

    maps: 6 x 16 x 16 integers (|m| < 2^115); shift: the circuit's power-of-two divisor. Equal to
    ezkl's witness in every entry where the maps' norms are in range (``norms``).
    """
    return readout(encoder, filtered(encoder, maps, shift))


def norms(encoder: Encoder, maps: Maps, shift: int) -> list[int]:
    """|u| of each map as the circuit rounds it: the six integers that it demands to lie between
    NORM_MIN and NORM_MAX. Arguments as of ``encode_exact``."""
    return [_round_sqrt(int((u**2).sum())) for u in filtered(encoder, maps, shift)]


def filtered(encoder: Encoder, maps: Maps, shift: int) -> npt.NDArray[np.object_]:
    """u (6, 4, 4, 4) as (map, filter, i, j): Python integers. As of ``encode_exact``."""
    m = np.array(maps, dtype=object).reshape(MAPS, 4, 4, 4, 4)
    raw = np.einsum("cixjy,cfxy->cfij", m, encoder.filt.astype(object))
    u: npt.NDArray[np.object_] = np.vectorize(lambda a: _rescaled(a, shift), otypes=[object])(raw)
    return u


def readout(encoder: Encoder, u: npt.NDArray[np.object_]) -> list[int]:
    """v of filtered maps, u (6, 4, 4, 4): the part of the circuit in which nothing is free."""
    scale = np.array([inverse(_round_sqrt(int((x**2).sum()))) for x in u], dtype=object)
    y = u * scale[:, None, None, None]
    h = np.maximum(np.einsum("cfij,ocf->oij", y, encoder.w1.astype(object)), 0)
    v = np.einsum("oij,qo->qij", h, encoder.w2.astype(object))
    return [int(x) for x in (v - encoder.b2[:, None, None].astype(object)).reshape(-1)]


def inverse(norm: int) -> int:
    """2^INVERSE_BITS / norm as the circuit has it, for a norm of at least 1; 0 for 0.

    A first guess a is 2^GUESS_BITS / norm, from a quotient of twice as many bits; then one step of
    Newton's, a (2 - norm a), in integers. ezkl takes quotients in double precision; those here are
    small enough for that to be exact at every norm in range (tests/circuit/test_reciprocal.py).
    """
    if norm == 0:
        return 0
    guess = _rescaled(_round_div(1 << 2 * GUESS_BITS, norm), GUESS_BITS)
    step = guess * ((1 << (GUESS_BITS + 1)) - norm * guess)
    return _rescaled(step, 2 * GUESS_BITS - INVERSE_BITS)


def _rescaled(a: int, bits: int) -> int:
    """a / 2^bits rounded to nearest, halves away from zero, as ezkl's witness generator does it:
    in double precision, which keeps the first 53 bits of ``a``."""
    return _round_div(int(float(a)), 1 << bits)


def _round_div(a: int, b: int) -> int:
    """a / b rounded to nearest, halves away from zero; b > 0."""
    q = (2 * abs(a) + b) // (2 * b)
    return q if a >= 0 else -q


def _round_sqrt(n: int) -> int:
    r = math.isqrt(n)
    return r + (n - r * r > r)
