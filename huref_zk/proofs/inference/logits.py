"""The logits of the K tokens in an audit: what they are of, and what a service said.

With O committed, logit_k = <O_k, z> for z the normalised stream that leaves the last layer: gain
and scale are in O's rows. Where embeddings are tied E itself gives them,

    logit_k = norms_k <E_k, z>        z = gain times that stream,

gain (d numbers) and norms (the root mean square of each embedding) being the owner's word. A free
norm lets any one position come out as wished; what two positions say of one token no longer.

So served log-probabilities are compared position by position, up to a constant, which is what the
tokens that were not served add to the softmax's denominator; for E only over tokens that were
served at two positions at least.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.commitment.descriptor import Descriptor
from huref_zk.errors import InputError
from huref_zk.files.container import load_json, read_bounded
from huref_zk.proofs.inference.claims import Claims, geometry_of, normalised
from huref_zk.proofs.inference.file import Head, Places
from huref_zk.proofs.inference.public import judge

SERVED = 0.25
"""Allowed deviation of served log-probabilities from the claimed logits, in nats, root of the mean
square at a position."""
MAX_SERVED = 1 << 26
Served = Mapping[int, Mapping[int, float]]
"""Position in the prompt -> token id -> natural logarithm of its probability as the next token."""


@dataclass(frozen=True)
class Spoken:
    """What the logits say. loss: mean of -log p of the prompt's own next token among the K, nats,
    at ``next`` positions where it is one of them (0.0 at none); chance: log K; served: largest
    deviation from served log-probabilities, at ``compared`` positions."""

    loss: float
    next: int
    chance: float
    served: float
    compared: int


def check_output(
    descriptor: Descriptor,
    head: Head,
    claims: Claims,
    places: Places,
    ids: Sequence[int],
    tokens: Sequence[int],
    served: Served | None,
) -> Spoken | None:
    """Check z, and ``served`` if it is given; None when the output is not audited. InputError."""
    output = claims.output
    if output is None:
        if served is not None:
            raise InputError("the audit claims no logits to compare with the served ones")
        return None
    if head.output == "O" and not (np.all(output.gain == 1) and np.all(output.norms == 1)):
        raise InputError("rows of O have gain and norms folded in; the audit claims others")
    geometry = geometry_of(descriptor)
    stream = claims.layers[geometry.layers.index(geometry.depth - 1)].h_out
    wanted = normalised(stream, head.eps) * output.gain * 2.0 ** head.scales["z"][0]
    gap = np.abs(wanted - output.z).max(axis=1)
    judge(gap, 1.0, places.positions, "z is not the normalised stream that leaves the last layer")
    logits = logits_of(descriptor, head, claims)
    row_of = {token: row for row, token in enumerate(tokens)}
    loss, count = _next_loss(logits, places.positions, ids, row_of)
    worst, compared = 0.0, 0
    if served is not None:
        twice = head.output == "E"
        worst, compared = _compare(logits, places.positions, row_of, served, twice)
    return Spoken(loss, count, math.log(len(tokens)), worst, compared)


def logits_of(descriptor: Descriptor, head: Head, claims: Claims) -> np.ndarray:
    """The claimed logits, float64 (positions, K)."""
    assert claims.output is not None
    unit = 2.0 ** -head.scales["z"][0] / float(descriptor.scales[head.output])
    return np.asarray(claims.output.s * unit * claims.output.norms.astype(np.float64))


def read_served(path: Path) -> dict[int, dict[int, float]]:
    """Served log-probabilities from a JSON file: {"position": {"token id": log p, ...}, ...}.

    InputError for anything else.
    """
    try:
        data: Any = load_json(read_bounded(path, MAX_SERVED))
        served = {
            int(position): {int(token): float(value) for token, value in said.items()}
            for position, said in data.items()
        }
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InputError(
            f"{path} must be a JSON object of positions, each an object of token ids and "
            "log-probabilities"
        ) from None
    if not all(math.isfinite(value) for said in served.values() for value in said.values()):
        raise InputError(f"{path} holds a log-probability that is not finite")
    return served


def _next_loss(
    logits: np.ndarray, positions: Sequence[int], ids: Sequence[int], row_of: Mapping[int, int]
) -> tuple[float, int]:
    losses = []
    for row, position in zip(logits, positions, strict=True):
        following = row_of.get(ids[position + 1]) if position + 1 < len(ids) else None
        if following is not None:
            top = float(row.max())
            losses.append(top + math.log(float(np.exp(row - top).sum())) - float(row[following]))
    return (float(np.mean(losses)) if losses else 0.0), len(losses)


def _compare(
    logits: np.ndarray,
    positions: Sequence[int],
    row_of: Mapping[int, int],
    served: Served,
    twice: bool,
) -> tuple[float, int]:
    """(largest root mean square deviation, positions compared)."""
    told = [
        {
            row_of[token]: value
            for token, value in served.get(position, {}).items()
            if token in row_of
        }
        for position in positions
    ]
    often = Counter(row for said in told for row in said)
    deviations, where = [], []
    for row, position, said in zip(logits, positions, told, strict=True):
        rows = [k for k in said if often[k] > 1 or not twice]
        if len(rows) < 2:
            continue
        gap = row[rows] - np.array([said[k] for k in rows])
        deviations.append(float(gap.std()))
        where.append(position)
    if not deviations:
        raise InputError(
            "the served log-probabilities say nothing that can be compared: at an audited position "
            "two of the committed tokens are needed"
            + (", each served at another audited position too" if twice else "")
        )
    worst = judge(np.array(deviations), SERVED, where, "the logits are not those that were served")
    return worst, len(deviations)
