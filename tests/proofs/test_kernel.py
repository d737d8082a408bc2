import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from huref_zk.commitment.descriptor import parse_descriptor
from huref_zk.errors import EnvironmentLacks, InputError, NotValid, StepFailed
from huref_zk.files.formats import BUNDLE, COMMITMENT
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.kernel import (
    STEPS,
    Policy,
    Report,
    Setup,
    Step,
    check_policy,
    check_srs,
    describe,
    read_claim,
    refuse_unless,
)
from tests.support.changed_json import changed
from tests.support.small_owner import BITS, small_srs, small_witness


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def descriptor(keys):
    return small_witness(small_srs(keys)).descriptor


def run(report: Report, *names: str) -> Report:
    for name in names:
        with report.step(name) as step:
            step.established(f"{name} holds")
    return report


# --- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STEPS)
def test_all_steps_in_order(kind):
    heard = []
    report = Report(kind, heard=heard.append)
    assert len(set(report.names)) == len(report.names)
    run(report, *report.names)
    assert report.steps == heard
    assert report.steps == [Step(i, n, f"{n} holds") for i, n in enumerate(report.names)]
    assert all(what and what[0].isascii() for _, what in STEPS[kind])


@pytest.mark.parametrize("number", range(len(STEPS["picture"])))
def test_bad_data_is_refused_at_its_step(number):
    """InputError inside a step is StepFailed with its number and name, exit code 1."""
    heard = []
    report = Report("picture", heard=heard.append)
    names = report.names
    run(report, *names[:number])
    with pytest.raises(StepFailed, match="malformed point") as caught, report.step(names[number]):
        raise InputError("malformed point")
    failed = caught.value
    assert (failed.step, failed.name, failed.exit_code) == (number, names[number], 1)
    assert isinstance(failed, NotValid) and isinstance(failed.__cause__, InputError)
    assert len(report.steps) == len(heard) == number


def test_refusals_within_a_step():
    report = Report("picture")
    with pytest.raises(StepFailed, match="not this one"), report.step("parse") as step:
        step.established("too early")
        refuse_unless(False, "not this one")
    assert report.steps == []
    with report.step("parse") as step:  # the control
        refuse_unless(True, "not this one")
        step.established("well formed")
    assert [s.detail for s in report.steps] == ["well formed"]


