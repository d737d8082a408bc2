"""What every verifier is made of: numbered steps, a policy, a set-up, a report.

Each kind of file has a list of steps (STEPS). A verifier walks through them in order:

    with report.step("commitment") as step:
        refuse_unless(commitment.root_hex == root, "not the expected root")
        step.established(f"root {root}")

An InputError inside a step is a refusal at that step (StepFailed, exit code 1): the data failed a
check. Whatever else goes wrong there, EnvironmentLacks above all, says nothing about the data and
passes through. A step that was skipped or that established nothing is a fault of the verifier.

Imports neither torch, transformers nor onnx.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huref_zk.commitment.descriptor import Descriptor
from huref_zk.commitment.file import expected_root as expected_root
from huref_zk.errors import EnvironmentLacks, InputError, StepFailed
from huref_zk.files.container import Format, read_bounded
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.paths import default_cache
from huref_zk.srs.file import Srs
from huref_zk.srs.trust import NotTrusted, trusted_srs

STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "picture": (
        ("parse", "bounded sizes, canonical numbers, points on the curve"),
        ("commitment", "the recomputed root is the one the caller expects"),
        ("SRS", "a ceremony's, or one that the caller names; a test one only if allowed"),
        ("circuit", "rebuilt from the hidden size; verifying key derived here or pinned"),
        ("projection", "the proof's row commitments are projections of the committed matrices"),
        ("proof", "the Halo2 proof of v over exactly those rows, all norms in range"),
        ("image", "v draws the published picture, pixel for pixel"),
        ("policy", "seed, recipe, layers and tokens are the ones asked for"),
    ),
    "similarity": (
        ("parse", "bounded sizes, canonical numbers, points on the curve"),
        ("commitments", "both recomputed roots are the ones the caller expects, in this order"),
        ("SRS", "a ceremony's, or one that the caller names; a test one only if allowed"),
        ("circuit", "same tokens and recipe; verifying key derived here or pinned"),
        ("projection", "for either model: the row commitments are projections"),
        ("proof", "the Halo2 proof over exactly those rows, and bounds that we commit to"),
        ("policy", "seed, recipe, layers, tokens and bounds are the ones asked for"),
    ),
    "opening": (
        ("parse", "every integer within 15 bits, every salt below r"),
        ("commitment", "each leaf and its path lead to the expected root"),
        ("SRS", "a ceremony's, or one that the caller names; a test one only if allowed"),
        ("rows", "the commitment computed from each row is the one in its leaf"),
        ("choice", "the rows are the ones that the judge's nonce chooses"),
        ("weights", "the integers are those of a given model"),
    ),
    "inference": (
        ("parse", "bounded sizes, finite floats, bounded integers, points on the curve"),
        ("commitment", "the recomputed root is the one the caller expects"),
        ("SRS", "a ceremony's, or one that the caller names; a test one only if allowed"),
        ("demand", "nonce, tokens and number of positions are the ones asked for"),
        ("linear", "the claimed products are what the committed weights give"),
        ("public", "norms, residual stream, activation, attention, embeddings; logits as served"),
    ),
}
"""Steps of each verifier, in order: name, and what holds after it."""


@dataclass(frozen=True)
class Setup:
    """What a verifier's machine brings: the folder of keys and SRS files, default the program's
    own; SHA-256, hex, of SRS files that the caller trusts besides the ceremonies'; whether the test
    SRS is accepted, under which anybody can forge proofs."""

    keys: Path = field(default_factory=default_cache)
    trusted_srs: tuple[str, ...] = ()
    allow_test: bool = False


@dataclass(frozen=True)
class Policy:
    """What the caller demands beyond validity; None: anything will do.

    seed: 32 bytes, the sketch's; recipe: one of invariants.recipes.RECIPES; layers: their numbers;
    tokens_digest: SHA-256, hex, of the token ids (commitment.descriptor.token_digest).
    """

    seed: bytes | None = PUBLIC_SEED
    recipe: str | None = "whole"
    layers: tuple[int, ...] | None = None
    tokens_digest: str | None = None


@dataclass(frozen=True)
class Step:
    """One step that held: its number, name, what was established, and how long it took."""

    number: int
    name: str
    detail: str
    seconds: float = field(default=0.0, compare=False)


class OpenStep:
    """A step in progress."""

    def __init__(self) -> None:
        self.detail: str | None = None

    def established(self, detail: str) -> None:
        """Say what this step has shown."""
        self.detail = detail


@dataclass
class Report:
    """The steps of one verification that held so far. kind: a key of STEPS; facts: what the file
    is about, for people and JSON; heard: told of each step as it holds."""

    kind: str
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    heard: Callable[[Step], None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all steps of this verifier."""
        return tuple(name for name, _ in STEPS[self.kind])

    @property
    def test_setup(self) -> bool:
        """Whether it was made under the SRS whose secret is public."""
        return bool(self.facts.get("srs", {}).get("kind") == "test")

    @contextmanager
    def step(self, name: str) -> Iterator[OpenStep]:
        """Run one step; see the module's head. Raises StepFailed."""
        number = len(self.steps)
        if self.names[number : number + 1] != (name,):
            due = self.names[number] if number < len(self.names) else "none"
            raise AssertionError(f"step {number} is {due}, not {name}")
        current, started = OpenStep(), time.monotonic()
        try:
            yield current
        except InputError as e:
            raise StepFailed(number, str(e), name) from e
        if current.detail is None:
            raise AssertionError(f"step {name} established nothing")
        self.steps.append(Step(number, name, current.detail, time.monotonic() - started))
        if self.heard is not None:
            self.heard(self.steps[-1])

    def finished(self, *, optional: int = 0) -> Report:
        """This report, at the end of a verifier: all steps were taken but, at most, the last
        ``optional`` ones. Another number is a fault of the verifier."""
        if len(self.steps) < len(self.names) - optional:
            raise AssertionError(f"the verifier left out {self.names[len(self.steps)]}")
        return self


