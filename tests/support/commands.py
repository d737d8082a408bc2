"""Running commands in this process, as a shell would see them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from click.testing import CliRunner, Result

from huref_zk.cli import main


def run(*arguments: object, expect: int | None = None) -> Result:
    """One command; anything but a clean exit, or a traceback, fails the test."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stdout + result.stderr
    if expect is not None:
        assert result.exit_code == expect, result.stdout + result.stderr
    return result


def json_of(*arguments: object, expect: int = 0) -> dict:
    """What a command prints with --json; nothing else may be printed."""
    done = run(*arguments, "--json", expect=expect)
    assert done.stderr == ""
    return json.loads(done.stdout)


def listing(folder: Path) -> dict[str, str]:
    """Every file and folder below ``folder`` with a digest of its content."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        if p.is_file()
        else "folder"
        for p in folder.rglob("*")
    }


def check_error(result: Result, code: int, words: str) -> None:
    """A plain failure: its code, and one line on stderr that says what is wrong."""
    assert result.exit_code == code, result.stdout + result.stderr
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ") and words in last, last


def changed(arguments: tuple, **options: object) -> tuple:
    """``arguments`` with the values of some options replaced (out="x" for --out x)."""
    result = list(arguments)
    for name, value in options.items():
        result[result.index(f"--{name.replace('_', '-')}") + 1] = value
    return tuple(result)
