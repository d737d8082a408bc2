"""Deviations of a prover in the Halo2 part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from huref_zk.argument.projection_proof import absorb_claim
from huref_zk.argument.projection_prover import prove_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.encoder import P, encode_exact, load_encoder
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.native import ezkl as runner
from huref_zk.proofs.picture.prove import prove_circuit
from tests.support.cheats import row_points  # tests/chain/cheats.py
from tests.support.tampering import OPENING, opening


def rows_under(chain, seed: bytes) -> list[list[int]]:
    """The rows of the chain's model that an honest prover proves under ``seed``."""
    _, rows = prove_projection(
        chain.prepared.quantised,
        chain.secret,
        chain.commitment,
        seed,
        P,
        Transcript(b""),
        chain.srs,
    )
    return rows


def exact_v(chain, rows: list[list[int]]) -> tuple[int, ...]:
    """What the circuit computes from ``rows``."""
    maps, start = [], 0
    for width in chain.prepared.shape.widths * 2:
        a, b = ([row[start : start + width] for row in part] for part in (rows[:P], rows[P:]))
        maps.append([[sum(x * y for x, y in zip(r, s, strict=True)) for s in b] for r in a])
        start += width
    return tuple(encode_exact(load_encoder(), maps, chain.prepared.shape.shift))


def true_opening(chain, rows: list[list[int]]) -> bytes:
    """How a Halo2 proof about ``rows`` has to open."""
    generators = chain.srs.lagrange(0, chain.commitment.length + SALTS)
    return opening([bn254.msm(generators, row) for row in rows], chain)


def proof_of(chain, rows: list[list[int]]) -> tuple[tuple[int, ...], bytes]:
    """(v, a true Halo2 proof of it) for any rows at all."""
    v = exact_v(chain, rows)
    proof = prove_circuit(rows, list(v), chain.keys, chain.srs, lambda _: None)
    assert proof[:OPENING] == true_opening(chain, rows)
    return v, proof


def reopened(chain, proof: bytes, rows: list[list[int]]) -> bytes:
    """The proof with its opening replaced by the one for ``rows``."""
    return true_opening(chain, rows) + proof[OPENING:]


def fitted(chain, proof: bytes) -> dict:
    """For `forge`: the projection proof made for the row commitments that ``proof`` opens with."""
    theirs = row_points(chain, replace(chain.bundle, proof=proof))

    def absorb(transcript, commitment, seed, p, points):
        points[:] = theirs
        absorb_claim(transcript, commitment, seed, p, points)

    return {"absorb_claim": absorb}


def witness_with_another_output(chain, rows: list[list[int]], folder: Path) -> bytes | None:
    """What ezkl's prover makes of a witness whose first output was raised by one; None if it will
    not make anything."""
    data = [[(x % R).to_bytes(32, "little").hex() for x in row] for row in rows]
    (folder / "input.json").write_text(json.dumps({"input_data": data}))
    witness, proof = folder / "witness.json", folder / "proof.json"
    runner.run(
        "gen_witness",
        data=folder / "input.json",
        model=chain.keys.circuit,
        output=witness,
        vk_path=chain.keys.vk,
        srs_path=chain.srs.path,
    )
    content = json.loads(witness.read_text())
    first = int.from_bytes(bytes.fromhex(content["outputs"][0][0]), "little")
    content["outputs"][0][0] = ((first + 1) % R).to_bytes(32, "little").hex()
    witness.write_text(json.dumps(content))
    try:
        runner.run(
            "prove",
            witness=witness,
            model=chain.keys.circuit,
            pk_path=chain.keys.pk,
            proof_path=proof,
            srs_path=chain.srs.path,
        )
    except runner.EzklFailed:
        return None
    return bytes(json.loads(proof.read_text())["proof"])
