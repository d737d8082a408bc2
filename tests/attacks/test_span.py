"""What linear adapters cannot hide: the span of the tokens' rows (docs/evasion.md)."""

from __future__ import annotations

import numpy as np

from huref_zk.attacks import attack, read_checkpoint
from huref_zk.attacks.checkpoint import EMBEDDING, HEAD

TOKENS = 3000


def span(model, name: str) -> np.ndarray:
    """An orthonormal basis of the centred rows of the same tokens."""
    ids = sorted(model.token_order)[:TOKENS]
    rows = model.tensors[name][ids].astype(np.float64)
    q, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return q[:, sizes > 1e-5 * sizes[0]]


def alike(x, y, name: str) -> float:
    """Mean squared cosine of the principal angles."""
    cosines = np.linalg.svd(span(x, name).T @ span(y, name), compute_uv=False)
    return float(np.square(cosines).mean())


def test_the_span_stays_where_everything_else_goes():
    base = read_checkpoint("demo-base")
    gone = attack("vanishing", base, seed=1)
    for name in (EMBEDDING, HEAD):
        assert alike(base, gone, name) > 0.999
        assert alike(base, read_checkpoint("demo-child"), name) > 0.9
        assert alike(base, read_checkpoint("demo-stranger"), name) < 0.35
