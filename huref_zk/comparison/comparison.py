"""What is compared, a Side, and what comes of it, a Comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.comparison.opened import OpenModel, opened
from huref_zk.comparison.parts.finding import Finding
from huref_zk.comparison.parts.partners import Parts
from huref_zk.comparison.saved import Saved
from huref_zk.comparison.verdict import Judged, Verdict
from huref_zk.comparison.views import LayerMap
from huref_zk.models.model import Model

TERM_NAMES = ("qk", "vo", "ffn")


@dataclass(frozen=True)
class Side:
    """One of the two: an opened model, with a map file if it needs one to be read, or a saved
    fingerprint."""

    name: str
    model: Model | None
    saved: Saved | None
    map_file: Path | None = None

    @cached_property
    def opened(self) -> OpenModel:
        """The model with its family and sizes. Raises InputError where it cannot be read."""
        assert self.model is not None
        return opened(self.model, self.map_file)


@dataclass(frozen=True)
class Comparison:
    """views: every view that could be had, judged; verdict: of them together; layers: how layers
    match; pcs: None when it has no meaning; parts, findings: what became of neurons and heads, None
    and nothing without both models' weights; tokens: how many they have in common, found by "text"
    or "number"; notes: what a user should know."""

    a: str
    b: str
    tokens: int
    tokens_by: str
    views: tuple[Judged, ...]
    verdict: Verdict
    layers: LayerMap
    pcs: float | None
    rearranged: bool
    parts: Parts | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def score(self) -> float:
        """The verdict's, in [-1, 1]: 1 for a copy."""
        return self.verdict.score

    def view(self, name: str) -> Judged | None:
        """One of the views; None where it could not be had."""
        return next((j for j in self.views if j.view.name == name), None)

    def mirrored(self) -> Comparison:
        """The same with a and b in the other places, of a comparison without parts."""
        assert self.parts is None
        matrix = self.layers.matrix.swapaxes(0, 1)
        pairs = tuple((j, i) for i, j in self.layers.pairs)
        return replace(self, a=self.b, b=self.a, layers=LayerMap(matrix, pairs))

    def describe(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "tokens": {"count": self.tokens, "by": self.tokens_by},
            "score": self.score,
            "verdict": asdict(self.verdict),
            "views": {j.view.name: _view(j) for j in self.views},
            "layers": {
                "a": self.layers.matrix.shape[0],
                "b": self.layers.matrix.shape[1],
                "matched": [list(pair) for pair in self.layers.pairs],
                "ics": {
                    term: np.round(self.layers.matrix[..., t], 4).tolist()
                    for t, term in enumerate(TERM_NAMES)
                },
            },
            "pcs": self.pcs,
            "rearranged": self.rearranged,
            "parts": None if self.parts is None else self.parts.describe(),
            "findings": [asdict(finding) for finding in self.findings],
            "warnings": list(self.notes),
        }


def _view(j: Judged) -> dict[str, Any]:
    shuffled = None if j.shuffled is None else asdict(j.shuffled)
    return {
        "score": j.view.score,
        "statistic": j.view.statistic,
        "p": j.p,
        "p_pairs": j.p_pairs,
        "p_shuffled": j.p_shuffled,
        "threshold": j.threshold,
        "related": j.related,
        "shuffled": shuffled,
        "frames": dict(j.view.frames),
    }
