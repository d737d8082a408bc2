"""A prover who commits to another model's points, all but a few, and knows none of its weights.

Under a seed that is known beforehand it chooses the rows that a SNARK would be about, and corrects
as many committed points as there are rows: 48 of E's, so that the signs' sums come out as its own
rows, and 32 of the core's, so that these project onto rows of its choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from huref_zk.argument import projection
from huref_zk.argument.projection import SetProof
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.descriptor import block_length, core_columns
from huref_zk.commitment.file import Commitment, make_commitment
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.invariants.sketch import LEFT, RIGHT, signs
from huref_zk.srs.file import Srs

Rows = list[list[int]]


@dataclass(frozen=True)
class Forgery:
    """commitment: to points most of which are another's; left: the rows X that it has in place of
    P_L E; rows: the ones Y and B that it chose, whose commitments the SNARK would open with."""

    commitment: Commitment
    left: Rows
    rows: Rows


def both_sides(seed: bytes, count: int) -> np.ndarray:
    """P_L above P_R, int64."""
    return np.concatenate(
        [signs(seed, side, n, count) for side, n in (("L", LEFT), ("R", RIGHT))]
    ).astype(np.int64)


def forge(theirs: Commitment, seed: bytes, srs: Srs, rng: np.random.Generator) -> Forgery:
    """Copies ``theirs``, of the recipe `whole`, public points alone, to satisfy ``seed``."""
    d, e = theirs.hidden, block_length(theirs.hidden)
    left = _rows(rng, LEFT, d, e - d)
    right = _rows(rng, RIGHT, d, e - d)
    chosen = _rows(rng, LEFT, 3 * e - SALTS, SALTS)
    generators = srs.lagrange(0, 3 * e)
    targets = [_commit(generators, row) for row in [*left, *right]]
    E = _corrected(theirs.points["E"], both_sides(seed, len(theirs.points["E"])), targets)
    tail = generators[core_columns(d) :]
    ends = [bn254.msm(tail, row[-SALTS:]) for row in left]
    targets = [
        bn254.add(_commit(generators, y), bn254.negate(end))
        for y, end in zip(chosen, ends, strict=True)
    ]
    C = _corrected(theirs.points["C"], np.array([row[:d] for row in left]), targets)
    mine = replace(theirs.descriptor, checkpoint="f" * 64)
    return Forgery(make_commitment(mine, {"E": E, "C": C}, 1), left, [*chosen, *right])


def prove_forged(
    forgery: Forgery, seed: bytes, points: Sequence[Point], statement: bytes, srs: Srs
) -> tuple[SetProof, ...]:
    """The projection proof that the forger can make: the honest prover's, from its own rows."""
    commitment, left = forgery.commitment, forgery.left
    e = block_length(commitment.hidden)
    generators = srs.lagrange(0, e)
    tail = srs.lagrange(core_columns(commitment.hidden), SALTS)
    m = [int.from_bytes(bytes([t]) * 31, "big") for t in range(e)]
    first = bn254.msm(generators, m)
    image = projection._image(m, commitment.points["C"], tail)
    transcript = Transcript(statement)
    projection.absorb_claim(transcript, commitment, seed, points)
    rho = projection._draw_rho(transcript, [(first, image)])
    response = [
        (a + sum(map(int.__mul__, rho, column))) % R
        for a, column in zip(m, zip(*left, strict=True), strict=True)
    ]
    return (SetProof(first, image, tuple(response)),)


def _rows(rng: np.random.Generator, count: int, values: int, salts: int) -> Rows:
    """Small numbers and full-size salts."""
    return [
        [
            *rng.integers(-99, 100, values).tolist(),
            *(int.from_bytes(rng.bytes(48), "big") % R for _ in range(salts)),
        ]
        for _ in range(count)
    ]


def _commit(generators: Sequence[Point], row: Sequence[int]) -> Point:
    return bn254.msm(generators[: len(row)], row)


def _corrected(
    points: Sequence[Point], matrix: np.ndarray, targets: Sequence[Point]
) -> list[Point]:
    """``points`` with as few as possible replaced, so that matrix points = targets."""
    count = len(targets)
    places = list(range(count))
    inverse = inverse_mod_r(matrix[:, places].tolist())
    rest = list(range(count, len(points)))
    missing = [
        bn254.add(target, bn254.msm([points[k] for k in rest], [-int(row[k]) for k in rest]))
        for row, target in zip(matrix, targets, strict=True)
    ]
    return [*(bn254.msm(missing, row) for row in inverse), *points[count:]]


def inverse_mod_r(matrix: Rows) -> Rows:
    """The inverse mod r. ValueError for a singular matrix."""
    size = len(matrix)
    work = [
        [v % R for v in row] + [int(i == j) for j in range(size)] for i, row in enumerate(matrix)
    ]
    for c in range(size):
        pivot = next((i for i in range(c, size) if work[i][c]), None)
        if pivot is None:
            raise ValueError("a singular matrix")
        work[c], work[pivot] = work[pivot], work[c]
        scale = pow(work[c][c], -1, R)
        work[c] = [v * scale % R for v in work[c]]
        for i in range(size):
            if i != c and (factor := work[i][c]):
                work[i] = [(a - factor * b) % R for a, b in zip(work[i], work[c], strict=True)]
    return [row[size:] for row in work]
