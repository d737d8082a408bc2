"""Deviations in the Halo2 part, the projection proof being honest or fitted to them"""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref_zk.circuit.encoder import P
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.verify import Policy, _check_proof
from huref_zk.render import render
from huref_zk.render.image import write_png
from soundness.cheats.halo2 import (
    fitted,
    proof_of,
    reopened,
    rows_under,
    witness_with_another_output,
)
from soundness.cheats.steps import without_step
from soundness.record import control
from tests.support.cheats import FACTOR, failing
from tests.support.tampering import OPENING, accepted, forge, refused

OTHER_SEED = b"\x09" * 32


@pytest.fixture(scope="module")
def rows(chain):
    return rows_under(chain, PUBLIC_SEED)


@pytest.fixture(scope="module")
def otherwise(chain):
    """(rows, v, Halo2 proof) of the chain's model under another seed."""
    rows = rows_under(chain, OTHER_SEED)
    return rows, *proof_of(chain, rows)


@pytest.mark.attack(
    "A Halo2 proof of the projections under another seed", control="the proof, under its own seed"
)
def test_another_seeds_proof(chain, rows, otherwise, tmp_path):
    """With its own opening it does not fit the projection, with the true one not itself."""
    _, v, proof = otherwise
    own = forge(chain, v=v, proof=proof, **fitted(chain, proof))
    assert failing(chain, own) == FACTOR
    refused(4, "factor equation", chain, own)
    refused(5, "does not verify", chain, forge(chain, v=v, proof=reopened(chain, proof, rows)))
    truly = forge(chain, v=v, proof=proof, seed=OTHER_SEED)
    picture = tmp_path / "picture.png"
    write_png(picture, render(list(v), chain.generator))
    refused(7, "proven under seed", chain, truly, image=picture)
    accepted(chain, truly, image=picture, policy=Policy(OTHER_SEED, allow_test_setup=True))
    accepted(chain)


@pytest.mark.attack(
    "The true rows' v proven by columns in another order", control="the columns' own opening"
)
@pytest.mark.parametrize("pair", [pytest.param((0, 1), marks=pytest.mark.heavy), (3, P + 3)])
def test_columns_exchanged(chain, rows, pair):
    """Rows i and j exchanged within the circuit, and opened as if they were not."""
    turned = list(rows)
    turned[pair[0]], turned[pair[1]] = rows[pair[1]], rows[pair[0]]
    v, proof = proof_of(chain, turned)
    assert v != chain.bundle.v
    with control():
        _check_proof(forge(chain, v=v, proof=proof), chain.keys, chain.srs)
    own = forge(chain, v=v, proof=proof, **fitted(chain, proof))
    refused(4, "factor equation", chain, own)
    refused(5, "does not verify", chain, forge(chain, v=v, proof=reopened(chain, proof, rows)))
    for claimed in (chain.bundle.v, v):  # the right v does not help
        bundle = forge(chain, v=claimed, proof=reopened(chain, proof, rows))
        refused(5, "does not verify", chain, bundle)
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
        refused(5, "does not verify", chain, bundle)
        assert failing(chain, bundle) == []
    accepted(chain, forge(chain, v=v))


@pytest.mark.attack(
    "Opening points turned by one, sides exchanged, or all the same",
    control="the opening put back",
)
def test_opening_points_recombined(chain):
    """Row commitments exchanged for others, with a projection proof made for the exchanged ones."""
    proof = chain.bundle.proof
    points = [proof[i : i + 64] for i in range(0, OPENING, 64)]
    for turned in (
        points[1:] + points[:1],
        points[P:] + points[:P],
        [points[0]] * len(points),
    ):
        forged = forge(chain, **fitted(chain, b"".join(turned)))
        assert forged.proof[:OPENING] == b"".join(turned)
        refused(4, "factor equation", chain, forged)
        with without_step(4):
            refused(5, "does not verify", chain, forged)
    back = b"".join(points) + proof[OPENING:]
    accepted(chain, replace(chain.bundle, proof=back))


@pytest.mark.attack(
    "A witness whose output was raised by one before proving", control="the honest witness"
)
@pytest.mark.heavy
def test_witness_altered_before_proving(chain, rows, tmp_path):
    """Whatever ezkl's prover makes of it, the raised v is not proven by it."""
    proof = witness_with_another_output(chain, rows, tmp_path)
    v = chain.bundle.v
    wrong = (v[0] + 1, *v[1:])
    refused(5, "does not verify", chain, forge(chain, v=wrong, proof=proof or chain.bundle.proof))
    accepted(chain)
