"""The circuit's proof of a pair: its columns, and what a verifier knows of each.

    left, right, maps   of the first model, then of the second: combinations of the rows, whose
                        commitments anybody computes from those to the rows; the maps, salted
    public              the weights of the combinations, then -low and high; anybody commits

Bytes: the commitments to the 48 rows of the first model and of the second, to the maps of either,
32 bytes compressed each; then ezkl's Halo2 proof, which begins with the commitments to its seven
columns, 64 bytes each. All carry ezkl's constant (circuit/halo2.py; circuit/product.py has the
argument for one model).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.circuit.keys import Keys
from huref_zk.circuit.product import Weights, combined_row, draw_weights
from huref_zk.circuit.shape import TERMS
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.invariants.sketch import LEFT, RIGHT
from huref_zk.proofs.similarity.exact import Maps, Range
from huref_zk.proofs.similarity.file import Claim
from huref_zk.proofs.similarity.shape import CONDITIONS, MODELS
from huref_zk.srs.file import Srs

ROWS = LEFT + RIGHT
HEAD_POINTS = 2 * ROWS + 2
OUTPUTS = [CONDITIONS] + [0] * (2 * TERMS)
"""What the circuit has to put out: all conditions held, no differences."""

Rows = tuple[list[list[int]], list[list[int]]]


@dataclass(frozen=True)
class PairProof:
    """rows: commitments to the 48 rows of either model; maps: to the maps of either, all with
    ezkl's constant; halo2: ezkl's proof."""

    rows: tuple[list[Point], list[Point]]
    maps: tuple[Point, Point]
    halo2: bytes


def serialise(proof: PairProof) -> bytes:
    """The bytes of a circuit proof."""
    first, second = proof.rows
    return b"".join(map(bn254.compress, [*first, *second, *proof.maps])) + proof.halo2


def parse(data: bytes) -> PairProof:
    """The inverse. InputError when it is too short or a point is none."""
    points = halo2.committed_points(data, HEAD_POINTS)
    rest = data[halo2.POINT_BYTES * HEAD_POINTS :]
    return PairProof((points[:ROWS], points[ROWS:-2]), (points[-2], points[-1]), rest)


def draw(claim: Claim, proof: PairProof) -> Weights:
    """The weights: drawn when rows and maps of both models, and what is claimed, are fixed."""
    transcript = Transcript(claim.digest("circuit"))
    for name, rows, maps in zip(MODELS, proof.rows, proof.maps, strict=True):
        transcript.absorb_points(f"{name} rows", rows)
        transcript.absorb_points(f"{name} maps", [maps])
    return draw_weights(transcript)


def public_column(weights: Weights, bounds: Range) -> list[int]:
    """The column that the verifier commits to itself."""
    return [*weights.column, *bounds.limits]


def prove(
    rows: Sequence[Rows],
    maps: Sequence[Maps],
    claim: Claim,
    keys: Keys,
    srs: Srs,
    say: Callable[[str], None],
) -> bytes:
    """The circuit proof of ``claim``.

    rows: (Y, B) of either model, as projected_rows gives them; maps: their six integer maps each.
    The proof has not been checked.
    """
    say("row commitments")
    entries = [_column_of(m) for m in maps]
    points = halo2.commit_columns(
        [row for left, right in rows for row in (*left, *right)] + entries, keys, srs
    )
    proof = PairProof((points[:ROWS], points[ROWS:-2]), (points[-2], points[-1]), b"")
    weights = draw(claim, proof)
    columns: list[list[int]] = []
    for (left, right), entry in zip(rows, entries, strict=True):
        columns += [combined_row(left, weights.left), combined_row(right, weights.right), entry]
    columns.append(public_column(weights, claim.bounds))
    return serialise(replace(proof, halo2=halo2.prove_columns(columns, OUTPUTS, keys, srs, say)))


def _column_of(maps: Maps) -> list[int]:
    """The entries of six maps, and salts."""
    salts = [secrets.randbelow(R) for _ in range(SALTS)]
    return [entry for m in maps for line in m for entry in line] + salts


def check(proof: PairProof, claim: Claim, keys: Keys, srs: Srs) -> str | None:
    """What is wrong with a circuit proof of ``claim``; None if it holds.

    No column's commitment is taken from it but the maps': the others are computed here.
    EnvironmentLacks where this machine cannot judge.
    """
    constant = halo2.blank_point(keys, srs)
    weights = draw(claim, proof)
    columns: list[Point] = []
    for rows, maps in zip(proof.rows, proof.maps, strict=True):
        plain = halo2.without_blank(rows, constant)
        left = bn254.msm(plain[:LEFT], weights.left)
        right = bn254.msm(plain[LEFT:], weights.right)
        columns += [bn254.add(left, constant), bn254.add(right, constant), maps]
    public = public_column(weights, claim.bounds)
    told = bn254.msm(srs.lagrange(0, len(public)), [x % R for x in public])
    columns.append(bn254.add(told, constant))
    return halo2.check_columns(proof.halo2, columns, OUTPUTS, keys, srs)
