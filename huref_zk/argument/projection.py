"""The projection proof: rows that a SNARK commits to are projections of the committed matrices.

P_L (LEFT x K) and P_R (RIGHT x K) are the signs of a seed. With X = P_L E, salts included, row i of
the left side, of group s, is claimed to be

    Y_i = X_i[:d] C_s   followed by   X_i[:d] S_s + beta_i      (S_s: the salts of C_s's rows,
                                                                 beta_i: the blinds in X_i)
and row i of the right side B_i = (P_R E)_i, salts included. C_s is the core set that group s is
projected through: the only one, or the s-th. With g_t the t-th Lagrange point:

    <Y_i> = sum_j X_ij <C_j> + sum_t beta_it g_{L+t}            L = core_columns(d)

Protocol, for each core set: send R = <m> and T = the same expression with a random m in place of
X_i; receive rho; send y = m + sum_i rho_i X_i over the rows i that see this set. Checked:

    embedding   <y> = R + sum_k (sum_i rho_i P_ik) <E_k>
    core        sum_j y_j <C_j> + sum_t y_{d+8+t} g_{L+t} = T + sum_i rho_i <Y_i>
    right       sum_i delta_i <B_i> = sum_k (sum_i delta_i P_ik) <E_k>      delta: random

all as one random combination, a single multi-scalar sum. docs/protocol.md has the argument.

Bytes: for each core set R and T, 32 bytes compressed; then for each its y, d + E_SALTS field
elements below r, 32 bytes big-endian each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from huref_zk.argument.batching import Equation, combine, first_false
from huref_zk.argument.masks import mask
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.descriptor import Descriptor, block_length, core_columns
from huref_zk.commitment.file import Commitment
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import GROUP, LEFT, RIGHT, signs
from huref_zk.srs.file import Srs

if TYPE_CHECKING:
    from huref_zk.commitment.commit import Owner

GROUPS = LEFT // GROUP
Rows = list[list[int]]


@dataclass(frozen=True)
class SetProof:
    """For one core set. mask: R; image: T; response: y, ints in [0, r)."""

    mask: Point
    image: Point
    response: tuple[int, ...]


def rows_of_set(descriptor: Descriptor, index: int) -> list[int]:
    """Which left rows are projected through the core set of this number."""
    count = len(descriptor.core_sets)
    return [i for i in range(LEFT) if i // GROUP % count == index]


# --- the prover ----------------------------------------------------------------------------------


def projected_rows(owner: Owner, seed: bytes) -> tuple[Rows, Rows]:
    """(Y, B): the circuit's inputs, whole rows. Signed integers, then salts in [0, r).

    Y: LEFT rows of core_columns(d) + SALTS entries; B: RIGHT rows of d + E_SALTS.
    """
    witness, descriptor = owner.witness, owner.descriptor
    key = witness.key(owner.secret)
    left, right = (_project(owner, key, seed, side) for side in "LR")
    ys: list[list[int]] = [[] for _ in left]
    d, e = descriptor.hidden, block_length(descriptor.hidden)
    for index, name in enumerate(descriptor.core_sets):
        chosen = rows_of_set(descriptor, index)
        values = np.zeros((len(chosen), 3, e), dtype=np.int64)
        xs = np.array([left[i][:d] for i in chosen], dtype=np.int64)
        for term in range(3):
            values[:, term, :d] = exact_product(xs, witness.matrices[name][:, term])
        salts = list(zip(*witness.salts(key, name), strict=True))
        for i, row in zip(chosen, values.reshape(len(chosen), -1).tolist(), strict=True):
            tail = [
                (blind + sum(map(int.__mul__, left[i][:d], column))) % R
                for blind, column in zip(left[i][-SALTS:], salts, strict=True)
            ]
            ys[i] = row[: core_columns(d)] + tail
    return ys, right


def exact_product(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    """x c, int64 (n, m), exact, for int64 x (n, d) below 2^31 and int16 c (d, m).

    In double precision, which BLAS multiplies far faster than numpy does integers: x is cut in
    halves of 16 bits, whose products with 16-bit integers add up below 2^53. d is at most 2^16, for
    which the sums fit 64 bits.
    """
    low, high = x & 0xFFFF, x >> 16
    wide = c.astype(np.float64)
    parts = [(half.astype(np.float64) @ wide).astype(np.int64) for half in (high, low)]
    return (parts[0] << 16) + parts[1]


def prove_projection(
    owner: Owner,
    seed: bytes,
    row_points: Sequence[Point],
    transcript: Transcript,
    srs: Srs,
) -> tuple[SetProof, ...]:
    """Prove that ``row_points`` commit to ``projected_rows``.

    row_points: <Y_i> (LEFT), then <B_i> (RIGHT), without ezkl's constant. transcript: fresh,
    holding what else the proof is to be bound to. The owner's files must belong together
    (commitment.commit.check_owner).
    """
    witness, descriptor = owner.witness, owner.descriptor
    key = witness.key(owner.secret)
    left = _project(owner, key, seed, "L")
    absorb_claim(transcript, owner.commitment, seed, row_points)
    generators = srs.lagrange(0, block_length(descriptor.hidden))
    tail = srs.lagrange(core_columns(descriptor.hidden), SALTS)
    masks = [
        mask(f"projection {name}", owner.secret, key, transcript, len(generators))
        for name in descriptor.core_sets
    ]
    firsts = [
        (bn254.msm(generators, m), _image(m, owner.commitment.points[name], tail))
        for m, name in zip(masks, descriptor.core_sets, strict=True)
    ]
    rho = _draw_rho(transcript, firsts)
    found = []
    for index, (m, (first, image)) in enumerate(zip(masks, firsts, strict=True)):
        chosen = rows_of_set(descriptor, index)
        columns = zip(m, zip(*(left[i] for i in chosen), strict=True), strict=True)
        weights = [rho[i] for i in chosen]
        response = [(a + sum(map(int.__mul__, weights, xs))) % R for a, xs in columns]
        found.append(SetProof(first, image, tuple(response)))
    return tuple(found)


def _project(owner: Owner, key: bytes | None, seed: bytes, side: str) -> Rows:
    """P E of one side with the salts: rows of d signed ints and E_SALTS ints in [0, r)."""
    E = owner.witness.matrices["E"]
    sign = signs(seed, side, LEFT if side == "L" else RIGHT, len(E))
    values = exact_product(sign.astype(np.int64), E)
    columns = list(zip(*owner.witness.salts(key, "E"), strict=True))
    totals = [sum(column) for column in columns]
    rows = []
    for value, row in zip(values.tolist(), sign, strict=True):
        minus = (row < 0).tolist()
        salts = [
            (total - 2 * sum(compress(column, minus))) % R
            for total, column in zip(totals, columns, strict=True)
        ]
        rows.append(value + salts)
    return rows


def _image(row: Sequence[int], cores: Sequence[Point], tail: Sequence[Point]) -> Point:
    """sum_j row_j cores_j + sum_t blind_t g_{L+t}, for a row of X or a mask."""
    return bn254.msm([*cores, *tail], [*row[: len(cores)], *row[-SALTS:]])


# --- both sides ----------------------------------------------------------------------------------


def absorb_claim(
    transcript: Transcript, commitment: Commitment, seed: bytes, row_points: Sequence[Point]
) -> None:
    """Hash all that is fixed before the prover's first message. InputError for a wrong seed."""
    if len(seed) != 32:
        raise InputError(f"a sketch seed has 32 bytes, not {len(seed)}")
    transcript.absorb("projection", b"version 2")
    transcript.absorb_commitment(commitment)
    transcript.absorb("seed", seed)
    transcript.absorb_points("rows", row_points)


