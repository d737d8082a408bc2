"""The shipped encoder: within the circuit's bounds, Gaussian, and as alike as its inputs are."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from huref_zk.circuit.shape import MIX_BITS
from huref_zk.errors import EnvironmentLacks
from huref_zk.invariants.encoder import (
    HIDDEN,
    INVERSE_BITS,
    MAPS,
    V_LENGTH,
    Encoder,
    encode_exact,
    encode_float,
    load_encoder,
)
from research.benchmarks.encoder import measure
from tests.support.circuit_rows import cosine


@pytest.fixture(scope="module")
def measured():
    return measure(load_encoder(), count=600)


def test_strangers_are_at_right_angles(measured):
    figures, _, _ = measured
    assert figures["strangers"]["pairs"] >= 2000
    assert figures["strangers"]["mean_abs_cosine"] < 0.06


def test_entries_are_gaussian(measured):
    figures, _, _ = measured
    gaussian = figures["gaussian"]
    assert gaussian["ks_of_all_entries"] < 0.02
    assert gaussian["mean_ks_of_a_vector"] < 1.1 * gaussian["mean_ks_of_a_gaussian_vector"]
    # The yardstick can tell: a uniform vector of the same length is far off.
    uniform = np.random.default_rng(0).uniform(-math.sqrt(3), math.sqrt(3), V_LENGTH)
    assert stats.kstest(uniform, "norm").statistic > 1.1 * gaussian["mean_ks_of_a_gaussian_vector"]


def test_cosine_follows_kinship(measured):
    figures, kin, cosine = measured
    means = figures["relatives"]["mean_cosine_by_ics_tenth"]
    assert all(a < b for a, b in pairwise(means))
    assert stats.spearmanr(kin, cosine).statistic > 0.98


def test_integers_stay_within_what_the_circuit_holds():
    encoder = load_encoder()
    # Maps below 2^115 (quantise) stay below 2^126 when filtered: ezkl's integers have 128 bits.
    assert np.abs(encoder.filt).sum(axis=(2, 3)).max() <= 1 << 11
    # |y_c| <= 2^INVERSE_BITS for each map, so by Cauchy-Schwarz over the six of them:
    reach = (
        math.sqrt(MAPS)
        * 2.0**INVERSE_BITS
        * np.linalg.norm(encoder.w1.reshape(HIDDEN, -1), axis=1).max()
    )
    assert reach < 1 << (INVERSE_BITS + MIX_BITS)  # what Shape.legs hold
    for values in (encoder.filt, encoder.w1, encoder.w2, encoder.b2):
        assert (values.astype(np.float32).astype(np.int64) == values).all()  # ONNX keeps float32


def test_scale_of_a_map_does_not_matter():
    """v depends on the maps' directions only, up to the rounding of u and 1/|u|."""
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(MAPS, 16, 16))
    scaled = maps * np.array([1, 2, 5, 0.5, 0.2, 3])[:, None, None]
    a, b = encode_float(load_encoder(), maps), encode_float(load_encoder(), scaled)
    assert np.allclose(a, b)
    whole = [np.rint(m * 2.0**41).astype(np.int64).astype(object).tolist() for m in (maps, scaled)]
    x, y = (encode_exact(load_encoder(), m, 36) for m in whole)
    assert cosine(x, y) > 0.999999


def test_digest_binds_every_weight(tmp_path):
    encoder = load_encoder()
    arrays = {k: getattr(encoder, k) for k in ("filt", "w1", "w2", "b2")}
    digests = {encoder.digest}
    for name, array in arrays.items():
        other = array.copy()
        other.flat[-1] += 1
        digests.add(Encoder(**{**arrays, name: other}).digest)
    assert len(digests) == 5
    assert Encoder(**arrays).digest == encoder.digest


def test_damaged_weights_are_one_clear_error(tmp_path):
    encoder = load_encoder()
    arrays = {k: getattr(encoder, k) for k in ("filt", "w1", "w2", "b2")}
    path = tmp_path / "encoder.npz"
    np.savez(path, **arrays)
    assert load_encoder(path).digest == encoder.digest
    for bad in (
        {**arrays, "w1": arrays["w1"][:-1]},
        {k: v for k, v in arrays.items() if k != "b2"},
        {**arrays, "filt": np.array([object()])},
    ):
        np.savez(path, **bad)
        load_encoder.cache_clear()
        with pytest.raises(EnvironmentLacks, match="reinstall"):
            load_encoder(path)
    path.write_bytes(b"not an archive")
    load_encoder.cache_clear()
    with pytest.raises(EnvironmentLacks, match="reinstall"):
        load_encoder(path)
