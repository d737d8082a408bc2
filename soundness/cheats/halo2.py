"""Deviations of a prover in the Halo2 part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref_zk.argument.projection import projected_rows
from huref_zk.circuit import halo2
from huref_zk.circuit.encoder import CONDITIONS, encode_exact, load_encoder
from huref_zk.commitment.commit import Owner
from huref_zk.commitment.descriptor import block_length
from huref_zk.curve import bn254
from huref_zk.invariants.sketch import GROUP, LEFT
from tests.support.tampering import OPENING, opening

Rows = list[list[int]]


def rows_under(owner: Owner, seed: bytes) -> Rows:
    """The rows that an honest prover proves under ``seed``: Y, then B."""
    left, right = projected_rows(owner, seed)
    return [list(row) for row in (*left, *right)]


def maps_of(rows: Rows, hidden: int) -> list[list[list[int]]]:
    """The six maps of any rows at all, as the circuit has them: integers."""
    e = block_length(hidden)
    y = np.array([row[: 3 * e] for row in rows[:LEFT]], dtype=object).reshape(LEFT, 3, e)
    b = np.array([row[:hidden] for row in rows[LEFT:]], dtype=object)
    groups = (y[:GROUP, :, :hidden], y[GROUP:, :, :hidden])
    return [(group[:, t] @ b.T).tolist() for group in groups for t in range(3)]


def exact_v(chain, rows: Rows) -> tuple[int, ...]:
    """What the circuit computes from ``rows``."""
    maps = maps_of(rows, chain.commitment.hidden)
    return tuple(encode_exact(load_encoder(), maps, chain.prepared.shape.shift))


def points_of(chain, rows: Rows) -> list[bn254.Point]:
    """The commitments to ``rows``."""
    generators = chain.srs.lagrange(0, max(map(len, rows)))
    return [bn254.msm(generators[: len(row)], row) for row in rows]


def proof_of(chain, rows: Rows) -> tuple[tuple[int, ...], bytes]:
    """(v, a true Halo2 proof of it) for any rows at all."""
    v = exact_v(chain, rows)
    return v, prove(chain, rows, v)


def prove(chain, rows: Rows, v: Sequence[int], conditions: int = CONDITIONS) -> bytes:
    """The Halo2 proof of ``rows``, which opens with the commitments to them."""
    proof = halo2.prove(rows, [*v, conditions], chain.keys, chain.srs, lambda _: None)
    assert proof[:OPENING] == opening(points_of(chain, rows), chain)
    return proof


def fault(chain, proof: bytes, v: Sequence[int], conditions: int = CONDITIONS) -> str | None:
    """What the verifier of Halo2 proofs has against one."""
    return halo2.check(proof, [*v, conditions], chain.keys, chain.srs)


def reopened(chain, proof: bytes, rows: Rows) -> bytes:
    """The proof with its opening replaced by the one for ``rows``."""
    return opening(points_of(chain, rows), chain) + proof[OPENING:]
