"""A prover who learns a challenge before it has said everything that the challenge must depend on.

`deaf(label)` is a verifier that forgets to hash one message. Against it, and against it alone, the
cheat of that label works: it changes the message after the fact so that the equations go on holding
under the same challenges, although what they were to show is false.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

from huref_zk.argument import projection
from huref_zk.argument.projection import SetProof, rows_of_set, serialise_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.file import Commitment
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, Point, R
from huref_zk.invariants.sketch import LEFT, RIGHT, signs
from huref_zk.proofs.kernel import STEPS, Report, Step
from huref_zk.srs.file import Srs
from soundness.cheats.owner import Bench, masks_and_rows
from tests.support.projecting import STATEMENT


@dataclass(frozen=True)
class Case:
    """What the projection verifier is given."""

    commitment: Commitment
    seed: bytes
    proof: tuple[SetProof, ...]
    rows: tuple[Point, ...]
    statement: bytes
    srs: Srs

    def with_set(self, number: int, **changes) -> Case:
        """Fields of one core set's proof changed."""
        parts = list(self.proof)
        parts[number] = replace(parts[number], **changes)
        return replace(self, proof=tuple(parts))

    def with_points(self, name: str, points: tuple[Point, ...]) -> Case:
        """Other commitments to the rows of one matrix, under the same root."""
        changed = {**self.commitment.points, name: points}
        return replace(self, commitment=replace(self.commitment, points=changed))


def case_of(bench: Bench, **told) -> Case:
    """What the bench's owner proves, deviating as told (Bench.proven)."""
    proof, points = bench.proven(**told)
    return Case(bench.commitment, bench.seed, proof, points, STATEMENT, bench.srs)


def check(case: Case) -> None:
    """The projection verifier, as the verifier of pictures runs it. Raises StepFailed."""
    report = Report("picture")
    before = report.names.index("projection")
    report.steps += [Step(n, name, "") for n, (name, _) in enumerate(STEPS["picture"][:before])]
    with report.step("projection") as step:
        projection.verify_projection(
            case.commitment, case.seed, case.proof, case.rows, Transcript(case.statement), case.srs
        )
        step.established("holds")


def challenges(case: Case) -> tuple[list[int], list[int], list[int]]:
    """(rho, delta, batch weights) as the verifier draws them."""
    transcript = Transcript(case.statement)
    projection.absorb_claim(transcript, case.commitment, case.seed, case.rows)
    rho = projection._draw_rho(transcript, [(part.mask, part.image) for part in case.proof])
    transcript.absorb("proof", serialise_projection(case.proof))
    delta = transcript.challenges("delta", RIGHT)
    return rho, delta, transcript.challenges("batch", 2 * len(case.proof) + 1)


def deaf(label: str) -> AbstractContextManager:
    """A transcript that forgets the messages with this label."""
    honest = Transcript.absorb

    def absorb(self, name: str, data: bytes) -> None:
        if name != label:
            honest(self, name, data)

    return patch.object(Transcript, "absorb", absorb)


def moved(points: tuple[Point, ...], by: dict[int, int]) -> tuple[Point, ...]:
    """The points with multiples of the generator added to some."""
    result = list(points)
    for place, factor in by.items():
        result[place] = bn254.add(result[place], bn254.multiply(GENERATOR, factor % R))
    return tuple(result)


# --- the cheats: an honest case -> a false one ---------------------------------------------------


def left_rows(case: Case) -> Case:
    """Y_0 and Y_1 wrong by multiples of one point that cancel under rho."""
    rho, _, _ = challenges(case)
    return replace(case, rows=moved(case.rows, {0: rho[1], 1: -rho[0]}))


def right_rows(case: Case) -> Case:
    """B_0 and B_1 wrong by multiples of one point that cancel under delta."""
    _, delta, _ = challenges(case)
    return replace(case, rows=moved(case.rows, {LEFT: delta[1], LEFT + 1: -delta[0]}))


def embeddings(case: Case) -> Case:
    """Three rows of E wrong such that what either equation adds up stays the same."""
    rho, delta, _ = challenges(case)
    count = len(case.commitment.points["E"])
    a, b = (
        [sum(w * int(s) for w, s in zip(weights, column, strict=True)) for column in matrix.T[:3]]
        for weights, matrix in (
            (rho, signs(case.seed, "L", LEFT, count)),
            (delta, signs(case.seed, "R", RIGHT, count)),
        )
    )
    cross = {i: a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3] for i in range(3)}
    assert any(x % R for x in cross.values())
    return case.with_points("E", moved(case.commitment.points["E"], cross))