def _draw_rho(transcript: Transcript, firsts: Sequence[tuple[Point, Point]]) -> list[int]:
    for number, points in enumerate(firsts):
        transcript.absorb_points(f"R and T of set {number}", points)
    return transcript.challenges("rho", LEFT)


def serialise_projection(proof: Sequence[SetProof]) -> bytes:
    """The bytes of a projection proof."""
    points = [point for part in proof for point in (part.mask, part.image)]
    numbers = [number for part in proof for number in part.response]
    return b"".join(map(bn254.compress, points)) + b"".join(n.to_bytes(32, "big") for n in numbers)


def parse_projection(data: bytes, descriptor: Descriptor) -> tuple[SetProof, ...]:
    """The inverse; InputError unless the length is exact and points and numbers are canonical."""
    length, count = block_length(descriptor.hidden), len(descriptor.core_sets)
    size = count * (64 + 32 * length)
    if len(data) != size:
        raise InputError(f"the projection proof has {len(data)} bytes, not {size}")
    points = [bn254.decompress(data[i : i + 32]) for i in range(0, 64 * count, 32)]
    numbers = [int.from_bytes(data[i : i + 32], "big") for i in range(64 * count, size, 32)]
    if any(number >= R for number in numbers):
        raise InputError("the projection proof holds a number that is no canonical field element")
    return tuple(
        SetProof(points[2 * s], points[2 * s + 1], tuple(numbers[s * length : (s + 1) * length]))
        for s in range(count)
    )


