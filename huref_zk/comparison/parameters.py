"""PCS: the cosine of two models' parameters (HuRef section 3.2), layer by layer, from sketches.

Each matrix W (m, n) of a layer is kept as S W T, SIDE x SIDE, with random signs S, T that depend on
its part and shape alone. Scalar products of sketches are those of the matrices, to 1 / SIDE of the
product of their lengths.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.models.families import Family
from huref_zk.models.feed_forward import ffn_blocks, read_block
from huref_zk.models.layers import read_attention_grouped
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions

SIDE = 32
PARTS = ("q", "k", "v", "o", "up", "gate", "down")


@dataclass(frozen=True)
class LayerParameters:
    """sketches float32 (parts, SIDE, SIDE) in the order of PARTS; shapes (parts): of the matrices,
    (0, 0) for one that is not there; of a mixture's experts, side by side."""

    sketches: np.ndarray
    shapes: tuple[tuple[int, int], ...]


def layer_parameters(model: Model, family: Family, dims: Dimensions, i: int) -> LayerParameters:
    """Of layer i. InputError for missing or misshapen tensors, NaN and infinities."""
    sketches = np.zeros((len(PARTS), SIDE, SIDE), dtype=np.float32)
    shapes = [(0, 0)] * len(PARTS)

    def add(part: str, w: np.ndarray, e: int = 0) -> None:
        n = PARTS.index(part)
        sketches[n] += _signs(part, "out", w.shape[0], e) @ w @ _signs(part, "in", w.shape[1]).T
        shapes[n] = (shapes[n][0] + w.shape[0], w.shape[1])

    attention = read_attention_grouped(model, family, dims, i)
    for part, w in zip(PARTS, attention, strict=False):
        add(part, w)
    for e, block in enumerate(ffn_blocks(model, family, dims, i)):
        up, gate, down = read_block(model, family, dims, block, gate=True)
        add("up", up, e)
        add("down", down.T, e)
        if gate is not None:
            add("gate", gate, e)
    return LayerParameters(sketches, tuple(shapes))


def parameter_cosine(
    a: Sequence[LayerParameters],
    b: Sequence[LayerParameters],
    pairs: Sequence[tuple[int, int]],
) -> float | None:
    """PCS of the matched layers (i of a, j of b); None when any two matrices differ in shape, or
    nothing is matched: parameters of different sizes have no cosine."""
    dot = left = right = 0.0
    for i, j in pairs:
        if a[i].shapes != b[j].shapes:
            return None
        x, y = (np.asarray(s.sketches, dtype=np.float64).ravel() for s in (a[i], b[j]))
        dot, left, right = dot + float(x @ y), left + float(x @ x), right + float(y @ y)
    if not pairs:
        return None
    return dot / math.sqrt(left * right) if left > 0 and right > 0 else 0.0


def _signs(part: str, side: str, count: int, e: int = 0) -> np.ndarray:
    """float32 (SIDE, count), entries +-1, the same every time."""
    label = f"huref_zk parameters {part} {side} {count} {e}".encode()
    data = hashlib.shake_256(label).digest(SIDE * count // 8)
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8)).reshape(SIDE, count)
    return bits.astype(np.float32) * 2 - 1
