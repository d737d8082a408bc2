"""The text that all training here uses: the source of the running Python's standard library.

Every machine that runs this has it (PSF licence), and none of it is shipped. Modules are split by a
hash of their name: two thirds train the embedded base and stranger, the rest is new to them and
serves for derivations.
"""

from __future__ import annotations

import ast
import hashlib
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Encode = Callable[[str], list[int]]
RUN, EVERY = 2048, 10  # of the new text's runs of so many tokens, each tenth is held out


def corpus() -> tuple[str, str]:
    """(text of two thirds of the modules, text of the rest)."""
    parts: tuple[list[str], list[str]] = ([], [])
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(path.parts):
            continue
        digest = hashlib.sha256(path.name.encode()).digest()
        parts[digest[0] % 3 == 0].append(path.read_text(encoding="utf-8", errors="ignore"))
    return "\n".join(parts[0]), "\n".join(parts[1])


def windows(ids: np.ndarray, rng: np.random.Generator, batch: int, context: int) -> np.ndarray:
    """Random windows of a token array: int64 (batch, context)."""
    starts = rng.integers(0, len(ids) - context, batch)
    return np.stack([ids[s : s + context] for s in starts]).astype(np.int64)


@dataclass(frozen=True)
class Pair:
    """An instruction and its answer, as token ids: int64 (n,) each."""

    prompt: np.ndarray
    response: np.ndarray


@dataclass(frozen=True)
class Texts:
    """What derivations train and measure on, tokenised for one model.

    seen: int32 (n,), text the embedded models were trained on; new: int32 (n,), text they were not;
    held_out: int32 (n,), a tenth of the new text, in runs, for measuring only; pairs: instructions
    with answers out of all the new text, so some of them may lie in held_out.
    """

    seen: np.ndarray
    new: np.ndarray
    held_out: np.ndarray
    pairs: tuple[Pair, ...]


def functions(text: str) -> list[tuple[str, str]]:
    """(signature and docstring, body) of every documented function in ``text``, a Python module.

    An instruction and its answer, as code has them. A text that does not parse has none.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    lines = text.splitlines(keepends=True)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
            continue
        if ast.get_docstring(node) is None:
            continue
        start, split, end = node.lineno - 1, node.body[0].end_lineno, node.body[-1].end_lineno
        found.append(("".join(lines[start:split]), "".join(lines[split:end])))
    return found


def load_texts(
    encode: Encode, *, tokens: int | None = None, limit: int = 96, most: int = 512
) -> Texts:
    """Tokenise the standard library for a model.

    encode: text -> token ids. tokens: how many of each part to keep (all when None); limit: longest
    prompt and longest response in tokens, cut there (a prompt keeps its end); most: pairs kept.
    """
    characters = None if tokens is None else 8 * tokens  # more than any tokenizer packs in one
    seen_text, new_text = corpus()
    seen = np.array(encode(seen_text[:characters]), dtype=np.int32)[:tokens]
    pairs = []
    for prompt, response in functions_of(new_text):
        p, r = encode(prompt)[-limit:], encode(response)[:limit]
        if len(r) >= 8:
            pairs.append(Pair(np.array(p, dtype=np.int64), np.array(r, dtype=np.int64)))
        if len(pairs) == most:
            break
    new = np.array(encode(new_text[:characters]), dtype=np.int32)[:tokens]
    held_out = np.arange(len(new)) // RUN % EVERY == EVERY - 1
    return Texts(seen=seen, new=new[~held_out], held_out=new[held_out], pairs=tuple(pairs))


def functions_of(text: str) -> list[tuple[str, str]]:
    """As ``functions`` for many modules in one text: cut at its unindented statements.

    Modules joined by newlines cannot be parsed as one (``from __future__`` must come first, say),
    but each top-level ``def`` and ``class`` block can.
    """
    blocks: list[list[str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(("def ", "class ", "async def ")):
            blocks.append([line])
        elif blocks:
            if line[0].isidentifier():  # a statement, not the ")" that closes a signature
                blocks.append([])
            blocks[-1].append(line)
    return [pair for block in blocks for pair in functions("".join(block))]
