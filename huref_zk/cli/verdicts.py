"""What a verification has shown, in words and as JSON: the same form for every kind of file.

Never more than the steps established. What a file's labels say of the model (architecture, layers,
how tokens were chosen) is bound to the root but not proven, and is told as the commitment's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from huref_zk.cli.common import Output
from huref_zk.comparison.parts.finding import ranges as ranges

if TYPE_CHECKING:
    from huref_zk.proofs.kernel import Report, Step

RECIPES = {
    "whole": "all layers in one",
    "last-two": "the paper's two layers",
    "official": "the authors' own terms of two layers",
}
CHOICES = {"common": "learnt first", "rare": "learnt last", "given": "given by the owner"}
TEST_NOTE = "NOTE: it was made under the TEST setup: anybody could have made it"
PUBLIC_SEED_NOTE = (
    "  seed: the public one, which is known to whoever trains a model. This is the picture that "
    "everybody compares; it says nothing against an owner who tuned weights to it ('huref-zk "
    "challenge' draws a seed that nobody could tune to)"
)


def heard(output: Output) -> Any:
    """A listener that tells each step as it holds, on stderr."""

    def tell(step: Step) -> None:
        output.say(f"  {step.number} {step.name}: {step.detail}")

    return tell


def show(
    output: Output, report: Report, headline: str, lines: Sequence[str] = (), **data: Any
) -> None:
    """Print the verdict on a file whose every step held. lines, data: of this kind of file."""
    steps = [
        {"step": s.number, "name": s.name, "detail": s.detail, "seconds": round(s.seconds, 3)}
        for s in report.steps
    ]
    note = [TEST_NOTE] if report.test_setup else []
    if output.quiet and report.test_setup:
        output.warn(TEST_NOTE)
    output.result(
        {
            "valid": True,
            "kind": report.kind,
            "test_setup": report.test_setup,
            "steps": steps,
            **report.facts,
            **data,
        },
        [f"VALID: {headline}", *lines, *note],
    )


def about(facts: dict[str, Any]) -> list[str]:
    """Recipe, tokens and layers of what was committed, whether they are the standard ones, and what
    its seed is worth; of a report's facts (kernel.describe)."""
    tokens = facts["tokens"]
    recipe = facts["recipe"]
    standard = "the standard ones" if facts["standard"] else "NOT the standard ones"
    lines = [
        f"  about: recipe {recipe} ({RECIPES[recipe]}), layers {ranges(facts['layers'])}, "
        f"{tokens['count']} tokens {CHOICES[tokens['choice']]} ({tokens['digest'][:16]}), as the "
        f"commitment names them; recipe and tokens are {standard}"
    ]
    if not facts["standard"]:
        lines.append("  it does not compare with standard fingerprints")
    return lines + seed_lines(facts)


def seed_lines(facts: dict[str, Any]) -> list[str]:
    """What the seed is worth; nothing for kinds of files without one."""
    seed = facts.get("seed")
    if seed is None:
        return []
    if seed["class"] == "public":
        return [PUBLIC_SEED_NOTE]
    return [
        f"  seed: {seed['hex']}, not the public one. Nobody could tune weights to it if it was "
        "drawn after the commitment was published, which this file does not show"
    ]
