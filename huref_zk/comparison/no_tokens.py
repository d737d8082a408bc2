"""The view without tokens: do the layers of two models lie to each other in the same way?

The entries of the two Gram matrices (gram.py) are correlated over matched layers, after taking off
what any trained model has: in each class of entries (same or turned, term with term) the mean at
each distance between layers; then every class counts the same. Layers are matched by these entries
alone, in order. The null: cores times random signs, which keeps every entry's size.
"""

from __future__ import annotations

import numpy as np

from huref_zk.comparison.gram import Gram
from huref_zk.comparison.matching import Pairs, match_layers
from huref_zk.invariants.cores import TERMS

ROUNDS = 8
FLIPS = 64
LARGEST = 0.9999
"""A correlation that counts as one: Fisher's transform ends there."""


def no_tokens_score(a: Gram, b: Gram) -> tuple[float, float, np.ndarray, Pairs]:
    """(score, statistic, null float64 (FLIPS,) of the statistic, matched layers).

    score: the correlation, corrected for what the choice of directions adds, times the share of the
    shallower model's layers that are matched; statistic: Fisher's transform of the plain one.
    """
    x, y = a.halves.mean(axis=0, dtype=np.float64), b.halves.mean(axis=0, dtype=np.float64)
    plain, pairs = _searched(x, y)
    rng = np.random.default_rng(7)
    null = np.empty(FLIPS)
    for n in range(FLIPS):
        signs = rng.choice([-1.0, 1.0], size=y.shape[1:3])
        null[n] = _fisher(_searched(x, y * signs[:, :, None, None] * signs)[0])
    trust = _trust(a, pairs, 0) * _trust(b, pairs, 1)
    score = float(np.clip(plain / np.sqrt(trust), -1, 1)) if trust > 0 else 0.0
    return score, _fisher(plain), null, pairs


def _fisher(correlation: float) -> float:
    return float(np.arctanh(np.clip(correlation, -LARGEST, LARGEST)))


def _searched(x: np.ndarray, y: np.ndarray) -> tuple[float, Pairs]:
    """The best of the matchings that follow from different beginnings."""
    n, m = x.shape[1], y.shape[1]
    count = min(n, m)
    even = np.linspace(0, 1, count)
    starts = [tuple(zip(_spread(even, n), _spread(even, m), strict=True))]
    starts += [_front(count), tuple((n - count + k, m - count + k) for k in range(count))]
    u, v = _flattened(x), _flattened(y)
    own_u, own_v = (_own(w) for w in (u, v))
    starts.append(match_layers(own_u @ own_v.T))
    found = [_refined(x, y, u, v, start) for start in dict.fromkeys(starts)]
    return max(found)


def _refined(x, y, u, v, pairs: Pairs) -> tuple[float, Pairs]:
    best = (_agreement(x, y, pairs), pairs)
    for _ in range(ROUNDS):
        if len(pairs) < 2:
            break
        pairs = match_layers(_alike(u, v, pairs))
        found = (_agreement(x, y, pairs), pairs)
        if found <= best:
            break
        best = found
    return best


def _agreement(x: np.ndarray, y: np.ndarray, pairs: Pairs) -> float:
    """The correlation over matched layers times their share of the shallower model's."""
    if len(pairs) < 2:
        return 0.0
    a, b = _matched(x, y, pairs)
    norms = float((a @ a) * (b @ b))
    share = len(pairs) / min(x.shape[1], y.shape[1])
    return float(a @ b) / np.sqrt(norms) * share if norms > 0 else 0.0


def _matched(x: np.ndarray, y: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """The entries of both over matched layers, each pair of cores once."""
    i, j = np.array(pairs).T
    a, b = _flattened(x[:, i][:, :, :, i]), _flattened(y[:, j][:, :, :, j])
    return a[_once(len(i))], b[_once(len(i))]


def _trust(gram: Gram, pairs: Pairs, side: int) -> float:
    """How much of the entries' variance two halves of the directions agree on."""
    if len(pairs) < 2:
        return 0.0
    k = [pair[side] for pair in pairs]
    one, two = (_flattened(h[:, k][:, :, :, k])[_once(len(k))] for h in gram.halves.astype(float))
    half = float(one @ two / np.sqrt((one @ one) * (two @ two)))
    return max(2 * half / (1 + half), 0.0)  # Spearman and Brown: of both halves together


def _once(n: int) -> np.ndarray:
    """Which entries (2, n, 3, n, 3) count: those of two different cores, once."""
    number = np.arange(n * len(TERMS)).reshape(n, len(TERMS))
    return np.broadcast_to(number[:, :, None, None] < number, (2, *number.shape, *number.shape))


def _flattened(g: np.ndarray) -> np.ndarray:
    """Entries (2, n, 3, n, 3) less the mean at their distance, in each class of a mean square of
    one; those of a core with itself zero."""
    n, terms = g.shape[1], g.shape[2]
    flat = g.transpose(0, 2, 4, 1, 3).reshape(-1, n, n).copy()
    own = np.array([t == s for _ in range(2) for t in range(terms) for s in range(terms)])
    for distance in range(1 - n, n):
        view = np.einsum(
            "cii->ci",
            flat[:, max(-distance, 0) :, max(distance, 0) :][
                :, : n - abs(distance), : n - abs(distance)
            ],
        )
        view -= view.mean(axis=1, keepdims=True)
        if distance == 0:
            view[own] = 0
    size = np.sqrt(np.square(flat).mean(axis=(1, 2), keepdims=True))
    flat = np.divide(flat, size, out=np.zeros_like(flat), where=size > 1e-12)
    return flat.reshape(2, terms, terms, n, n).transpose(0, 3, 1, 4, 2)


def _own(u: np.ndarray) -> np.ndarray:
    """What a layer's terms are to each other: float64 (n, 18), of length one."""
    return _unit(np.einsum("hitis->ihts", u).reshape(u.shape[1], -1))


def _alike(u: np.ndarray, v: np.ndarray, pairs: Pairs) -> np.ndarray:
    """float64 (n, m): how alike layers lie to those matched."""
    i, j = np.array(pairs).T
    a = u[:, :, :, i].transpose(1, 0, 2, 3, 4).reshape(u.shape[1], -1)
    b = v[:, :, :, j].transpose(1, 0, 2, 3, 4).reshape(v.shape[1], -1)
    return _unit(a) @ _unit(b).T


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def _spread(even: np.ndarray, n: int) -> list[int]:
    return np.round(even * (n - 1)).astype(int).tolist()


def _front(count: int) -> Pairs:
    return tuple((k, k) for k in range(count))
