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

from huref_zk.argument import projection_verifier as verifier
from huref_zk.argument.projection_proof import (
    ProjectionProof,
    SideProof,
    absorb_claim,
    draw_rho,
    parse_projection,
    serialise_projection,
)
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.encoder import P
from huref_zk.commitment.file import Commitment, parse_commitment
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, Point, R
from huref_zk.invariants.sketch import signs
from huref_zk.proofs.picture.file import Bundle
from huref_zk.proofs.picture.statement import statement_digest
from soundness.cheats.owner import masks_and_rows
from tests.support.cheats import row_points  # tests/chain/cheats.py


@dataclass(frozen=True)
class Case:
    """What the projection verifier is given."""

    commitment: Commitment
    seed: bytes
    proof: ProjectionProof
    rows: tuple[Point, ...]
    statement: bytes

    def with_side(self, side: int, **changes) -> Case:
        sides = list(self.proof.sides)
        sides[side] = replace(sides[side], **changes)
        return replace(self, proof=ProjectionProof((sides[0], sides[1])))


def case_of(chain, bundle: Bundle) -> Case:
    """The projection verifier's part of a bundle."""
    commitment = parse_commitment(bundle.commitment)
    return Case(
        commitment,
        bytes.fromhex(bundle.header["seed"]),
        parse_projection(bundle.projection, commitment),
        tuple(row_points(chain, bundle)),
        statement_digest(bundle.header, bundle.v),
    )


def check(chain, case: Case) -> None:
    """The projection verifier. Raises StepFailed(4)."""
    transcript = Transcript(case.statement)
    verifier.verify_projection(
        case.commitment, case.seed, P, case.proof, case.rows, transcript, chain.srs
    )


def challenges(case: Case) -> tuple[list[list[int]], list[int]]:
    """(rho of either side, batch weights) as the verifier draws them."""
    transcript = Transcript(case.statement)
    absorb_claim(transcript, case.commitment, case.seed, P, case.rows)
    rhos = draw_rho(transcript, [(s.mask, s.image) for s in case.proof.sides], P)
    transcript.absorb("proof", serialise_projection(case.proof))
    return rhos, transcript.challenges("batch", 4)


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


# --- the cheats: (chain, honest case) -> a false case --------------------------------------------


def rows(chain, case: Case) -> Case:
    """A_0 and A_1 wrong by multiples of one point that cancel under rho."""
    (rho, _), _ = challenges(case)
    return replace(case, rows=moved(case.rows, {0: rho[1], 1: -rho[0]}))


def embeddings(chain, case: Case) -> Case:
    """Three rows of E wrong such that both sides' combinations stay the same."""
    rhos, _ = challenges(case)
    count = len(case.commitment.E_points)
    a, b = (
        [
            sum(
                c * int(row[k])
                for c, row in zip(rho, signs(case.seed, name, P, count), strict=True)
            )
            for k in range(3)
        ]
        for name, rho in zip("LR", rhos, strict=True)
    )
    cross = {i: a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3] for i in range(3)}
    assert any(x % R for x in cross.values())
    points = moved(case.commitment.E_points, cross)
    return replace(case, commitment=replace(case.commitment, E_points=points))


def factor(field: str, side: int) -> Callable:
    """Two rows of U, or V, wrong such that their combination by y stays the same."""

    def cheat(chain, case: Case) -> Case:
        y = case.proof.sides[side].response
        points = moved(getattr(case.commitment, field), {0: y[1], 1: -y[0]})
        return replace(case, commitment=replace(case.commitment, **{field: points}))

    return cheat


def first_message(side: int) -> Callable:
    """Any y at all, and R and T such that it fits: the simulator of the zero-knowledge argument."""

    def cheat(chain, case: Case) -> Case:
        length = len(case.proof.sides[side].response)
        y = tuple(range(1, 1 + length))
        sides = list(case.proof.sides)
        sides[side] = SideProof(None, None, y)
        rhos, _ = challenges(case)
        zero = ProjectionProof((sides[0], sides[1]))
        terms = verifier._equations(case.commitment, case.seed, P, zero, case.rows, rhos, chain.srs)
        mask, image = (
            bn254.msm(*map(list, zip(*t, strict=True))) for _, t in terms[2 * side : 2 * side + 2]
        )
        return case.with_side(side, mask=mask, image=image, response=y)

    return cheat


def responses(chain, case: Case) -> Case:
    """Two embedding equations wrong by amounts that cancel under the batch weights."""
    _, weights = challenges(case)
    place = case.commitment.hidden  # the own salt, which no other equation sees
    for side, by in ((0, weights[2]), (1, -weights[0])):
        y = list(case.proof.sides[side].response)
        y[place] = (y[place] + by) % R
        case = case.with_side(side, response=tuple(y))
    return case


def statement(chain, case: Case) -> Case:
    """The proof of one claim lent to another."""
    return replace(case, statement=b"another claim")


def root(chain, case: Case) -> Case:
    """The proof lent to another root."""
    return replace(case, commitment=replace(case.commitment, root=case.commitment.root ^ 1))


def descriptor(chain, case: Case) -> Case:
    """The proof lent to another description of the same points."""
    other = {**case.commitment.descriptor, "layers": [7, 8]}
    return replace(case, commitment=replace(case.commitment, descriptor=other))


CHEATS = {
    "statement": statement,
    "descriptor": descriptor,
    "root": root,
    "E": embeddings,
    "U": factor("U_points", 0),
    "V": factor("V_points", 1),
    "rows": rows,
    "R and T of side L": first_message(0),
    "R and T of side R": first_message(1),
    "proof": responses,
}


def grind(chain, case: Case, tries: int) -> Case | None:
    """A_0 and A_1 wrong by the same point, and first messages tried until rho_0 = rho_1."""
    false = replace(case, rows=moved(case.rows, {0: 1, 1: -1}))
    place = case.commitment.hidden
    (step,) = chain.srs.lagrange(place, 1)
    before = Transcript(false.statement)
    absorb_claim(before, false.commitment, false.seed, P, false.rows)
    (left, right) = false.proof.sides
    mask = left.mask
    found = None
    for shift in range(1, tries + 1):
        mask = bn254.add(mask, step)
        transcript = Transcript(b"")
        transcript._hash = before._hash.copy()
        firsts = [(mask, left.image), (right.mask, right.image)]
        rhos = draw_rho(transcript, firsts, P)
        if rhos[0][0] == rhos[0][1]:
            found = shift
            break
    if found is None:
        return None
    # The attacker is the owner, who knows m and X; from the honest response they follow.
    return _responded(chain, false, mask, found, rhos)


def _responded(chain, case: Case, mask: Point, shift: int, rhos: list[list[int]]) -> Case:
    """The owner's responses to ``rhos`` after raising the mask's own salt by ``shift``."""
    ms, xs = masks_and_rows(chain)
    place = case.commitment.hidden
    ms[0][place] += shift
    case = case.with_side(0, mask=mask)
    for side in (0, 1):
        columns = zip(ms[side], zip(*xs[side], strict=True), strict=True)
        y = tuple(
            (m + sum(c * x for c, x in zip(rhos[side], column, strict=True))) % R
            for m, column in columns
        )
        case = case.with_side(side, response=y)
    return case
