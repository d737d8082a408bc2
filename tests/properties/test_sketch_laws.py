"""The sketch: balanced signs, linear in the map, blind to what rewriting leaves alone, unbiased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.invariants.sketch import SIDES, ics, ics_maps, signs, sketch

seeds = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**32 - 1)
few = settings(max_examples=40, deadline=None)


@dataclass(frozen=True)
class Model:
    """What sketch() reads of a Canonical."""

    E: np.ndarray
    U: tuple[np.ndarray, ...]
    V: tuple[np.ndarray, ...]
    widths: tuple[int, int, int] = (2, 3, 4)

    @property
    def token_ids(self):
        return range(len(self.E))


def model(number: int, tokens: int = 40, d: int = 6) -> Model:
    rng = np.random.default_rng(number)
    pair = [tuple(rng.standard_normal((d, 9)) for _ in range(2)) for _ in range(2)]
    return Model(rng.standard_normal((tokens, d)), pair[0], pair[1])


def changed(m: Model, E=lambda x: x, U=lambda x: x, V=lambda x: x) -> Model:
    return Model(E(m.E), tuple(map(U, m.U)), tuple(map(V, m.V)))


@few
@given(seeds, st.sampled_from(SIDES), st.integers(1, 20), st.integers(1, 60).map(lambda n: 2 * n))
def test_every_row_is_balanced(seed, side, p, count):
    rows = signs(seed, side, p, count)
    assert rows.shape == (p, count) and set(np.unique(rows)) == {-1, 1}
    assert not rows.sum(axis=1, dtype=int).any()
    assert (signs(seed, side, p + 1, count)[:p] == rows).all()


@few
@given(seeds, seeds)
def test_another_seed_or_side_gives_other_signs(one, other):
    a, b = signs(one, "L", 8, 64), signs(other, "L", 8, 64)
    assert (a == b).all() == (one == other)
    assert not (a == signs(one, "R", 8, 64)).all()


@few
@given(seeds, numbers, st.floats(-3, 3), st.floats(-3, 3))
def test_linear_in_either_factor(seed, number, s, t):
    a = model(number)
    b = Model(a.E, tuple(np.roll(u, 1) for u in a.U), a.V)
    mixed = Model(a.E, tuple(s * u + t * w for u, w in zip(a.U, b.U, strict=True)), a.V)
    expected = s * sketch(a, seed, 4) + t * sketch(b, seed, 4)
    np.testing.assert_allclose(sketch(mixed, seed, 4), expected, atol=1e-9)
    np.testing.assert_allclose(
        sketch(changed(a, E=lambda e: s * e), seed, 4), s * s * sketch(a, seed, 4), atol=1e-9
    )


@few
@given(seeds, numbers, numbers)
def test_rewriting_the_residual_stream_changes_nothing(seed, number, turn):
    """E Q, Q^T U, Q^T V for a rotation Q; and for any invertible one with its inverse."""
    m, rng = model(number), np.random.default_rng(turn)
    Q, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    same = changed(m, E=lambda e: e @ Q, U=lambda u: Q.T @ u, V=lambda v: Q.T @ v)
    np.testing.assert_allclose(sketch(same, seed, 4), sketch(m, seed, 4), atol=1e-9)
    one_sided = changed(m, E=lambda e: e @ Q)  # the control: half of a rewriting is seen
    assert not np.allclose(sketch(one_sided, seed, 4), sketch(m, seed, 4), atol=1e-3)


@few
@given(seeds, numbers, st.integers(0, 5))
def test_columns_may_trade_places_within_a_term(seed, number, shift):
    m = model(number)
    order = np.r_[0:2, 2:5, 5 + (np.arange(4) + shift) % 4]
    same = changed(m, U=lambda u: u[:, order], V=lambda v: v[:, order])
    np.testing.assert_allclose(sketch(same, seed, 4), sketch(m, seed, 4), atol=1e-9)


@few
@given(seeds, numbers, st.floats(-5, 5))
def test_what_all_tokens_share_is_not_seen(seed, number, shift):
    m = model(number)
    moved = changed(m, E=lambda e: e + shift)
    np.testing.assert_allclose(sketch(moved, seed, 4), sketch(m, seed, 4), atol=1e-8)


@few
@given(numbers, numbers, st.floats(0.01, 100), st.floats(0.01, 100))
def test_likeness_is_a_cosine(one, other, s, t):
    x, y = (np.random.default_rng(n).standard_normal((6, 4, 4)) for n in (one, other))
    assert ics(x, x) == pytest.approx(1) and ics(x, -x) == pytest.approx(-1)
    assert ics(x, y) == pytest.approx(ics(y, x)) == pytest.approx(ics(s * x, t * y))
    assert (np.abs(ics_maps(x, y)) <= 1 + 1e-12).all()
    scales = np.arange(1, 7)[:, None, None]
    assert ics(scales * x, y) == pytest.approx(ics(x, y))  # each map counts the same


def test_unbiased():
    """Products of sketches average to products of double-centred maps."""
    m = model(3, tokens=12)
    other = model(4, tokens=12)
    other = Model(m.E, other.U, other.V)
    centre = np.eye(12) - 1 / 12

    def whole(x):
        return np.array(
            [
                centre @ x.E @ u[:, cut] @ v[:, cut].T @ x.E.T @ centre
                for u, v in zip(x.U, x.V, strict=True)
                for cut in (slice(0, 2), slice(2, 5), slice(5, 9))
            ]
        )

    a, b = whole(m), whole(other)
    # A balanced random row has covariance n/(n-1) (I - 1/n), on both sides, p^2 entries.
    expected = np.einsum("nij,nij->n", a, b) * 16 * (12 / 11) ** 2
    drawn = []
    for i in range(4000):
        seed = i.to_bytes(32, "big")
        drawn.append(np.einsum("nij,nij->n", sketch(m, seed, 4), sketch(other, seed, 4)))
    drawn = np.array(drawn)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - expected) < 4.5 * error).all()
