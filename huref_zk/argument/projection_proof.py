"""What the projection proof consists of, its bytes, and the order in which both sides hash it.

Bytes: for side L, then side R: the points R and T, 32 bytes each compressed (bn254.compress); then
for side L, then side R: the response y, d + E_SALTS field elements below r, 32 bytes big-endian
each. So 128 + 64 (d + 17) bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.file import Commitment
from huref_zk.commitment.salts import E_SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json

SIDES = ("L", "R")


@dataclass(frozen=True)
class SideProof:
    """mask: R = <m>; image: T = <m^T U>; response: y = m + sum_i rho_i X_i, ints in [0, r)."""

    mask: Point
    image: Point
    response: tuple[int, ...]


@dataclass(frozen=True)
class ProjectionProof:
    """sides: the proof for side L (X = P_L E, U) and for side R (X = P_R E, V)."""

    sides: tuple[SideProof, SideProof]


def serialise_projection(proof: ProjectionProof) -> bytes:
    """The bytes of a projection proof."""
    points = [point for side in proof.sides for point in (side.mask, side.image)]
    numbers = [number for side in proof.sides for number in side.response]
    return b"".join(map(bn254.compress, points)) + b"".join(n.to_bytes(32, "big") for n in numbers)


def parse_projection(data: bytes, commitment: Commitment) -> ProjectionProof:
    """The inverse; InputError unless the length is exact and points and numbers are canonical."""
    length = commitment.hidden + E_SALTS
    if len(data) != 128 + 64 * length:
        raise InputError(f"the projection proof has {len(data)} bytes, not {128 + 64 * length}")
    points = [bn254.decompress(data[i : i + 32]) for i in range(0, 128, 32)]
    numbers = [int.from_bytes(data[i : i + 32], "big") for i in range(128, len(data), 32)]
    if any(number >= R for number in numbers):
        raise InputError("the projection proof holds a number that is no canonical field element")
    left = SideProof(points[0], points[1], tuple(numbers[:length]))
    right = SideProof(points[2], points[3], tuple(numbers[length:]))
    return ProjectionProof((left, right))


def absorb_claim(
    transcript: Transcript,
    commitment: Commitment,
    seed: bytes,
    p: int,
    row_points: Sequence[Point],
) -> None:
    """Hash all that is fixed before the prover's first message: what is projected, how, to what.

    InputError unless the seed has 32 bytes.
    """
    if len(seed) != 32:
        raise InputError(f"a sketch seed has 32 bytes, not {len(seed)}")
    transcript.absorb("projection", b"version 1")
    transcript.absorb("descriptor", canonical_json(commitment.descriptor))
    transcript.absorb("root", commitment.root.to_bytes(32, "big"))
    transcript.absorb_points("E", commitment.E_points)
    transcript.absorb_points("U", commitment.U_points)
    transcript.absorb_points("V", commitment.V_points)
    transcript.absorb("seed", seed)
    transcript.absorb("p", p.to_bytes(4, "big"))
    transcript.absorb_points("rows", row_points)


def draw_rho(
    transcript: Transcript, firsts: Sequence[tuple[Point, Point]], p: int
) -> list[list[int]]:
    """Hash the prover's first messages (R, T of either side) and draw rho for either side."""
    for name, points in zip(SIDES, firsts, strict=True):
        transcript.absorb_points(f"R and T of side {name}", points)
    return [transcript.challenges(f"rho of side {name}", p) for name in SIDES]
