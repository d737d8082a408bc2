"""What goes wrong, and the exit code and the JSON that tell of it: 1 accuses a file, so nothing
but a check that failed may lead to it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from huref_zk import cli
from huref_zk.cli import common
from huref_zk.cli.common import with_output
from huref_zk.errors import EnvironmentLacks, HurefError, InputError, NotValid, StepFailed
from huref_zk.native.ezkl import EzklFailed
from tests.support.commands import json_of, run
from tests.support.small_owner import small_owner, small_srs, write_owner

JUDGED, LACKS, NOTHING = {"valid": False}, {"valid": None}, {}
CASES = {
    "a step that failed": (StepFailed(4, "not so", "projection"), 1, JUDGED),
    "a claim that is false": (NotValid("not so"), 1, JUDGED),
    "bad input": (InputError("not so"), 2, NOTHING),
    "a missing key": (EnvironmentLacks("not so"), 3, LACKS),
    "ezkl": (EzklFailed("not so"), 3, LACKS),
    "no memory": (MemoryError(), 3, LACKS),
    "a fault of ours": (RuntimeError("not so"), 3, LACKS),
    "another fault of ours": (AssertionError("step x established nothing"), 3, LACKS),
    "a deep recursion": (RecursionError("not so"), 3, LACKS),
    "a missing library": (ImportError("no module not so"), 3, LACKS),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), 3, LACKS),
    "a missing file": (FileNotFoundError(errno.ENOENT, "not there", "x"), 2, NOTHING),
    "a file for others": (PermissionError(errno.EACCES, "not yours", "x"), 2, NOTHING),
}


@pytest.fixture
def failing(monkeypatch):
    """Makes the command `inspect` fail in a given way."""

    def fail(error: BaseException) -> None:
        @click.command()
        @with_output
        def inspect(output) -> None:
            raise error

        from huref_zk.cli import verifier

        monkeypatch.setattr(verifier, "inspect", inspect)

    return fail


@pytest.mark.parametrize("what", CASES)
def test_errors_and_their_codes(failing, what):
    error, code, verdict = CASES[what]
    failing(error)
    data = json_of("inspect", expect=code)
    assert data.pop("error")
    assert data.pop("exit_code") == code
    if isinstance(error, StepFailed):
        assert (data.pop("step"), data.pop("step_name")) == (4, "projection")
    assert data == verdict
    done = run("inspect", expect=code)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_only_errors_that_say_so_lead_to_1(failing):
    codes = {error.exit_code for error, _, _ in CASES.values() if isinstance(error, HurefError)}
    assert codes == {1, 2, 3}
    for error in (Exception("x"), ValueError("x"), KeyError("x"), OSError("x"), SystemError("x")):
        failing(error)
        assert run("inspect").exit_code == 3


def test_an_interruption_is_told_from_a_verdict(failing):
    failing(KeyboardInterrupt())
    done = run("inspect", expect=128 + signal.SIGINT)
    assert done.stderr == "interrupted\n"


def test_a_command_that_cannot_be_loaded_accuses_nobody(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "inspect", ("huref_zk.cli.nothing", "inspect"))
    assert "nothing" in json_of("inspect", expect=3)["error"]


def test_a_traceback_for_those_who_ask(failing, monkeypatch, capfd):
    failing(RuntimeError("not so"))
    run("inspect", expect=3)
    monkeypatch.setenv(common.TRACEBACK, "1")
    from click.testing import CliRunner

    done = CliRunner().invoke(cli.main, ["inspect"])
    assert done.exit_code == 3
    assert "Traceback" in done.stderr + capfd.readouterr().err


def process(*arguments: str, **options: object) -> subprocess.CompletedProcess:
    start = [sys.executable, "-m", "huref_zk"]
    return subprocess.run([*start, *arguments], timeout=60, check=False, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_where_stdout_is_full_the_code_is_3():
    with open("/dev/full", "w") as full:
        done = process("challenge", stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert process("challenge", stdout=subprocess.DEVNULL).returncode == 0


def test_where_nobody_listens_the_code_is_not_1():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process("challenge", stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert done.returncode == 3 and "Traceback" not in done.stderr


def test_a_fresh_process_behaves_alike(tmp_path):
    done = process("challenge", "--json", capture_output=True, text=True)
    assert done.returncode == 0 and len(json.loads(done.stdout)["seed"]) == 64
    (tmp_path / "x").write_bytes(b"x")
    done = process("inspect", str(tmp_path / "x"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_names_that_cannot_be_written_are_escaped(tmp_path):
    """A file name that is no text must not turn a result into a fault."""
    owner = write_owner(tmp_path, small_owner(small_srs(tmp_path)))
    file = (owner / "commitment.hzc").read_bytes()
    for name, encoding, shown in (
        (b"\xff.hzc", "utf-8:strict", r"\udcff.hzc: commitment"),
        ("é.hzc".encode(), "utf-8:strict", "é.hzc: commitment"),  # the control
    ):
        path = os.fsencode(tmp_path) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(file)
        done = subprocess.run(
            [sys.executable, "-m", "huref_zk", "inspect", path],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode(encoding.split(":")[0]).splitlines()[0].count(shown) == 1
