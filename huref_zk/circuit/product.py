"""The maps as products of committed rows, without multiplying the rows in the circuit.

The left rows Y_a = (Y_a0 | Y_a1 | Y_a2), three blocks, and the right rows B_b are committed to one
by one. Map M_t of term t has the entries <Y_at, B_b>, salts left out: 32 x 16 products of vectors
of length d, three times. Proving them one by one would take a circuit a hundred times as large as
everything that follows. Instead the prover commits to all entries of the maps, hears weights
w_0 .. w_31 and w'_0 .. w'_15 that are a hash of all commitments so far, and proves for each term

    sum_ab w_a w'_b M_t[a, b]  =  < sum_a w_a Y_at,  sum_b w'_b B_b >.

If one entry of M_t is not what it should be, the two sides, as polynomials in the weights, differ,
so that they agree for at most 2 in 2^128 weights (Schwartz and Zippel; the degree is 2). The
combined rows are columns of the circuit, and their commitments are the same combinations of the
rows' commitments: the verifier makes those itself, as well as the commitment to the column that
holds the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.shape import TERMS
from huref_zk.commitment.salts import E_SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.invariants.sketch import GROUPS, LEFT, RIGHT
from huref_zk.srs.file import Srs

Row = Sequence[int]


@dataclass(frozen=True)
class Weights:
    """One number in [0, 2^128) for each row: left (LEFT), right (RIGHT)."""

    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def column(self) -> list[int]:
        """The circuit's input."""
        return [*self.left, *self.right]


def draw_weights(transcript: Transcript) -> Weights:
    """The weights; ``transcript`` must hold the commitments to the rows and to the maps."""
    drawn = transcript.challenges("weights", LEFT + RIGHT)
    return Weights(tuple(drawn[:LEFT]), tuple(drawn[LEFT:]))


def exact_maps(left: Sequence[Row], right: Sequence[Row]) -> list[list[list[int]]]:
    """The six maps of whole rows, map 3 s + t of group s of the left rows: 6 x 16 x 16 integers.

    left: LEFT rows of 3 e entries; right: RIGHT rows of e; the last E_SALTS of each block are not
    looked at.
    """
    block = len(right[0])
    values = slice(0, block - E_SALTS)
    rows = np.array([row[values] for row in right], dtype=object).T
    blocks = np.array(left, dtype=object).reshape(GROUPS, LEFT // GROUPS, TERMS, block)
    maps = [blocks[s, :, t, values] @ rows for s in range(GROUPS) for t in range(TERMS)]
    return [m.tolist() for m in maps]


def combined_row(rows: Sequence[Row], weights: Sequence[int]) -> list[int]:
    """sum_i weights_i rows_i, entry by entry, in [0, r)."""
    total = np.array(rows, dtype=object).T @ np.array(weights, dtype=object)
    return [int(x) % R for x in total]


def combined_points(
    left: Sequence[Point], right: Sequence[Point], weights: Weights, srs: Srs
) -> tuple[Point, Point, Point]:
    """Commitments to the combined left row, the combined right row and the column of weights."""
    column = weights.column
    return (
        bn254.msm(left, weights.left),
        bn254.msm(right, weights.right),
        bn254.msm(srs.lagrange(0, len(column)), column),
    )