def refuse_unless(holds: bool, message: str) -> None:
    """Within a step: refuse with ``message`` unless ``holds``."""
    if not holds:
        raise InputError(message)


def read_claim(path: Path, fmt: Format) -> bytes:
    """The bytes of a file to be judged. InputError, a wrong argument and not a false claim, when
    it is missing, not a regular file or larger than any of its kind."""
    if not path.exists():
        raise InputError(f"{path} is missing")
    return read_bounded(path, fmt.max_bytes)


def check_srs(report: Report, descriptor: Descriptor, setup: Setup) -> Srs:
    """The step "SRS": the one that the commitment names, if it is to be trusted and at hand."""
    with report.step("SRS") as step:
        try:
            trust = trusted_srs(descriptor.srs, setup.keys, setup.allow_test, setup.trusted_srs)
        except NotTrusted:
            raise
        except InputError as e:  # a damaged file in the caller's own folder
            raise EnvironmentLacks(str(e)) from e
        srs = trust.srs
        report.facts["srs"] = {"kind": trust.kind, "name": trust.name, "sha256": srs.sha256}
        step.established(f"{trust.name} {srs.sha256[:16]}, 2^{srs.k} rows")
    return srs


def describe(
    report: Report, descriptor: Descriptor, seed: bytes | None = None, root: str | None = None
) -> None:
    """Note in the report's facts what a commitment is about, and whether that is the standard."""
    report.facts |= facts_of(descriptor)
    if root is not None:
        report.facts["root"] = root
    if seed is not None:
        report.facts["seed"] = facts_of_seed(seed)


def facts_of(descriptor: Descriptor) -> dict[str, Any]:
    """What a descriptor says it is about, and whether that is what everybody compares."""
    tokens = descriptor.tokens
    every = tuple(range(len(descriptor.layers)))
    standard = (
        (descriptor.recipe, tokens.choice, tokens.count) == ("whole", "common", 4096)
        and descriptor.layers == every
        and descriptor.model.get("layers_total") == len(every)
    )
    return {
        "recipe": descriptor.recipe,
        "model": dict(descriptor.model),
        "layers": list(descriptor.layers),
        "tokens": {"count": tokens.count, "digest": tokens.digest, "choice": tokens.choice},
        "standard": standard,
    }


def facts_of_seed(seed: bytes) -> dict[str, str]:
    """A seed, and its class: public, or named by somebody."""
    return {"class": "public" if seed == PUBLIC_SEED else "named", "hex": seed.hex()}


def check_policy(descriptor: Descriptor, seed: bytes | None, policy: Policy) -> None:
    """Within a step: refuse what was proven of other things than the caller asked for."""
    asked = policy.seed
    if asked is not None and seed is not None:
        refuse_unless(seed == asked, f"proven under seed {seed.hex()}, asked for {asked.hex()}")
    refuse_unless(
        policy.recipe in (None, descriptor.recipe),
        f"proven of the recipe {descriptor.recipe}, asked for {policy.recipe}",
    )
    refuse_unless(
        policy.layers in (None, descriptor.layers),
        f"proven of layers {list(descriptor.layers)}, asked for {list(policy.layers or ())}",
    )
    refuse_unless(
        policy.tokens_digest in (None, descriptor.tokens.digest),
        "proven over other tokens than asked for",
    )
