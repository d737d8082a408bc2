"""Time and memory of matching parts of two models of 7B's shape.

    python -m research.benchmarks.parts [related|strangers]

The sketches are drawn, not made from weights: 32 layers of 11,008 neurons and 32 heads, 128
directions. Related: the same with noise, the neurons in another order.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from huref_zk.comparison.parts.matching import match_parts
from huref_zk.comparison.parts.sketches import SIDE, LayerParts
from huref_zk.comparison.parts.story import what_happened

LAYERS, NEURONS, HEADS, DIRECTIONS, NOISE = 32, 11_008, 32, 128, 0.3


def layer(neurons: np.ndarray, heads: np.ndarray) -> LayerParts:
    """Of vectors (3, F, r) and (H, 2, s^2)."""
    return LayerParts(
        neurons=_unit(neurons),
        gated=True,
        experts=np.full(NEURONS, -1, np.int16),
        sizes=np.ones(NEURONS, np.float32),
        leaders=np.arange(NEURONS, dtype=np.int32),
        heads=_unit(heads).reshape(HEADS, 2, SIDE, SIDE),
        head_leaders=np.arange(HEADS, dtype=np.int32),
        total=NEURONS,
    )


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float16)


def main(kind: str) -> None:
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    a, b = [], []
    for _ in range(LAYERS):
        neurons, heads = drawn(3, NEURONS, DIRECTIONS), drawn(HEADS, 2, SIDE * SIDE)
        a.append(layer(neurons, heads))
        order = rng.permutation(NEURONS)
        keep = np.float32(kind == "related")
        other = keep * neurons[:, order] + NOISE * drawn(*neurons.shape)
        b.append(layer(other, keep * heads + NOISE * drawn(*heads.shape)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    parts = match_parts(a, b)
    matched = time.process_time()
    found = what_happened(parts)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = time.process_time() - matched
    print(f"{kind}: matching {matched - start:.0f} CPU s, findings {told:.0f} CPU s")
    print(f"{(after - before) // 1024} MB more; {found[0].words}")
    print(f"found of A {parts.share_a:.4f}, of B {parts.share_b:.4f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "related")
