"""Views: independent ways to see kinship, each with a score and the same of shuffled tokens.

    whole       ICS of the cores of all layers in one, by frame: the picture's view
    layers      ICS of layer with layer, matched in order; attention and feed-forward blocks apart
    no tokens   how the layers' cores lie to each other (gram.py): nothing of any embedding
    parts       neurons matched one by one (parts/)

A score is 1 for a copy and about 0 for strangers. Of several frames the best counts, in the
shuffles as well.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.gram import Gram
from huref_zk.comparison.matching import Pairs, best_sums, match_layers
from huref_zk.comparison.no_tokens import no_tokens_score
from huref_zk.comparison.parts.partners import Parts
from huref_zk.comparison.sights import Sight, unit, whole

WHOLE, LAYERS, NO_TOKENS, PARTS = NAMES = ("whole", "layers", "no tokens", "parts")
SHUFFLES = 64
ATTENTION = 2 / 3
"""What attention's two terms of three count for."""
BATCH = 8
FEW = 3
"""Of fewer layers any two are as alike as can be, matched well: they say nothing without tokens."""


@dataclass(frozen=True)
class View:
    """score; statistic: what is judged, the score itself but for "no tokens"; shuffled float64
    (s,): the statistic where the tokens of one model are as if in random order, or what else would
    make kinship unseen; frames: score by frame, where there are any."""

    name: str
    score: float
    statistic: float
    shuffled: np.ndarray
    frames: dict[str, float]


@dataclass(frozen=True)
class LayerMap:
    """matrix float64 (n, m, 3): ICS of every two layers by term, in the best frame; pairs: matched
    by the mean of the terms."""

    matrix: np.ndarray
    pairs: Pairs


def whole_view(sights: list[Sight]) -> View:
    """ICS of the summed cores, mean of the terms."""
    found, shuffled = {}, []
    for sight in sights:
        a, b = (unit(whole(maps)) for maps in (sight.a, sight.b))
        found[sight.name] = float(np.einsum("tij,tij->", a, b)) / len(a)
        shuffled.append(np.einsum("tij,stij->s", a, shuffles(b)) / len(a))
    return _best(WHOLE, found, np.array(shuffled))


def layers_view(sights: list[Sight]) -> tuple[View, LayerMap]:
    """The sum over matched layers, over the number of layers of the shallower model that do
    anything."""
    found, shuffled, matrices = {}, [], {}
    for sight in sights:
        a, b = unit(sight.a), unit(sight.b)
        matrices[sight.name] = layer_ics(a, b)
        found[sight.name] = float(_matched(matrices[sight.name][None], a, b)[0])
        shuffled.append(
            np.concatenate(
                [
                    _matched(np.stack([layer_ics(a, maps) for maps in turned]), a, b)
                    for turned in _batches(b)
                ]
            )
        )
    view = _best(LAYERS, found, np.array(shuffled))
    matrix = matrices[max(found, key=found.__getitem__)]
    return view, LayerMap(matrix, match_layers(matrix.mean(axis=2)))


def no_tokens_view(a: Gram, b: Gram) -> View:
    """The score is what is above chance, as a share of what could be; nothing for FEW layers."""
    score, statistic, null, _ = no_tokens_score(a, b)
    mean, spread = float(null.mean()), float(null.std(ddof=1))
    chance = float(np.tanh(mean))
    if min(g.halves.shape[2] for g in (a, b)) < FEW or spread == 0:
        return View(NO_TOKENS, 0.0, 0.0, np.array([]), {})
    above = max(-1.0, (score - chance) / (1 - chance))
    return View(NO_TOKENS, above, (statistic - mean) / spread, (null - mean) / spread, {})


def parts_view(parts: Parts) -> View:
    """How much of the neurons of one is in the other."""
    return View(PARTS, parts.score, parts.score, np.array(parts.shuffled), {})


def layer_ics(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 (n, m, 3): ICS of every layer of a (n, 3, q, q) with every layer of b, of length
    one."""
    terms = [a[:, t].reshape(len(a), -1) @ b[:, t].reshape(len(b), -1).T for t in range(a.shape[1])]
    return np.stack(terms, axis=-1)


def _matched(matrices: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 (s,): the score of ICS (s, n, m, 3)."""
    kinds = (matrices[..., :2].mean(axis=-1), matrices[..., 2])
    total = np.zeros(len(matrices))
    for terms, kind, weight in zip(((0, 1), (2,)), kinds, (ATTENTION, 1 - ATTENTION), strict=True):
        busy = min(int(maps[:, terms].any(axis=(1, 2, 3)).sum()) for maps in (a, b))
        total += weight * best_sums(kind) / max(busy, 1)
    return total


def shuffles(maps: np.ndarray, start: int = 0, stop: int = SHUFFLES) -> np.ndarray:
    """float64 (stop - start, *maps.shape): maps (..., q, q) turned at random on either side, all
    alike: in law what other signs give, that is, tokens in another order."""
    turns = [_turned(maps.shape[-1], n) for n in range(start, stop)]
    return np.array([left @ maps @ right for left, right in turns])


@functools.lru_cache(maxsize=256)
def _turned(q: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n-th two random orthogonal matrices (q, q)."""
    rng = np.random.default_rng([5, n])
    left, right = (np.linalg.qr(rng.normal(size=(q, q)))[0] for _ in range(2))
    return left, right


def _batches(maps: np.ndarray) -> Iterator[np.ndarray]:
    """shuffles, some at a time."""
    for start in range(0, SHUFFLES, BATCH):
        yield shuffles(maps, start, min(start + BATCH, SHUFFLES))


def _best(name: str, found: dict[str, float], shuffled: np.ndarray) -> View:
    best = max(found.values())
    return View(name, best, best, shuffled.max(axis=0), found)
