"""What knowing tau is worth: why a test setup is refused unless it is asked for"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from unittest.mock import patch

import pytest

from huref_zk.circuit import keys
from huref_zk.commitment.commit import check_owner
from huref_zk.curve.field import R
from huref_zk.curve.group import msm
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.kernel import Setup
from huref_zk.proofs.picture.prove import prove
from huref_zk.srs import insecure
from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import TEST_TAU, insecure_srs, lagrange_at
from soundness.cheats.adaptive import case_of, check
from soundness.cheats.halo2 import proven, rows_under
from soundness.cheats.owner import Bench
from soundness.cheats.setup_secret import equivocated, forged_opening, honest_opening, opens
from soundness.record import control, refusal
from tests.support.chain import write_owner
from tests.support.small_owner import BITS, small_owner, small_srs
from tests.support.tampering import OPENING, accepted, forge, judge, refused, with_descriptor

OUT = "do not belong together"


@pytest.mark.attack(
    "With tau wrong by one: another model's rows projected from this model's commitment",
    control="with tau, the projection verifier is fooled",
)
@pytest.mark.parametrize("recipe", ["whole", "last-two"])
def test_one_commitment_two_models(tmp_path, recipe):
    """The commitment was made, honestly, to one model; tau gives salts that open it to another."""
    srs = small_srs(tmp_path)
    mine, other = (small_owner(srs, recipe, seed) for seed in (1, 2))
    theirs, wrong = (
        Bench(equivocated(mine, other.witness, tau, BITS), srs) for tau in (TEST_TAU, TEST_TAU + 1)
    )
    check_owner(theirs.owner, srs)  # even the prover's own check finds it to be the other's
    with control():
        check(case_of(theirs))
    with control():
        check(case_of(Bench(mine, srs)))
    with refusal("projection", "equation"):
        check(case_of(wrong))
    with refusal(error=InputError, words=OUT):
        check_owner(wrong.owner, srs)


@pytest.mark.heavy
@pytest.mark.attack(
    "With tau: the stranger's picture proven under this model's commitment",
    control="allowed the test setup, the verifier is fooled, so nothing but step 2 stands there",
)
def test_one_root_two_pictures(chain, stranger):
    def told(tau):
        owner = equivocated(chain.owner, stranger.owner.witness, tau, chain.srs.k)
        return {"owner": owner, "v": stranger.bundle.v}

    true = told(TEST_TAU)
    proof = proven(chain, rows_under(true["owner"], PUBLIC_SEED), stranger.bundle.v)
    forged = forge(chain, proof=proof, **true)
    refused(2, "TEST setup", chain, forged, image=stranger.image_file, setup=Setup(chain.cache))
    accepted(chain, forged, image=stranger.image_file)  # it is this good
    accepted(chain)  # and the same root has its honest picture, too
    # Somebody who has tau wrong by one gets nowhere, allowed or not.
    wrong = forge(chain, proof=proof, **told(TEST_TAU + 1))
    refused(4, "equation", chain, wrong, image=stranger.image_file)


@pytest.mark.attack(
    "A KZG commitment opened to a false value by the SRS alone, or by a wrong tau",
    step="pairing",
    control="with tau any value whatever can be opened; without, the true one",
)
def test_forged_opening(tmp_path):
    from py_ecc import optimized_bn128 as curve

    k = 4
    srs = Srs.open(insecure_srs(k, tmp_path / "srs"))
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


@pytest.mark.heavy
@pytest.mark.attack(
    "A whole chain under an SRS of the prover's own, called the test setup or called what it is",
    control="a verifier who names the prover's SRS as trusted",
)
def test_an_srs_of_the_provers_own(chain, tmp_path):
    """Commitment, keys, projection and Halo2 proof, all made under a tau that only he knows."""
    home = tmp_path / "home"
    home.mkdir()
    with patch.object(insecure, "TEST_TAU", 7):
        own = Srs.open(insecure_srs(chain.srs.k, home / f"kzg{chain.srs.k}.own.srs"))
    assert own.kind == "unknown"
    try:
        theirs = keys.derive(chain.prepared.shape, own, home)
        ref, secret = str(chain.model), chain.owner.secret
        owner = write_owner(tmp_path / "owner", ref, chain.prepared, secret, own)
        bundle, _ = prove(owner, PUBLIC_SEED, own, home, chain.generator)
        expected = {"expected": owner.commitment.root_hex}
        trusting = Setup(home, trusted_srs=(own.sha256,))
        with control():
            judge(chain, bundle, setup=trusting, **expected)
        # Called what it is, it is nobody's whom the verifier trusts.
        for setup in (Setup(home), Setup(home, ("0" * 64,)), Setup(home, allow_test=True)):
            refused(2, "no ceremony's", chain, bundle, setup=setup, **expected)
        # Called the test setup, it is refused even where it is trusted by name.
        named = with_descriptor(owner.commitment, srs=replace(own.name, kind="test"))
        lying = forge(chain, owner=replace(owner, commitment=named), proof=bundle.proof)
        refused(2, "calls it 'test'", chain, lying, setup=trusting, expected=named.root_hex)
        # Its Halo2 proof beside the true commitment, rows and projection.
        mixed = chain.bundle.proof[:OPENING] + bundle.proof[OPENING:]
        assert bundle.v == chain.bundle.v
        refused(5, "does not hold", chain, forge(chain, proof=mixed))
        # His verifying key in the verifier's cache: rows and key are of two setups.
        cache = tmp_path / "cache"
        ignored = shutil.ignore_patterns("pk", "circuit.ezkl")
        shutil.copytree(theirs.folder, cache / chain.keys.folder.name, ignore=ignored)
        record = replace(theirs.record, srs=chain.srs.sha256)
        (cache / chain.keys.folder.name / "record.json").write_text(json.dumps(asdict(record)))
        shutil.copy(chain.srs.path, cache)
        refused(5, "does not hold", chain, chain.bundle, setup=Setup(cache, allow_test=True))
        accepted(chain)
    finally:
        shutil.rmtree(home, ignore_errors=True)
