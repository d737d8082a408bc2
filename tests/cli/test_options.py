"""Options that are parsed before a command runs."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from huref_zk.cli import COMMANDS
from huref_zk.cli.common import with_output
from huref_zk.cli.options import parse_layers, policy_options, setup_options
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.kernel import STEPS, Policy, Setup
from tests.support.commands import json_of, run

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("2", (2,)),
        ("28,29", (28, 29)),
        (" 1 , 0 ", (0, 1)),
        ("0-3", (0, 1, 2, 3)),
        ("0-1,5,7 - 8", (0, 1, 5, 7, 8)),
        ("7-7", (7,)),
    ],
)
def test_layers(text, expected):
    assert parse_layers(None, None, text) == expected


@pytest.mark.parametrize(
    "text", ["", "a,b", "1;2", "1,", "1.5,2", "-1", "3-1", "1--2", "0-99999999", "70000", "²"]
)
def test_layers_that_are_none(text):
    with pytest.raises(click.BadParameter, match="write layer numbers"):
        parse_layers(None, None, text)


@pytest.mark.parametrize("text", ["1,1", "0-3,2"])
def test_a_layer_is_named_once(text):
    with pytest.raises(click.BadParameter, match="named twice"):
        parse_layers(None, None, text)


@click.command()
@policy_options
@setup_options
@with_output
def show(output, policy: Policy, setup: Setup) -> None:
    output.result({"policy": repr(policy), "setup": repr(setup)}, [])


def test_policy_and_setup_are_made_once(tmp_path):
    def told(*arguments: str) -> dict:
        done = CliRunner().invoke(show, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        return {k: v for k, v in json.loads(done.stdout).items() if k in ("policy", "setup")}

    keys = ("--keys", str(tmp_path))
    assert told(*keys) == {
        "policy": repr(Policy(PUBLIC_SEED, "whole", None, None)),
        "setup": repr(Setup(tmp_path, (), False)),
    }
    demanded = ("--seed", "AB" * 32, "--recipe", "last-two", "--layers", "2-3")
    more = ("--tokens-digest", DIGEST.upper(), "--trust-srs", DIGEST.upper(), "--allow-test-setup")
    assert told(*keys, *demanded, *more) == {
        "policy": repr(Policy(bytes.fromhex("ab" * 32), "last-two", (2, 3), DIGEST)),
        "setup": repr(Setup(tmp_path, (DIGEST,), True)),
    }
    assert told(*keys, "--seed", "any", "--recipe", "any")["policy"] == repr(
        Policy(None, None, None, None)
    )


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--seed", "12", "64 hex digits"),
        ("--seed", "zz" * 32, "64 hex digits"),
        ("--seed", " " + "ab" * 32, "64 hex digits"),
        ("--tokens-digest", "junk", "64 hex digits"),
        ("--trust-srs", "ab" * 31, "64 hex digits"),
        ("--nonce", "5", "64 hex digits"),
        ("--prompt-ids", "5,x", "token ids"),
        ("--prompt-ids", "4294967296", "token ids"),
        ("--layers", "two", "layer numbers"),
        ("--recipe", "best", "whole"),
    ],
)
def test_wrong_values_are_usage_errors_before_any_work(option, value, words):
    done = run("verify", "missing.hzp", "--commitment", "x", option, value, expect=2)
    assert words in done.stderr
    data = json_of("verify", "missing.hzp", "--commitment", "x", option, value, expect=2)
    assert words in data["error"] and "valid" not in data


def test_a_challenge_is_a_fresh_seed():
    seeds = [json_of("challenge")["seed"] for _ in range(2)]
    seeds.append(run("challenge", "--quiet", expect=0).stdout.strip())
    assert len({bytes.fromhex(seed) for seed in seeds}) == 3
    assert all(len(seed) == 64 for seed in seeds)
    # And it is what --seed takes: the command goes on to its next complaint.
    for seed, words in ((seeds[0], "missing"), (seeds[0][1:], "64 hex digits")):
        told = run("verify", "x", "--commitment", "y", "--seed", seed, expect=2)
        assert words in told.stderr


def test_steps_are_listed_from_the_one_table():
    for kind, steps in STEPS.items():
        data = json_of("verify", "--steps", kind)
        assert [(s["name"], s["holds"]) for s in data["steps"]] == list(steps)
        lines = run("verify", "--steps", kind, expect=0).stdout.splitlines()
        assert len(lines) == len(steps) and lines[0].startswith("0 parse: ")
    assert "Missing" in run("verify", expect=2).stderr  # the control: a file is needed else


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str):
    text = run(command, "--help", expect=0).stdout
    assert f"main {command}" in text or f"huref-zk {command}" in text
    # A group's options are its subcommands'.
    assert ("--json" in text and "--quiet" in text) != ("COMMAND [ARGS]" in text)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_a_usage_error(command: str):
    assert "--nonsense" in run(command, "--nonsense", expect=2).stderr
    done = run(command, "--nonsense", "--json", expect=2)
    data = json.loads(done.stdout)
    assert "--nonsense" in data["error"] and data["exit_code"] == 2
    assert done.stderr == ""


def test_an_unknown_command_is_a_usage_error():
    assert "nonsense" in run("nonsense", expect=2).stderr
    assert "nonsense" in json_of("nonsense", expect=2)["error"]


def test_help_lists_every_command():
    text = run("--help", expect=0).stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert run("-h", expect=0).stdout == text


def test_options_that_belong_to_another_kind_of_file_are_refused(tmp_path: Path):
    from huref_zk.files.formats import BUNDLE, COMMITMENT, FINGERPRINT, SIMILARITY

    file = tmp_path / "file"
    trust = ("--commitment", DIGEST)
    for kind, options, words in (
        (BUNDLE, (*trust, "--at-least", 0.5), "--at-least says nothing about a proof bundle"),
        (BUNDLE, (*trust, "--nonce", DIGEST), "--nonce says nothing about a proof bundle"),
        (BUNDLE, (*trust, *trust), "needs --commitment once"),
        (SIMILARITY, trust, "needs --commitment twice"),
        (SIMILARITY, (*trust, *trust, "--image", file), "--image says nothing about a proof of"),
        (COMMITMENT, trust, "nothing to verify in a commitment"),
        (FINGERPRINT, trust, "nothing to verify in a saved fingerprint"),
    ):
        file.write_bytes(kind.magic + bytes(8))
        assert words in run("verify", file, *options, expect=2).stderr
    file.write_bytes(b"something else")
    assert "not a file of this program" in run("verify", file, *trust, expect=2).stderr
