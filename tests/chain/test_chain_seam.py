"""The seam between the two proofs: the rows projected are the rows that the circuit encodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref_zk.argument.projection_proof import absorb_claim
from huref_zk.argument.projection_prover import prove_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.encoder import P, encode_exact, load_encoder
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.prove import prove_circuit
from huref_zk.proofs.picture.verify import _check_proof
from tests.support.cheats import FACTOR, ROW, failing, other_row, row_points, rows_exchanged
from tests.support.tampering import OPENING, accepted, forge, opening, refused


def maps_of(chain, rows):
    """A_t B_t^T of the projected rows, as the circuit computes them: (6, P, P) integers."""
    maps, start = [], 0
    for width in chain.commitment.descriptor["widths"] * 2:
        a, b = ([row[start : start + width] for row in part] for part in (rows[:P], rows[P:]))
        maps.append([[sum(x * y for x, y in zip(r, s, strict=True)) for s in b] for r in a])
        start += width
    return maps


def changed_entry(chain, rows):
    """One number of A_1 larger by one."""
    rows[ROW][3] += 1
    return other_row(chain, 0)


def exchanged_rows(chain, rows):
    """B_0 and B_1 exchanged."""
    rows[P], rows[P + 1] = rows[P + 1], rows[P]
    return rows_exchanged(chain, 1)


@pytest.mark.parametrize(("cheat", "broken"), [(changed_entry, 0), (exchanged_rows, 1)])
def test_a_true_halo2_proof_of_other_rows(chain, cheat, broken):
    """Picture, v and Halo2 proof are honest about rows that are not the projected ones."""
    c = chain.commitment
    fresh = Transcript(b"")
    quantised = chain.prepared.quantised
    _, rows = prove_projection(quantised, chain.secret, c, PUBLIC_SEED, P, fresh, chain.srs)
    encoder, shift = load_encoder(), chain.prepared.shape.shift
    assert tuple(encode_exact(encoder, maps_of(chain, rows), shift)) == chain.bundle.v
    steps = cheat(chain, rows)
    v = tuple(encode_exact(encoder, maps_of(chain, rows), shift))
    halo2 = prove_circuit(rows, list(v), chain.keys, chain.srs, lambda _: None)
    generators = chain.srs.lagrange(0, c.length + SALTS)
    assert halo2[:OPENING] == opening([bn254.msm(generators, row) for row in rows], chain)
    bundle = forge(chain, v=v, proof=halo2, **steps)
    _check_proof(bundle, chain.keys, chain.srs)
    assert failing(chain, bundle) == [FACTOR[broken]]
    refused(4, "factor equation", chain, bundle)
    accepted(chain)


def test_a_true_halo2_proof_of_another_models_rows(chain, stranger):
    """And the other way about: true projections, opened by a Halo2 proof that is not about them."""
    theirs = row_points(chain, stranger.bundle)

    def absorb(transcript, commitment, seed, p, points):
        points[:] = theirs
        absorb_claim(transcript, commitment, seed, p, points)

    foreign = forge(chain, v=stranger.bundle.v, proof=stranger.bundle.proof, absorb_claim=absorb)
    _check_proof(foreign, chain.keys, chain.srs)
    assert failing(chain, foreign) == FACTOR
    refused(4, "factor equation", chain, foreign)
    grafted = chain.bundle.proof[:OPENING] + stranger.bundle.proof[OPENING:]
    for v in (chain.bundle.v, stranger.bundle.v):
        bundle = forge(chain, v=v, proof=grafted)
        assert failing(chain, bundle) == []
        refused(5, "does not verify", chain, bundle)
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
        refused(5, "does not verify", chain, replace(chain.bundle, proof=changed))
    same = proof[: at.start] + number.to_bytes(32, "big") + proof[at.stop :]
    accepted(chain, replace(chain.bundle, proof=same))
