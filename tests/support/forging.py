"""A prover who deviates as told, and the judging of what comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest.mock import patch

import pytest

from huref_zk.argument import projection_prover as prover
from huref_zk.argument.projection_proof import absorb_claim, serialise_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.encoder import P
from huref_zk.commitment.file import MAGIC as COMMITMENT_MAGIC
from huref_zk.commitment.file import Commitment, parse_commitment, serialise
from huref_zk.commitment.kzg import blank
from huref_zk.curve import bn254
from huref_zk.errors import StepFailed
from huref_zk.files.container import canonical_json, pack_container
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.verify import ROWS, Policy, Report
from huref_zk.proofs.similarity.exact import Range
from huref_zk.proofs.similarity.file import MAGIC, SECTIONS, PairBundle, statement_digest
from huref_zk.proofs.similarity.prove import claim
from huref_zk.proofs.similarity.verify import PairPolicy, verify_file

ALLOW = PairPolicy(Policy(allow_test_setup=True))


def pack(bundle: PairBundle) -> bytes:
    """The file of a bundle, with its sections' true lengths, checking nothing else."""
    lengths = {f"{n}_bytes": len(s) for n, s in zip(SECTIONS, bundle.sections, strict=True)}
    header = json.dumps({**bundle.header, **lengths}, sort_keys=True, separators=(",", ":"))
    start = MAGIC + len(header).to_bytes(4, "big") + header.encode()
    return start + b"".join(bundle.sections)


def judge(pair, tampered: bytes | PairBundle, roots=None, policy=ALLOW) -> tuple[Report, Range]:
    """verify_file with the pair's roots and keys, or the given ones."""
    data = pack(tampered) if isinstance(tampered, PairBundle) else tampered
    path = pair.chains[0].bundle_file.with_name("tampered.hzs")
    path.write_bytes(data)
    return verify_file(path, roots or pair.roots, policy, pair.chains[0].cache)


def accepted(pair, honest: bytes | PairBundle, **changes) -> Range:
    """All seven steps hold; returns what is shown."""
    report, shown = judge(pair, honest, **changes)
    assert [step.number for step in report.steps] == list(range(7))
    return shown


def refused(step: int, words: str, pair, tampered: bytes | PairBundle, **changes) -> None:
    """Exactly this step refuses; any other exception fails the test."""
    with pytest.raises(StepFailed, match=words) as caught:
        judge(pair, tampered, **changes)
    assert caught.value.step == step, str(caught.value)
    assert "\n" not in str(caught.value)


def with_header(bundle: PairBundle, **fields) -> PairBundle:
    return replace(bundle, header={**bundle.header, **fields})


def with_descriptor(commitment: Commitment, **fields) -> Commitment:
    """The same points under another descriptor, hence another root."""
    body = serialise(commitment)[12 + len(canonical_json(commitment.descriptor)) :]
    descriptor = {**commitment.descriptor, **fields}
    return parse_commitment(pack_container(COMMITMENT_MAGIC, descriptor, [body]))


def columns(pair, proof: bytes) -> list:
    """The column commitments that a Halo2 proof opens with, without ezkl's constant."""
    constant = bn254.negate(blank(pair.chains[0].srs, pair.keys.record.unusable))
    points = [proof[i : i + 64] for i in range(0, 64 * (2 * ROWS + 1), 64)]
    return [bn254.add(bn254.decode_uncompressed(point), constant) for point in points]


def forge(
    pair,
    proof: bytes,
    bounds: Range,
    *,
    seed: bytes = PUBLIC_SEED,
    claimed_points: bool = False,
    models: tuple[int, int] = (0, 1),
    **header,
) -> PairBundle:
    """A bundle for ``bounds`` around a ready Halo2 proof, its projection proofs made anew.

    They are honest but for what is told: claimed_points: they claim the rows that the Halo2 proof
    opens with, whatever was projected. models: what each is told it is the model's of.
    """
    made = {**claim(pair.shape, pair.members, seed, bounds), **header}
    opened = columns(pair, proof)
    projections = []
    for place, (model, m) in enumerate(zip(models, pair.members, strict=True)):
        theirs = opened[place * ROWS : (place + 1) * ROWS]

        def absorb(transcript, commitment, seed, p, points, theirs=theirs):
            if claimed_points:
                points[:] = theirs
            absorb_claim(transcript, commitment, seed, p, points)

        transcript = Transcript(statement_digest(made, model))
        with patch.object(prover, "absorb_claim", absorb):
            projection, _ = prover.prove_projection(
                m.prepared.quantised, m.secret, m.commitment, seed, P, transcript,
                pair.chains[0].srs,
            )  # fmt: skip
        projections.append(serialise_projection(projection))
    commitments = (serialise(pair.members[0].commitment), serialise(pair.members[1].commitment))
    return PairBundle(made, commitments, (projections[0], projections[1]), proof)


def rows_of(pair, model: int, seed: bytes = PUBLIC_SEED) -> list[list[int]]:
    """The 2 P projected rows of one model, salts and all."""
    m = pair.members[model]
    fresh = Transcript(b"")
    _, rows = prover.prove_projection(
        m.prepared.quantised, m.secret, m.commitment, seed, P, fresh, pair.chains[0].srs
    )
    return rows
