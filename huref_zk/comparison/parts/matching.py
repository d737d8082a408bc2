"""Every part of two models with its partner in the other.

Small models are matched whole: every neuron with every one of the other. Of larger ones a few
neurons of every layer are looked for in all of the other model, then whole layers are matched where
those few were found; then more of what is still alone are looked for, and layers matched, once
again. A pair is first scored by the leading entries of its sketches and by all only if that says
enough, and a part that has found its partner for sure is not looked for in further layers.

The first few also tell how alike the models are, and how alike they would be by chance: with the
tokens of one shuffled, which is a permutation and random signs of its sketches' entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from huref_zk.comparison.parts.partners import (
    Matches,
    Parts,
    seen_heads,
    seen_neurons,
)
from huref_zk.comparison.parts.scoring import (
    HEADS_FROM,
    blocks,
    head_scores,
    likely_pairs,
    score_block,
    spreads,
    threshold,
)
from huref_zk.comparison.parts.search import Best, Search, partners
from huref_zk.comparison.parts.sketches import LayerParts

WHOLE = 1 << 26
"""Pairs of neurons up to which every one is scored."""
FEW, MORE = 512, 160
"""How many are looked for everywhere: in all, of each layer alike; of a layer that is still alone.
"""
ALONE = 0.02
"""A layer with a larger share of parts without a partner is looked at once more."""
SHUFFLES = 8
SHUFFLED = 4
"""One in so many of the few is looked for in shuffled ones."""
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
    search = Search(*(_heads_of(side) for side in (a, b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            s = head_scores(x.heads, y.heads)
            search.heard(i, np.arange(s.shape[0]), j, np.arange(s.shape[1]), s)
    likeness = [_mean([best.score[best.places(1 << 30)] for best in s]) for s in _sides(search)]
    shuffled = [_shuffled_heads(a, b, n) for n in range(SHUFFLES)]
    pairs = search.settle(HEADS_FROM)
    one, other = (partners(s, like) for s, like in zip(_sides(search), likeness, strict=True))
    return Matches(one, other, pairs, HEADS_FROM, tuple(shuffled))


def _heads_of(side: Sequence[LayerParts]) -> list[Best]:
    seen = zip(side, seen_heads(side), strict=True)
    return [Best(x.head_leaders, s, np.ones(len(s), dtype=np.float32)) for x, s in seen]


def _neurons_of(side: Sequence[LayerParts]) -> list[Best]:
    seen = zip(side, seen_neurons(side), strict=True)
    return [Best(x.leaders, s, x.sizes) for x, s in seen]


def _shuffled_heads(a: Sequence[LayerParts], b: Sequence[LayerParts], n: int) -> float:
    x, y = (np.concatenate([p.heads for p in side]) for side in (a, b))
    rng = np.random.default_rng(n)
    side = y.shape[-1]
    order, sign = rng.permutation(side), rng.choice([-1, 1], side).astype(np.float16)
    s = head_scores(x, y[..., order, :][..., order] * sign[:, None] * sign)
    seen = [np.concatenate(seen_heads(side)) for side in (a, b)]
    return max(_mean([s.max(axis=1)[seen[0]]]), _mean([s.max(axis=0)[seen[1]]]))


def _match_neurons(
    a: Sequence[LayerParts], b: Sequence[LayerParts], progress: Progress | None
) -> Matches:
    search = Search(*(_neurons_of(side) for side in (a, b)))
    every = float(sum(len(x.sizes) for x in a)) * sum(len(y.sizes) for y in b)
    gated = all(x.gated for x in (*a, *b))
    told = _Told(progress, (1 if every <= WHOLE else 3) * (len(a) + len(b)) + SHUFFLES)
    few = [[best.places(-(-FEW // len(side))) for best in side] for side in _sides(search)]
    limit = threshold(every, spreads(_taken(a, few[0]), _taken(b, few[1])), gated)
    found = _everywhere(a, few[0], b, told), _everywhere(b, few[1], a, told)
    likeness = [_mean([best for best, _ in side]) for side in found]
    fewer = [[places[::SHUFFLED] for places in side] for side in few]
    shuffled = []
    for n in range(SHUFFLES):
        sides = _everywhere(a, fewer[0], b, None, n), _everywhere(b, fewer[1], a, None, n)
        shuffled.append(max(_mean([best for best, _ in side]) for side in sides))
        told.step()
    if every <= WHOLE:
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                _score_whole(search, i, x, j, y)
    else:
        _match_found(search, a, b, found, limit, told)
        alone = [
            [
                best.places(MORE if best.alone(limit) > ALONE else 0, best.score < limit)
                for best in side
            ]
            for side in _sides(search)
        ]
        again = (
            _everywhere(a, alone[0], b, told, least=limit),
            _everywhere(b, alone[1], a, told, least=limit),
        )
        _match_found(search, a, b, again, limit, told)
    pairs = search.settle(limit)
    one, other = (partners(s, like) for s, like in zip(_sides(search), likeness, strict=True))
    return Matches(one, other, pairs, limit, tuple(shuffled))


Found = list[tuple[np.ndarray, np.ndarray]]


def _match_found(
    search: Search,
    a: Sequence[LayerParts],
    b: Sequence[LayerParts],
    found: tuple[Found, Found],
    limit: float,
    told: _Told,
) -> None:
    """Match the pairs of layers where any of those looked for were found, the most first."""
    hits = _hits(found[0], len(b), limit) + _hits(found[1], len(a), limit).T
    order = np.argsort(-hits, axis=None, kind="stable")
    chosen = [divmod(int(n), len(b)) for n in order if hits.flat[n] > 0]
    told.total = told.done + len(chosen) + len(a) + len(b)
    for i, j in chosen:
        _score_layers(search, i, a[i].neurons, j, b[j].neurons)
        told.step()


def _hits(found: Found, layers: int, limit: float) -> np.ndarray:
    """int64 (mine, layers): how many of each of my layers' few have their best partner in each of
    the other's, from the limit up."""
    out = np.zeros((len(found), layers), dtype=np.int64)
    for row, (best, where) in zip(out, found, strict=True):
        np.add.at(row, where[best >= limit], 1)
    return out


