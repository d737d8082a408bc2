"""What is compared, a Side, and what comes of it, a Comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from huref_zk.comparison.null import Null, Verdict
from huref_zk.comparison.saved import Saved
from huref_zk.models.families import Family, family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions

TERM_NAMES = ("qk", "vo", "ffn")


@dataclass(frozen=True)
class Side:
    """One of the two: an opened model, with a map file if it needs one to be read, or a saved
    fingerprint."""

    name: str
    model: Model | None
    saved: Saved | None
    map_file: Path | None = None

    def sizes(self) -> tuple[Family, Dimensions]:
        """Family and sizes of the model. Raises InputError where it cannot be read."""
        assert self.model is not None
        family = family_for(self.model, self.map_file)
        return family, dimensions(self.model, family)


@dataclass(frozen=True)
class Sketched:
    """A model sketched over the tokens of a saved fingerprint of this basis. maps, shuffled: as
    layers.layer_sketches; found: how many of the tokens the model has, "text" or "number" by."""

    basis: str
    maps: np.ndarray
    shuffled: np.ndarray
    found: int
    by: str


@dataclass(frozen=True)
class LayerIcs:
    """ICS of one matched pair of layers (numbers in a and b), in the order of TERM_NAMES."""

    a: int
    b: int
    terms: tuple[float, float, float]

    @property
    def mean(self) -> float:
        return sum(self.terms) / 3


@dataclass(frozen=True)
class Comparison:
    """score: see layers.matched_score; matrix: float64 (n, m, 3), sketched ICS of every two layers;
    variants: ICS of the last two matched layers, "matched" as in the matrix, and of models exact by
    variant; whole: of models, exact ICS of the cores of all layers, which the published fingerprint
    shows, by term; pcs: None when it has no meaning; shuffled: the null of shuffled tokens, None
    without a model to shuffle; tokens: how many, and whether they were found by "text" or "number".
    """

    a: str
    b: str
    tokens: int
    tokens_by: str
    score: float
    pairs: tuple[tuple[int, int], ...]
    matrix: np.ndarray
    variants: dict[str, tuple[LayerIcs, ...]]
    whole: tuple[float, float, float] | None
    pcs: float | None
    rearranged: bool
    shuffled: Null | None
    verdict: Verdict

    def overall(self, variant: str) -> float | None:
        """Mean ICS of a variant, None where it was not computed or nothing matched."""
        rows = self.variants.get(variant, ())
        return sum(row.mean for row in rows) / len(rows) if rows else None

    def mirrored(self) -> Comparison:
        """The same comparison with a and b in the other places."""
        return replace(
            self,
            a=self.b,
            b=self.a,
            pairs=tuple((j, i) for i, j in self.pairs),
            matrix=self.matrix.swapaxes(0, 1),
            variants={
                name: tuple(LayerIcs(r.b, r.a, r.terms) for r in rows)
                for name, rows in self.variants.items()
            },
        )

    def describe(self) -> dict:
        """Everything but the matrix, for JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "tokens": {"count": self.tokens, "by": self.tokens_by},
            "score": self.score,
            "matched_layers": [list(pair) for pair in self.pairs],
            "ics": {
                name: {
                    "overall": self.overall(name),
                    "layers": [
                        {"a": r.a, "b": r.b, **dict(zip(TERM_NAMES, r.terms, strict=True))}
                        for r in rows
                    ],
                }
                for name, rows in self.variants.items()
            },
            "whole": None if self.whole is None else dict(zip(TERM_NAMES, self.whole, strict=True)),
            "pcs": self.pcs,
            "rearranged": self.rearranged,
            "shuffled": None if self.shuffled is None else asdict(self.shuffled),
            "verdict": asdict(self.verdict),
        }
