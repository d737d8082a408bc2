"""What an audit's claims must satisfy whatever the weights: checked without any proof.

    norms       x = round(2^s h / rms(h)), to the last unit
    residual    h_mid - h_in is what the attention block adds, h_out - h_mid what the FFN adds, up
                to what rounding the committed weights explains; neighbouring committed layers fit
    heads       the copies of a kv head agree: of keys up to rounding, of values exactly
    activation  mid = silu(gate) up for some gate: silu is never below SILU_MINIMUM
    attention   a is the attention over q, k, v, wherever all earlier positions are audited too

Rounding, in figures: an entry of a committed block is off by up to 1/2, by 1/sqrt(12)
rms, so a block applied to integers a is off by |a| / sqrt(12) an output, rms. ROUNDING times that
is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.errors import StepFailed
from huref_zk.proofs.inference.claims import X_BITS, Geometry, LayerClaims, normalised

STEP = 5
ROUNDING = 2.0
"""Allowed rounding error, in units of what is expected; rms rounding errors of 1/2, the most there
can be, give 1.73."""
SILU_MINIMUM = -0.27846454276107
ACTIVATION = 0.05
"""The part of mid, by norm, that may lie where silu(gate) up cannot: up is rounded."""
ATTENTION = 0.1
"""Relative error of recomputed attention outputs, by norm; scores amplify the rounding."""


@dataclass(frozen=True)
class Measured:
    """Largest deviations found: residual, heads in units of the expected rounding error (ROUNDING
    are allowed), activation and attention relative; attended: at how many places attention was
    recomputed; joined: pairs of neighbouring layers."""

    residual: float
    heads: float
    activation: float
    attention: float
    attended: int
    joined: int


def check_public(
    geometry: Geometry,
    claims: Sequence[LayerClaims],
    positions: Sequence[int],
    weight_scales: dict[str, int],
    scales: dict[str, list[int]],
    eps: float,
    theta: float | None,
) -> Measured:
    """Check all claims; weight_scales: the descriptor's, scales: the audit's. StepFailed(5)."""
    residual = heads = activation = attention = 0.0
    attended = 0
    for i, layer in enumerate(claims):
        number = geometry.layers[i]
        for stream, x, what in (
            (layer.h_in, layer.x_att, "attention's"),
            (layer.h_mid, layer.x_ffn, "FFN's"),
        ):
            _check_norm(stream, x, eps, positions, f"{what} input in layer {number}")
        for before, after, given, added, exponent, term, what in (
            (layer.h_in, layer.h_mid, layer.a, layer.att, scales["a"][i], "b", "attention"),
            (layer.h_mid, layer.h_out, layer.mid, layer.ffn, scales["mid"][i], "f", "FFN"),
        ):
            unit = 2.0 ** -(exponent + weight_scales[f"V{i}{term}"])
            ratio = _residual(before, after, given, added, unit)
            _judge(
                ratio,
                ROUNDING,
                positions,
                f"the {what} block of layer {number} adds other values",
            )
            residual = max(residual, float(ratio.max()))
        ratio = _copies(geometry, layer.k, layer.r_a, layer.x_att)
        _judge(ratio, ROUNDING, positions, f"keys of a kv head differ in layer {number}")
        heads = max(heads, float(ratio.max()))
        copies = geometry.by_kv_head(layer.v)
        unequal = np.any(copies != copies[:, :, :1], axis=(1, 2, 3))
        _judge(
            unequal.astype(float), 0.5, positions, f"values of a kv head differ in layer {number}"
        )
        share = _impossible(layer, 2.0 ** (X_BITS + weight_scales[f"U{i}f"] - scales["mid"][i]))
        _judge(share, ACTIVATION, positions, f"mid is no silu(gate) times up in layer {number}")
        activation = max(activation, float(share.max()))
        whole = [p for p, position in enumerate(positions) if position == p]  # 0, 1, 2 ...
        if theta is not None and whole:
            error = _attention(geometry, layer, len(whole), i, weight_scales, scales["a"][i], theta)
            _judge(error, ATTENTION, positions, f"a is not the attention in layer {number}")
            attention, attended = max(attention, float(error.max())), attended + len(whole)
    joined = 0
    for i in range(len(claims) - 1):
        if geometry.layers[i + 1] == geometry.layers[i] + 1:
            gap = np.any(claims[i].h_out != claims[i + 1].h_in, axis=1)
            what = f"layer {geometry.layers[i + 1]} does not start where the one before ends"
            _judge(gap.astype(float), 0.5, positions, what)
            joined += 1
    return Measured(residual, heads, activation, attention, attended, joined)


def _judge(error: np.ndarray, allowed: float, positions: Sequence[int], what: str) -> None:
    bad = np.flatnonzero(~(error <= allowed))  # not a number is bad, too
    if len(bad):
        worst = int(bad[np.argmax(error[bad])])
        raise StepFailed(
            STEP,
            f"{what}, at {len(bad)} of {len(error)} positions, first at {positions[int(bad[0])]} "
            f"(up to {error[worst]:.3g}, allowed is {allowed:g})",
        )


def _check_norm(
    h: np.ndarray, x: np.ndarray, eps: float, positions: Sequence[int], what: str
) -> None:
    gap = np.abs(normalised(h, eps) * (1 << X_BITS) - x).max(axis=1)
    _judge(gap, 1.0, positions, f"the {what} is not the normalised residual stream")


def _residual(
    before: np.ndarray, after: np.ndarray, given: np.ndarray, added: np.ndarray, unit: float
) -> np.ndarray:
    """|after - before - added| in units of the expected rounding error, (N,)."""
    before, after = before.astype(np.float64), after.astype(np.float64)
    norm = np.linalg.norm
    gap = norm(after - before - unit * added, axis=1)
    width = before.shape[1]
    expected = unit * math.sqrt(width / 12) * norm(given.astype(np.float64), axis=1)
    # No allowance relative to the stream itself: claiming a huge one would then allow anything.
    return gap / np.maximum(expected, 1e-300)


def _copies(
    geometry: Geometry, values: np.ndarray, factor: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """How far the copies of kv heads, values times factor, lie from their mean, (N,), in units of
    the expected rounding error: a column off by half a unit changes k by r_a times that."""
    factor = factor.astype(np.float64)
    copies = geometry.by_kv_head(values * factor)
    if copies.shape[2] == 1:
        return np.zeros(len(values))
    gap = copies - copies.mean(axis=2, keepdims=True)
    expected = np.linalg.norm(factor) * np.linalg.norm(x.astype(np.float64), axis=1) / math.sqrt(12)
    return np.linalg.norm(gap.reshape(len(values), -1), axis=1) / np.maximum(expected, 1e-300)


def _impossible(layer: LayerClaims, up_unit: float) -> np.ndarray:
    """The norm of mid's part that no gate explains, relative to mid's, (N,).

    up_unit: how many units of mid's integers are one of mid's scale times up's integers.
    """
    up = layer.up.astype(np.float64) / up_unit
    mid = layer.mid.astype(np.float64)
    factor = mid * np.sign(up)  # silu(gate) |up|
    beyond = np.minimum(0.0, factor - SILU_MINIMUM * np.abs(up))
    return np.linalg.norm(beyond, axis=1) / np.maximum(np.linalg.norm(mid, axis=1), 1e-300)


def _attention(
    geometry: Geometry,
    layer: LayerClaims,
    count: int,
    index: int,
    weight_scales: dict[str, int],
    exponent: int,
    theta: float,
) -> np.ndarray:
    """Relative error of a at the first ``count`` positions, which are all audited, (count,)."""
    heads, size = geometry.heads, geometry.head_dim

    def real(values: np.ndarray, name: str) -> np.ndarray:  # (count, heads, size)
        wide = values[:count].astype(np.float64) * 2.0 ** -(X_BITS + weight_scales[name])
        return wide.reshape(count, heads, size)

    angles = np.outer(np.arange(count), theta ** (-np.arange(0, size, 2) / size))
    balance = layer.r_a.astype(np.float64).reshape(1, heads, size)
    q = rotated(real(layer.q, f"U{index}a") / balance, angles)
    k = rotated(real(layer.k, f"V{index}a") * balance, angles)
    v = real(layer.v, f"U{index}b")  # each head's times X, as a is
    a = layer.a[:count].astype(np.float64) * 2.0**-exponent
    errors = np.empty(count)
    for p in range(count):  # one position at a time: prompts may be long
        scores = np.einsum("hs,nhs->hn", q[p], k[: p + 1]) / math.sqrt(size)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        found = np.einsum("hn,nhs->hs", weights, v[: p + 1]).reshape(-1)
        errors[p] = np.linalg.norm(found - a[p]) / max(float(np.linalg.norm(a[p])), 1e-300)
    return errors


def rotated(values: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotary position embedding as Hugging Face's llama has it: entry s of a head is paired with
    entry s + size/2. values (n, heads, size), angles (n, size/2)."""
    cosine = np.cos(angles)[:, None, :]
    sine = np.sin(angles)[:, None, :]
    half = values.shape[-1] // 2
    first, second = values[..., :half], values[..., half:]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def describe(measured: Measured) -> dict[str, Any]:
    """The figures for --json."""
    return {
        "residual_in_rounding_errors": round(measured.residual, 4),
        "heads_in_rounding_errors": round(measured.heads, 4),
        "activation_impossible": round(measured.activation, 6),
        "attention_relative_error": round(measured.attention, 6),
        "attention_recomputed": measured.attended,
        "neighbouring_layers": measured.joined,
    }
