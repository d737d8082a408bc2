"""Every part of two models with its partner in the other.

A sample of every layer is looked for in all of the other model. Small models are then matched
whole: every neuron with every one of the other; of larger ones, whole layers are matched where the
sample found something, and a part that has found its partner for sure is not looked for any
further. The sample also tells how alike the models are, and how alike they would be by chance: with
the tokens of one shuffled, which is a permutation and random signs of its sketches' entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from huref_zk.comparison.parts.partners import (
    Matches,
    Parts,
    alive_heads,
    alive_neurons,
)
from huref_zk.comparison.parts.scoring import (
    HEADS_FROM,
    blocks,
    head_scores,
    score_block,
    threshold,
)
from huref_zk.comparison.parts.search import Best, Search, partners
from huref_zk.comparison.parts.sketches import LayerParts

WHOLE = 1 << 31
"""Pairs of neurons up to which every one is scored."""
SAMPLE = 160
"""Neurons of a layer that are looked for everywhere."""
SHUFFLED = 16
"""Of those, how many with shuffled tokens."""
SHUFFLES = 8
SURE = 0.5
"""A part with a partner of this score is not looked for in further layers."""
Progress = Callable[[int, int], None]


def match_parts(
    a: Sequence[LayerParts], b: Sequence[LayerParts], progress: Progress | None = None
) -> Parts:
    """Match two models' layers, sketched by the same projection; progress hears (done, total),
    whose total may grow as layers to match are found.

    Beside the sketches some 200 MB are used.
    """
    return Parts(_match_neurons(a, b, progress), _match_heads(a, b), tuple(a), tuple(b))


class _Told:
    """Progress that is told step by step."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def step(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def _match_heads(a: Sequence[LayerParts], b: Sequence[LayerParts]) -> Matches:
    search = Search(
        *(
            [Best(x.head_leaders, alive) for x, alive in zip(side, alive_heads(side), strict=True)]
            for side in (a, b)
        )
    )
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            s = head_scores(x.heads, y.heads)
            search.heard(i, np.arange(s.shape[0]), j, np.arange(s.shape[1]), s)
    likeness = [_mean([best.score[best.places(1 << 30)] for best in s]) for s in _sides(search)]
    shuffled = [_shuffled_heads(a, b, n) for n in range(SHUFFLES)]
    pairs = search.settle(HEADS_FROM)
    one, other = (partners(s, like) for s, like in zip(_sides(search), likeness, strict=True))
    return Matches(one, other, pairs, HEADS_FROM, tuple(shuffled))


def _shuffled_heads(a: Sequence[LayerParts], b: Sequence[LayerParts], n: int) -> float:
    x, y = (np.concatenate([p.heads for p in side]) for side in (a, b))
    rng = np.random.default_rng(n)
    side = y.shape[-1]
    order, sign = rng.permutation(side), rng.choice([-1, 1], side).astype(np.float16)
    s = head_scores(x, y[..., order, :][..., order] * sign[:, None] * sign)
    alive = [np.concatenate(alive_heads(side)) for side in (a, b)]
    return max(_mean([s.max(axis=1)[alive[0]]]), _mean([s.max(axis=0)[alive[1]]]))


