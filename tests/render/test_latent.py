from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.errors import InputError
from huref_zk.render.latent import LATENT_BITS, latent_from_v

vectors = st.lists(st.integers(-(2**120), 2**120), min_size=1, max_size=40).filter(any)


@given(vectors)
@settings(max_examples=200, deadline=None)
def test_every_entry_is_the_nearest_grid_point(v: list[int]) -> None:
    z = latent_from_v(v)
    assert z.dtype == np.float64 and z.shape == (len(v),)
    norm2 = sum(x * x for x in v)
    half = Fraction(1, 2 ** (LATENT_BITS + 1))
    for x, got in zip(v, z.tolist(), strict=True):
        value = Fraction(got)
        assert (value * 2**LATENT_BITS).denominator == 1
        # |z| within half a step of |x| sqrt(n) / |v|: compare squares, all in rationals.
        assert max(abs(value) - half, 0) ** 2 <= Fraction(x * x * len(v), norm2)
        assert Fraction(x * x * len(v), norm2) <= (abs(value) + half) ** 2
        assert value == 0 or (value > 0) == (x > 0)


@given(vectors, st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_only_the_direction_counts(v: list[int], factor: int) -> None:
    assert np.array_equal(latent_from_v(v), latent_from_v([x * factor for x in v]))
    assert np.array_equal(latent_from_v(v), -latent_from_v([-x for x in v]))


def test_has_the_length_of_a_gaussian_vector() -> None:
    rng = np.random.default_rng(0)
    v = [int(x) for x in rng.integers(-(2**60), 2**60, 512)]
    assert np.linalg.norm(latent_from_v(v)) == pytest.approx(np.sqrt(512), abs=1e-9)
    assert latent_from_v([5] + [0] * 511)[0] == pytest.approx(np.sqrt(512), abs=1e-12)


def test_neighbouring_vectors_give_other_latents() -> None:
    v = [10**6 + i for i in range(512)]
    w = [*v[:-1], v[-1] + 1]
    assert not np.array_equal(latent_from_v(v), latent_from_v(w))


@pytest.mark.parametrize(
    ("v", "message"),
    [
        ([0] * 512, "all zero"),
        ([], "1 to 4096 entries"),
        ([1] * 5000, "1 to 4096 entries"),
        ([1, 2.0], "entry 1"),
        ([True, 2], "entry 0"),
        ([1, 2**200], "entry 1 of the vector exceeds"),
    ],
)
def test_bad_vectors_are_refused(v: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        latent_from_v(v)
