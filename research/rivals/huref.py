"""HuRef's own program (arXiv 2312.04828): ICS of the last two layers, and PCS.

ICS: the authors' terms, no norm folded in, over 4,096 rare tokens by their numbers; the cosine of
standardised maps; neither layers nor tokens are matched. PCS: the cosine of all parameters.
"""

from __future__ import annotations

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.recipes import Cores, compute_cores
from huref_zk.invariants.tokens import TOKENS
from research.rivals.subject import Subject


def itself(subject: Subject) -> Subject:
    """What is read depends on the pair."""
    return subject


def official_ics(a: Subject, b: Subject) -> float | None:
    """The mean over three terms and two layers; None where the program could not read a model."""
    vocab = min(a.dims.vocab, b.dims.vocab)
    special = a.model.special_ids() | b.model.special_ids()
    ids = [i for i in range(vocab) if i not in special][-TOKENS:]
    ids = ids[: len(ids) // 2 * 2]
    try:
        x, y = (
            compute_cores(
                s.model,
                recipe="official",
                layers=(s.dims.layers - 2, s.dims.layers - 1),
                tokens=len(ids),
                token_ids=ids,
            )
            for s in (a, b)
        )
    except InputError:
        return None
    return float(np.mean(standardised(x, y)))


def standardised(x: Cores, y: Cores) -> list[float]:
    """Cosines of the maps X C X^T whose mean entry is taken off, set by set and term by term."""
    E, F = x.X.astype(np.float64), y.X.astype(np.float64)
    means = E.mean(0), F.mean(0)
    grams = (E.T @ F, E.T @ E, F.T @ F)
    n = len(E)

    def inner(C, D, gram, left, right) -> float:
        plain = float(np.einsum("ij,ij->", C, gram @ D @ gram.T))
        return plain - n * n * float(left @ C @ left) * float(right @ D @ right)

    found = []
    for set_x, set_y in zip(x.sets, y.sets, strict=True):
        for core_x, core_y in zip(set_x, set_y, strict=True):
            C, D = core_x.astype(np.float64), core_y.astype(np.float64)
            own = inner(C, C, grams[1], means[0], means[0])
            other = inner(D, D, grams[2], means[1], means[1])
            both = inner(C, D, grams[0], *means)
            found.append(both / (own * other) ** 0.5 if own > 0 < other else 0.0)
    return found


def pcs(a: Subject, b: Subject) -> float | None:
    """Over the parameters of the same name and shape; None without any."""
    dot = left = right = 0.0
    names = set(b.model.names())
    for name in a.model.names():
        if name not in names or a.model.shape(name) != b.model.shape(name):
            continue
        u, v = (s.model.tensor(name).ravel() for s in (a, b))
        dot, left, right = dot + float(u @ v), left + float(u @ u), right + float(v @ v)
    return dot / (left * right) ** 0.5 if left * right > 0 else None
