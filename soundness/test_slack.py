"""What v may differ by between accepted proofs of one commitment under one seed"""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.circuit.shape import shape_for
from huref_zk.invariants.encoder import (
    MAPS,
    NORM_MAX,
    NORM_MIN,
    encode_exact,
    inverse,
    load_encoder,
    norms,
)
from huref_zk.invariants.quantise import integer_maps
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.prepare import prepare
from soundness.slack import angle, bound, measure, norms_of, quotients, scale_of, turning, vector
from tests.support.circuit_rows import maps_with_norms

CLAIMED = 2e-3  # radians, within the range of norms
CLAIMED_HONEST = 6e-4  # of models as they are quantised, with norms near 2^15
SMALL = shape_for(16)
USUAL = 1 << 15


def structured(kind: str) -> list[list[list[int]]]:
    """Maps unlike any model's, at the low end of the range."""
    rng = np.random.default_rng(0)
    shapes = {
        "rank one": lambda: np.outer(rng.normal(size=16), rng.normal(size=16)),
        "constant": lambda: np.ones((16, 16)),
        "one patch": lambda: np.pad(np.ones((4, 4)), ((0, 12), (4, 8))),
    }
    found = []
    for _ in range(MAPS):
        m = shapes[kind]() * 2.0**SMALL.shift
        found.append([[int(x) for x in row] for row in np.rint(m)])
    factors = [1.01 * NORM_MIN / n for n in norms(load_encoder(), found, SMALL.shift)]
    return [[[int(x * f) for x in row] for row in m] for m, f in zip(found, factors, strict=True)]


@pytest.mark.parametrize(
    "sizes",
    [
        [NORM_MIN] * 6,
        [NORM_MAX] * 6,
        [NORM_MIN, NORM_MAX, USUAL] * 2,
        [NORM_MIN] + [USUAL] * 5,
    ],
    ids=["all at the low end", "all at the high end", "mixed", "one at the low end"],
)
def test_at_the_ends_of_the_range(sizes):
    slack = measure(maps_with_norms(SMALL, sizes), SMALL.shift)
    assert 1e-4 < slack.honest < slack.between < CLAIMED
    assert slack.between < slack.bound < 1.3 * CLAIMED


@pytest.mark.parametrize("kind", ["rank one", "constant", "one patch"])
def test_maps_unlike_any_models(kind):
    slack = measure(structured(kind), SMALL.shift)
    assert slack.between < CLAIMED and slack.bound < 1.3 * CLAIMED


@pytest.mark.parametrize("model", ["demo-base", "demo-child", "demo-stranger"])
def test_of_models(model):
    prepared = prepare(model)
    maps = integer_maps(prepared.quantised, PUBLIC_SEED)
    slack = measure(maps, prepared.shape.shift)
    assert 1e-4 < slack.between < CLAIMED_HONEST and slack.bound < 1e-3


def test_the_search_knows_the_circuit():
    """Its v of honest choices is the circuit's; its choices of 1/|u| hold the honest one; a unit
    of u turns v by what it says."""
    encoder = load_encoder()
    maps = maps_with_norms(SMALL, [USUAL + 7 * t for t in range(6)])
    low, high, near = quotients(maps, SMALL.shift)
    assert ((near == low) | (near == high)).all() and ((high - low) <= 1).all()
    v = vector(encoder, near, [inverse(n) for n in norms_of(near)])
    assert v.tolist() == encode_exact(encoder, maps, SMALL.shift)
    for norm in (NORM_MIN, 22539, USUAL, NORM_MAX):
        least, _, most = scale_of(norm)
        assert least <= inverse(norm) <= most <= least + 2
    turn = turning(encoder, near.astype(float), v)
    moved = near.copy()
    moved[0, 1, 2, 3] += 1
    moved[4, 0, 0, 1] -= 1
    other = vector(encoder, moved, [inverse(n) for n in norms_of(moved)])
    places = [int(np.ravel_multi_index(p, near.shape)) for p in ((0, 1, 2, 3), (4, 0, 0, 1))]
    expected = np.linalg.norm(turn[:, places[0]] - turn[:, places[1]])
    assert angle(v, other) == pytest.approx(expected, rel=0.02)
    assert bound(turn) > expected