def cores(name: str, number: int) -> Callable[[Case], Case]:
    """Two rows of a core set wrong such that their combination by y stays the same."""

    def cheat(case: Case) -> Case:
        y = case.proof[number].response
        return case.with_points(name, moved(case.commitment.points[name], {0: y[1], 1: -y[0]}))

    return cheat


def first_message(number: int) -> Callable[[Case], Case]:
    """Any y at all, and R and T such that it fits: the simulator of the zero-knowledge argument."""

    def cheat(case: Case) -> Case:
        y = tuple(range(1, 1 + len(case.proof[number].response)))
        zero = case.with_set(number, mask=None, image=None, response=y)
        rho, delta, _ = challenges(case)
        equations = projection._equations(
            case.commitment, case.seed, zero.proof, case.rows, rho, delta, case.srs
        )
        mask, image = (
            bn254.msm(list(e.points), [s % R for s in e.scalars])
            for e in equations[2 * number : 2 * number + 2]
        )
        return zero.with_set(number, mask=mask, image=image)

    return cheat


def responses(case: Case) -> Case:
    """The two sets' embedding equations wrong by amounts that cancel under the batch weights."""
    _, _, weights = challenges(case)
    place = case.commitment.hidden  # the own salt, which no other equation sees
    for number, by in ((0, weights[2]), (1, -weights[0])):
        y = list(case.proof[number].response)
        y[place] = (y[place] + by) % R
        case = case.with_set(number, response=tuple(y))
    return case


def statement(case: Case) -> Case:
    """The proof of one claim lent to another."""
    return replace(case, statement=b"another claim")


def root(case: Case) -> Case:
    """The proof lent to another root."""
    return replace(case, commitment=replace(case.commitment, root=case.commitment.root ^ 1))


def descriptor(case: Case) -> Case:
    """The proof lent to another description of the same points."""
    other = replace(case.commitment.descriptor, layers=(7, 8))
    return replace(case, commitment=replace(case.commitment, descriptor=other))


CHEATS: list[tuple[str, str, Callable[[Case], Case]]] = [
    ("statement", "whole", statement),
    ("descriptor", "whole", descriptor),
    ("root", "whole", root),
    ("E", "whole", embeddings),
    ("C", "whole", cores("C", 0)),
    ("C0", "last-two", cores("C0", 0)),
    ("C1", "last-two", cores("C1", 1)),
    ("rows", "whole", left_rows),
    ("rows", "last-two", right_rows),
    ("R and T of set 0", "whole", first_message(0)),
    ("R and T of set 1", "last-two", first_message(1)),
    ("proof", "last-two", responses),
]
"""(message, recipe, what a prover does who may change it after the challenge)."""


def grind(bench: Bench, case: Case, tries: int) -> Case | None:
    """Y_0 and Y_1 wrong by the same point, and first messages tried until rho_0 = rho_1."""
    false = replace(case, rows=moved(case.rows, {0: 1, 1: -1}))
    (step,) = case.srs.lagrange(case.commitment.hidden, 1)
    before = Transcript(false.statement)
    projection.absorb_claim(before, false.commitment, false.seed, false.rows)
    (part,) = false.proof
    first = part.mask
    for shift in range(1, tries + 1):
        first = bn254.add(first, step)
        transcript = Transcript(b"")
        transcript._hash = before._hash.copy()
        rho = projection._draw_rho(transcript, [(first, part.image)])
        if rho[0] == rho[1]:
            return _responded(bench, false, first, shift, rho)
    return None


def _responded(bench: Bench, case: Case, first: Point, shift: int, rho: list[int]) -> Case:
    """The owner's response to ``rho`` after raising the mask's own salt by ``shift``."""
    (m,), left = masks_and_rows(bench)
    m[case.commitment.hidden] += shift
    chosen = rows_of_set(case.commitment.descriptor, 0)
    columns = zip(m, zip(*(left[i] for i in chosen), strict=True), strict=True)
    y = tuple(
        (a + sum(rho[i] * x for i, x in zip(chosen, column, strict=True))) % R
        for a, column in columns
    )
    return case.with_set(0, mask=first, response=y)
