"""How surprising a score is: among shuffled tokens, and among models known to be unrelated.

Two nulls, because each sees what the other cannot: shuffling the tokens of one of the two models at
hand keeps these very weights and breaks only what kinship would need; the bundled table of
unrelated pairs (data/unrelated.json, made by `python -m research.experiments pairs`) also has what
strangers share by nature, such as a tokenizer and training text.
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

STANDARD = ("no tokens",)
"""Views whose statistic is in units of its own null's sd."""
LEAST_SD = {"parts": 5e-3}
"""By view, how narrow the law of unrelated pairs may be: how alike strangers' parts are depends on
how many tokens there are, and on the models' sizes."""
NARROWEST = 1e-4
"""No fit is narrower: a few measurements may happen to agree."""


@dataclass(frozen=True)
class Null:
    """A fitted null of a view's statistic, from ``count`` measurements of this mean and sd:
    Student's t for a new draw from a normal whose variance they estimate."""

    mean: float
    sd: float
    count: int

    def law(self):
        """The fitted distribution, one of scipy.stats. EnvironmentLacks without scipy."""
        width = self.sd * math.sqrt(1 + 1 / self.count)
        return _stats().t(self.count - 1, self.mean, width)

    def p_value(self, statistic: float) -> float:
        """P(null >= statistic)."""
        return float(self.law().sf(statistic))

    def threshold(self, rate: float) -> float:
        """The statistic whose p-value is ``rate``."""
        return float(self.law().isf(rate))


@dataclass(frozen=True)
class ExtremeNull(Null):
    """The same fitted by Gumbel's law, that of maxima, by its moments.

    Such a statistic is the best of many (matchings, frames, partners), and those of strangers are
    skewed to the right: a normal curve would promise rarer high ones than there are.
    """

    def law(self):
        scale = self.sd * math.sqrt(6) / math.pi
        return _stats().gumbel_r(self.mean - np.euler_gamma * scale, scale)


def _stats():
    try:
        from scipy import stats
    except ImportError as e:
        raise EnvironmentLacks("p-values need scipy; install the extra 'prove'") from e
    return stats


def fit(values: Sequence[float] | np.ndarray, least: float = NARROWEST) -> Null:
    """The null of at least two measurements, its sd ``least`` or more."""
    found = np.asarray(values, dtype=np.float64)
    return Null(float(found.mean()), max(float(found.std(ddof=1)), least), len(found))


def fit_extreme(values: Sequence[float] | np.ndarray, least: float = NARROWEST) -> ExtremeNull:
    """As fit, for the best of many; and so wide that the highest of the n values has a chance of
    one in n + 1. Pairs are of several sorts (with a tokenizer, a text, first embeddings in common),
    and those of the sort that shares most are too few to show in the moments."""
    null = fit(values, least)
    most = float(np.max(values))
    quantile = -math.log(-math.log1p(-1 / (null.count + 1)))  # of Gumbel's law at location 0
    width = (most - null.mean) / (quantile - np.euler_gamma)
    return ExtremeNull(null.mean, max(null.sd, width * math.pi / math.sqrt(6)), null.count)


@functools.cache
def unrelated_pairs(view: str) -> Null | None:
    """The null of a view by the bundled table; None where it does not have the view. Statistics
    that are in units of their own chance are symmetric, others the best of many."""
    values = [p["statistics"][view] for p in unrelated_table() if view in p["statistics"]]
    if len(values) < 2:
        return None
    if view in STANDARD:
        return fit(values)
    return fit_extreme(values, LEAST_SD.get(view, NARROWEST))


@functools.cache
def unrelated_table() -> tuple[dict, ...]:
    """The bundled table: objects with a, b (what the models are), statistics (by view)."""
    return tuple(json.loads((DATA / "unrelated.json").read_text())["pairs"])
