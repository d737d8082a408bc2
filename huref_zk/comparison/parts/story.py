"""What happened to a model's parts, in words: A is the one asked about, B what became of it.

Every finding rests on shares of parts found, layer by layer; its confidence is how much of the
parts that it is about fits it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from huref_zk.comparison.parts.changes import Change, changes
from huref_zk.comparison.parts.depth import Depth, depth_findings, read_depth
from huref_zk.comparison.parts.finding import FEW, NEARLY_ALL, Finding, are, layers, percent
from huref_zk.comparison.parts.partners import Matches, Parts
from huref_zk.comparison.parts.scoring import RATE
from huref_zk.comparison.parts.width import expert_findings, width_findings

EXACT = 5e-4
"""Parts are unchanged when their median score is less than this below 1: more than half precision
takes from a copy."""
MIN_NEURONS, MIN_HEADS, CHANCE = 5, 2, 0.002
"""Pairs, and the share of either model's parts in them, from which there is something to tell: more
than any two strangers have shown (docs/parts.md)."""
NEAR = 0.99
"""A part of a copy may score as little: rounding."""
STILL = 0.1
"""A layer is as good as unchanged when it moved less than this share of what some other did."""
ROUNDED = 0.95
"""From which a change is so small that rounding would do."""


def what_happened(parts: Parts, other: Parts | None = None) -> list[Finding]:
    """Findings about how B came from A, the widest first; other: B matched with a second base.

    Empty never: where nothing is found, that is the finding.
    """
    if other is not None:
        found = _two_bases(parts, other)
        if found:
            return found
    kinds = (parts.neurons, MIN_NEURONS), (parts.heads, MIN_HEADS)
    if not any(_more_than_chance(kind, least) for kind, least in kinds):
        return [_strangers(parts)]
    depth = read_depth(parts)
    told = changes(parts, depth.origin)
    return [
        *_change(parts, depth, told),
        *depth_findings(depth),
        *expert_findings(parts),
        *width_findings(parts),
    ]


def _more_than_chance(kind: Matches, least: int) -> bool:
    return len(kind.pairs) >= least and max(kind.a.share(), kind.b.share()) >= CHANCE


def _strangers(parts: Parts) -> Finding:
    words = (
        f"{parts.neurons.b.count()} of B's {parts.neurons.b.living()} neurons and "
        f"{parts.heads.b.count()} of its {parts.heads.b.living()} heads are found in A, no more "
        "than strangers have, as the tokens' embeddings see them."
    )
    share = max(parts.share_a, parts.share_b)
    return Finding("strangers", 1 - share, words, {"score": parts.score})


def _change(parts: Parts, depth: Depth, told: list[Change]) -> list[Finding]:
    """How far what came from A has moved."""
    neurons, heads = parts.neurons.median(), parts.heads.median()
    evidence: dict[str, Any] = {
        "share_of_a_found": parts.share_a,
        "share_of_b_found": parts.share_b,
        "median_neuron": neurons,
        "median_head": heads,
    }
    whose = _whose(parts)
    if 1 - neurons <= EXACT and 1 - heads <= EXACT:
        words = (
            f"{whose} are unchanged: a copy, or weights rewritten without changing what they do."
        )
        return [Finding("copy", parts.neurons.at_least(NEAR), words, evidence)]
    if not len(parts.neurons.pairs):
        words = (
            f"{percent(parts.heads.a.share())} of A's heads are found again (median score "
            f"{heads:.3f}), but no neuron."
        )
        return [Finding("only heads", parts.heads.a.share(), words, evidence)]
    if 1 - neurons <= EXACT and parts.heads.b.count():
        words = f"{whose} are unchanged; heads have moved (median score {heads:.3f})."
        fit = parts.neurons.at_least(NEAR)
        return [Finding("only attention trained", fit, words, evidence)]
    evidence["moved_by_layer"] = {c.layer: round(c.moved, 4) for c in told}
    evidence["directions"] = {c.layer: [c.spans, c.of] for c in told if c.spans}
    words = f"{whose} are found again, changed to a median score of {neurons:.3f}"
    seen = [c for c in told if c.spans]
    low = [c for c in seen if c.low]
    if low and len(low) >= NEARLY_ALL * len(seen):
        spans, of = max((c.spans, c.of) for c in low)
        words += (
            f" by matrices of low rank, as LoRA does: {spans} directions where weights span {of}."
        )
        return [Finding("low-rank training", len(low) / len(seen), words, evidence)]
    words += ": trained further" + (", or rounded." if neurons >= ROUNDED else ".")
    sure = 1 - RATE / len(parts.neurons.pairs)
    found = [Finding("trained further", sure, words, evidence)]
    most = max((c.moved for c in told), default=0.0)
    still = [c.layer for c in told if c.moved < STILL * most]
    moved = [c.layer for c in told if c.moved >= STILL * most]
    if still and moved:
        words = f"B's {layers(still)} {are(still)} as good as unchanged; {layers(moved)} moved."
        some = {"unchanged": still, "moved": moved}
        found.append(Finding("only some layers trained", sure, words, some))
    return found


def _whose(parts: Parts) -> str:
    a, b = parts.share_a, parts.share_b
    if min(a, b) >= NEARLY_ALL:
        return f"{percent(a)} of A's neurons"
    if a >= b:
        return f"{percent(a)} of A's neurons ({percent(b)} of B's)"
    return f"{percent(b)} of B's neurons ({percent(a)} of A's)"


def _two_bases(one: Parts, other: Parts) -> list[Finding]:
    """B's neurons by the base that they are more alike; empty unless both have a share."""
    rows = []
    for j, alive in enumerate(one.neurons.b.alive):
        found = [p.neurons.b.found()[j] & alive for p in (one, other)]
        scores = [
            np.where(f, p.neurons.b.score[j], 0) for f, p in zip(found, (one, other), strict=True)
        ]
        first = found[0] & (scores[0] >= scores[1])
        second = found[1] & ~first
        rows.append((int(first.sum()), int(second.sum()), int(alive.sum())))
    table = np.array(rows, dtype=float)
    total = table[:, 2].sum()
    if not total or (table[:, :2].sum(axis=0) < FEW * total).any():
        return []
    shares = table[:, :2].sum(axis=0) / total
    by_layer = table[:, :2] / np.maximum(table[:, 2:], 1)
    words = (
        f"{percent(shares[0])} of B's neurons are A's and {percent(shares[1])} are the second "
        f"base's.{_by_layer(by_layer)}"
    )
    evidence = {"shares": shares.round(4).tolist(), "by_layer": by_layer.round(4).tolist()}
    return [Finding("two bases", float(shares.sum()), words, evidence)]


def _by_layer(shares: np.ndarray) -> str:
    """Which whole layers are whose."""
    first, second = (np.flatnonzero(shares[:, n] >= NEARLY_ALL).tolist() for n in (0, 1))
    words = ""
    if first:
        words += f" B's {layers(first)} are A's."
    if second:
        words += f" B's {layers(second)} are the second base's."
    return words
