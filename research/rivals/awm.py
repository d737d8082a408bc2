"""AWM (arXiv 2510.06738): weights aligned by an assignment, compared by unbiased CKA.

The embeddings of common tokens give, by a linear assignment on |cosine| of their columns, which
dimension of one residual stream is which of the other's, and with which sign. Queries' and keys'
weights are aligned so, and of their Gram matrices over the stream (which a rotation within heads
does not move) the unbiased CKA is taken. Layers are assigned to layers by it; the score is the mean
over those and over q and k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from research.rivals.kernels import unbiased_cka
from research.rivals.subject import Subject, common_texts

FEW = 64
"""Tokens in common under which nothing can be aligned."""


@dataclass(frozen=True)
class Weights:
    """texts: text -> row of E; E float32 (n, d); grams float32 (2, L, d, d): of queries, keys."""

    texts: dict[str, int]
    E: np.ndarray
    grams: np.ndarray


def weights(subject: Subject) -> Weights:
    texts = subject.texts
    rows = {text: n for n, text in enumerate(texts)}
    E = subject.rows(np.array(list(texts.values()), dtype=np.int64)).astype(np.float32)
    grams = np.array([[layer.q.T @ layer.q, layer.k.T @ layer.k] for layer in subject.layers()])
    return Weights(rows, E, np.ascontiguousarray(grams.swapaxes(0, 1), dtype=np.float32))


def aligned(E: np.ndarray, F: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dimensions of E, dimensions of F, signs): which belongs to which, min(d, e) of each."""
    E, F = (X / np.maximum(np.linalg.norm(X, axis=0), 1e-12) for X in (E, F))
    cosines = E.T @ F
    left, right = linear_sum_assignment(-np.abs(cosines))
    return left, right, np.where(cosines[left, right] < 0, -1.0, 1.0).astype(np.float32)


def score(a: Weights, b: Weights) -> float | None:
    ids_a, ids_b = common_texts(a.texts, b.texts)
    if len(ids_a) < FEW:
        return None
    left, right, signs = aligned(a.E[ids_a], b.E[ids_b])
    likeness = []
    for grams_a, grams_b in zip(a.grams, b.grams, strict=True):
        k = grams_a[:, left][:, :, left]
        m = grams_b[:, right][:, :, right] * signs[:, None] * signs
        likeness.append(unbiased_cka(k, m))
    mean = np.mean(likeness, axis=0)
    chosen = linear_sum_assignment(-mean)
    return float(mean[chosen].mean())
