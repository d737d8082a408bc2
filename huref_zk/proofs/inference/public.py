"""What an audit's claims must satisfy whatever the weights: checked without any proof.

    norms       x = round(2^s h / rms(h)), to the last unit, and not next to nothing
    residual    h_mid - h_in is what the attention block adds, h_out - h_mid what the FFN adds, up
                to what rounding the committed weights explains, which must be little of it;
                neighbouring committed layers fit
    activation  mid = silu(gate) up, up to what rounding explains
    attention   a is the attention over q, k, v, wherever all earlier positions are audited too
    embeddings  E's rows of the prompt's tokens are what enters layer 0, where that is audited
    output      z is the normalised stream that leaves the last layer, times gain (logits.py)

Rounding, in figures: an entry of a committed block is off by up to 1/2, by 1/sqrt(12)
rms, so a block applied to integers a is off by |a| / sqrt(12) an output, rms. ROUNDING times that
is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from huref_zk.commitment.descriptor import Descriptor
from huref_zk.errors import InputError
from huref_zk.proofs.inference.claims import (
    X_BITS,
    Claims,
    Geometry,
    LayerClaims,
    embedding_values,
    geometry_of,
    normalised,
)
from huref_zk.proofs.inference.file import Head, Places

ROUNDING = 2.0
"""Allowed rounding error, in units of what is expected; rms rounding errors of 1/2, the most there
can be, give 1.73."""
COARSE = 1 / 16
"""The part of what a block adds, by norm, that the expected rounding error may be. Weights as they
are committed stay below a hundredth; without a limit zeros under a huge unit explain any stream."""
ACTIVATION = 0.05
"""Relative error of recomputed silu(gate) up, by norm; gate and up are rounded."""
ATTENTION = 0.1
"""Relative error of recomputed attention outputs, by norm; scores amplify the rounding."""
EPSILON = 0.99
"""The part of a norm's mean square that its epsilon may be. Where it is all, the input is zero, and
so is whatever linear map of it: an audit of nothing. Embeddings of some models come near a half."""
EMBEDDING = 0.51
"""Units that an entry of E may be off from the embedding it is rounded from."""


@dataclass(frozen=True)
class Measured:
    """Largest deviations found: residual in units of the expected rounding error (ROUNDING are
    allowed), activation and attention relative, embedding in units of E; attended: at how many
    places attention was recomputed; joined: pairs of neighbouring layers; named: at how many
    positions E's row was met."""

    residual: float
    activation: float
    attention: float
    embedding: float
    attended: int
    joined: int
    named: int


def check_public(descriptor: Descriptor, head: Head, claims: Claims, places: Places) -> Measured:
    """Check all claims but the logits. InputError, naming what does not hold and where."""
    geometry = geometry_of(descriptor)
    scales = {name: float(value) for name, value in descriptor.scales.items()}
    residual = activation = attention = 0.0
    attended = 0
    for i, layer in enumerate(claims.layers):
        at = _Layer(geometry, layer, geometry.layers[i], i, places.positions, scales, head)
        at.check_norms()
        residual = max(residual, at.check_residual())
        activation = max(activation, at.check_activation())
        error, places_attended = at.check_attention()
        attention, attended = max(attention, error), attended + places_attended
    return Measured(
        residual,
        activation,
        attention,
        _check_embeddings(descriptor, claims, places, scales["E"]),
        attended,
        _check_joins(geometry, claims, places.positions),
        len(places.named),
    )