def _match_neurons(
    a: Sequence[LayerParts], b: Sequence[LayerParts], progress: Progress | None
) -> Matches:
    search = Search(
        *(
            [Best(x.leaders, alive) for x, alive in zip(side, alive_neurons(side), strict=True)]
            for side in (a, b)
        )
    )
    every = float(sum(len(x.sizes) for x in a)) * sum(len(y.sizes) for y in b)
    gated = len(a[0].neurons) == 3 and len(b[0].neurons) == 3
    limit = threshold(every, a[0].neurons.shape[2], gated)
    told = _Told(progress, 2 * (len(a) + len(b)) + len(a))
    samples = [[best.places(SAMPLE) for best in side] for side in _sides(search)]
    found_a = _looked_for(a, samples[0], b, told)
    found_b = _looked_for(b, samples[1], a, told)
    likeness = [_mean([best for best, _ in found]) for found in (found_a, found_b)]
    few = [[places[:: max(1, len(places) // SHUFFLED)] for places in side] for side in samples]
    shuffled = [
        max(
            _mean([best for best, _ in _looked_for(a, few[0], b, None, n)]),
            _mean([best for best, _ in _looked_for(b, few[1], a, None, n)]),
        )
        for n in range(SHUFFLES)
    ]
    if every <= WHOLE:
        chosen = [(i, j) for i in range(len(a)) for j in range(len(b))]
    else:
        hits = _hits(found_a, len(b), limit) + _hits(found_b, len(a), limit).T
        order = np.argsort(-hits, axis=None, kind="stable")
        chosen = [divmod(int(n), len(b)) for n in order if hits.flat[n] > 0]
    told.total = told.done + len(chosen)
    for i, j in chosen:
        _score_layers(search, i, a[i].neurons, j, b[j].neurons, whole=every <= WHOLE)
        told.step()
    pairs = search.settle(limit)
    one, other = (partners(s, like) for s, like in zip(_sides(search), likeness, strict=True))
    return Matches(one, other, pairs, limit, tuple(shuffled))


def _score_layers(
    search: Search, i: int, x: np.ndarray, j: int, y: np.ndarray, whole: bool
) -> None:
    """Score neurons x of a's layer i with y of b's layer j: all, or those that are not sure yet."""
    all_rows, all_columns = np.arange(x.shape[1]), np.arange(y.shape[1])
    rows, columns = (np.flatnonzero(s.score < SURE) for s in (search.a[i], search.b[j]))
    wide_x, wide_y = x.astype(np.float32), y.astype(np.float32)
    if whole or 2 * len(columns) > len(all_columns) or 2 * len(rows) > len(all_rows):
        _score(search, i, wide_x, all_rows, j, wide_y, all_columns)
    else:
        _score(search, i, wide_x, all_rows, j, wide_y, columns)
        _score(search, i, wide_x, rows, j, wide_y, all_columns)


def _score(
    search: Search,
    i: int,
    x: np.ndarray,
    rows: np.ndarray,
    j: int,
    y: np.ndarray,
    columns: np.ndarray,
) -> None:
    if not len(rows) or not len(columns):
        return
    right = y if len(columns) == y.shape[1] else y[:, columns]
    for block in blocks(len(rows), len(columns)):
        some = rows[block]
        search.heard(i, some, j, columns, score_block(x[:, some], right))


Found = list[tuple[np.ndarray, np.ndarray]]


def _looked_for(
    mine: Sequence[LayerParts],
    places: Sequence[np.ndarray],
    theirs: Sequence[LayerParts],
    told: _Told | None,
    shuffle: int | None = None,
) -> Found:
    """For each of my layers (score float32 (n,), layer int64 (n,)): the best that the parts at
    ``places`` find in all of theirs, or in theirs with shuffled tokens."""
    wanted = [x.neurons[:, p] for x, p in zip(mine, places, strict=True)]
    queries = np.concatenate(wanted, axis=1).astype(np.float32)
    if shuffle is not None:
        rng, r = np.random.default_rng(shuffle), queries.shape[2]
        queries = queries[..., rng.permutation(r)] * rng.choice([-1, 1], r).astype(np.float32)
    count = queries.shape[1]
    best = np.zeros(count, dtype=np.float32)
    where = np.zeros(count, dtype=np.int64)
    for layer, y in enumerate(theirs):
        wide = y.neurons.astype(np.float32)
        for block in blocks(count, wide.shape[1]):
            top = score_block(queries[:, block], wide).max(axis=1)
            new = top > best[block]
            best[block][new] = top[new]
            where[block][new] = layer
        if told is not None:
            told.step()
    cuts = np.cumsum([len(p) for p in places])[:-1]
    return list(zip(np.split(best, cuts), np.split(where, cuts), strict=True))


def _hits(found: Found, layers: int, limit: float) -> np.ndarray:
    """int64 (mine, layers): how many of each of my layers' sample have their best partner in each
    of the other's, from the limit up."""
    out = np.zeros((len(found), layers), dtype=np.int64)
    for row, (best, where) in zip(out, found, strict=True):
        np.add.at(row, where[best >= limit], 1)
    return out


def _sides(search: Search) -> tuple[list[Best], list[Best]]:
    return search.a, search.b


def _mean(parts: Sequence[np.ndarray]) -> float:
    every = np.concatenate(parts) if parts else np.zeros(0)
    return float(every.mean(dtype=np.float64)) if len(every) else 0.0
