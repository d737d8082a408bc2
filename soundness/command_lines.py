"""Random command lines: ``python -m soundness.command_lines --runs 2000``.

Options of every command, values of every kind, files of every kind in every place. Whatever is
typed, a run ends with one of our exit codes and no traceback, and no input is changed. Names of
models lead to nothing that can be computed, so that a line is a matter of milliseconds.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import shlex
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from click.testing import CliRunner

from huref_zk.cli import COMMANDS, main

CODES = (0, 1, 2, 3)
SKIPPED = ("demo",)
"""Takes no input, and works for a minute."""
WORDS = (
    *("", "0", "-1", "1e9", "nan", "٣", "0-3", "28,29", "1,1", "E:0", "C:1-2", "any", "whole"),
    *(
        "ab" * 32,
        "AB" * 32,
        "ab" * 31,
        "HEX",
        "x" * 5000,
        "a\nb",
        "\x1b[31m",
        "--",
        "-",
        "../..",
        "~",
    ),
    *("related", "public", "0.5", "9" * 400, "{}", "demo-basE", "no/such-model", "common"),
)
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x02\0\0\0\x90wS\xde"
    b"\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
)


def inputs(folder: Path, more: dict[str, bytes]) -> list[Path]:
    """Files and folders of many kinds under ``folder``; ``more``: files by name."""
    files = {
        "empty": b"",
        "junk.hzp": b"\0" * 40,
        "v.json": b'{"v": [1, 2, 3]}',
        "deep.json": b"[" * 5000,
        "one.png": PNG,
        "text.txt": b"1 2 3\n",
        "secret.key": bytes(32),
        **more,
    }
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for name in ("folder", "model"):
        (folder / name).mkdir()
    (folder / "model" / "config.json").write_text('{"model_type": "llama"}')
    (folder / "link").symlink_to("secret.key")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    found = sorted(folder.iterdir())
    return [
        *found,
        folder / "missing",
        Path("/dev/null"),
        Path("/dev/full"),
        Path("/proc/self/mem"),
    ]


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands by their words."""
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner, found in command.commands.items():
                yield (name, inner), found
        elif name not in SKIPPED:
            yield (name,), command


def line(
    words: tuple[str, ...], command: click.Command, rng: random.Random, files: list[Path], out: Path
) -> list[str]:
    """One command line; outputs mostly go to ``out``."""

    def value(parameter: click.Parameter) -> str:
        kind = parameter.type
        if rng.random() < 0.1:
            return rng.choice(WORDS)
        if isinstance(kind, click.Choice):
            return str(rng.choice(kind.choices))
        if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
            return str(rng.choice((0, 1, 2, 3, 64, -5, 0.5, 10**9)))
        if type(kind).__name__ == "Writes" or parameter.name in ("out", "db", "cache"):
            suffix = rng.choice(("", ".png", ".hzp", ".hzf", ".hzo", ".html", ".json", ".jpg"))
            return str(rng.choice((out / f"new{suffix}", out / f"new{suffix}", rng.choice(files))))
        return str(rng.choice(files)) if rng.random() < 0.7 else rng.choice(WORDS)

    line = list(words)
    for parameter in command.params:
        if parameter.name == "help":
            continue
        wanted = 0.95 if parameter.required or isinstance(parameter, click.Argument) else 0.25
        if rng.random() > wanted:
            continue
        times = 2 if parameter.multiple and rng.random() < 0.5 else 1
        for _ in range(times):
            if isinstance(parameter, click.Argument):
                line.append(value(parameter))
            else:
                line.append(rng.choice(parameter.opts))
                if not getattr(parameter, "is_flag", False):
                    line.append(value(parameter))
    if rng.random() < 0.1:
        rng.shuffle(line)
    if rng.random() < 0.05:
        line.insert(rng.randrange(len(line) + 1), rng.choice(WORDS))
    return line


def spoilt(right: Sequence[str], rng: random.Random, files: list[Path], folder: Path) -> list[str]:
    """A command line that succeeds, with a word or two replaced, dropped, doubled or moved."""
    words = [
        word.replace("IN/", f"{folder / 'in'}/").replace("OUT", str(folder / "out"))
        for word in right
    ]
    for _ in range(rng.choice((0, 1, 1, 2))):
        place = rng.randrange(1, len(words))
        what = rng.randrange(4)
        if what == 0:
            words[place] = str(rng.choice((*files, *WORDS)))
        elif what == 1:
            del words[place]
        elif what == 2:
            words.insert(place, words[rng.randrange(1, len(words))])
        else:
            other = rng.randrange(1, len(words))
            words[place], words[other] = words[other], words[place]
        if len(words) < 2:
            break
    return words


def digests(folder: Path) -> dict[str, str]:
    """What is under ``folder``: content of files, kind of all else."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "other"
    return found


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(
    runs: int,
    seed: int,
    folder: Path,
    more: dict[str, bytes],
    right: Sequence[Sequence[str]] = (),
    invoke: Callable[[list[str]], tuple[int, str]] | None = None,
) -> Counter[tuple[str, int]]:
    """How often each command ended with each code. AssertionError names the line that is at fault:
    a traceback, another code, or a changed input.

    more: further input files by name; right: command lines that succeed, in which IN/name is an
    input and OUT a folder for outputs; every second run takes one of them with a word or two wrong.
    """
    rng, known = random.Random(seed), list(commands())
    files = inputs(folder / "in", more)
    before, seen = digests(folder / "in"), Counter[tuple[str, int]]()
    out = folder / "out"
    out.mkdir()
    for number in range(runs):
        words, command = known[number // (2 if right else 1) % len(known)]
        if right and number % 2:
            typed = spoilt(rng.choice(right), rng, files, folder)
            words = (typed[0],) if typed else ()
        else:
            typed = line(words, command, rng, files, out)
        with inside(out):
            code, text = (invoke or _invoked)(typed)
        shown = shlex.join(typed)[:2000]
        assert code in CODES, f"exit code {code}: {shown}\n{text}"
        assert "Traceback" not in text and "unforeseen" not in text, f"{shown}\n{text}"
        assert digests(folder / "in") == before, f"an input changed: {shown}"
        seen[" ".join(words), code] += 1
    return seen


def _invoked(typed: list[str]) -> tuple[int, str]:
    done = CliRunner().invoke(main, typed, input=io.BytesIO(b"\0junk"))
    error = done.exception
    if error is not None and not isinstance(error, SystemExit):
        return 70, f"Traceback: {error!r}"
    return done.exit_code, done.output


def _command_line() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        seen = run(asked.runs, asked.seed, Path(name), {})
    for (command, code), count in sorted(seen.items()):
        print(f"{command:24} {code} {count:5}")


if __name__ == "__main__":
    _command_line()
