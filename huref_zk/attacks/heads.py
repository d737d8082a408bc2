"""Rewrites inside attention: the order of heads, and coordinates within a head.

With grouped keys and values, query heads g*n .. g*n + n - 1 share key-value head g (transformers'
repeat_kv), so what happens to a group's keys or values happens to all its queries or outputs.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.attacks.draft import Draft
from huref_zk.attacks.residual import orthogonal


def permute_heads(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """Key-value groups in random order, and the queries within each: rows of Wq, Wk, Wv with their
    biases, columns of Wo. Another order in every layer. Exact."""
    draft = Draft(checkpoint)
    s = draft.sizes
    per_group = s.heads // s.kv_heads
    for i in range(s.layers):
        groups = rng.permutation(s.kv_heads)
        heads = np.concatenate([g * per_group + rng.permutation(per_group) for g in groups])
        queries, keys = _rows_of(heads, s.head_dim), _rows_of(groups, s.head_dim)
        draft.rows(i, "q", lambda w, order: w[order], queries)
        draft.rows(i, "k", lambda w, order: w[order], keys)
        draft.rows(i, "v", lambda w, order: w[order], keys)
        draft.columns(i, "o", lambda w, order: w[:, order], queries)
    return draft.done()


def mix_values(checkpoint: Checkpoint, rng: np.random.Generator, log_sd: float = 0.5) -> Checkpoint:
    """An invertible matrix A for each key-value group: v -> A v, and Wo's columns of each of its
    heads times A^-1. Attention averages values, which A passes through, bias included. Exact.

    A = R1 diag(exp(log_sd N(0, 1))) R2 with random orthogonal R1, R2.
    """
    draft = Draft(checkpoint)
    s = draft.sizes
    for i in range(s.layers):
        mixers = []
        for _ in range(s.kv_heads):
            stretch = np.exp(log_sd * rng.normal(size=s.head_dim))
            r1, r2 = orthogonal(rng, s.head_dim), orthogonal(rng, s.head_dim)
            mixers.append((r1 * stretch @ r2, r2.T / stretch @ r1.T))
        forward, inverse = (np.array(side) for side in zip(*mixers, strict=True))
        # Wo's columns, head by head: W[:, h] A^-1 is (A^-1)^T on the rows of its transpose.
        per_head = np.repeat(inverse.swapaxes(1, 2), s.heads // s.kv_heads, axis=0)
        draft.rows(i, "v", lambda w, A: _by_head(w, A), forward)
        draft.columns(i, "o", lambda w, B: _by_head(w.T, B).T, per_head)
    return draft.done()


def turn_queries(
    checkpoint: Checkpoint, rng: np.random.Generator, log_sd: float = 0.5
) -> Checkpoint:
    """What commutes with the rotary embedding: in each plane (j, j + head_dim / 2) of each
    key-value group (transformers' rotate_half), queries and keys turned by one random angle,
    queries scaled by exp(log_sd N(0, 1)) and keys by its inverse. Their products stay, at all
    positions. Exact.
    """
    draft = Draft(checkpoint)
    s = draft.sizes
    for i in range(s.layers):
        angle = rng.uniform(0, 2 * np.pi, (s.kv_heads, s.head_dim // 2))
        scale = np.exp(log_sd * rng.normal(size=angle.shape))
        queries = _plane_rotations(angle, scale)
        keys = _plane_rotations(angle, 1 / scale)
        per_head = np.repeat(queries, s.heads // s.kv_heads, axis=0)
        draft.rows(i, "q", lambda w, R: _by_head(w, R), per_head)
        draft.rows(i, "k", lambda w, R: _by_head(w, R), keys)
    return draft.done()


def _rows_of(heads: np.ndarray, head_dim: int) -> np.ndarray:
    """The rows of the given heads, in their order."""
    return (heads[:, None] * head_dim + np.arange(head_dim)).ravel()


def _by_head(w: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Each head's rows of w, (heads * n, ...), times its matrix, (heads, n, n) in all."""
    count, n, _ = matrices.shape
    return (matrices @ w.reshape(count, n, -1)).reshape(w.shape)


def _plane_rotations(angle: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(groups, n, n) for angles and scales (groups, n / 2) of the planes (j, j + n / 2)."""
    groups, half = angle.shape
    out = np.zeros((groups, 2 * half, 2 * half))
    j = np.arange(half)
    out[:, j, j] = out[:, half + j, half + j] = scale * np.cos(angle)
    out[:, half + j, j] = scale * np.sin(angle)
    out[:, j, half + j] = -scale * np.sin(angle)
    return out
