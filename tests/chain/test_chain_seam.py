"""The seam between the two proofs: the rows projected are the rows that the circuit encodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.argument.projection import projected_rows
from huref_zk.circuit import halo2
from huref_zk.circuit.halo2 import POINT_BYTES
from huref_zk.commitment.descriptor import block_length
from huref_zk.curve import bn254
from huref_zk.invariants.encoder import CONDITIONS, encode_exact, load_encoder
from huref_zk.invariants.sketch import GROUP, LEFT, PUBLIC_SEED
from tests.support.cheats import ROW, failing, row_points
from tests.support.tampering import OPENING, accepted, forge, opening, refused


def maps_of(chain, rows):
    """Y_t B^T of the projected rows, as the circuit computes them: (6, 16, 16) integers."""
    d = chain.commitment.hidden
    e = block_length(d)
    y = np.array([row[: 3 * e] for row in rows[:LEFT]], dtype=object).reshape(LEFT, 3, e)[..., :d]
    b = np.array([row[:d] for row in rows[LEFT:]], dtype=object)
    groups = [y[:GROUP], y[GROUP:]]
    return [(group[:, t] @ b.T).tolist() for group in groups for t in range(3)]


def encoded(chain, rows):
    return encode_exact(load_encoder(), maps_of(chain, rows), chain.prepared.shape.shift)


def changed_entry(rows):
    """One number of Y_1 larger by one."""
    rows[ROW][3] += 1


def exchanged_rows(rows):
    """B_0 and B_1 exchanged."""
    rows[LEFT], rows[LEFT + 1] = rows[LEFT + 1], rows[LEFT]


@pytest.mark.parametrize(
    ("cheat", "broken"), [(changed_entry, "core (C)"), (exchanged_rows, "right")]
)
def test_a_true_halo2_proof_of_other_rows(chain, cheat, broken):
    """Picture, v and Halo2 proof are honest about rows that are not the projected ones."""
    left, right = projected_rows(chain.owner, PUBLIC_SEED)
    rows = [list(row) for row in left + right]
    assert tuple(encoded(chain, rows)) == chain.bundle.v
    cheat(rows)
    v = encoded(chain, rows)
    proof = halo2.prove(rows, [*v, CONDITIONS], chain.keys, chain.srs, lambda _: None)
    generators = chain.srs.lagrange(0, max(map(len, rows)))
    points = [bn254.msm(generators[: len(row)], row) for row in rows]
    assert proof[:OPENING] == opening(points, chain, proof)
    bundle = forge(chain, v=tuple(v), proof=proof, points=points)
    assert halo2.check(proof, [*v, CONDITIONS], chain.keys, chain.srs) is None
    assert failing(chain, bundle) == [broken]
    refused(4, broken.split()[0], chain, bundle)
    accepted(chain)


def test_a_true_halo2_proof_of_another_models_rows(chain, stranger):
    """And the other way about: true projections, opened by a Halo2 proof that is not about them."""
    theirs = row_points(chain, stranger.bundle)
    foreign = forge(chain, v=stranger.bundle.v, proof=stranger.bundle.proof, points=theirs)
    assert failing(chain, foreign) == ["core (C)", "right"]
    refused(4, "core", chain, foreign)
    rows = OPENING - POINT_BYTES
    for cut in (OPENING, rows):  # with our commitment to the maps, and with theirs
        grafted = chain.bundle.proof[:cut] + stranger.bundle.proof[cut:]
        for v in (chain.bundle.v, stranger.bundle.v):
            bundle = forge(chain, v=v, proof=grafted)
            assert failing(chain, bundle) == []
            refused(5, "does not hold", chain, bundle)
    accepted(chain)
    accepted(stranger)


@pytest.mark.parametrize("word", [OPENING // 32, 300, 500, 700, -4, -1])
def test_words_of_the_halo2_proof(chain, word):
    """Off by one, or written with the order of its field added."""
    proof = chain.bundle.proof
    word %= len(proof) // 32
    at = slice(32 * word, 32 * word + 32)
    number = int.from_bytes(proof[at], "big")
    for other in (number ^ 1, number + bn254.R, number + bn254.Q):
        changed = proof[: at.start] + other.to_bytes(32, "big") + proof[at.stop :]
        refused(5, "does not hold", chain, replace(chain.bundle, proof=changed))
    same = proof[: at.start] + number.to_bytes(32, "big") + proof[at.stop :]
    accepted(chain, replace(chain.bundle, proof=same))
