"""Invariant terms over all K tokens, unsketched, in two variants, and their ICS.

    canonical   E U V^T E^T of the canonical form, double-centred: what the sketch estimates
    official    the authors' terms (HuRef section 4.2 and program): no norm folded in, E as it is, a
                gated FFN's term from (Wgate * Wup) entry by entry; each map standardised

A term is E W E^T with a core W = U V^T (d x d), so inner products of two models' maps need no K x K
matrix: <E W E^T, E' W' E'^T> = tr(W^T G W' G^T) with G = E^T E'.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from huref_zk.canonical import Dimensions, embed, layer_pair
from huref_zk.errors import InputError
from huref_zk.families import Family, family_for
from huref_zk.layers import read_layer
from huref_zk.load.model import Model
from huref_zk.sketch import PUBLIC_SEED, SIDES, ics_maps, signs

VARIANTS = ("canonical", "official")
SKETCH_P = 16


def cores(
    model: Model, family: Family, dims: Dimensions, i: int, variant: str
) -> Iterator[np.ndarray]:
    """W of the terms a, b, f of layer i: float64 (d, d), one at a time. See the module."""
    if variant == "canonical":
        U, V, widths = layer_pair(model, family, dims, i)
        start = 0
        for width in widths:
            block = slice(start, start + width)
            yield U[:, block].astype(np.float64) @ V[:, block].astype(np.float64).T
            start += width
        return
    layer = read_layer(model, family, dims, i)
    up = layer.up if layer.gate is None else layer.gate * layer.up
    for left, right in ((layer.q.T, layer.k), (layer.v.T, layer.o.T), (up.T, layer.down.T)):
        yield left.astype(np.float64) @ right.astype(np.float64)


def variant_rows(model: Model, family: Family, ids: np.ndarray, variant: str) -> np.ndarray:
    """E of a variant: float64 (K, d); centred over the tokens for canonical, raw for official."""
    if variant == "official":
        return model.rows(family.embedding, ids).astype(np.float64)
    E = embed(model, family, ids).astype(np.float64)
    return E - E.mean(axis=0)


def variant_maps(
    model: Model,
    family: Family | None,
    dims: Dimensions,
    layer_ids: tuple[int, ...],
    ids: np.ndarray,
    variant: str,
) -> np.ndarray:
    """The maps themselves, float64 (3 * layers, K, K): terms a, b, f of each layer."""
    family = family or family_for(model)
    E = variant_rows(model, family, ids, variant)
    return np.array(
        [E @ W @ E.T for i in layer_ids for W in cores(model, family, dims, i, variant)]
    )


def ics_of(x: np.ndarray, y: np.ndarray, variant: str) -> np.ndarray:
    """ICS of each pair of maps, float64 (n,), from variant_maps. official standardises each map."""
    if variant == "official":
        x, y = (m - m.mean(axis=(1, 2), keepdims=True) for m in (x, y))
    dot = np.einsum("nab,nab->n", x, y)
    norms = np.sqrt(np.einsum("nab,nab->n", x, x) * np.einsum("nab,nab->n", y, y))
    return np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0)


def exact_ics(
    a: tuple[Model, Family, Dimensions, np.ndarray],
    b: tuple[Model, Family, Dimensions, np.ndarray],
    pairs: tuple[tuple[int, int], ...],
    variant: str,
) -> np.ndarray:
    """ICS over all K tokens of matched layers, float64 (pairs, 3), terms a, b, f.

    a, b: (model, family, sizes, token ids int64 (K,)); no K x K matrix is made. As ics_of on
    variant_maps, up to rounding.
    """
    if variant not in VARIANTS:
        raise InputError(f"{variant!r} is no variant; known: {', '.join(VARIANTS)}")
    E, F = (variant_rows(m, f, ids, variant) for m, f, _, ids in (a, b))
    grams = {"ab": E.T @ F, "aa": E.T @ E, "bb": F.T @ F}
    sums = (E.sum(axis=0), F.sum(axis=0))
    # official takes the mean of all K^2 entries off a map: <M - m, N - n> = <M, N> - K^2 m n.
    entries = float(len(E)) ** 2 if variant == "official" else 0.0
    out = np.zeros((len(pairs), 3))
    for row, (i, j) in enumerate(pairs):
        terms = zip(cores(*a[:3], i, variant), cores(*b[:3], j, variant), strict=True)
        for term, (W, X) in enumerate(terms):
            means = (sums[0] @ W @ sums[0], sums[1] @ X @ sums[1])  # K^2 times a map's mean
            dot = _inner(W, grams["ab"], X)
            norms = [_inner(W, grams["aa"], W), _inner(X, grams["bb"], X)]
            if entries:
                dot -= means[0] * means[1] / entries
                norms = [n - m * m / entries for n, m in zip(norms, means, strict=True)]
            if min(norms) > 0:
                out[row, term] = dot / np.sqrt(norms[0] * norms[1])
    return out


def sketched_ics(
    a: tuple[Model, Family, Dimensions, np.ndarray],
    b: tuple[Model, Family, Dimensions, np.ndarray],
    pairs: tuple[tuple[int, int], ...],
) -> np.ndarray:
    """ICS of matched layers as the published fingerprint sees them (public seed, p = 16), float64
    (pairs, 3)."""
    signed = [signs(PUBLIC_SEED, side, SKETCH_P, len(a[3])).astype(np.float64) for side in SIDES]

    def maps(side: tuple[Model, Family, Dimensions, np.ndarray], i: int) -> np.ndarray:
        left, right = (s @ embed(*side[:2], side[3]) for s in signed)
        return np.array([left @ W @ right.T for W in cores(*side[:3], i, "canonical")])

    return np.array([ics_maps(maps(a, i), maps(b, j)) for i, j in pairs]).reshape(-1, 3)


def _inner(W: np.ndarray, gram: np.ndarray, X: np.ndarray) -> float:
    """tr(W^T G X G^T)."""
    return float(np.einsum("ij,ij->", W, gram @ X @ gram.T))
