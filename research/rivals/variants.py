"""Invariant terms over all K tokens, unsketched, in two variants, and their ICS.

    canonical   E U V^T E^T of the canonical form, double-centred: what the sketch estimates
    official    the authors' terms (HuRef section 4.2 and program): no norm folded in, E as it is, a
                gated FFN's term from (Wgate * Wup) entry by entry; each map standardised

With c the constant unit vector over the tokens and E = c r + E0, c E0 = 0, a map is

    E W E^T = [c E0] S [c E0]^T     with S = [r; I] W [r; I]^T
    <E W E^T, F X F^T> = <S, G T G^T>     with T that of F and X, G = diag(1, E0^T F0)

and standardising a map takes off the first entry of S, so a cosine needs no K x K matrix. Where
K <= d those are cheaper: S = [r; E0] W [r; E0]^T, and G is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.canonical import embed, layer_pair
from huref_zk.invariants.sketch import ics_maps
from huref_zk.models.families import Family, family_for
from huref_zk.models.layers import read_layer
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions

VARIANTS = ("canonical", "official")
TERMS = 3
SINGLE_FROM = 1024
"""Hidden size from which float32 is used, at half the cost. Its rounding moves a cosine by 1e-7 on
SmolLM2."""
Subject = tuple[Model, Family, Dimensions, np.ndarray]
"""A model, its family and sizes, and the ids of the K tokens, int64 (K,)."""
Progress = Callable[[int, int], None]


def factors(
    model: Model, family: Family, dims: Dimensions, i: int, variant: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(U, V), float32 (d, H), of the terms a, b, f of layer i, one at a time. See the module."""
    if variant == "canonical":
        U, V, widths = layer_pair(model, family, dims, i)
        start = 0
        for width in widths:
            yield U[:, start : start + width], V[:, start : start + width]
            start += width
        return
    layer = read_layer(model, family, dims, i)
    yield layer.q.T, layer.k.T
    yield layer.v.T, layer.o
    up = layer.up if layer.gate is None else layer.gate * layer.up
    yield up.T, layer.down


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
        [
            E @ (U.astype(np.float64) @ V.astype(np.float64).T) @ E.T
            for i in layer_ids
            for U, V in factors(model, family, dims, i, variant)
        ]
    )


def ics_of(x: np.ndarray, y: np.ndarray, variant: str) -> np.ndarray:
    """ICS of each pair of maps, float64 (n,), from variant_maps. official standardises each map."""
    if variant == "official":
        x, y = (m - m.mean(axis=(1, 2), keepdims=True) for m in (x, y))
    return ics_maps(x, y)


def exact_ics(
    a: Subject,
    b: Subject,
    pairs: tuple[tuple[int, int], ...],
    variant: str,
    progress: Progress | None = None,
) -> np.ndarray:
    """ICS over all K tokens of matched layers, float64 (pairs, 3), terms a, b, f.

    As ics_of on variant_maps, up to rounding. One layer is held at a time; ``progress`` hears of
    every term of either model.
    """
    if variant not in VARIANTS:
        raise InputError(f"{variant!r} is no variant; known: {', '.join(VARIANTS)}")
    d = max(a[2].hidden, b[2].hidden)
    dtype = np.float32 if d >= SINGLE_FROM else np.float64
    rows_a, rows_b = (_split(variant_rows(m, f, ids, variant), dtype) for m, f, _, ids in (a, b))
    grams: dict[str, np.ndarray] = {}
    if len(rows_a) - 1 > d:
        E, F = rows_a[1:], rows_b[1:]
        grams = {"ab": E.T @ F, "aa": E.T @ E, "bb": F.T @ F}
    done = 0

    def terms(subject: Subject, i: int, rows: np.ndarray) -> Iterator[np.ndarray]:
        nonlocal done
        for U, V in factors(*subject[:3], i, variant):
            yield _seen(rows, U, V, not grams)
            done += 1
            if progress is not None:
                progress(done, 2 * TERMS * len(pairs))

    out = np.zeros((len(pairs), TERMS))
    for row, (i, j) in enumerate(pairs):
        found = list(terms(a, i, rows_a))
        for term, T in enumerate(terms(b, j, rows_b)):
            S = found[term]
            norms = [_inner(S, S, grams.get("aa")), _inner(T, T, grams.get("bb"))]
            if min(norms) > 0:
                out[row, term] = _inner(S, T, grams.get("ab")) / np.sqrt(norms[0] * norms[1])
    return out


def _split(E: np.ndarray, dtype: type) -> np.ndarray:
    """[r; E0] of the module's text, (1 + K, d), up to one common factor."""
    E = _scaled(E)
    mean = E.mean(axis=0)
    return np.vstack([mean * np.sqrt(len(E)), E - mean]).astype(dtype)


def _seen(rows: np.ndarray, U: np.ndarray, V: np.ndarray, whole: bool) -> np.ndarray:
    """S of W = U V^T, standardised, up to a positive factor; whole: with E0, not the identity."""
    U, V = (_scaled(W.astype(rows.dtype, copy=False)) for W in (U, V))
    if whole:
        S = np.linalg.multi_dot([rows, U, V.T, rows.T])  # in the cheapest order
    else:
        S = np.vstack([rows[:1] @ U, U]) @ np.vstack([rows[:1] @ V, V]).T
    S[0, 0] = 0
    return S


def _inner(S: np.ndarray, T: np.ndarray, gram: np.ndarray | None) -> float:
    """<S, G T G^T> with G = diag(1, gram), or the identity for None."""
    if gram is not None:
        left = np.vstack([T[:1], gram @ T[1:]])
        T = np.hstack([left[:, :1], left[:, 1:] @ gram.T])
    return float(np.einsum("ij,ij->", S, T, dtype=np.float64))


def _scaled(W: np.ndarray) -> np.ndarray:
    """Largest entry 1: a cosine does not see it, and products then stay within float32."""
    most = max(W.max(), -W.min())
    return W / most if most > 0 else W