# --- the verifier --------------------------------------------------------------------------------


def verify_projection(
    commitment: Commitment,
    seed: bytes,
    proof: Sequence[SetProof],
    row_points: Sequence[Point],
    transcript: Transcript,
    srs: Srs,
) -> None:
    """Check that ``row_points`` commit to the projections of the committed matrices.

    row_points, transcript: as the prover's. InputError, naming the equation, if they do not.
    """
    if len(row_points) != LEFT + RIGHT:
        raise InputError(f"{LEFT + RIGHT} row commitments are needed, not {len(row_points)}")
    length, sets = block_length(commitment.hidden), commitment.descriptor.core_sets
    if [len(part.response) for part in proof] != [length] * len(sets):
        raise InputError(
            f"the projection proof needs {length} numbers for each of {len(sets)} sets"
        )
    absorb_claim(transcript, commitment, seed, row_points)
    rho = _draw_rho(transcript, [(part.mask, part.image) for part in proof])
    transcript.absorb("proof", serialise_projection(proof))
    delta = transcript.challenges("delta", RIGHT)
    equations = _equations(commitment, seed, proof, row_points, rho, delta, srs)
    false = first_false(equations, transcript.challenges("batch", len(equations)))
    if false is not None:
        raise InputError(f"the projection proof's {false} equation does not hold")


def _equations(
    commitment: Commitment,
    seed: bytes,
    proof: Sequence[SetProof],
    row_points: Sequence[Point],
    rho: Sequence[int],
    delta: Sequence[int],
    srs: Srs,
) -> list[Equation]:
    descriptor, embeddings = commitment.descriptor, commitment.points["E"]
    d = descriptor.hidden
    generators = srs.lagrange(0, block_length(d))
    tail = srs.lagrange(core_columns(d), SALTS)
    left, right = (
        signs(seed, side, count, len(embeddings)) for side, count in (("L", LEFT), ("R", RIGHT))
    )
    found = []
    for index, name in enumerate(descriptor.core_sets):
        part, chosen = proof[index], rows_of_set(descriptor, index)
        weights = [rho[i] for i in chosen]
        found.append(
            Equation(
                f"embedding ({name})",
                [*generators, part.mask, *embeddings],
                [*part.response, -1, *(-c for c in combine(weights, left[chosen]))],
            )
        )
        found.append(
            Equation(
                f"core ({name})",
                [*commitment.points[name], *tail, part.image, *(row_points[i] for i in chosen)],
                [*part.response[:d], *part.response[-SALTS:], -1, *(-w for w in weights)],
            )
        )
    found.append(
        Equation(
            "right",
            [*row_points[LEFT:], *embeddings],
            [*delta, *(-c for c in combine(delta, right))],
        )
    )
    return found