def _score_whole(search: Search, i: int, a: LayerParts, j: int, b: LayerParts) -> None:
    """Score all of a layer with all of another."""
    x, y = (side.neurons.astype(np.float32) for side in (a, b))
    columns = np.arange(y.shape[1])
    for block in blocks(x.shape[1], len(columns)):
        rows = np.arange(x.shape[1])[block]
        search.heard(i, rows, j, columns, score_block(x[:, rows], y))


def _score_layers(search: Search, i: int, x: np.ndarray, j: int, y: np.ndarray) -> None:
    """Score neurons x of a's layer i with y of b's layer j: all, or those that are not sure yet."""
    rows, columns = (np.flatnonzero(s.score < SURE) for s in (search.a[i], search.b[j]))
    all_rows, all_columns = np.arange(x.shape[1]), np.arange(y.shape[1])
    if 2 * len(columns) > len(all_columns) or 2 * len(rows) > len(all_rows):
        some = [(all_rows, all_columns)]
    else:
        some = [(all_rows, columns), (rows, all_columns)]
    for n, m in some:
        for pairs in likely_pairs(x[:, n], y[:, m]):
            search.told(i, n[pairs.rows], j, m[pairs.columns], pairs.scores)


def _everywhere(
    mine: Sequence[LayerParts],
    places: Sequence[np.ndarray],
    theirs: Sequence[LayerParts],
    told: _Told | None,
    shuffle: int | None = None,
    least: float = 0.0,
) -> Found:
    """For each of my layers (score float32 (n,), layer int64 (n,)): the best that the parts at
    ``places`` find in all of theirs, or in theirs with shuffled tokens. Scores below ``least`` need
    not be known."""
    queries = _taken(mine, places)
    if shuffle is not None:
        rng, r = np.random.default_rng(shuffle), queries.shape[2]
        queries = queries[..., rng.permutation(r)] * rng.choice([-1, 1], r).astype(np.float16)
    best = np.zeros(queries.shape[1], dtype=np.float32)
    where = np.zeros(queries.shape[1], dtype=np.int64)
    for layer, y in enumerate(theirs):
        top = _best_of(queries, y.neurons, least)
        where[top > best] = layer
        np.maximum(best, top, out=best)
        if told is not None:
            told.step()
    cuts = np.cumsum([len(p) for p in places])[:-1]
    return list(zip(np.split(best, cuts), np.split(where, cuts), strict=True))


def _taken(side: Sequence[LayerParts], places: Sequence[np.ndarray]) -> np.ndarray:
    """float16 (3, n, r): the neurons at some places of every layer."""
    return np.concatenate([x.neurons[:, p] for x, p in zip(side, places, strict=True)], axis=1)


def _best_of(queries: np.ndarray, y: np.ndarray, least: float) -> np.ndarray:
    """float32 (n,): the best score of each query among y."""
    top = np.zeros(queries.shape[1], dtype=np.float32)
    if least > 0:
        for pairs in likely_pairs(queries, y):
            np.maximum.at(top, pairs.rows, pairs.scores)
        return top
    x, wide = queries.astype(np.float32), y.astype(np.float32)
    for block in blocks(len(top), wide.shape[1]):
        top[block] = score_block(x[:, block], wide).max(axis=1)
    return top


def _sides(search: Search) -> tuple[list[Best], list[Best]]:
    return search.a, search.b


def _mean(parts: Sequence[np.ndarray]) -> float:
    every = np.concatenate(parts) if parts else np.zeros(0)
    return float(every.mean(dtype=np.float64)) if len(every) else 0.0
