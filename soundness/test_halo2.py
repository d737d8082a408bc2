"""Deviations in the Halo2 part, the projection proof being honest or fitted to them"""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref_zk.circuit import halo2
from huref_zk.circuit.halo2 import POINT_BYTES
from huref_zk.errors import HurefError
from huref_zk.invariants.encoder import CONDITIONS
from huref_zk.invariants.sketch import GROUP, LEFT, PUBLIC_SEED, RIGHT
from huref_zk.proofs.kernel import Policy
from huref_zk.render import render
from huref_zk.render.image import write_png
from soundness.cheats.halo2 import (
    cancelling,
    fault,
    known_weights,
    maps_of,
    outputs_of,
    points_of,
    proof_of,
    reopened,
    rows_under,
    with_maps,
)
from soundness.cheats.steps import without_step
from soundness.record import control
from tests.support.cheats import failing
from tests.support.tampering import OPENING, accepted, forge, refused

OTHER_SEED = b"\x09" * 32


@pytest.fixture(scope="module")
def rows(chain):
    return rows_under(chain.owner, PUBLIC_SEED)


@pytest.mark.heavy
@pytest.mark.attack(
    "A Halo2 proof of the projections under another seed", control="the proof, under its own seed"
)
def test_another_seeds_proof(chain, rows, tmp_path):
    """With its own opening it does not fit the projection, with the true one not itself."""
    theirs = rows_under(chain.owner, OTHER_SEED)
    v, proof = proof_of(chain, theirs)
    own = forge(chain, v=v, proof=proof, points=points_of(chain, theirs))
    assert failing(chain, own) == ["core (C)", "right"]
    refused(4, "core", chain, own)
    refused(5, "does not hold", chain, forge(chain, v=v, proof=reopened(chain, proof, rows)))
    truly = forge(chain, v=v, proof=proof, seed=OTHER_SEED)
    picture = tmp_path / "picture.png"
    write_png(picture, render(list(v), chain.generator))
    refused(7, "proven under seed", chain, truly, image=picture)
    accepted(chain, truly, image=picture, policy=Policy(seed=OTHER_SEED))
    accepted(chain)


@pytest.mark.heavy
@pytest.mark.attack(
    "The true rows' v proven by columns in another order", control="the columns' own opening"
)
@pytest.mark.parametrize("pair", [(0, 1), (3, GROUP + 3), (LEFT, LEFT + 5)])
def test_columns_exchanged(chain, rows, pair):
    """Rows i and j exchanged within the circuit, and opened as if they were not."""
    turned = list(rows)
    turned[pair[0]], turned[pair[1]] = rows[pair[1]], rows[pair[0]]
    v, proof = proof_of(chain, turned)
    assert v != chain.bundle.v
    with control():
        assert fault(chain, proof, v) is None
    own = forge(chain, v=v, proof=proof, points=points_of(chain, turned))
    refused(4, "equation", chain, own)
    refused(5, "does not hold", chain, forge(chain, v=v, proof=reopened(chain, proof, rows)))
    for claimed in (chain.bundle.v, v):  # the right v does not help
        bundle = forge(chain, v=claimed, proof=reopened(chain, proof, rows))
        refused(5, "does not hold", chain, bundle)
    accepted(chain)


@pytest.mark.attack(
    "The honest Halo2 proof with another v: one entry changed, all negated, permuted, doubled",
    control="the honest v",
)
def test_wrong_instances(chain):
    v = chain.bundle.v
    for wrong in (
        (v[0] + 1, *v[1:]),
        tuple(-x for x in v),
        v[256:] + v[:256],
        (*v[:-1], 0),
        tuple(x * 2 for x in v),
    ):
        bundle = forge(chain, v=wrong)
        refused(5, "does not hold", chain, bundle)
        assert failing(chain, bundle) == []
    accepted(chain, forge(chain, v=v))


@pytest.mark.attack(
    "Row commitments turned by one, sides exchanged, or all the same, the projection proof made "
    "for them",
    control="the commitments put back",
)
def test_opening_points_recombined(chain, rows):
    points = points_of(chain, rows)
    for turned in (points[1:] + points[:1], points[RIGHT:] + points[:RIGHT], points[:1] * 48):
        forged = forge(chain, points=turned)
        refused(4, "equation", chain, forged)
        with without_step("projection"):
            refused(5, "does not hold", chain, forged)
    accepted(chain, forge(chain, points=points))


@pytest.mark.attack(
    "The commitment to the maps, or one to a combined column, exchanged for another",
    control="the commitments put back",
)
def test_inner_commitments_exchanged(chain, stranger):
    proof, theirs = chain.bundle.proof, stranger.bundle.proof
    for place, size in [(OPENING - POINT_BYTES, POINT_BYTES)] + [
        (OPENING + 64 * column, 64) for column in range(4)
    ]:
        other = proof[:place] + theirs[place : place + size] + proof[place + size :]
        refused(5, "does not hold", chain, forge(chain, proof=other))
    accepted(chain, replace(chain.bundle, proof=proof))


@pytest.mark.attack(
    "True rows, and maps that are not their products: another model's, with its v and picture",
    control="a verifier that takes the prover's word for what the maps are off by",
)
def test_maps_of_another_model(chain, stranger, rows):
    wanted = maps_of(rows_under(stranger.owner, PUBLIC_SEED))
    proof, v, held, gap = with_maps(chain, rows, wanted)
    assert (v, held) == (stranger.bundle.v, CONDITIONS) and all(gap)
    bundle = forge(chain, v=v, proof=proof)
    assert failing(chain, bundle) == []
    refused(5, "does not hold", chain, bundle, image=stranger.image_file)
    honest = halo2.check_columns

    def gullible(proof, columns, outputs, keys, srs):
        return honest(proof, columns, [*outputs[: -len(gap)], *gap], keys, srs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(halo2, "check_columns", gullible)
        accepted(chain, bundle, image=stranger.image_file)
    accepted(chain)


@pytest.mark.heavy
@pytest.mark.attack(
    "Maps with two false entries that cancel under weights known beforehand",
    control="a verifier whose weights do not depend on what was committed to",
)
def test_maps_committed_to_after_the_weights(chain, rows):
    honest = maps_of(rows)
    false = cancelling(honest, 1 << chain.prepared.shape.shift - 2)
    v, held = outputs_of(chain, false)
    assert v != chain.bundle.v and held == CONDITIONS
    with known_weights():
        proof, *_, gap = with_maps(chain, rows, false)
        assert gap == [0, 0, 0]
        with control():
            assert fault(chain, proof, v) is None
    bundle = forge(chain, v=v, proof=proof)
    assert failing(chain, bundle) == []
    refused(5, "does not hold", chain, bundle)
    accepted(chain)


def test_the_honest_prover_makes_none_of_it(chain, rows):
    """The program's own prover notices that the circuit computes another v than it was told."""
    v = chain.bundle.v
    with pytest.raises(HurefError, match="another output"):
        halo2.prove(rows, [v[0] + 1, *v[1:], CONDITIONS], chain.keys, chain.srs, lambda _: None)
