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
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from huref_zk.errors import EnvironmentLacks

VERSION = "encoder-1"
MAPS = 6  # two layers times the terms a, b, f
P = 16  # rows of the sketch on each side
FILTERS = 4
HIDDEN = 32
OUT = 32
V_LENGTH = OUT * 4 * 4
# 1/|u| is taken as round(2^INVERSE_BITS / |u|): |u| is near 2^15, which leaves it 12 bits.
INVERSE_BITS = 27
WEIGHTS = Path(__file__).resolve().parent.parent / "data" / "encoder.npz"


@dataclass(frozen=True)
class Encoder:
    """Integer weights, each int64: filt (6,4,4,4), w1 (32,6,4), w2 (32,32), b2 (32,)."""

    filt: np.ndarray
    w1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray

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


def encode_float(encoder: Encoder, maps: np.ndarray) -> np.ndarray:
    """v in real numbers, without rounding, for maps (6, 16, 16) float64; returns float64 (512,)."""
    m = np.asarray(maps, dtype=np.float64).reshape(MAPS, 4, 4, 4, 4)  # map, i, row, j, column
    u = np.einsum("cixjy,cfxy->cfij", m, encoder.filt)
    norm = np.sqrt((u**2).sum(axis=(1, 2, 3)))
    inverse = np.divide(2.0**INVERSE_BITS, norm, out=np.zeros_like(norm), where=norm > 0)
    h = np.maximum(np.einsum("cfij,ocf,c->oij", u, encoder.w1, inverse), 0.0)
    return (np.einsum("oij,qo->qij", h, encoder.w2) - encoder.b2[:, None, None]).reshape(-1)


def _round_div(a: int, b: int) -> int:
    """a / b rounded to nearest, halves away from zero, as ezkl's witness generator does; b > 0."""
    q = (2 * abs(a) + b) // (2 * b)
    return q if a >= 0 else -q


def encode_exact(encoder: Encoder, maps: list[list[list[int]]], shift: int) -> list[int]:
    """v as the circuit computes it, in Python integers: what an honest proof publishes.

    maps: 6 x 16 x 16 integers (|m| < 2^90); shift: the circuit's power-of-two divisor.
    """
    m = np.array(maps, dtype=object).reshape(MAPS, 4, 4, 4, 4)
    filt = encoder.filt.astype(object)
    raw = np.einsum("cixjy,cfxy->cfij", m, filt)
    u = np.vectorize(lambda a: _round_div(a, 1 << shift), otypes=[object])(raw)
    norm = [_round_sqrt(int((u[c] ** 2).sum())) for c in range(MAPS)]
    inverse = np.array([_round_div(1 << INVERSE_BITS, n) if n else 0 for n in norm], dtype=object)
    scaled = u * inverse[:, None, None, None]
    h = np.maximum(np.einsum("cfij,ocf->oij", scaled, encoder.w1.astype(object)), 0)
    v = np.einsum("oij,qo->qij", h, encoder.w2.astype(object)) - encoder.b2[:, None, None].astype(
        object
    )
    return [int(x) for x in v.reshape(-1)]


def _round_sqrt(n: int) -> int:
    r = math.isqrt(n)
    return r + (n - r * r > r)
