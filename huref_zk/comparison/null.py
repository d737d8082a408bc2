"""How surprising a score is: among shuffled tokens, and among models known to be unrelated.

Two nulls, because each sees what the other cannot: shuffling the tokens of one of the two models at
hand keeps these very weights and breaks only what kinship would need; the bundled table of
unrelated pairs (data/unrelated.json, made by `huref-zk experiment pairs`) also has what strangers
share by nature, such as a tokenizer and training text.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import EnvironmentLacks
from huref_zk.paths import DATA

RELATED_RATE = 1e-6
"""False-positive rate of the verdict "related" by the fitted null."""
UNRELATED_RATE = 1e-2
"""A score as high as an unrelated pair's one time in a hundred or more often is "unrelated"."""


@dataclass(frozen=True)
class Null:
    """A fitted null of the score, from ``count`` measurements of this mean and sd: Student's t for
    a new draw from a normal whose variance they estimate."""

    mean: float
    sd: float
    count: int

    def law(self):
        """The fitted distribution, one of scipy.stats. EnvironmentLacks without scipy."""
        width = self.sd * math.sqrt(1 + 1 / self.count)
        return _stats().t(self.count - 1, self.mean, width)

    def p_value(self, score: float) -> float:
        """P(null >= score)."""
        return float(self.law().sf(score))

    def threshold(self, rate: float) -> float:
        """The score whose p-value is ``rate``."""
        return float(self.law().isf(rate))


@dataclass(frozen=True)
class ExtremeNull(Null):
    """The same fitted by Gumbel's law, that of maxima, by its moments.

    A score is the best of many matchings, and the scores of strangers are skewed to the right: a
    normal curve would promise rarer high scores than there are.
    """

    def law(self):
        scale = self.sd * math.sqrt(6) / math.pi
        return _stats().gumbel_r(self.mean - np.euler_gamma * scale, scale)


def _stats():
    try:
        from scipy import stats
    except ImportError as e:
        raise EnvironmentLacks("p-values need scipy; pip install 'huref-zk[prove]'") from e
    return stats


def fit(scores: Sequence[float] | np.ndarray) -> Null:
    """The null of measured scores, at least two."""
    values = np.asarray(scores, dtype=np.float64)
    return Null(float(values.mean()), float(values.std(ddof=1)), len(values))


def fit_extreme(scores: Sequence[float] | np.ndarray) -> ExtremeNull:
    """As fit, for the scores of unrelated pairs."""
    return ExtremeNull(**vars(fit(scores)))


@functools.cache
def unrelated_pairs() -> ExtremeNull:
    """The null of the bundled table of unrelated pairs."""
    return fit_extreme([pair["score"] for pair in unrelated_table()])


@functools.cache
def unrelated_table() -> tuple[dict, ...]:
    """The bundled table: objects with a, b (what the models are), score."""
    return tuple(json.loads((DATA / "unrelated.json").read_text())["pairs"])


@dataclass(frozen=True)
class Verdict:
    """word: "related", "unrelated" or "cannot tell"; p_pairs, p_shuffled: p-values under the two
    nulls (p_shuffled None where no model was at hand to shuffle); threshold: the score from which
    pairs are called related; rate: that verdict's false-positive rate by the fitted null."""

    word: str
    p_pairs: float
    p_shuffled: float | None
    threshold: float
    rate: float


def judge(score: float, shuffled: Null | None) -> Verdict:
    """The verdict on a matched score (layers.matched_score) and its null of shuffled tokens."""
    table = unrelated_pairs()
    p_pairs = table.p_value(score)
    p_shuffled = None if shuffled is None else shuffled.p_value(score)
    # A few dozen shuffles fix mean and sd, not a tail of 1e-6 by themselves: t has heavy tails, so
    # they are asked for less. The table carries the rate.
    surprising = p_shuffled is None or p_shuffled <= 1e-4
    if p_pairs <= RELATED_RATE and surprising:
        word = "related"
    elif p_pairs >= UNRELATED_RATE:
        word = "unrelated"
    else:
        word = "cannot tell"
    return Verdict(word, p_pairs, p_shuffled, table.threshold(RELATED_RATE), RELATED_RATE)
