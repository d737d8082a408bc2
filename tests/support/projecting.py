"""What the tests of the projection share: a prover, a judge, and who says which equation fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from huref_zk.argument import batching, projection
from huref_zk.argument.projection import SetProof, projected_rows, prove_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.commit import Owner
from huref_zk.commitment.file import Commitment
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import RIGHT
from huref_zk.srs.file import Srs

SEED = b"\7" * 32
STATEMENT = b"what is claimed"
Proof = tuple[SetProof, ...]


def points_of(rows: Sequence[Sequence[int]], srs: Srs) -> list[Point]:
    """Commitments to rows, by definition."""
    generators = srs.lagrange(0, max(map(len, rows)))
    return [bn254.msm(generators[: len(row)], row) for row in rows]


def row_points(owner: Owner, srs: Srs, seed: bytes = SEED) -> list[Point]:
    """<Y_i>, then <B_i>, as an honest Halo2 proof opens with them."""
    left, right = projected_rows(owner, seed)
    return [*points_of(left, srs), *points_of(right, srs)]


def prove(
    owner: Owner,
    points: Sequence[Point],
    srs: Srs,
    seed: bytes = SEED,
    statement: bytes = STATEMENT,
) -> Proof:
    return prove_projection(owner, seed, points, Transcript(statement), srs)


def check(
    commitment: Commitment,
    proof: Sequence[SetProof],
    points: Sequence[Point],
    srs: Srs,
    seed: bytes = SEED,
    statement: bytes = STATEMENT,
) -> None:
    projection.verify_projection(commitment, seed, proof, points, Transcript(statement), srs)


def refused(words: str, *args, **kwargs) -> None:
    with pytest.raises(InputError, match=words):
        check(*args, **kwargs)


def failing(
    commitment: Commitment,
    proof: Sequence[SetProof],
    points: Sequence[Point],
    srs: Srs,
    seed: bytes = SEED,
    statement: bytes = STATEMENT,
) -> list[str]:
    """Names of all equations that do not hold."""
    transcript = Transcript(statement)
    projection.absorb_claim(transcript, commitment, seed, points)
    rho = projection._draw_rho(transcript, [(part.mask, part.image) for part in proof])
    transcript.absorb("proof", projection.serialise_projection(proof))
    delta = transcript.challenges("delta", RIGHT)
    equations = projection._equations(commitment, seed, proof, points, rho, delta, srs)
    return [e.name for e in equations if not batching._vanishes([e], [1])]
