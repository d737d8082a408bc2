"""What the tests saw: each refusal of a tampered thing, each acceptance of its control.

The table of docs/soundness.md is made of these (table.py), so it shows what happened and not what
somebody wrote down. Outside a run of pytest, noting does nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from huref_zk.errors import EnvironmentLacks, HurefError, InputError, StepFailed


@dataclass
class Seen:
    """refused: how often by what ("4 projection", "input", "environment", ...); held: controls
    accepted."""

    refused: Counter = field(default_factory=Counter)
    held: int = 0


current = Seen()


def kind(error: HurefError) -> str:
    """Who refused: the verifier's step, with its name; else the class of error in a word."""
    if isinstance(error, StepFailed):
        return f"{error.step} {error.name}"
    if isinstance(error, InputError):
        return "input"
    return "environment" if isinstance(error, EnvironmentLacks) else type(error).__name__


def note_refusal(error: HurefError) -> None:
    current.refused[kind(error)] += 1


def note_control() -> None:
    current.held += 1


@contextmanager
def refusal(
    step: str | None = None, words: str | None = None, error: type[HurefError] = StepFailed
) -> Iterator[None]:
    """The block must raise ``error`` (StepFailed at the step of this name) whose text ``words``
    finds.

    Anything else, another exception or none, fails the test.
    """
    try:
        yield
    except error as caught:
        at = getattr(caught, "name", None)
        assert step is None or at == step, f"refused at step {at}, not {step}: {caught}"
        assert words is None or re.search(words, str(caught)), f"{words!r} not in: {caught}"
        assert "\n" not in str(caught), "a message is one line"
        note_refusal(caught)
    else:
        raise AssertionError(f"ACCEPTED, and should have been refused at step {step}")


@contextmanager
def control() -> Iterator[None]:
    """The block is the twin that must pass; counted if it does."""
    yield
    note_control()


@contextmanager
def aside() -> Iterator[None]:
    """What is judged in the block is not counted: it repeats an attack, or is none."""
    global current
    kept, current = current, Seen()
    try:
        yield
    finally:
        current = kept
