"""GhostSpec (arXiv 2511.06390): singular values of products that no change of basis within the
attention moves.

Of each layer those of Wq^T Wk and of Wo Wv, in the sum over heads, normalised to length one, seen
at POINTS evenly spaced quantiles so that widths may differ. Layers are aligned in order; a layer
left out costs GAP. The score is minus the mean distance.
"""

from __future__ import annotations

import numpy as np

from research.rivals.subject import Subject

POINTS = 64
GAP = 2.0
"""Times the median distance between two models' layers: what leaving one out costs."""


def spectrum(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Singular values of left^T right, (h, d) each, at POINTS quantiles: float64 (POINTS,)."""
    ql, qr = (np.linalg.qr(m.T.astype(np.float64))[1] for m in (left, right))
    values = np.linalg.svd(ql @ qr.T, compute_uv=False)
    values = values / max(float(np.linalg.norm(values)), 1e-300)
    places = np.linspace(0, len(values) - 1, POINTS)
    return np.interp(places, np.arange(len(values)), values) * np.sqrt(len(values))


def spectra(subject: Subject) -> np.ndarray:
    """float64 (L, 2 POINTS)."""
    return np.array(
        [
            np.concatenate((spectrum(layer.q, layer.k), spectrum(layer.o.T, layer.v)))
            for layer in subject.layers()
        ]
    )


def score(a: np.ndarray, b: np.ndarray) -> float:
    distances = np.square(a[:, None] - b[None]).mean(2)
    gap = GAP * float(np.median(distances))
    cost = np.zeros((len(a) + 1, len(b) + 1))
    cost[:, 0], cost[0] = gap * np.arange(len(a) + 1), gap * np.arange(len(b) + 1)
    for i in range(len(a)):
        for j in range(len(b)):
            cost[i + 1, j + 1] = min(
                cost[i, j] + distances[i, j], cost[i, j + 1] + gap, cost[i + 1, j] + gap
            )
    # What must be left out because the depths differ is no evidence against kinship.
    return -float(cost[-1, -1] - gap * abs(len(a) - len(b))) / min(len(a), len(b))
