"""How the two sides of a bilinear pair share their scale, made the same whatever a checkpoint says.

A map is U V^T, so U X and V X^-T make the same one; which X a thief may use without changing the
model depends on what stands between the two sides:

    f    a nonlinearity: X is diagonal, one number a neuron
    b    sums only: X is any invertible matrix, one a kv head
    a    positions: with RoPE a number for each two columns that it turns together, else as b

Floats bear an uneven X, integers with one scale a term (quantise.py) do not: what is small beside
the rest is rounded away. So both sides get columns of the same length, or, for heads, the same Gram
matrix. All functions work in place on float32 (d, columns).
"""

from __future__ import annotations

import numpy as np


def balance_columns(U: np.ndarray, V: np.ndarray, idle: float = 1.0) -> None:
    """Give column j of U and of V the same norm. idle: what a column is multiplied by whose partner
    is zero: 0 where it then has no effect, and should not set the scale of those that have."""
    u, v = (np.sqrt(np.einsum("dj,dj->j", W, W, dtype=np.float64)) for W in (U, V))
    both = (u > 0) & (v > 0)
    ratio = np.sqrt(np.divide(v, u, out=np.ones_like(u), where=both))
    for W, factor in ((U, ratio), (V, 1 / ratio)):
        W *= np.where(both, factor, idle).astype(np.float32)


def balance_heads(shared: np.ndarray, own: np.ndarray, kv_heads: int, head_dim: int) -> None:
    """Give each kv head, and the query heads that share it taken together, the same Gram matrix.

    shared: the side that holds a copy of the kv head for each of its query heads (values; or keys);
    the copies stay equal. own: the other side.
    """
    from threadpoolctl import threadpool_limits

    d = len(shared)
    groups, others = (
        W.reshape(d, kv_heads, -1, head_dim).transpose(1, 2, 0, 3) for W in (shared, own)
    )  # (kv heads, copies, d, head_dim), views
    # BLAS threads wait for each other in factorisations this small: up to 20 times on busy cores.
    with threadpool_limits(limits=1, user_api="blas"):
        for group, other in zip(groups, others, strict=True):
            kept, theirs = balanced(group[0], other.reshape(-1, head_dim))
            group[:] = kept
            other[:] = theirs.reshape(other.shape)


def balanced(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(u X, v X^-T), float64, with equal Gram matrices, for u (n, h), v (m, h).

    With u v^T = L diag(s) R^T, these are L sqrt(s) O and R sqrt(s) O for any orthogonal O. O is the
    one that leaves the first nearest to u, so the result does not jump, as singular vectors do,
    where two singular values meet. Directions that u or v lacks become zero in both.
    """
    (q_u, r_u), (q_v, r_v) = (np.linalg.qr(w.astype(np.float64)) for w in (u, v))
    left, s, right = np.linalg.svd(r_u @ r_v.T)
    root = np.sqrt(s)
    before, _, after = np.linalg.svd((left * root).T @ r_u)
    turned = before @ after
    return q_u @ ((left * root) @ turned), q_v @ ((right.T * root) @ turned)
