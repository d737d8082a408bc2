"""What matching two models gives: every part's partner, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.comparison.parts.sketches import LayerParts

NOBODY = -1


@dataclass(frozen=True)
class Partners:
    """One side. Of every layer's n parts, as arrays (n,): layer int32, the partner's, NOBODY
    without one; part int32, its place there; score float32, the best seen (also below the
    threshold); alive bool: whether it has a partner or does anything that the tokens see. likeness:
    mean of the best scores of a sample."""

    layer: tuple[np.ndarray, ...]
    part: tuple[np.ndarray, ...]
    score: tuple[np.ndarray, ...]
    alive: tuple[np.ndarray, ...]
    likeness: float

    def found(self) -> tuple[np.ndarray, ...]:
        """Which parts have a partner, bool (n,) a layer."""
        return tuple(layer != NOBODY for layer in self.layer)

    def count(self) -> int:
        """Parts that have a partner."""
        return int(sum(f.sum() for f in self.found()))

    def living(self) -> int:
        """Parts that do anything."""
        return int(sum(a.sum() for a in self.alive))

    def share(self) -> float:
        """Of the living, those with a partner; 0 where nothing lives."""
        return self.count() / max(self.living(), 1)

    def shares(self, layers: int) -> np.ndarray:
        """float64 (n, layers): by layer, the share whose partner is in each layer of the other."""
        out = np.zeros((len(self.layer), layers))
        for row, layer, alive in zip(out, self.layer, self.alive, strict=True):
            counts = np.bincount(layer[layer != NOBODY], minlength=layers)
            row[:] = counts / max(int(alive.sum()), 1)
        return out


@dataclass(frozen=True)
class Matches:
    """Parts of one kind: of a in b, and of b in a; pairs int32 (P, 4), one by one: layer and place
    in a, layer and place in b; threshold: the score from which a part counts as found; shuffled:
    likeness, the larger of the two, with the tokens of b shuffled."""

    a: Partners
    b: Partners
    pairs: np.ndarray
    threshold: float
    shuffled: tuple[float, ...]

    @property
    def score(self) -> float:
        """How much of one model is in the other, whichever way is more: 1 for a copy, even one with
        parts added or taken off; about 0 for strangers."""
        return max(self.a.likeness, self.b.likeness)

    @property
    def share_a(self) -> np.ndarray:
        """float64 (n_a, n_b): of each layer of A, the share whose partner is in each of B's."""
        return self.a.shares(len(self.b.layer))

    @property
    def share_b(self) -> np.ndarray:
        """float64 (n_b, n_a): of each layer of B, the share whose partner is in each of A's."""
        return self.b.shares(len(self.a.layer))

    def median(self) -> float:
        """Of the pairs' scores; 0 without any."""
        scores = self.scores()
        return float(np.median(scores)) if len(scores) else 0.0

    def scores(self) -> np.ndarray:
        """Of the pairs, float32 (P,)."""
        starts = np.cumsum([0, *(len(s) for s in self.b.score)])
        every = np.concatenate([np.zeros(0, dtype=np.float32), *self.b.score])
        return every[starts[self.pairs[:, 2]] + self.pairs[:, 3]]

    def at_least(self, least: float) -> float:
        """The share of pairs with that score or more; 0 without any."""
        scores = self.scores()
        return float((scores >= least).mean()) if len(scores) else 0.0

    def further(self) -> tuple[np.ndarray, ...]:
        """Of each layer of B, bool (n,): parts whose partner is paired with another part of the
        same layer of B: the others of a split."""
        return _further(self.b, self.pairs[:, 2:], self.pairs[:, :2])

    def merged(self) -> tuple[np.ndarray, ...]:
        """Of each layer of A, bool (n,): parts whose partner is paired with another one of the same
        layer of A."""
        return _further(self.a, self.pairs[:, :2], self.pairs[:, 2:])

    def describe(self) -> dict[str, Any]:
        """For JSON: counts and shares."""
        return {
            "score": self.score,
            "share_of_a_found": self.a.share(),
            "share_of_b_found": self.b.share(),
            "parts_of_a": self.a.living(),
            "parts_of_b": self.b.living(),
            "pairs": len(self.pairs),
            "split": int(sum(x.sum() for x in self.further())),
            "merged": int(sum(x.sum() for x in self.merged())),
            "added": self.b.living() - self.b.count(),
            "dropped": self.a.living() - self.a.count(),
            "median_score": self.median(),
            "threshold": self.threshold,
            "share_by_layer": np.round(self.share_b, 4).tolist(),
        }


@dataclass(frozen=True)
class Parts:
    """Two models' neurons and heads matched. layers_a, layers_b: what was matched."""

    neurons: Matches
    heads: Matches
    layers_a: tuple[LayerParts, ...]
    layers_b: tuple[LayerParts, ...]

    @property
    def score(self) -> float:
        """The neurons' (Matches.score): thousands of witnesses."""
        return self.neurons.score

    @property
    def shuffled(self) -> tuple[float, ...]:
        """The same with shuffled tokens."""
        return self.neurons.shuffled

    @property
    def share_a(self) -> float:
        """Of A's neurons, those found in B."""
        return self.neurons.a.share()

    @property
    def share_b(self) -> float:
        """Of B's neurons, those that are A's."""
        return self.neurons.b.share()

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {"neurons": self.neurons.describe(), "heads": self.heads.describe()}


def _further(mine: Partners, pairs: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each of my layers, parts with a partner that is paired with another of that layer. pairs,
    theirs (P, 2): layer and place on my side and on the other."""
    taken = _numbers(theirs[:, 0], theirs[:, 1])
    order = np.argsort(taken)
    taken, pairs = taken[order], pairs[order]
    out = []
    for i, (layer, part) in enumerate(zip(mine.layer, mine.part, strict=True)):
        row = np.zeros(len(layer), dtype=bool)
        found = np.flatnonzero(layer != NOBODY)
        wanted = _numbers(layer[found], part[found])
        at = np.searchsorted(taken, wanted)
        paired = at < len(taken)
        paired[paired] = taken[at[paired]] == wanted[paired]
        found, partner = found[paired], pairs[at[paired]]
        row[found] = (partner[:, 0] == i) & (partner[:, 1] != found)
        out.append(row)
    return tuple(out)


def _numbers(layer: np.ndarray, part: np.ndarray) -> np.ndarray:
    """One number, int64, for each layer and place."""
    return (layer.astype(np.int64) << 32) + part


def seen_neurons(layers: Sequence[LayerParts]) -> list[np.ndarray]:
    """By layer, bool (F,): the neurons that the tokens see."""
    return [(x.neurons != 0).any(axis=2).all(axis=0) for x in layers]


def seen_heads(layers: Sequence[LayerParts]) -> list[np.ndarray]:
    """By layer, bool (H,): the heads that the tokens see."""
    return [(x.heads != 0).any(axis=(2, 3)).all(axis=1) for x in layers]
