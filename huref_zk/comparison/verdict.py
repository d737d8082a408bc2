"""One verdict from several views.

Every view has a p-value: the larger of those under its two nulls (null.py), where it has both. The
smallest, times the number of views, is the verdict's: whichever view sees kinship may say so, and
the chance that any of them errs is below that.

    related        p <= 1e-6
    unrelated      p >= 1e-2
    cannot tell    between them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from huref_zk.comparison.null import Null, fit, unrelated_pairs
from huref_zk.comparison.views import LAYERS, NO_TOKENS, WHOLE, View

RELATED_RATE = 1e-6
"""False-positive rate of the verdict "related" by the fitted nulls."""
UNRELATED_RATE = 1e-2
"""What unrelated pairs reach one time in a hundred or more often is "unrelated"."""
LEAST_SCORE = {NO_TOKENS: 0.5}
"""A view says nothing below: layers of large models have trends in common, however sure it is that
they are no chance (SmolLM2 and Gemma 3: 0.23, four times its sd)."""
RELATED, UNRELATED, CANNOT_TELL = WORDS = ("related", "unrelated", "cannot tell")


@dataclass(frozen=True)
class Judged:
    """A view and how surprising it is: p_pairs among unrelated pairs, p_shuffled among its shuffles
    (None where there is no table, or no shuffles); p: the larger; threshold: the statistic from
    which unrelated pairs are rarer than RELATED_RATE; related: what this view alone would say."""

    view: View
    p_pairs: float | None
    p_shuffled: float | None
    p: float
    threshold: float | None
    shuffled: Null | None
    related: bool


@dataclass(frozen=True)
class Verdict:
    """word: one of WORDS; p: the corrected p-value; rate: that of false positives of "related";
    score: in [-1, 1], 1 for a copy: the highest of the views that would say "related" by
    themselves, or where none would, of whole and layers; view: whose score that is."""

    word: str
    p: float
    rate: float
    score: float
    view: str


def judge(views: Sequence[View]) -> tuple[list[Judged], Verdict]:
    """Every view judged, and the verdict. EnvironmentLacks without scipy."""
    judged = [_judged(view, len(views)) for view in views]
    p = min(1.0, len(views) * min(j.p for j in judged))
    word = CANNOT_TELL
    if p <= RELATED_RATE:
        word = RELATED
    elif p >= UNRELATED_RATE:
        word = UNRELATED
    telling = [j.view for j in judged if j.related]
    telling = telling or [view for view in views if view.name in (WHOLE, LAYERS)]
    best = max(telling, key=lambda view: view.score)
    return judged, Verdict(word, p, RELATED_RATE, min(best.score, 1.0), best.name)


def _judged(view: View, count: int) -> Judged:
    table = unrelated_pairs(view.name)
    shuffled = fit(view.shuffled) if len(view.shuffled) > 1 else None
    p_pairs = None if table is None else table.p_value(view.statistic)
    p_shuffled = None if shuffled is None else shuffled.p_value(view.statistic)
    p = max((x for x in (p_pairs, p_shuffled) if x is not None), default=1.0)
    if view.score < LEAST_SCORE.get(view.name, -1.0):
        p = max(p, UNRELATED_RATE)
    return Judged(
        view=view,
        p_pairs=p_pairs,
        p_shuffled=p_shuffled,
        p=p,
        threshold=None if table is None else table.threshold(RELATED_RATE / count),
        shuffled=shuffled,
        related=count * p <= RELATED_RATE,
    )
