"""Every command line in README and docs is one that the program takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from huref_zk.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HEX = "ab" * 32
STANDS_FOR = {"HEX": HEX, "SEED": HEX, "NONCE": HEX, "ROOT": HEX, "D": "576"}
"""What a word in capitals is read as, where any text would not do."""


def command_lines(page: Path) -> Iterator[str]:
    """The command lines in a page's blocks of code, without comments, in one line each."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        match = re.match(r"(?: {4}|)(?:\$ )?(huref-zk .*)", line)
        if match:
            yield re.sub(r"\s+#.*", "", match[1]).strip()


def variants(line: str) -> list[str]:
    """A line with all that is in brackets, and without."""
    return sorted({re.sub(r"[\[\]]", "", line), re.sub(r"\[[^\]]*\]", "", line)})


LINES = [(page.name, line) for page in PAGES for line in command_lines(page)]


def parse(line: str) -> None:
    """Parse a command line as the program does, and run nothing. click.UsageError."""
    words = [STANDS_FOR.get(word, word) for word in shlex.split(line)[1:]]
    context = click.Context(main, info_name="huref-zk")
    context.meta["json"] = False
    command: click.Command = main
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        context = click.Context(found, info_name=name, parent=context)
        command = found
    try:
        command.make_context(context.info_name, words, parent=context.parent)
    except click.exceptions.Exit:
        return  # an option that only shows something


@pytest.mark.parametrize(("page", "line"), LINES)
def test_lines_are_taken(page, line):
    assert "…" not in line and "..." not in line, "a line must be complete"
    for variant in variants(line):
        parse(variant)


def test_there_are_lines_and_wrong_ones_are_refused():
    assert len(LINES) > 40 and sum(page == "README.md" for page, _ in LINES) > 15
    for wrong in (
        "huref-zk nonsense",
        "huref-zk verify fp.hzp",
        "huref-zk prove mine --out fp.hzp",
        "huref-zk prove mine --out fp.png --image fp.png",
        "huref-zk verify fp.hzp --commitment c --seed HE",
        "huref-zk registry nothing",
    ):
        with pytest.raises(click.UsageError):
            parse(wrong)


def test_brackets_and_comments():
    assert variants("a [--b C] d") == ["a  d", "a --b C d"]
    page = ROOT / "README.md"
    assert not any("#" in line for line in command_lines(page))