@pytest.mark.parametrize(
    "error",
    [
        EnvironmentLacks("no key"),
        MemoryError(),
        OSError("disk"),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
)
def test_what_says_nothing_of_the_data_passes_through(error):
    """A missing key or a full disk must not look like a false claim."""
    report = Report("picture")
    with pytest.raises(type(error)) as caught, report.step("parse"):
        raise error
    assert caught.value is error and not isinstance(error, NotValid)
    assert report.steps == []


def test_a_refusal_from_within_keeps_its_own_step():
    """What is verified inside a step says itself where it failed."""
    report = run(Report("picture"), "parse")
    inner = StepFailed(4, "inner", "projection")
    with pytest.raises(StepFailed) as caught, report.step("commitment"):
        raise inner
    assert caught.value is inner


@pytest.mark.parametrize(
    ("done", "name"),
    [((), "commitment"), ((), "unknown"), (("parse",), "parse"), (("parse",), "SRS")],
)
def test_steps_out_of_order_are_faults_of_the_verifier(done, name):
    report = run(Report("picture"), *done)
    with pytest.raises(AssertionError, match=f"not {name}"), report.step(name) as step:
        step.established("never")
    assert len(report.steps) == len(done)
    run(report, *report.names[len(done) :])  # the control


def test_a_step_too_many_is_a_fault_of_the_verifier():
    report = Report("picture")
    run(report, *report.names)
    with pytest.raises(AssertionError, match="is none, not policy"), report.step("policy") as step:
        step.established("again")


def test_a_step_that_establishes_nothing_is_a_fault_of_the_verifier():
    report = Report("picture")
    with (
        pytest.raises(AssertionError, match="step parse established nothing"),
        report.step("parse"),
    ):
        pass
    assert report.steps == []


def test_unknown_kinds_have_no_steps():
    with pytest.raises(KeyError):
        assert Report("poem").names


# --- policy --------------------------------------------------------------------------------------


def judged(descriptor, policy, seed=PUBLIC_SEED):
    report = run(Report("picture"), *Report("picture").names[:-1])
    with report.step("policy") as step:
        check_policy(descriptor, seed, policy)
        step.established("as asked")
    return report


OTHER_SEED = bytes(32)


@pytest.mark.parametrize(
    ("asked", "seed", "words"),
    [
        ({}, OTHER_SEED, f"under seed {OTHER_SEED.hex()}, asked for {PUBLIC_SEED.hex()}"),
        ({"seed": OTHER_SEED}, PUBLIC_SEED, f"asked for {OTHER_SEED.hex()}"),
        ({"recipe": "last-two"}, PUBLIC_SEED, "of the recipe whole, asked for last-two"),
        ({"layers": (0, 1)}, PUBLIC_SEED, r"of layers \[0, 1, 2\], asked for \[0, 1\]"),
        ({"layers": (0, 1, 2, 3)}, PUBLIC_SEED, "asked for"),
        ({"layers": ()}, PUBLIC_SEED, "asked for"),
        ({"tokens_digest": "0" * 64}, PUBLIC_SEED, "over other tokens"),
    ],
)
def test_what_was_not_asked_for_is_refused(descriptor, asked, seed, words):
    with pytest.raises(StepFailed, match=words) as caught:
        judged(descriptor, Policy(**asked), seed)
    assert caught.value.name == "policy"


def test_what_was_asked_for_passes(descriptor):
    digest = descriptor.tokens.digest
    judged(descriptor, Policy())
    judged(descriptor, Policy(PUBLIC_SEED, "whole", (0, 1, 2), digest))
    judged(descriptor, Policy(OTHER_SEED, layers=(0, 1, 2)), OTHER_SEED)
    judged(descriptor, Policy(None, None), OTHER_SEED)
    check_policy(descriptor, None, Policy())  # a kind of file without a seed


def test_nothing_but_the_whole_model_by_default(descriptor):
    """Whoever asks for nothing is not shown another recipe's picture, nor another seed's."""
    last = parse_descriptor(changed(descriptor.to_json(), "recipe", "last-two"))
    with pytest.raises(StepFailed, match="recipe last-two, asked for whole"):
        judged(last, Policy())
    judged(last, Policy(recipe="last-two"))
    judged(last, Policy(recipe=None))


def test_policies_and_set_ups_are_frozen(tmp_path):
    for value, name in ((Policy(), "recipe"), (Setup(tmp_path), "allow_test")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
    assert Setup(tmp_path) == Setup(tmp_path, (), False)  # no trust by default


# --- the shared steps ----------------------------------------------------------------------------


def test_the_srs_is_trusted_as_the_set_up_says(descriptor, keys):
    report = run(Report("picture"), "parse", "commitment")
    with pytest.raises(StepFailed, match="TEST setup") as caught:
        check_srs(report, descriptor, Setup(keys))
    assert (caught.value.step, caught.value.name) == (2, "SRS")
    srs = check_srs(report, descriptor, Setup(keys, allow_test=True))  # the control
    assert srs.k == BITS and report.test_setup
    assert report.facts["srs"]["kind"] == "test" and report.facts["srs"]["sha256"] == srs.sha256
    assert report.steps[-1].name == "SRS" and "TEST" in report.steps[-1].detail


def test_an_srs_that_is_not_at_hand_is_no_refusal(descriptor, keys):
    """Named by the caller, but there is no such file here: nothing is said of the data."""
    named = changed(descriptor.to_json(), "srs", {"kind": "named", "k": BITS, "sha256": "5" * 64})
    report = run(Report("picture"), "parse", "commitment")
    with pytest.raises(EnvironmentLacks):
        check_srs(report, parse_descriptor(named), Setup(keys, ("5" * 64,)))
    with pytest.raises(StepFailed):  # and one that nobody named is refused
        check_srs(report, parse_descriptor(named), Setup(keys))
    assert not report.test_setup and len(report.steps) == 2


def test_what_a_report_says_of_a_commitment(descriptor):
    report = Report("picture")
    describe(report, descriptor, PUBLIC_SEED)
    assert report.facts["recipe"] == "whole" and report.facts["layers"] == [0, 1, 2]
    assert report.facts["seed"] == {"class": "public", "hex": PUBLIC_SEED.hex()}
    assert report.facts["standard"] is False  # 64 tokens that somebody gave
    describe(report, descriptor, OTHER_SEED)
    assert report.facts["seed"]["class"] == "named"
    tokens = {"count": 4096, "digest": "0" * 64, "choice": "common"}
    standard = changed(descriptor.to_json(), "tokens", tokens)
    standard["model"]["layers_total"] = 3
    for path, value in [
        (None, None),
        ("recipe", "last-two"),
        ("tokens.choice", "rare"),
        ("tokens.count", 4094),
        ("layers", [0, 1]),  # `whole` of a part is not the whole
        ("layers", [0, 1, 3]),
        ("model.layers_total", 4),
        ("model", {"hidden_size": 6}),
    ]:
        other = parse_descriptor(changed(standard, path, value) if path else standard)
        report = Report("picture")
        describe(report, other)
        assert report.facts["standard"] is (path is None) and "seed" not in report.facts


def test_claims_are_read_within_bounds(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"123")
    assert read_claim(path, BUNDLE) == b"123"
    with pytest.raises(InputError, match="is missing"):
        read_claim(tmp_path / "nothing", BUNDLE)
    with pytest.raises(InputError, match="not a regular file"):
        read_claim(tmp_path, BUNDLE)
    with open(path, "wb") as file:
        os.truncate(file.fileno(), COMMITMENT.max_bytes + 1)
    with pytest.raises(InputError, match="larger than"):
        read_claim(path, COMMITMENT)
    os.truncate(path, COMMITMENT.max_bytes)
    assert len(read_claim(path, COMMITMENT)) == COMMITMENT.max_bytes


def test_a_kernel_needs_no_machine_learning_library():
    program = (
        "import sys, huref_zk.proofs.kernel\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnxruntime', 'safetensors', 'gguf', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_verifier_that_ends_early_is_a_fault():
    report = Report("opening")
    for name in report.names[:-1]:
        with pytest.raises(AssertionError, match=f"left out {name}"):
            report.finished(optional=1)
        with report.step(name) as step:
            step.established("so")
    assert report.finished(optional=1) is report  # the control
    with pytest.raises(AssertionError, match="left out weights"):
        report.finished()
