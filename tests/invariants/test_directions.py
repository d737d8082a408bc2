"""The strongest directions: which they are, and that nothing else is taken off."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.invariants.directions import how_many, without_strongest

K, D = 80, 20


def made(seed: int = 0, shared: float = 30.0):
    """(X, cores): three of noise, with a pattern of their own that X's tokens share."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(K, D)).astype(np.float32)
    u = rng.normal(size=D)
    return X, [rng.normal(size=(D, D)) + shared * np.outer(u, u) / (u @ u) for _ in range(3)]


def seen(X, cores) -> np.ndarray:
    Xc = X.astype(float) - X.mean(axis=0)
    return np.array([Xc @ C @ Xc.T for C in cores])


def patterns(maps, count) -> np.ndarray:
    total = sum((M @ M.T + M.T @ M) / np.square(M).sum() for M in maps if M.any())
    return np.linalg.eigh(total)[1][:, -count:]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_strongest_patterns_and_only_they_are_taken_off(count):
    X, cores = made()
    maps = seen(X, cores)
    Q = patterns(maps, count)
    P = np.eye(K) - Q @ Q.T
    found = seen(X, without_strongest(X, cores, count))
    assert np.allclose(found, P @ maps @ P, atol=1e-8 * np.abs(maps).max())
    assert np.abs(found - maps).max() > 0.1 * np.abs(maps).max()


def test_a_shared_pattern_goes():
    """Two strangers who share one pattern only: alike before, not after."""

    def cosine(x, y):
        return np.sum(x * y) / np.linalg.norm(x) / np.linalg.norm(y)

    X, cores = made(0)
    others = [
        C + np.random.default_rng(5).normal(size=C.shape) - made(0, 0)[1][n]
        for n, C in enumerate(cores)
    ]
    before = cosine(seen(X, cores), seen(X, others))
    after = cosine(*(seen(X, without_strongest(X, c, 2)) for c in (cores, others)))
    assert before > 0.5 and abs(after) < 0.2


def test_cores_of_any_size_have_the_same_say():
    X, cores = made()
    plain = seen(X, without_strongest(X, cores, 4))
    scaled = seen(X, without_strongest(X, [1e6 * cores[0], cores[1], 1e-6 * cores[2]], 4))
    assert np.allclose(scaled[1], plain[1], atol=1e-6 * np.abs(plain).max())


def test_a_core_of_zeros_has_none():
    X, cores = made()
    found = without_strongest(X, [*cores, np.zeros((D, D))], 4)
    assert not found[3].any()
    assert np.allclose(found[:3], without_strongest(X, cores, 4))


def test_a_rotation_and_unread_dimensions_change_nothing():
    X, cores = made()
    plain = seen(X, without_strongest(X, cores, 4))
    R = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0]
    turned = seen(X @ R, without_strongest(X @ R, [R.T @ C @ R for C in cores], 4))
    assert np.allclose(turned, plain, atol=1e-4 * np.abs(plain).max())
    # Dimensions in which tokens are large, but which no map reads.
    rng = np.random.default_rng(3)
    wide = np.hstack([X, 100 * rng.normal(size=(K, 5))])
    padded = [np.pad(C, (0, 5)) for C in cores]
    assert np.allclose(seen(wide, without_strongest(wide, padded, 4)), plain, atol=1e-4)


@pytest.mark.parametrize(
    "hidden, tokens, count",
    [(64, 4096, 8), (576, 4096, 9), (4096, 4096, 64), (16, 4096, 4), (576, 33, 8), (8192, 64, 15)],
)
def test_how_many(hidden, tokens, count):
    assert how_many(hidden, tokens) == count


def test_fewer_tokens_than_dimensions():
    rng = np.random.default_rng(1)
    X, C = rng.normal(size=(16, 40)).astype(np.float32), rng.normal(size=(40, 40))
    maps = seen(X, [C])
    Q = patterns(maps, 3)
    P = np.eye(16) - Q @ Q.T
    found = seen(X, without_strongest(X, [C], 3))
    assert np.allclose(found, P @ maps @ P, atol=1e-8 * np.abs(maps).max())
