"""Activations and their slopes, under the names of transformers' ACT2FN.

Each function takes float32 of any shape and returns (act(z), act'(z)), float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Bent = tuple[np.ndarray, np.ndarray]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1 / inf is 0
        return 1 / (1 + np.exp(-z))


def swish(beta: float) -> Callable[[np.ndarray], Bent]:
    """z sigmoid(beta z)."""

    def bend(z: np.ndarray) -> Bent:
        s = _sigmoid(np.float32(beta) * z)
        y = z * s
        return y, s + np.float32(beta) * y * (1 - s)

    return bend


def _gelu(z: np.ndarray) -> Bent:
    from scipy.special import ndtr

    below = ndtr(z)
    density = np.exp(-z * z / 2) * np.float32(1 / math.sqrt(2 * math.pi))
    return z * below, below + z * density


def _gelu_10(z: np.ndarray) -> Bent:
    y, slope = _gelu(z)
    return np.clip(y, -10, 10), np.where(np.abs(y) < 10, slope, np.float32(0))


def _gelu_tanh(z: np.ndarray) -> Bent:
    c = np.float32(math.sqrt(2 / math.pi))
    square = z * z
    t = np.tanh(c * z * (1 + np.float32(0.044715) * square))
    inner = c * (1 + np.float32(3 * 0.044715) * square)
    return z * (1 + t) / 2, (1 + t) / 2 + z * (1 - t * t) * inner / 2


def _relu(z: np.ndarray) -> Bent:
    return np.maximum(z, 0), (z > 0).astype(z.dtype)


def _relu2(z: np.ndarray) -> Bent:
    y = np.maximum(z, 0)
    return y * y, 2 * y


def _relu6(z: np.ndarray) -> Bent:
    return np.clip(z, 0, 6), ((z > 0) & (z < 6)).astype(z.dtype)


def _logistic(z: np.ndarray) -> Bent:
    s = _sigmoid(z)
    return s, s * (1 - s)


def _tanh(z: np.ndarray) -> Bent:
    t = np.tanh(z)
    return t, 1 - t * t


def xielu(
    alpha_p: float = math.log(math.expm1(0.8)),
    alpha_n: float = math.log(math.expm1(0.3)),
    beta: float = 0.5,
    eps: float = -1e-6,
) -> Callable[[np.ndarray], Bent]:
    """xIELU (arXiv 2411.13010) with the numbers that its tensors hold, by default those with which
    training begins."""
    p = np.logaddexp(0, alpha_p)
    n = beta + np.logaddexp(0, alpha_n)

    def bend(z: np.ndarray) -> Bent:
        left = np.minimum(z, np.float32(eps))
        grown = np.expm1(left)
        right = z > 0
        y = np.where(right, (p * z + beta) * z, (grown - z) * n + beta * z)
        inside = (z < eps).astype(z.dtype)
        slope = np.where(right, 2 * p * z + beta, ((grown + 1) * inside - 1) * n + beta)
        return y.astype(z.dtype), slope.astype(z.dtype)

    return bend


def _linear(z: np.ndarray) -> Bent:
    return z, np.ones_like(z)


BENT: dict[str, Callable[[np.ndarray], Bent]] = {
    "gelu": _gelu,
    "gelu_10": _gelu_10,
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": _gelu,
    "gelu_pytorch_tanh": _gelu_tanh,
    "linear": _linear,
    "quick_gelu": swish(1.702),
    "relu": _relu,
    "relu2": _relu2,
    "relu6": _relu6,
    "sigmoid": _logistic,
    "silu": swish(1.0),
    "swish": swish(1.0),
    "tanh": _tanh,
    "xielu": xielu(),
}
"""Every name of models.families.ACTIVATIONS."""
