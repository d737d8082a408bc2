"""The best partners found so far, both ways, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref_zk.comparison.parts.partners import NOBODY, Partners

SILENT = 1e-4
"""A part without a partner that does less than this share of what is usual does nothing."""
SAME = 0.5
"""A part whose partner has a better one counts as found when its score is this share of that."""


class Best:
    """Of one layer's n parts the best partner so far. leaders int32 (n,): see LayerParts; seen bool
    (n,): by the tokens; sizes float32 (n,): how much each does, 1 being usual."""

    def __init__(self, leaders: np.ndarray, seen: np.ndarray, sizes: np.ndarray):
        n = len(leaders)
        self.leaders, self.seen, self.sizes = leaders, seen, sizes
        self.score = np.zeros(n, dtype=np.float32)
        self.layer = np.full(n, NOBODY, dtype=np.int32)
        self.part = np.full(n, NOBODY, dtype=np.int32)
        self.alive = seen

    def better(self, mine: np.ndarray, scores: np.ndarray, layer: int, part: np.ndarray) -> None:
        """Parts ``mine`` have partners ``part`` in a layer, with scores, all of one length."""
        new = scores > self.score[mine]
        self.score[mine[new]] = scores[new]
        self.layer[mine[new]] = layer
        self.part[mine[new]] = part[new]

    def good(self, limit: float, others: Sequence[Best]) -> np.ndarray:
        """bool (n,): with a partner from the limit up, of whom no other part is far more alike."""
        out = np.zeros(len(self.score), dtype=bool)
        there = np.flatnonzero((self.score >= limit) & self.seen)
        for layer in np.unique(self.layer[there]):
            here = there[self.layer[there] == layer]
            best = others[layer].score[self.part[here]]
            out[here] = self.score[here] >= SAME * best
        return out

    def alone(self, limit: float) -> float:
        """Of the parts that are seen, the share without a partner from the limit up."""
        return float((self.score < limit)[self.seen].sum()) / max(int(self.seen.sum()), 1)

    def settle(self, good: np.ndarray) -> None:
        """Forget other partners; who has a leader is where the leader is."""
        self.layer[~good] = self.part[~good] = NOBODY
        for values in (self.layer, self.part, self.score):
            values[:] = values[self.leaders]
        alive = (self.seen & (self.sizes > SILENT))[self.leaders]
        self.alive = alive | (self.layer != NOBODY)

    def places(self, count: int, among: np.ndarray | None = None) -> np.ndarray:
        """Up to ``count`` parts that are seen, of all or ``among`` (bool (n,)), drawn the same way
        every time: half of them among those that do something, so that idle ones do not hide them;
        only half, so that a few that do far more do not."""
        able = self.seen if among is None else self.seen & among
        able = able & (self.leaders == np.arange(len(self.leaders)))
        busy, own = np.flatnonzero(able & (self.sizes > SILENT)), np.flatnonzero(able)
        if len(busy) == len(own):
            return _some(own, count)
        first = _some(busy, count // 2)
        return np.union1d(first, _some(np.setdiff1d(own, first), count - len(first)))


def _some(places: np.ndarray, count: int) -> np.ndarray:
    if len(places) <= count:
        return places
    return np.sort(np.random.default_rng(len(places)).choice(places, count, replace=False))


class Search:
    """Both sides: one Best a layer."""

    def __init__(self, a: Sequence[Best], b: Sequence[Best]):
        self.a, self.b = list(a), list(b)

    def heard(self, i: int, rows: np.ndarray, j: int, columns: np.ndarray, s: np.ndarray) -> None:
        """Scores s of parts ``rows`` of a's layer i with parts ``columns`` of b's layer j."""
        at = s.argmax(axis=1)
        self.a[i].better(rows, s[np.arange(len(rows)), at], j, columns[at])
        top = s.max(axis=0)
        new = np.flatnonzero(top > self.b[j].score[columns])
        if len(new):
            self.b[j].better(columns[new], top[new], i, rows[s[:, new].argmax(axis=0)])

    def told(
        self, i: int, rows: np.ndarray, j: int, columns: np.ndarray, scores: np.ndarray
    ) -> None:
        """The same of single pairs, all of one length, a part any number of times."""
        for best, mine, layer, theirs in (
            (self.a[i], rows, j, columns),
            (self.b[j], columns, i, rows),
        ):
            order = np.lexsort((-scores, mine))
            first = order[np.r_[True, np.diff(mine[order]) > 0]] if len(order) else order
            best.better(mine[first], scores[first], layer, theirs[first])

    def settle(self, limit: float) -> np.ndarray:
        """Keep what was found; gives the pairs, int32 (P, 4), that have each other."""
        good_a = [best.good(limit, self.b) for best in self.a]
        good_b = [best.good(limit, self.a) for best in self.b]
        for best, good in zip([*self.a, *self.b], [*good_a, *good_b], strict=True):
            best.layer[~good] = NOBODY
        pairs = [self._pairs(j) for j in range(len(self.b))]
        for best, good in zip([*self.a, *self.b], [*good_a, *good_b], strict=True):
            best.settle(good)
        return np.concatenate(pairs).astype(np.int32)

    def _pairs(self, j: int) -> np.ndarray:
        best, out = self.b[j], [np.zeros((0, 4), dtype=np.int64)]
        for i in np.unique(best.layer[best.layer != NOBODY]):
            n = np.flatnonzero(best.layer == i)
            m, other = best.part[n], self.a[i]
            each = (other.layer[m] == j) & (other.part[m] == n)
            out.append(np.array([np.full(len(n), i), m, np.full(len(n), j), n]).T[each])
        return np.concatenate(out)


def partners(side: Sequence[Best], likeness: float) -> Partners:
    """One side as it is told."""
    return Partners(
        tuple(best.layer for best in side),
        tuple(best.part for best in side),
        tuple(best.score for best in side),
        tuple(best.alive for best in side),
        likeness,
    )
