"""Numbers of a few bits, out of the words that they are packed into."""

from __future__ import annotations

import numpy as np

FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)
"""What the sixteen codes of a four-bit float (E2M1) stand for."""


def unpack(words: np.ndarray, bits: int) -> np.ndarray:
    """uint8 (..., n): the numbers along the last axis of little-endian words, the lowest bits
    first."""
    data = np.ascontiguousarray(words).view(np.uint8)
    if bits == 8:
        return data
    if bits == 4:
        out = np.empty((*data.shape[:-1], data.shape[-1] * 2), dtype=np.uint8)
        out[..., 0::2] = data & 15
        out[..., 1::2] = data >> 4
        return out
    spread = np.unpackbits(data, axis=-1, bitorder="little")
    spread = spread.reshape(*data.shape[:-1], -1, bits)
    return (spread << np.arange(bits, dtype=np.uint8)).sum(axis=-1, dtype=np.uint8)
