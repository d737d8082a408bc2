"""Prove that committed rows are projections of the committed matrices (docs/protocol.md).

With X = P E (salts included), side L claims for each of its p rows

    A_i = X_i[:d] U   followed by   X_i[:d] S + blind_i        (S: the salts of U's rows,
                                                                blind_i: side L's blinds in X_i)

and side R the same of B, P_R and V. In commitments, with g_t the t-th Lagrange point:

    <A_i> = sum_j X_ij <U_j> + sum_t blind_it g_{L+t}

Protocol, for each side: send R = <m> and T = the same expression with a random m in place of X_i;
receive rho; send y = m + sum_i rho_i X_i.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import compress

import numpy as np

from huref_zk.argument.projection_proof import (
    SIDES,
    ProjectionProof,
    SideProof,
    absorb_claim,
    draw_rho,
)
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.file import Commitment, side_by_side
from huref_zk.commitment.salts import E_SALTS, SALTS, blinds, row_salts, salt_key
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError
from huref_zk.invariants.quantise import Quantised, projected
from huref_zk.invariants.sketch import signs as sketch_signs
from huref_zk.srs.file import Srs

_WIDE = 48  # bytes a mask entry is reduced from: a bias below 2^-129


def prove_projection(
    quantised: Quantised,
    secret: bytes,
    commitment: Commitment,
    seed: bytes,
    p: int,
    transcript: Transcript,
    srs: Srs,
) -> tuple[ProjectionProof, list[list[int]]]:
    """The proof, and the 2 p projected rows: A_0..A_{p-1}, then B_0..B_{p-1}.

    A row has L + SALTS integers: L signed values, then salts in [0, r); they are the circuit's
    inputs. transcript: fresh, holding what else the proof is to be bound to. InputError when
    model or secret are not the commitment's.
    """
    matrices = side_by_side(quantised)
    key = salt_key(secret, matrices)
    salts = [row_salts(key, index, len(matrix)) for index, matrix in enumerate(matrices)]
    _check_ours(commitment, matrices, salts, srs)
    generators = srs.lagrange(0, commitment.hidden + E_SALTS)
    tail = srs.lagrange(commitment.length, SALTS)

    signs = [sketch_signs(seed, name, p, len(quantised.E)) for name in SIDES]
    factor_points = (commitment.U_points, commitment.V_points)
    xs = [_project(sign, quantised.E, salts[0]) for sign in signs]
    rows: list[list[int]] = []
    row_points: list[Point] = []
    for side, values in enumerate(projected(quantised, seed, p)):
        rows += _with_salts(values, xs[side], salts[1 + side], side)
        row_points += [_image(x, factor_points[side], tail, side) for x in xs[side]]
    absorb_claim(transcript, commitment, seed, p, row_points)

    masks = [_mask(secret, key, transcript, side, len(generators)) for side in range(2)]
    firsts = [
        (bn254.msm(generators, mask), _image(mask, factor_points[side], tail, side))
        for side, mask in enumerate(masks)
    ]
    rhos = draw_rho(transcript, firsts, p)
    sides = [
        SideProof(first[0], first[1], _respond(mask, rho, x))
        for first, mask, rho, x in zip(firsts, masks, rhos, xs, strict=True)
    ]
    return ProjectionProof((sides[0], sides[1])), rows


def _check_ours(
    commitment: Commitment,
    matrices: Sequence[np.ndarray],
    salts: Sequence[list[list[int]]],
    srs: Srs,
) -> None:
    """Recommit to the first row of each matrix."""
    if srs.sha256 != commitment.descriptor["srs"]["sha256"]:
        raise InputError("the commitment was made under another SRS than the one given")
    longest = max(commitment.hidden + E_SALTS, commitment.length + SALTS)
    generators = srs.lagrange(0, longest)
    groups = (commitment.E_points, commitment.U_points, commitment.V_points)
    for matrix, tails, points in zip(matrices, salts, groups, strict=True):
        row = [int(v) for v in matrix[0]] + tails[0]
        same = len(points) == len(matrix) and len(row) <= longest
        if not same or bn254.msm(generators[: len(row)], row) != points[0]:
            raise InputError(
                "the commitment is not one of this model under this secret; "
                "use the files that 'commit' wrote for it"
            )


def _project(sign: np.ndarray, E: np.ndarray, salts: list[list[int]]) -> list[list[int]]:
    """X = P E with the salts of E: p rows of d signed ints and E_SALTS ints in [0, r)."""
    values = sign.astype(np.int64) @ E.astype(np.int64)
    columns = list(zip(*salts, strict=True))
    totals = [sum(column) for column in columns]
    rows = []
    for value, row in zip(values.tolist(), sign, strict=True):
        minus = (row < 0).tolist()
        tail = [
            (total - 2 * sum(compress(column, minus))) % R
            for total, column in zip(totals, columns, strict=True)
        ]
        rows.append(value + tail)
    return rows


def _with_salts(
    values: np.ndarray, xs: list[list[int]], salts: list[list[int]], side: int
) -> list[list[int]]:
    """The projected rows, their values (p, L) followed by SALTS ints in [0, r) each."""
    rows = []
    columns = list(zip(*salts, strict=True))
    for value, x in zip(values.tolist(), xs, strict=True):
        entries, blind = x[: len(salts)], x[len(salts) :][blinds(side)]
        tail = [
            (b + sum(a * s for a, s in zip(entries, column, strict=True))) % R
            for b, column in zip(blind, columns, strict=True)
        ]
        rows.append(value + tail)
    return rows


def _image(row: Sequence[int], points: Sequence[Point], tail: Sequence[Point], side: int) -> Point:
    """sum_j row_j points_j + sum_t blind_t g_{L+t}, for a row of X or a mask."""
    d = len(points)
    return bn254.msm([*points, *tail], [*row[:d], *row[d:][blinds(side)]])


def _mask(secret: bytes, key: bytes, transcript: Transcript, side: int, length: int) -> list[int]:
    """m: uniform to everybody else, and never the same under two different challenges.

    Everything that decides the challenge but m itself is hashed into m (the transcript holds the
    claim and the row commitments), as in deterministic signatures: the same claim gives the same
    m, hence the same R, T and challenge; another claim gives an unrelated m. No random number
    generator can fail here.
    """
    start = b"huref-zk mask 1" + secret + key + transcript.digest() + bytes([side])
    stream = hashlib.shake_256(start).digest(_WIDE * length)
    return [int.from_bytes(stream[i : i + _WIDE], "big") % R for i in range(0, len(stream), _WIDE)]


def _respond(
    mask: Sequence[int], rho: Sequence[int], x: Sequence[Sequence[int]]
) -> tuple[int, ...]:
    """y = m + sum_i rho_i X_i."""
    return tuple(
        (m + sum(c * v for c, v in zip(rho, column, strict=True))) % R
        for m, column in zip(mask, zip(*x, strict=True), strict=True)
    )
