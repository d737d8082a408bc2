"""Honest proofs of similarity, in both forms, by calls and by commands."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from huref_zk.circuit.encoder import MAPS
from huref_zk.cli import main
from huref_zk.errors import EnvironmentLacks, InputError, NotValid
from huref_zk.invariants.prepare import sketch_of
from huref_zk.invariants.sketch import PUBLIC_SEED, ics
from huref_zk.proofs.picture.verify import Policy
from huref_zk.proofs.similarity.exact import TOP, Range, at_least, exactly
from huref_zk.proofs.similarity.file import parse_bundle, read_bundle, write_bundle
from huref_zk.proofs.similarity.prove import Member, prove_similarity
from huref_zk.proofs.similarity.shape import FRACTION_BITS
from huref_zk.proofs.similarity.verify import STEPS, PairPolicy
from tests.support.forging import ALLOW, accepted, judge, pack


def float_ics(pair) -> float:
    return ics(*(sketch_of(m.prepared, PUBLIC_SEED) for m in pair.members))


def test_the_proven_value_is_the_sketched_ics(pair):
    report, shown = judge(pair, pair.exact)
    assert [s.name for s in report.steps] == list(STEPS)
    assert report.test_setup
    assert shown.low == shown.high
    assert abs(shown.low / 2**16 - pair.total / (MAPS << FRACTION_BITS)) <= 2**-17
    assert abs(shown.low / 2**16 - float_ics(pair)) <= 1e-3
    assert shown.words in report.steps[5].detail


def test_a_threshold_shows_the_threshold_alone(pair):
    """Nothing in the file but the projection and Halo2 proofs differs from another threshold's."""
    cell = exactly(pair.total).low
    assert accepted(pair, pair.threshold) == Range(cell - 1, TOP)
    fields = {**pair.threshold.header}
    assert (fields.pop("low"), fields.pop("high")) == (cell - 1, TOP)
    other = {k: v for k, v in pair.exact.header.items() if k not in ("low", "high")}
    assert fields == other


def test_no_proof_of_what_is_false(pair):
    """s >= tau one cell too high, s <= tau one cell too low; the controls are pair.threshold and
    pair.exact, which claims both bounds."""
    cell = exactly(pair.total).low
    chain = pair.chains[0]
    for bounds in (Range(cell + 1, TOP), Range(-TOP, cell - 1), at_least(1.0)):
        with pytest.raises(NotValid, match="there is no proof of s"):
            prove_similarity(pair.members, PUBLIC_SEED, chain.srs, chain.cache, bounds)


def test_the_prover_is_kept_from_mistakes(pair, tmp_path):
    first, second = pair.members
    chain = pair.chains[0]
    other_secret = Member(first.prepared, first.commitment, bytes(32))
    for members, words in (
        ((first, first), "the same"),
        ((Member(second.prepared, first.commitment, first.secret), second), "not one of this"),
        ((other_secret, second), "not one of this model"),
    ):
        with pytest.raises(InputError, match=words):
            prove_similarity(members, PUBLIC_SEED, chain.srs, chain.cache)
    with pytest.raises(EnvironmentLacks, match="setup-similarity"):
        prove_similarity(pair.members, PUBLIC_SEED, chain.srs, tmp_path)


def test_a_file_reads_back(pair, tmp_path):
    path = tmp_path / "sim.hzs"
    write_bundle(path, pair.exact)
    read = read_bundle(path)
    assert read == parse_bundle(pack(pair.exact))
    assert read.sections == pair.exact.sections and read.bounds == pair.exact.bounds


def test_policy(pair):
    """What the caller asks of the similarity must follow from what was proven, not only be true."""
    cell = exactly(pair.total).low
    allow = Policy(allow_test_setup=True)
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
        policy = PairPolicy(allow, asked)
        if met:
            accepted(pair, bundle, policy=policy)
        else:
            with pytest.raises(NotValid, match="asked for") as caught:
                judge(pair, bundle, policy=policy)
            assert caught.value.step == 6
    layers = tuple(pair.members[0].commitment.descriptor["layers"])
    accepted(pair, pair.exact, policy=PairPolicy(Policy(PUBLIC_SEED, True, layers)))
    with pytest.raises(NotValid, match="layers"):
        judge(pair, pair.exact, policy=PairPolicy(Policy(PUBLIC_SEED, True, layers[::-1])))
    with pytest.raises(NotValid, match="TEST setup"):
        judge(pair, pair.exact, policy=PairPolicy())
    accepted(pair, pair.exact, policy=ALLOW)


def run(*arguments, code: int = 0) -> dict:
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output + done.stderr
    return json.loads(done.stdout)


def test_commands(pair, tmp_path):
    """setup-similarity finds the keys; prove under a challenge; verify with files, with roots."""
    first, second = pair.chains
    cache = ("--keys", first.cache)
    files = [c.commitment_file for c in pair.chains]
    assert run("setup-similarity", *files, *cache)["already"]
    secrets = [tmp_path / "a.key", tmp_path / "b.key"]
    for path, chain in zip(secrets, pair.chains, strict=True):
        path.write_bytes(chain.secret)
    seed = "5a" * 32
    out = tmp_path / "sim.hzs"
    models = [c.bundle_file.with_name("model") for c in (first, second)]
    both = ("--commitment", files[0], "--commitment", files[1])
    keys = ("--secret", secrets[0], "--secret", secrets[1])
    made = run(
        "prove-similarity", *models, *both, *keys, "--out", out, "--seed", seed, *cache,
        "--at-least", -0.99, "--at-most", 0.99,
    )  # fmt: skip
    assert made["shown"] == read_bundle(out).bounds.words
    assert (made["at_least"], made["at_most"]) == (-64880 / 65536, 64880 / 65536)
    roots = ("--commitment", pair.roots[0], "--commitment", pair.roots[1])
    common = ("--seed", seed, "--allow-test-setup", *cache)
    for trusted in (both, roots):
        shown = run("verify", out, *trusted, *common, "--at-most", 0.995)
        assert shown["valid"] and "similarity" not in shown
    wrong = run("verify", out, *both, *common, "--at-least", 0.5, code=1)
    assert wrong["step"] == 6
    assert run("verify", out, *both, "--allow-test-setup", *cache, code=1)["step"] == 6
    swapped = ("--commitment", files[1], "--commitment", files[0])
    assert run("verify", out, *swapped, *common, code=1)["step"] == 1
    for usage in ((*roots[:2],), (*roots, "--image", first.image_file)):
        assert "error" in run("verify", out, *usage, *common, code=2)
    bounded = ("--image", first.image_file, "--at-least", 0)
    told = run("verify", first.bundle_file, *both[:2], *bounded, *cache, code=2)
    assert "no proof of similarity" in told["error"]
    claims = run("inspect", out)
    assert claims["first"]["recomputed_root"] == pair.roots[0]
    assert claims["kind"] == "proof of similarity"
    assert run("setup-similarity", out, *cache)["already"]
