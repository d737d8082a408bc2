"""What knowing tau is worth: why a test setup is refused unless it is asked for"""

from __future__ import annotations

import shutil
from dataclasses import replace
from unittest.mock import patch

import pytest

from huref_zk.argument import projection_prover as prover
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import keys
from huref_zk.circuit.encoder import P
from huref_zk.curve.field import R
from huref_zk.curve.group import msm
from huref_zk.errors import InputError
from huref_zk.invariants.prepare import commit_model
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture import verify
from huref_zk.proofs.picture.prove import prove, prove_circuit
from huref_zk.proofs.picture.verify import Policy
from huref_zk.srs import insecure as srs_module
from huref_zk.srs.file import Srs, identify
from huref_zk.srs.insecure import TEST_TAU, lagrange_at
from huref_zk.srs.insecure import insecure_file as srs_test_file
from huref_zk.srs.insecure import insecure_srs as make_srs
from soundness.cheats.setup_secret import (
    equivocated_salts,
    forged_opening,
    honest_opening,
    opens,
)
from soundness.record import control, refusal
from tests.support.tampering import ALLOW, OPENING, accepted, forge, judge, refused


@pytest.mark.attack(
    "With tau: the stranger's picture proven under this model's commitment",
    control="allowed the test setup, the verifier is fooled, so nothing but step 2 stands there",
)
def test_one_commitment_two_models(chain, stranger):
    """The commitment was made, honestly, to one model; tau gives salts that open it to another."""
    quantised = stranger.prepared.quantised

    def salts(tau):
        made = equivocated_salts(chain, quantised, tau)
        return lambda key, index, rows: [list(row) for row in made[index]]

    with patch.object(prover, "row_salts", salts(TEST_TAU)):
        # Even the prover's own check finds the commitment to be the stranger's.
        _, rows = prover.prove_projection(
            quantised,
            chain.secret,
            chain.commitment,
            PUBLIC_SEED,
            P,
            Transcript(b""),
            chain.srs,
        )
    v = stranger.bundle.v
    proof = prove_circuit(rows, list(v), chain.keys, chain.srs, lambda _: None)
    told = {"quantised": quantised, "v": v, "proof": proof}
    forged = forge(chain, row_salts=salts(TEST_TAU), **told)
    refused(2, "TEST setup", chain, forged, image=stranger.image_file, policy=Policy())
    accepted(chain, forged, image=stranger.image_file)  # it is this good
    accepted(chain)  # and the same root has its honest picture, too
    # Somebody who has tau wrong by one gets nowhere, allowed or not.
    wrong = forge(chain, row_salts=salts(TEST_TAU + 1), **told)
    refused(4, "equation", chain, wrong, image=stranger.image_file)
    with (
        patch.object(prover, "row_salts", salts(TEST_TAU + 1)),
        refusal(error=InputError, words="not one of this model"),
    ):
        prover.prove_projection(
            quantised,
            chain.secret,
            chain.commitment,
            PUBLIC_SEED,
            P,
            Transcript(b""),
            chain.srs,
        )


@pytest.mark.attack(
    "A KZG commitment opened to a false value by the SRS alone, or by a wrong tau",
    step="pairing",
    control="with tau any value whatever can be opened; without, the true one",
)
def test_forged_opening(tmp_path):
    from py_ecc import optimized_bn128 as curve

    k = 4
    srs = Srs.open(make_srs(k, tmp_path / "srs"))
    generators = srs.lagrange(0, 1 << k)
    values = [3 * i * i + 7 for i in range(1 << k)]
    commitment = msm(generators, values)
    tau_g2 = curve.multiply(curve.G2, TEST_TAU)
    z = 12345
    true = sum(m * w for m, w in zip(values, lagrange_at(z, k), strict=True)) % R
    false = (true + 1) % R
    assert opens(commitment, z, true, honest_opening(values, k, z, true, generators), tau_g2)
    assert opens(commitment, z, false, forged_opening(values, k, z, false, TEST_TAU), tau_g2)
    for witness in (
        honest_opening(values, k, z, false, generators),
        honest_opening(values, k, z, true, generators),
        forged_opening(values, k, z, false, TEST_TAU + 1),
    ):
        assert not opens(commitment, z, false, witness, tau_g2)


@pytest.mark.attack(
    "A whole chain under an SRS of the prover's own, called the test setup or called nothing",
    control="a verifier that takes the prover's SRS",
)
@pytest.mark.heavy
def test_an_srs_of_the_provers_own(chain, tmp_path):
    """Commitment, keys, projection and Halo2 proof, all made under a tau that only he knows."""
    with patch.object(srs_module, "TEST_TAU", 7):
        path = make_srs(chain.srs.k, tmp_path / "toy.srs")
    assert identify(path).kind == "unknown"
    toy = replace(chain.srs, path=path)  # by the test setup's name and digest
    cache = tmp_path / "cache"
    try:
        theirs = keys.derive(chain.prepared.shape, toy, cache)
        commitment = commit_model(chain.prepared, chain.secret, toy)
        with patch.object(verify, "trusted_srs", lambda *_: toy):  # prove() verifies what it made
            bundle, _ = prove(
                chain.prepared, commitment, chain.secret, PUBLIC_SEED, toy, cache, chain.generator
            )
            with control():
                judge(chain, bundle, expected=commitment.root_hex, cache=cache)
        own = {"expected": commitment.root_hex}
        refused(4, "embedding equation", chain, bundle, **own)
        # Its Halo2 proof beside the true commitment, rows and projection.
        mixed = chain.bundle.proof[:OPENING] + bundle.proof[OPENING:]
        assert bundle.v == chain.bundle.v
        refused(5, "does not verify", chain, forge(chain, proof=mixed))
        # His verifying key in the verifier's cache: rows and key are of two setups.
        home = tmp_path / "home"
        shutil.copytree(theirs.folder, home / chain.keys.folder.name, ignore=lambda *_: ["pk"])
        shutil.copy(chain.srs.path, srs_test_file(chain.srs.k, home))
        refused(5, "does not verify", chain, chain.bundle, cache=home)
        # Called what it is, it is nobody's.
        named = {**bundle.header, "srs": identify(path).sha256}
        refused(2, "different SRS", chain, replace(bundle, header=named), **own)
        accepted(chain)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    assert ALLOW.allow_test_setup
