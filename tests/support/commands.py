"""Running commands in this process, as a shell would see them."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

from click.testing import CliRunner, Result

from huref_zk.cli import main
from huref_zk.paths import DATA


def run(*arguments: object, expect: int | None = None) -> Result:
    """One command; anything but a clean exit, or a traceback, fails the test."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stdout + result.stderr
    if expect is not None:
        assert result.exit_code == expect, result.stdout + result.stderr
    return result


def json_of(*arguments: object, expect: int = 0) -> dict:
    """What a command prints with --json, without what every object says of itself; nothing else may
    be printed, and it must be as data/output.schema.json has it."""
    done = run(*arguments, "--json", expect=expect)
    assert done.stderr == ""
    data = json.loads(done.stdout)
    schema().validate(data)
    head = {name: data.pop(name, None) for name in ("format", "command", "seconds")}
    assert head["format"] == 1 and ("error" in data or head["seconds"] >= 0)
    return data


@functools.cache
def schema():
    """A validator of what commands print with --json."""
    from jsonschema import Draft202012Validator

    loaded = json.loads((DATA / "output.schema.json").read_text())
    Draft202012Validator.check_schema(loaded)
    return Draft202012Validator(loaded)


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
