"""Honest proofs of similarity: both forms, public models, two hidden sizes; calls and commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.circuit import keys
from huref_zk.cli import main
from huref_zk.commitment.commit import Owner, commit
from huref_zk.commitment.file import serialise
from huref_zk.errors import EnvironmentLacks, InputError, NotValid, StepFailed
from huref_zk.invariants.encoder import MAPS
from huref_zk.invariants.sketch import PUBLIC_SEED, ics, sketch
from huref_zk.proofs.kernel import STEPS, Policy
from huref_zk.proofs.similarity.exact import ANY, TOP, Range, at_least, at_most, exactly
from huref_zk.proofs.similarity.file import parse_bundle, read_bundle, write_bundle
from huref_zk.proofs.similarity.prove import prove_similarity
from huref_zk.proofs.similarity.shape import FRACTION_BITS
from huref_zk.proofs.similarity.verify import pair_of, verify_bytes
from tests.similarity_proof.conftest import owner_of, random_cores
from tests.support.forging import accepted, judge, pack
from tests.support.small_owner import write_owner


def float_ics(*cores, seed: bytes = PUBLIC_SEED) -> float:
    return ics(*(sketch(c, seed) for c in cores))


def test_the_proven_value_is_the_sketched_ics(pair):
    report = judge(pair, pair.exact)
    assert [s.name for s in report.steps] == [name for name, _ in STEPS["similarity"]]
    assert report.test_setup
    facts = report.facts
    assert facts["low"] == facts["high"]
    assert abs(facts["low"] / 2**16 - pair.total / (MAPS << FRACTION_BITS)) <= 2**-17
    assert abs(facts["low"] / 2**16 - float_ics(*pair.cores)) <= 1e-3
    assert facts["shown"] in report.steps[5].detail
    assert facts["seed"]["class"] == "public"
    for name, owner in zip(("first", "second"), pair.owners, strict=True):
        assert facts[name]["root"] == owner.commitment.root_hex
        assert facts[name]["recipe"] == "whole" and not facts[name]["public"]


def test_a_threshold_shows_the_threshold_alone(pair):
    """Nothing in the file but projection and circuit proofs differs from the value's."""
    cell = exactly(pair.total).low
    accepted(pair, pair.threshold)
    claim, exact = pair.threshold.claim, pair.exact.claim
    assert claim.bounds == Range(cell - 1, TOP)
    assert pair.threshold.commitments == pair.exact.commitments
    names = ("first_root", "second_root", "seed", "circuit", "ezkl")
    assert all(getattr(claim, name) == getattr(exact, name) for name in names)
    assert len(pack(pair.threshold)) - len(pack(pair.exact)) in (-1, 0, 1, 2, 3)


def test_no_proof_of_what_is_false(pair):
    """s >= tau one cell too high, s <= tau one cell too low; the controls are pair.threshold and
    pair.exact, which claims both bounds."""
    cell = exactly(pair.total).low
    for bounds in (Range(cell + 1, TOP), Range(-TOP, cell - 1), at_least(1.0)):
        with pytest.raises(NotValid, match="there is no proof of s"):
            prove_similarity(pair.owners, PUBLIC_SEED, pair.srs, pair.cache, bounds)


def test_the_prover_is_kept_from_mistakes(pair, tmp_path):
    first, second = pair.owners
    others_secret = Owner(first.commitment, first.witness, bytes(32))
    others_witness = Owner(first.commitment, second.witness, first.secret)
    for owners, words in (
        ((first, first), "the same"),
        ((others_witness, second), "do not belong together"),
        ((others_secret, second), "do not belong together"),
    ):
        with pytest.raises(InputError, match=words):
            prove_similarity(owners, PUBLIC_SEED, pair.srs, pair.cache)
    with pytest.raises(EnvironmentLacks, match="no proving key"):
        prove_similarity(pair.owners, PUBLIC_SEED, pair.srs, tmp_path)


def test_a_file_reads_back(pair, tmp_path):
    path = tmp_path / "sim.hzs"
    write_bundle(path, pair.exact)
    assert path.read_bytes() == pack(pair.exact)
    assert read_bundle(path) == parse_bundle(pack(pair.exact)) == pair.exact


def test_what_was_proven_must_imply_what_is_demanded(pair):
    """It is not enough that it is true."""
    cell = exactly(pair.total).low
    for bundle, asked, met in (
        (pair.exact, Range(cell, TOP), True),
        (pair.exact, Range(-TOP, cell), True),
        (pair.exact, Range(cell + 1, TOP), False),
        (pair.exact, Range(-TOP, cell - 1), False),
        (pair.threshold, Range(cell - 1, TOP), True),
        (pair.threshold, Range(cell - 2, TOP), True),
        (pair.threshold, Range(cell, TOP), False),
        (pair.threshold, Range(-TOP, TOP - 1), False),
    ):
        if met:
            accepted(pair, bundle, bounds=asked)
        else:
            with pytest.raises(StepFailed, match="demanded") as caught:
                judge(pair, bundle, bounds=asked)
            assert caught.value.step == 6


def test_no_bound_is_implied(pair):
    """The caller has to say which; and what was demanded is told."""
    with pytest.raises(TypeError, match="bounds"):
        verify_bytes(pack(pair.exact), pair.roots, pair.setup)
    told = judge(pair, pair.threshold, bounds=None).steps[6].detail
    assert "no bound was demanded" in told
    asked = pair.threshold.claim.bounds
    assert asked.words in judge(pair, pair.threshold, bounds=asked).steps[6].detail


