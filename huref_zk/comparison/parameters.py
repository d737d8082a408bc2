"""PCS: the cosine of two models' parameters (HuRef section 3.2), over what was matched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import numpy as np

from huref_zk.models.families import Family
from huref_zk.models.layers import read_layer
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions

Progress = Callable[[int, int], None]


def parameter_cosine(
    a: tuple[Model, Family, Dimensions, np.ndarray],
    b: tuple[Model, Family, Dimensions, np.ndarray],
    pairs: tuple[tuple[int, int], ...],
    progress: Progress | None = None,
) -> float | None:
    """PCS over the embedding rows of the given tokens and the matched layers' weights and gains.

    a, b: (model, family, sizes, token ids); pairs: matched layers (i of a, j of b). Keys and values
    of grouped heads count once for each head they serve. None when any two matrices differ in
    shape: parameters of different sizes have no cosine.
    """
    dot = left = right = 0.0

    def add(x: np.ndarray, y: np.ndarray) -> bool:
        nonlocal dot, left, right
        if x.shape != y.shape:
            return False
        x, y = x.ravel(), y.ravel()
        dot += float(np.dot(x, y))
        left += float(np.dot(x, x))
        right += float(np.dot(y, y))
        return True

    if not add(*(m.rows(f.embedding, ids) for m, f, _, ids in (a, b))):
        return None
    for done, (i, j) in enumerate(pairs):
        x, y = read_layer(*a[:3], i), read_layer(*b[:3], j)
        for field in fields(x):
            u, v = getattr(x, field.name), getattr(y, field.name)
            if (u is None) != (v is None) or (u is not None and not add(u, v)):
                return None
        del x, y  # not to be held while the next ones are read
        if progress is not None:
            progress(done + 1, len(pairs))
    return dot / math.sqrt(left * right) if left > 0 and right > 0 else 0.0
