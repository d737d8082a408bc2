"""Linear forms of committed rows, proven without showing the rows.

A relation is about a committed matrix with rows row_j, and public numbers c_j, f, b:

    <w, f> = b        with w = sum_j c_j row_j  and f zero on the salts' places

W = sum_j c_j <row_j>, the commitment to w, is computed by the verifier. Protocol, for all relations
at once: send R = <m> and t = <m, f> for a random row m each; receive e; send s = m + e w. Checked:

    <s> = R + e W        <s, f> = t + e b

the first of all relations as one random combination, a single multi-scalar sum. Soundness as in
docs/protocol.md: a point comes with the row behind it, so both equations hold between rows that
were fixed before e, and together say <w, f> = b but with probability 2^-128. Zero knowledge: s is
as uniform as m, and R and t follow from s.

From claims about products of a whole matrix to one relation, by numbers drawn when the claims are
fixed (a false claim survives with probability 2^-127):

    read_by     y_i = x_i M for every i    c = sum_i rho_i x_i     f = gamma
    written_by  y_i = M a_i for every i    c = gamma               f = sum_i rho_i a_i
    standing    y_i = row k_i of M         c = sum_i rho_i e_k_i   f = gamma

with b = sum_i rho_i <gamma, y_i> in all three.

Bytes: for each relation R (32 bytes compressed) and t (32 bytes big-endian, below r); then for each
its s, as many such numbers as its matrix has columns and salts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from huref_zk.argument.batching import Equation, combine_rows, dot, first_false
from huref_zk.argument.batching import combine as combine_small
from huref_zk.argument.masks import mask
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.descriptor import Descriptor
from huref_zk.commitment.file import Commitment
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError
from huref_zk.srs.file import Srs

if TYPE_CHECKING:
    from huref_zk.commitment.commit import Owner


@dataclass(frozen=True)
class Relation:
    """<sum_j rows_j row_j, form> = value. name: for messages; matrix: the committed one; rows: one
    int in [0, r) a row of it; form: one a column; value: in [0, r)."""

    name: str
    matrix: str
    rows: tuple[int, ...]
    form: tuple[int, ...]
    value: int


@dataclass(frozen=True)
class RelationProof:
    """mask: R; image: t; response: s, ints in [0, r)."""

    mask: Point
    image: int
    response: tuple[int, ...]


# --- from claims to relations --------------------------------------------------------------------


def read_by(
    descriptor: Descriptor,
    name: str,
    matrix: str,
    x: np.ndarray,
    claims: Sequence[tuple[int, np.ndarray]],
    transcript: Transcript,
) -> Relation:
    """The relation for y = x M, M being columns of ``matrix``.

    x: integers (N, rows); claims: (first column, y (N, columns of M)), several M without overlap.
    The transcript must hold x and all y; challenges are drawn from it.
    """
    m = descriptor.matrix(matrix)
    rho = transcript.challenges(f"rho of {name}", len(x))
    form, value = [0] * m.columns, 0
    for start, y in claims:
        gamma = transcript.challenges(f"gamma of {name} from {start}", y.shape[1])
        form[start : start + y.shape[1]] = gamma
        value += dot(combine(rho, y), gamma)
    assert x.shape[1] == m.rows and len(form) == m.columns
    return Relation(name, matrix, tuple(combine(rho, x)), tuple(form), value % R)


def written_by(
    descriptor: Descriptor,
    name: str,
    matrix: str,
    start: int,
    a: np.ndarray,
    y: np.ndarray,
    transcript: Transcript,
) -> Relation:
    """The relation for y = a M^T, M being columns of ``matrix`` from ``start`` on.

    a: integers (N, columns of M); y: (N, rows). Transcript as for read_by.
    """
    m = descriptor.matrix(matrix)
    rho = transcript.challenges(f"rho of {name}", len(a))
    gamma = transcript.challenges(f"gamma of {name}", m.rows)
    form = [0] * m.columns
    form[start : start + a.shape[1]] = combine(rho, a)
    assert y.shape[1] == m.rows and len(form) == m.columns
    return Relation(name, matrix, tuple(gamma), tuple(form), dot(combine(rho, y), gamma) % R)


def standing(
    descriptor: Descriptor,
    name: str,
    matrix: str,
    places: Sequence[int],
    y: np.ndarray,
    transcript: Transcript,
) -> Relation:
    """The relation for y_i = row places_i of ``matrix``, salts aside. y: integers (N, columns).

    Transcript as for read_by; it must hold the places, too.
    """
    m = descriptor.matrix(matrix)
    rho = transcript.challenges(f"rho of {name}", len(places))
    gamma = transcript.challenges(f"gamma of {name}", m.columns)
    rows = [0] * m.rows
    for place, weight in zip(places, rho, strict=True):
        rows[place] += weight
    value = dot(combine(rho, y), gamma) % R
    return Relation(name, matrix, tuple(row % R for row in rows), tuple(gamma), value)


def combine(weights: Sequence[int], values: np.ndarray) -> list[int]:
    """sum_i weights_i values_i mod r, for up to 2^12 rows (N, n) of integers up to 2^62."""
    wide = values.astype(np.int64)
    low, high = wide & 0x7FFFFFFF, wide >> 31
    parts = zip(combine_small(weights, low), combine_small(weights, high), strict=True)
    return [(a + (b << 31)) % R for a, b in parts]


# --- the prover ----------------------------------------------------------------------------------


def prove_linear(
    owner: Owner, relations: Sequence[Relation], transcript: Transcript, srs: Srs
) -> tuple[RelationProof, ...]:
    """Prove relations between rows of what ``owner`` committed to.

    transcript: the one that the relations' numbers were drawn from. The owner's files must belong
    together (commitment.commit.check_owner). A false relation gives a proof that fails.
    """
    key = owner.witness.key(owner.secret)
    _absorb(transcript, relations)
    lengths = response_lengths(owner.descriptor, [relation.matrix for relation in relations])
    generators = srs.lagrange(0, max(lengths))
    masks = [
        mask(f"linear {number}", owner.secret, key, transcript, length)
        for number, length in enumerate(lengths)
    ]
    firsts = [
        (bn254.msm(generators[: len(m)], m), dot(m[: len(relation.form)], relation.form) % R)
        for m, relation in zip(masks, relations, strict=True)
    ]
    e = _draw_e(transcript, firsts)
    found = []
    for m, (point, image), relation in zip(masks, firsts, relations, strict=True):
        row = combine_small(relation.rows, owner.witness.values(relation.matrix))
        row += combine_rows(relation.rows, owner.witness.salts(key, relation.matrix))
        response = [(a + e * w) % R for a, w in zip(m, row, strict=True)]
        found.append(RelationProof(point, image, tuple(response)))
    return tuple(found)


# --- both sides ----------------------------------------------------------------------------------


def response_lengths(descriptor: Descriptor, matrices: Sequence[str]) -> list[int]:
    """How many numbers the response of a relation about each of these matrices has."""
    return [m.columns + m.salts for m in map(descriptor.matrix, matrices)]


def _absorb(transcript: Transcript, relations: Sequence[Relation]) -> None:
    transcript.absorb("linear", len(relations).to_bytes(4, "big"))
    for relation in relations:
        transcript.absorb("relation", relation.name.encode())
        transcript.absorb("matrix", relation.matrix.encode())
        for label, numbers in (
            ("rows", relation.rows),
            ("form", relation.form),
            ("value", (relation.value,)),
        ):
            transcript.absorb(label, b"".join(n.to_bytes(32, "big") for n in numbers))


def _draw_e(transcript: Transcript, firsts: Sequence[tuple[Point, int]]) -> int:
    transcript.absorb_points("R", [point for point, _ in firsts])
    transcript.absorb("t", b"".join(t.to_bytes(32, "big") for _, t in firsts))
    return transcript.challenges("e", 1)[0]


def serialise_linear(proof: Sequence[RelationProof]) -> bytes:
    """The bytes of a proof of relations."""
    firsts = [bn254.compress(part.mask) + part.image.to_bytes(32, "big") for part in proof]
    numbers = [number for part in proof for number in part.response]
    return b"".join(firsts) + b"".join(number.to_bytes(32, "big") for number in numbers)


def parse_linear(
    data: bytes, descriptor: Descriptor, matrices: Sequence[str]
) -> tuple[RelationProof, ...]:
    """The inverse, for relations about these matrices. InputError unless the length is exact and
    points and numbers are canonical."""
    lengths = response_lengths(descriptor, matrices)
    size = 32 * (2 * len(lengths) + sum(lengths))
    if len(data) != size:
        raise InputError(f"the linear proof has {len(data)} bytes, not {size}")
    points = [bn254.decompress(data[64 * i : 64 * i + 32]) for i in range(len(lengths))]
    places = [64 * i + 32 for i in range(len(lengths))]
    places += range(64 * len(lengths), size, 32)
    numbers = [int.from_bytes(data[i : i + 32], "big") for i in places]
    if any(number >= R for number in numbers):
        raise InputError("the linear proof holds a number that is no canonical field element")
    images, rest = numbers[: len(lengths)], iter(numbers[len(lengths) :])
    return tuple(
        RelationProof(point, image, tuple(next(rest) for _ in range(length)))
        for point, image, length in zip(points, images, lengths, strict=True)
    )


# --- the verifier --------------------------------------------------------------------------------


def verify_linear(
    commitment: Commitment,
    relations: Sequence[Relation],
    proof: Sequence[RelationProof],
    transcript: Transcript,
    srs: Srs,
) -> None:
    """Check a proof; transcript: as the prover's. InputError, naming the relation, if it fails."""
    _absorb(transcript, relations)
    e = _draw_e(transcript, [(part.mask, part.image) for part in proof])
    transcript.absorb("proof", serialise_linear(proof))
    for part, relation in zip(proof, relations, strict=True):
        shown = dot(part.response[: len(relation.form)], relation.form)
        if (shown - part.image - e * relation.value) % R:
            raise InputError(f"{relation.name}: not what the committed rows give")
    generators = srs.lagrange(0, max(len(part.response) for part in proof))
    equations = [
        Equation(
            relation.name,
            [
                *generators[: len(part.response)],
                part.mask,
                *commitment.points[relation.matrix],
            ],
            [*part.response, -1, *(-e * c for c in relation.rows)],
        )
        for part, relation in zip(proof, relations, strict=True)
    ]
    false = first_false(equations, transcript.challenges("batch", len(equations)))
    if false is not None:
        raise InputError(f"{false}: the response is not of the committed rows")
