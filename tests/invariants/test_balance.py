"""Scale and mixing between the two sides of a pair: nothing of it reaches the integers."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.invariants.balance import balance_columns, balance_heads, balanced

GROUPS, COPIES, SIZE, D = 2, 3, 8, 48


@pytest.fixture
def heads():
    """(shared, own): copies of two kv heads beside each other, and three query heads of each."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(D, GROUPS, 1, SIZE))
    shared = np.repeat(one, COPIES, axis=2).reshape(D, -1)
    return shared.astype(np.float32), rng.normal(size=shared.shape).astype(np.float32)


def mixed(shared, own, log_sd, seed=1):
    """The same heads with each kv head's columns mixed by a matrix A, its query heads' by A^-T."""
    rng, A = np.random.default_rng(seed), np.zeros((GROUPS, 1, SIZE, SIZE))
    for g in range(GROUPS):
        left, right = (np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0] for _ in range(2))
        A[g, 0] = left @ np.diag(np.exp(rng.normal(scale=log_sd, size=SIZE))) @ right
    both = (shared, A), (own, np.linalg.inv(A).swapaxes(2, 3))
    return (np.einsum("dgcs,gcst->dgct", _heads(W), by).reshape(D, -1) for W, by in both)


def _heads(W):
    return W.astype(np.float64).reshape(D, GROUPS, COPIES, SIZE)


def integers(W):
    """As quantise does it: rms 2^7, one scale for all."""
    exponent = np.round(7 - np.log2(np.sqrt(np.mean(W.astype(np.float64) ** 2))))
    return np.clip(np.rint(W * 2.0**exponent), -(2**15) + 1, 2**15 - 1)


def cosine(x, y):
    return float((x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y))


def test_heads_keep_their_map_and_their_copies(heads):
    shared, own = heads
    wanted = shared.astype(np.float64) @ own.T
    balance_heads(shared, own, GROUPS, SIZE)
    np.testing.assert_allclose(shared @ own.T, wanted, atol=1e-4)
    copies = _heads(shared)
    assert np.array_equal(copies, np.repeat(copies[:, :, :1], COPIES, axis=2))
    for g in range(GROUPS):
        u, v = copies[:, g, 0], _heads(own)[:, g].transpose(1, 0, 2).reshape(-1, SIZE)
        np.testing.assert_allclose(u.T @ u, v.T @ v, atol=1e-4)


def test_mixed_heads_have_the_same_integers_up_to_a_rotation(heads):
    """At log sd 3 the columns alone, balanced one by one, lose the map to rounding."""
    shared, own = heads
    wanted = shared.astype(np.float64) @ own.T
    U, V = (W.astype(np.float32) for W in mixed(shared, own, 3.0))
    for balance, least, most in ((balance_heads, 0.9999, 1.0), (balance_columns, -1.0, 0.99)):
        u, v = U.copy(), V.copy()
        balance(u, v, *((GROUPS, SIZE) if balance is balance_heads else ()))
        assert least < cosine(integers(u) @ integers(v).T, wanted) <= most + 1e-9


def test_a_balanced_pair_is_left_alone(heads):
    u, v = balanced(*(W[:, :SIZE] for W in heads))
    for once, twice in zip((u, v), balanced(u, v), strict=True):
        np.testing.assert_allclose(once, twice, atol=1e-12)


def test_equal_singular_values_make_no_jump():
    """u^T u = v^T v = 1: every basis is one of singular vectors. A change of 1e-9 moves nothing."""
    rng = np.random.default_rng(2)
    u, v = (np.linalg.qr(rng.normal(size=(D, SIZE)))[0] for _ in range(2))
    nearly = u + 1e-9 * rng.normal(size=u.shape)
    for a, b in zip(balanced(u, v), balanced(nearly, v), strict=True):
        assert np.abs(a - b).max() < 1e-7
    np.testing.assert_allclose(balanced(u, v)[0], u, atol=1e-12)


@pytest.mark.parametrize("lost", ["one direction", "all"])
def test_directions_that_one_side_lacks_are_zero_in_both(lost, heads):
    u, v = (W[:, :SIZE].astype(np.float64) for W in heads)
    v[:, : (1 if lost == "one direction" else SIZE)] = 0
    wanted = u @ v.T
    u[:, 0] *= 1e6  # does nothing: what it meets is zero
    x, y = balanced(u, v)
    np.testing.assert_allclose(x @ y.T, wanted, atol=1e-6)
    np.testing.assert_allclose(x.T @ x, y.T @ y, atol=1e-6)
    assert np.linalg.norm(x) < 1e3


def test_idle_neurons_do_not_set_the_scale():
    """A neuron that writes nothing may read whatever it likes. One that writes keeps its part."""
    rng = np.random.default_rng(3)
    U, V = (rng.normal(size=(D, 10)).astype(np.float32) for _ in range(2))
    V[:, 0] = 0
    U[:, 0] *= 1e6
    wanted = U[:, 1:].astype(np.float64) @ V[:, 1:].T
    kept = U.copy(), V.copy()
    balance_columns(U, V, idle=0.0)
    assert not U[:, 0].any()
    assert cosine(integers(U) @ integers(V).T, wanted) > 0.9999
    balance_columns(*kept)
    assert kept[0][:, 0].all()
    assert not integers(kept[0])[:, 1:].any()
