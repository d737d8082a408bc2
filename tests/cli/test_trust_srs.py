"""--trust-srs: openings and audits under an imported SRS whose origin nobody knows."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.srs import insecure as srs

K = 13  # of the embedded family's circuit
OTHER = "0" * 64
PROMPT = "def main(argv):"
NONCE = "5a" * 32


def command(*arguments) -> tuple[int, dict]:
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    """(folder, digest): an unknown SRS imported into folder/keys, demo-base committed under it."""
    folder = tmp_path_factory.mktemp("owner")
    with patch.object(srs, "TEST_TAU", 0x1234567):
        srs.insecure_srs(K, folder / "ours.srs")
    keys = ("--keys", folder / "keys")
    code, found = command("srs", "import", folder / "ours.srs", *keys)
    assert (code, found["kind"], found["k"]) == (0, "unknown", K)
    commit = ("commit", "demo-base", "--count", 64, "--out", folder, *keys)
    assert command(*commit, "--trust-srs", OTHER)[0] == 2
    assert command(*commit, "--trust-srs", found["sha256"])[0] == 0
    return folder, found["sha256"]


def only_if_named(digest: str, line: tuple, refusal: tuple[int, str]) -> dict:
    """Refused without the option and with another digest, taken with the right one.

    refusal: exit code, and words of the one-line error. Returns the answer of the last.
    """
    for named in ((), ("--trust-srs", OTHER)):
        code, answer = command(*line, *named)
        assert code == refusal[0] and refusal[1] in answer["error"], answer
        assert "\n" not in answer["error"]
    code, answer = command(*line, "--trust-srs", OTHER, "--trust-srs", digest.upper())
    assert code == 0, answer
    return answer


def test_openings(owner):
    folder, digest = owner
    keys = ("--commitment", folder / "commitment.hzc", "--keys", folder / "keys")
    private = (*keys, "--secret", folder / "secret.key")
    unnamed = (2, f"--trust-srs {digest}")
    out = folder / "some.hzo"
    line = ("open", "demo-base", *private, "--rows", "E:1;U:2", "--out", out)
    assert only_if_named(digest, line, unnamed)["rows"] == ["E:1", "U:2"]
    again = ("recommit", "demo-base", *private, "--check")
    assert only_if_named(digest, again, unnamed)["same"]
    check = ("check-opening", out, *keys)
    answer = only_if_named(digest, check, (1, "nor named with --trust-srs"))
    assert answer["steps"][2]["detail"].startswith(f"unknown setup {digest[:16]}")
    code, answer = command(*check, "--trust-srs", OTHER)
    assert (code, answer["step"]) == (1, 2)
    # Permission for the test setup is none for this one.
    assert command(*check, "--allow-test-setup")[0] == 1


def test_audits(owner):
    folder, digest = owner
    keys = ("--commitment", folder / "commitment.hzc", "--keys", folder / "keys")
    asked = ("--prompt", PROMPT, "--positions", 2, "--nonce", NONCE)
    out = folder / "some.hza"
    line = ("audit-inference", "demo-base", *keys, "--secret", folder / "secret.key", *asked)
    only_if_named(digest, (*line, "--out", out), (2, f"--trust-srs {digest}"))
    check = ("check-audit", out, *keys, *asked)
    answer = only_if_named(digest, check, (1, "nor named with --trust-srs"))
    assert answer["steps"][2]["detail"].startswith(f"unknown setup {digest[:16]}")


def test_a_digest_is_64_hex_digits(owner):
    folder, digest = owner
    for wrong in (digest[:-1], digest + "0", "x" * 64, ""):
        line = ("check-opening", folder / "some.hzo", "--commitment", OTHER, "--trust-srs", wrong)
        code, answer = command(*line)
        assert code == 2 and "64 hex digits" in answer["error"]
