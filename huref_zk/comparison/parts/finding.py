"""One thing that happened to a model, in words and figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST = 0.5
"""A layer comes from another when more than this share of its parts does."""
NEARLY_ALL = 0.9
FEW = 0.02
"""Shares smaller than this are not told."""


@dataclass(frozen=True)
class Finding:
    """name: one of NAMES; confidence in 0..1: how much of the parts that the words are about fits
    them; words: a sentence; evidence: figures, for JSON."""

    name: str
    confidence: float
    words: str
    evidence: dict[str, Any] = field(default_factory=dict)


NAMES = (
    "strangers",
    "copy",
    "trained further",
    "low-rank training",
    "only some layers trained",
    "only attention trained",
    "only heads",
    "depth up-scaling",
    "layers doubled",
    "layers spread",
    "layers dropped",
    "layers inserted",
    "layers re-drawn",
    "layers reordered",
    "layers mixed",
    "idle layers",
    "blocks split",
    "neurons added",
    "neurons pruned",
    "neurons split",
    "neurons merged",
    "silent neurons",
    "heads added",
    "heads pruned",
    "heads split",
    "heads merged",
    "silent heads",
    "sparse upcycling",
    "experts",
    "two bases",
)


def ranges(numbers: Iterable[int]) -> str:
    """[0, 1, 2, 5] -> "0-2, 5": runs, each number one more than the last, in the order given."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def layers(numbers: Sequence[int]) -> str:
    """ "layer 3" or "layers 0-2, 5"."""
    return f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {ranges(numbers)}"


def are(numbers: Sequence[int]) -> str:
    """ "is" or "are"."""
    return "is" if len(numbers) == 1 else "are"


def percent(share: float) -> str:
    """A share in words: "73 %", never 100 % for less than all."""
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        return "over 99 %"
    return f"{rounded} %" if rounded or share == 0 else "under 1 %"