@dataclass(frozen=True)
class _Layer:
    """One audited layer's claims with all that judging them takes. number: the layer's; index:
    among the audited ones."""

    geometry: Geometry
    claims: LayerClaims
    number: int
    index: int
    positions: tuple[int, ...]
    weights: dict[str, float]
    head: Head

    def unit(self, exponent: int, block: str) -> float:
        """What one unit of a product stands for."""
        return 2.0**-exponent / self.weights[block.format(self.number)]

    def check_norms(self) -> None:
        c = self.claims
        for stream, x, what in (
            (c.h_in, c.x_att, "attention's"),
            (c.h_mid, c.x_ffn, "FFN's"),
        ):
            gap = np.abs(normalised(stream, self.head.eps) * (1 << X_BITS) - x).max(axis=1)
            judge(
                gap,
                1.0,
                self.positions,
                f"the {what} input in layer {self.number} is not the normalised residual stream",
            )
            swallowed = 1 - np.mean((x / (1 << X_BITS)) ** 2, axis=1)
            words = f"the {what} input in layer {self.number} is lost in the norm's epsilon"
            judge(swallowed, EPSILON, self.positions, words)

    def check_residual(self) -> float:
        """What the blocks add, against the stream: the largest ratio to what rounding explains."""
        c, scales, worst = self.claims, self.head.scales, 0.0
        for before, after, given, added, exponent, block, what in (
            (c.h_in, c.h_mid, c.a, c.att, scales["a"][self.index], "ko{}.o", "attention"),
            (c.h_mid, c.h_out, c.mid, c.ffn, scales["mid"][self.index], "down{}", "FFN"),
        ):
            share = _rounding(given, added) / np.maximum(_norms(added), 1e-300)
            words = f"the {what} block of layer {self.number} is committed too coarsely"
            judge(share, COARSE, self.positions, words)
            ratio = _residual(before, after, given, added, self.unit(exponent, block))
            words = f"the {what} block of layer {self.number} adds other values"
            worst = max(worst, judge(ratio, ROUNDING, self.positions, words))
        return worst

    def check_activation(self) -> float:
        """The largest relative error of mid, by norm."""
        gate, up = (
            getattr(self.claims, name) * self.unit(X_BITS, f"{name}{{}}") for name in ("gate", "up")
        )
        found = gate / (1 + np.exp(-np.clip(gate, -700, 700))) * up
        mid = self.claims.mid * 2.0 ** -self.head.scales["mid"][self.index]
        # By the larger, as for attention.
        size = np.maximum(np.maximum(_norms(mid), _norms(found)), 1e-300)
        words = f"mid is not silu(gate) times up in layer {self.number}"
        return judge(_norms(found - mid) / size, ACTIVATION, self.positions, words)

    def check_attention(self) -> tuple[float, int]:
        """(largest relative error, positions) at the prefix of the prompt that is audited whole."""
        whole = sum(1 for p, position in enumerate(self.positions) if position == p)
        theta = self.head.theta
        if theta is None or not whole:
            return 0.0, 0
        error = self._attention_error(whole, theta)
        words = f"a is not the attention in layer {self.number}"
        return judge(error, ATTENTION, self.positions, words), whole

    def _attention_error(self, count: int, theta: float) -> np.ndarray:
        g, c = self.geometry, self.claims

        def real(values: np.ndarray, block: str) -> np.ndarray:  # (count, heads, head_dim)
            wide = values[:count] * self.unit(X_BITS, block)
            return wide.reshape(count, g.heads, g.head_dim)

        angles = np.outer(np.arange(count), theta ** (-np.arange(0, g.head_dim, 2) / g.head_dim))
        q = rotated(real(c.q, "qv{}.q"), angles)
        k = rotated(real(g.repeated(c.k), "ko{}.k"), angles)
        v = real(g.repeated(c.v), "qv{}.v")
        a = c.a[:count] * 2.0 ** -self.head.scales["a"][self.index]
        errors = np.empty(count)
        for p in range(count):  # one position at a time: prompts may be long
            scores = np.einsum("hs,nhs->hn", q[p], k[: p + 1]) / math.sqrt(g.head_dim)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            found = np.einsum("hn,nhs->hs", weights, v[: p + 1]).reshape(-1)
            # By the larger: where one of them is nothing, the other must be.
            size = max(float(np.linalg.norm(a[p])), float(np.linalg.norm(found)), 1e-300)
            errors[p] = np.linalg.norm(found - a[p]) / size
        return errors


def judge(error: np.ndarray, allowed: float, positions: Sequence[int], what: str) -> float:
    """The largest error (N,), if all are allowed. InputError, naming ``what`` and where."""
    bad = np.flatnonzero(~(error <= allowed))  # not a number is bad, too
    if len(bad):
        worst = int(bad[np.argmax(error[bad])])
        raise InputError(
            f"{what}, at {len(bad)} of {len(error)} positions, first at {positions[int(bad[0])]} "
            f"(up to {error[worst]:.3g}, allowed is {allowed:g})"
        )
    return float(error.max(initial=0.0))


def _residual(
    before: np.ndarray, after: np.ndarray, given: np.ndarray, added: np.ndarray, unit: float
) -> np.ndarray:
    """|after - before - added| in units of the expected rounding error, (N,)."""
    before, after = before.astype(np.float64), after.astype(np.float64)
    gap = np.linalg.norm(after - before - unit * added, axis=1)
    expected = unit * _rounding(given, added)
    # No allowance relative to the stream itself: claiming a huge one would then allow anything.
    return np.asarray(gap / np.maximum(expected, 1e-300))


def _rounding(given: np.ndarray, added: np.ndarray) -> np.ndarray:
    """The expected rounding error of what a block makes of ``given``, in units of ``added``, (N,):
    by the norm of the integers alone, whatever they stand for."""
    return np.asarray(math.sqrt(added.shape[1] / 12) * _norms(given))


def _norms(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(values.astype(np.float64), axis=1))


def _check_joins(geometry: Geometry, claims: Claims, positions: Sequence[int]) -> int:
    joined = 0
    for i in range(len(claims.layers) - 1):
        if geometry.layers[i + 1] == geometry.layers[i] + 1:
            gap = np.any(claims.layers[i].h_out != claims.layers[i + 1].h_in, axis=1)
            what = f"layer {geometry.layers[i + 1]} does not start where the one before ends"
            judge(gap.astype(float), 0.5, positions, what)
            joined += 1
    return joined


def _check_embeddings(
    descriptor: Descriptor, claims: Claims, places: Places, scale: float
) -> float:
    if not places.named:
        return 0.0
    chosen = [index for index, _ in places.named]
    streams = claims.layers[0].h_in[chosen]
    gap = np.abs(embedding_values(streams, descriptor.recipe, scale) - claims.rows).max(axis=1)
    where = [places.positions[index] for index in chosen]
    return judge(gap, EMBEDDING, where, "E's row of the token is not what enters layer 0")


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
    return {name: round(value, 6) for name, value in asdict(measured).items()}
