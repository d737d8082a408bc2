"""MDIR (arXiv 2508.06309): the polar factor of two embeddings' product, and how near it is to a
signed permutation.

With E, F the rows of common tokens, U V^T of E^T F = U S V^T is the rotation that turns one
residual stream into the other. Of kindred models it is close to the identity, or to whatever
permutation somebody applied; of strangers it is a random rotation. Random ones have a trace of
standard deviation one, so a matched trace t has a chance of about d! 2^d exp(-t^2 / 2); the score
is minus its decimal logarithm. It is blind to other rotations, which the paper finds by going on to
other matrices. ``procrustes`` does not ask which rotation it is: the share of the embeddings that
some rotation explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from scipy.optimize import linear_sum_assignment

from research.rivals.subject import Subject, common_texts

FEW = 64


@dataclass(frozen=True)
class Embeddings:
    """texts: text -> row of E; E float32 (n, d), its mean taken off."""

    texts: dict[str, int]
    E: np.ndarray


def embeddings(subject: Subject) -> Embeddings:
    texts = subject.texts
    E = subject.rows(np.array(list(texts.values()), dtype=np.int64))
    return Embeddings({t: n for n, t in enumerate(texts)}, (E - E.mean(0)).astype(np.float32))


def _product(a: Embeddings, b: Embeddings) -> tuple[np.ndarray, float] | None:
    ids_a, ids_b = common_texts(a.texts, b.texts)
    if len(ids_a) < FEW:
        return None
    E, F = a.E[ids_a].astype(np.float64), b.E[ids_b].astype(np.float64)
    return E.T @ F, float(np.linalg.norm(E) * np.linalg.norm(F))


def score(a: Embeddings, b: Embeddings) -> float | None:
    found = _product(a, b)
    if found is None:
        return None
    left, _, right = np.linalg.svd(found[0], full_matrices=False)
    polar = left @ right
    rows, columns = linear_sum_assignment(-np.abs(polar))
    identity = np.trace(polar) if polar.shape[0] == polar.shape[1] else 0.0
    matched, d = float(np.abs(polar[rows, columns]).sum()), min(polar.shape)
    chance = min(-(matched**2) / 2 + lgamma(d + 1) + d * log(2), 0.0)
    return -min(chance, -(max(float(identity), 0.0) ** 2) / 2) / log(10)


def procrustes(a: Embeddings, b: Embeddings) -> float | None:
    """|E^T F|_* / |E| |F|, 0 to 1: the cosine of E R and F for the best rotation R."""
    found = _product(a, b)
    if found is None:
        return None
    return float(np.linalg.svd(found[0], compute_uv=False).sum() / found[1])
