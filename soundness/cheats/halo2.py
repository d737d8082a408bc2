"""Deviations of a prover in the Halo2 part."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from huref_zk.argument.projection import projected_rows
from huref_zk.circuit import halo2
from huref_zk.circuit.product import Weights, combined_row, exact_maps
from huref_zk.circuit.shape import TERMS
from huref_zk.commitment.commit import Owner
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.invariants.encoder import (
    CONDITIONS,
    NORM_MAX,
    NORM_MIN,
    encode_exact,
    load_encoder,
    norms,
)
from huref_zk.invariants.sketch import GROUP, GROUPS, LEFT, RIGHT
from tests.support.tampering import OPENING, opening

Rows = list[list[int]]
Maps = list[list[list[int]]]


def rows_under(owner: Owner, seed: bytes) -> Rows:
    """The rows that an honest prover proves under ``seed``: Y, then B."""
    left, right = projected_rows(owner, seed)
    return [list(row) for row in (*left, *right)]


def maps_of(rows: Rows) -> Maps:
    """The six maps of any rows at all."""
    return exact_maps(rows[:LEFT], rows[LEFT:])


def outputs_of(chain, maps: Maps) -> tuple[tuple[int, ...], int]:
    """(v, how many conditions hold) of any maps whose norms are not zero, as the circuit says."""
    encoder, shift = load_encoder(), chain.prepared.shape.shift
    sizes = norms(encoder, maps, shift)
    held = sum((n >= NORM_MIN) + (n <= NORM_MAX) for n in sizes)
    return tuple(encode_exact(encoder, maps, shift)), held


def points_of(chain, rows: Rows) -> list[bn254.Point]:
    """The commitments to ``rows``."""
    generators = chain.srs.lagrange(0, max(map(len, rows)))
    return [bn254.msm(generators[: len(row)], row) for row in rows]


def proof_of(chain, rows: Rows) -> tuple[tuple[int, ...], bytes]:
    """(v, a true Halo2 proof of it) for any rows at all."""
    v, held = outputs_of(chain, maps_of(rows))
    return v, proven(chain, rows, v, held)


def proven(chain, rows: Rows, v: Sequence[int], held: int = CONDITIONS) -> bytes:
    """The Halo2 proof of ``rows``, which opens with the commitments to them."""
    proof = halo2.prove(rows, [*v, held], chain.keys, chain.srs, lambda _: None)
    assert proof[:OPENING] == opening(points_of(chain, rows), chain, proof)
    return proof


def fault(chain, proof: bytes, v: Sequence[int], held: int = CONDITIONS) -> str | None:
    """What the verifier of Halo2 proofs has against one."""
    return halo2.check(proof, [*v, held], chain.keys, chain.srs)


def reopened(chain, proof: bytes, rows: Rows) -> bytes:
    """The proof with its row commitments replaced by those of ``rows``."""
    return opening(points_of(chain, rows), chain, proof) + proof[OPENING:]


# --- maps that are not the products of the rows --------------------------------------------------


def with_maps(chain, rows: Rows, maps: Maps) -> tuple[bytes, tuple[int, ...], int, list[int]]:
    """(proof, v, conditions, gap) of a prover who commits to these maps whatever the rows are.

    gap: what the circuit says the maps are off by, for each term: zeros if they are the products.
    """
    v, held = outputs_of(chain, maps)
    entries = [entry for m in maps for line in m for entry in line] + [1] * SALTS
    points = halo2.commit_columns([*rows, entries], chain.keys, chain.srs)
    weights = halo2._weights(points, chain.keys)
    left, right = combined_row(rows[:LEFT], weights.left), combined_row(rows[LEFT:], weights.right)
    gap = gap_of(left, right, maps, weights)
    made = halo2.prove_columns(
        [left, right, entries, weights.column],
        [*v, held, *gap],
        chain.keys,
        chain.srs,
        lambda _: None,
    )
    return b"".join(map(bn254.compress, points)) + made, v, held, gap


def gap_of(left: list[int], right: list[int], maps: Maps, weights: Weights) -> list[int]:
    """For each term the product of the combined rows less the weighted sum of the maps."""
    block, gap = len(right), []
    for t in range(TERMS):
        part = left[block * t : block * t + block - E_SALTS]
        product = sum(a * b for a, b in zip(part, right, strict=False))
        weighted = sum(
            weights.left[GROUP * s + a] * weights.right[b] * maps[TERMS * s + t][a][b]
            for s in range(GROUPS)
            for a in range(GROUP)
            for b in range(RIGHT)
        )
        gap.append((product - weighted) % R)
    return gap


def known_weights():
    """A verifier whose weights do not depend on what was committed to: 3, 4, 5, ..."""
    weights = Weights(tuple(range(3, 3 + LEFT)), tuple(range(40, 40 + RIGHT)))
    return patch.object(halo2, "_weights", lambda *_: weights)


def cancelling(maps: Maps, by: int) -> Maps:
    """Two entries of the first map off such that nothing is seen under ``known_weights``."""
    false = [[list(line) for line in m] for m in maps]
    false[0][0][0] += 41 * by
    false[0][0][1] -= 40 * by
    return false