def test_policy(pair):
    accepted(pair, pair.exact, policy=Policy(layers=(0, 1, 2)))
    for policy, words in (
        (Policy(layers=(0, 1)), "layers"),
        (Policy(recipe="official"), "recipe"),
        (Policy(tokens_digest="0" * 64), "tokens"),
        (Policy(seed=bytes(32)), "seed"),
    ):
        with pytest.raises(StepFailed, match=words) as caught:
            judge(pair, pair.exact, policy=policy)
        assert caught.value.step == 6
    accepted(pair, pair.exact, policy=Policy(seed=None, recipe=None))


# --- a public model ------------------------------------------------------------------------------


def test_everybody_finds_the_same_public_root(public, pair_srs):
    owner, cores = public
    again = owner_of(cores, None, pair_srs)
    assert serialise(again.commitment) == serialise(owner.commitment)
    assert owner.secret is None and owner.descriptor.public
    salted = owner_of(cores, b"\1" * 32, pair_srs)
    assert salted.commitment.points["E"] != owner.commitment.points["E"]


def test_unlike_a_public_model(pair, public):
    """A closed model proves that it is no relative, to whoever has the public commitment; under a
    seed drawn afterwards."""
    owner, cores = public
    seed = bytes([7]) * 32
    owners = pair.owners[0], owner
    bounds = at_most(0.25)
    assert abs(float_ics(pair.cores[0], cores, seed=seed)) < 0.2
    bundle = prove_similarity(owners, seed, pair.srs, pair.cache, bounds)
    recomputed = owner_of(cores, None, pair.srs).commitment.root_hex
    roots = pair.roots[0], recomputed
    report = judge(pair, bundle, expected=roots, bounds=bounds, policy=Policy(seed=seed))
    assert [report.facts[n]["public"] for n in ("first", "second")] == [False, True]
    with pytest.raises(StepFailed, match="root"):
        judge(pair, bundle, expected=roots[::-1], bounds=bounds, policy=Policy(seed=seed))


def test_rows_of_zeros_in_a_public_model(public, pair_srs):
    """Without salts they commit to the point at infinity, which has an encoding as well."""
    owner, _ = public
    E = owner.witness.matrices["E"].copy()
    E[3] = 0
    core = owner.witness.matrices["C"].copy()
    core[5] = 0
    witness = type(owner.witness)(
        owner.descriptor, {"E": E, "C": core}, owner.witness.checkpoint_salt
    )
    made = commit(witness, None, pair_srs)
    assert made.points["E"][3] is None and made.points["C"][5] is None
    assert len(serialise(made)) == len(serialise(owner.commitment))


# --- two hidden sizes ----------------------------------------------------------------------------


def test_models_of_two_hidden_sizes(pair):
    """Cores side by side with others make a wider model whose maps are partly the same."""
    narrow = pair.cores[0]
    wide = random_cores(9, hidden=24)
    X, core = wide.X.copy(), wide.sets[0].copy()
    X[:, :16] = narrow.X
    X /= np.sqrt(np.square(X).mean(axis=1, keepdims=True))
    core[:, :16, :16] = 3 * narrow.sets[0]
    like = type(wide)("whole", X, (core,), wide.layer_ids, wide.token_ids, "common", wide.facts)
    owners = owner_of(like, None, pair.srs), pair.owners[0]
    shape = pair_of((owners[0].commitment, owners[1].commitment))
    assert shape.hidden == (24, 16)
    keys.derive(shape, pair.srs, pair.cache)
    bundle = prove_similarity(owners, PUBLIC_SEED, pair.srs, pair.cache)
    roots = tuple(owner.commitment.root_hex for owner in owners)
    shown = judge(pair, bundle, expected=roots).facts
    assert abs(shown["low"] / 2**16 - float_ics(like, narrow)) < 1e-3
    assert shown["low"] / 2**16 > 0.3


# --- commands ------------------------------------------------------------------------------------


def run(*arguments, code: int = 0) -> dict:
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output + done.stderr
    return json.loads(done.stdout)


def test_commands(pair, tmp_path):
    """prove under a challenge, verify with files and with roots; bounds have to be named."""
    cache = ("--keys", pair.cache)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, owner in zip(folders, pair.owners, strict=True):
        write_owner(folder, owner)
    files = [folder / "commitment.hzc" for folder in folders]
    seed = "5a" * 32
    out = tmp_path / "sim.hzs"
    made = run(
        "prove-similarity", *folders, "--out", out, "--seed", seed, *cache,
        "--at-least", -0.99, "--at-most", 0.99,
    )  # fmt: skip
    assert made["shown"] == read_bundle(out).claim.bounds.words
    assert (made["at_least"], made["at_most"]) == (-64880 / 65536, 64880 / 65536)
    both = ("--commitment", files[0], "--commitment", files[1])
    roots = ("--commitment", pair.roots[0], "--commitment", pair.roots[1])
    common = ("--seed", seed, "--allow-test-setup", *cache)
    for trusted in (both, roots):
        shown = run("verify", out, *trusted, *common, "--at-most", 0.995)
        assert shown["valid"] and "similarity" not in shown
    told = run("verify", out, *both, *common, "--any-bounds")
    assert told["shown"] == made["shown"]
    assert run("verify", out, *both, *common, "--at-least", 0.5, code=1)["step"] == 6
    unseeded = ("--allow-test-setup", *cache, "--any-bounds")
    assert run("verify", out, *both, *unseeded, code=1)["step"] == 6
    swapped = ("--commitment", files[1], "--commitment", files[0])
    assert run("verify", out, *swapped, *common, "--any-bounds", code=1)["step"] == 1
    for usage in ((*both,), (*both, "--any-bounds", "--at-most", 0.9), (*both[:2], "--any-bounds")):
        assert "error" in run("verify", out, *usage, *common, code=2)
    claims = run("inspect", out)
    assert pair.roots[0] in json.dumps(claims)
    assert run("setup", out, *cache)["already"]
    assert ANY.words == "any s"
