"""Check a projection proof (docs/protocol.md).

For each side, with y the response and rho the challenges,

    embedding equation   <y> = R + sum_i rho_i sum_k P_ik <E_k>
    factor equation      sum_{j<d} y_j <U_j> + sum_t y_blind(t) g_{L+t} = T + sum_i rho_i <A_i>

All four equations are checked as one random combination, a single multi-scalar sum; only if that
fails are they tried one by one, to say which is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from huref_zk.argument.projection_proof import (
    SIDES,
    ProjectionProof,
    absorb_claim,
    draw_rho,
    parse_projection,
    serialise_projection,
)
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.file import Commitment
from huref_zk.commitment.salts import E_SALTS, SALTS, blinds
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError, StepFailed
from huref_zk.invariants.sketch import signs as sketch_signs
from huref_zk.srs.file import Srs

__all__ = ["parse_projection", "verify_projection"]

STEP = 4

_Terms = list[tuple[Point, int]]


def verify_projection(
    commitment: Commitment,
    seed: bytes,
    p: int,
    proof: ProjectionProof,
    row_points: Sequence[Point],
    transcript: Transcript,
    srs: Srs,
) -> None:
    """Check that `row_points` commit to the projections of the committed matrices.

    row_points: <A_0>..<A_{p-1}>, <B_0>..<B_{p-1}>, without ezkl's B (kzg.blank); transcript: fresh,
    holding the same as the prover's. Raises StepFailed(4, which equation), and InputError when
    the arguments do not belong together.
    """
    if len(row_points) != 2 * p:
        raise InputError(f"{2 * p} row commitments are needed, not {len(row_points)}")
    if srs.sha256 != commitment.descriptor["srs"]["sha256"]:
        raise InputError("the commitment was made under another SRS than the one given")
    absorb_claim(transcript, commitment, seed, p, row_points)
    rhos = draw_rho(transcript, [(side.mask, side.image) for side in proof.sides], p)
    transcript.absorb("proof", serialise_projection(proof))
    weights = transcript.challenges("batch", 4)

    equations = _equations(commitment, seed, p, proof, row_points, rhos, srs)
    together: _Terms = []
    for weight, (_, terms) in zip(weights, equations, strict=True):
        together += [(point, weight * scalar) for point, scalar in terms]
    if _is_zero(together):
        return
    for name, terms in equations:
        if not _is_zero(terms):
            raise StepFailed(STEP, f"the projection proof's {name} does not hold")
    raise StepFailed(STEP, "the projection proof does not hold")


def _equations(
    commitment: Commitment,
    seed: bytes,
    p: int,
    proof: ProjectionProof,
    row_points: Sequence[Point],
    rhos: Sequence[Sequence[int]],
    srs: Srs,
) -> list[tuple[str, _Terms]]:
    """(name, terms that must add up to infinity) of the four equations."""
    d = commitment.hidden
    generators = srs.lagrange(0, d + E_SALTS)
    tail = srs.lagrange(commitment.length, SALTS)
    signs = [sketch_signs(seed, name, p, len(commitment.E_points)) for name in SIDES]
    # sum_k P_ik <E_k> = 2 (sum over the +1 entries) - (sum over all entries)
    members = [[True] * len(commitment.E_points)]
    members += [(row > 0).tolist() for sign in signs for row in sign]
    everything, *chosen = bn254.subset_sums(commitment.E_points, members)

    equations = []
    factors = (("U", commitment.U_points), ("V", commitment.V_points))
    for side, (name, (factor, points)) in enumerate(zip(SIDES, factors, strict=True)):
        part, rho, y = proof.sides[side], rhos[side], proof.sides[side].response
        own = slice(side * p, (side + 1) * p)
        embedding = list(zip(generators, y, strict=True))
        embedding += [(part.mask, -1), (everything, sum(rho))]
        embedding += [(s, -2 * c) for s, c in zip(chosen[own], rho, strict=True)]
        equations.append((f"embedding equation (E) of side {name}", embedding))
        image = list(zip(points, y[:d], strict=True))
        image += list(zip(tail, y[d:][blinds(side)], strict=True))
        image += [(part.image, -1)]
        image += [(row, -c) for row, c in zip(row_points[own], rho, strict=True)]
        equations.append((f"factor equation ({factor}) of side {name}", image))
    return equations


def _is_zero(terms: _Terms) -> bool:
    """Whether the terms add up to infinity; equal points' scalars are added first."""
    merged: dict[Point, int] = {}
    for point, scalar in terms:
        merged[point] = merged.get(point, 0) + scalar
    return bn254.msm(list(merged), [scalar % R for scalar in merged.values()]) is None
