"""What the refusal tests share: taking bundles apart, judging them, and a prover who deviates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from unittest.mock import patch

import pytest

from huref_zk.argument import projection_prover as prover
from huref_zk.argument.projection_proof import absorb_claim, serialise_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.file import MAGIC as COMMITMENT_MAGIC
from huref_zk.commitment.file import Commitment, parse_commitment, serialise
from huref_zk.commitment.kzg import blank
from huref_zk.curve import bn254
from huref_zk.errors import StepFailed
from huref_zk.files.container import canonical_json, pack_container
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.file import FORMAT, MAGIC, SECTIONS, Bundle, encode_v
from huref_zk.proofs.picture.prove import P
from huref_zk.proofs.picture.statement import claim, statement_digest
from huref_zk.proofs.picture.verify import ROWS, Policy, Report, verify_file
from huref_zk.render import render

ALLOW = Policy(allow_test_setup=True)
OPENING = 64 * ROWS  # bytes of the row commitments at the start of a Halo2 proof


def raw(header: bytes, sections: list[bytes], magic: bytes = MAGIC) -> bytes:
    """A container as anybody can write it, checking nothing."""
    return magic + len(header).to_bytes(4, "big") + header + b"".join(sections)


def plain_json(value: dict) -> bytes:
    """JSON as canonical_json writes it, of values that it would refuse."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sections_of(bundle: Bundle) -> dict[str, bytes]:
    parts = (bundle.commitment, bundle.projection, encode_v(bundle.v), bundle.proof)
    return dict(zip(SECTIONS, parts, strict=True))


def pack(header: dict, sections: dict[str, bytes]) -> bytes:
    """A bundle file whose header gives these sections' lengths."""
    lengths = {f"{name}_bytes": len(part) for name, part in sections.items()}
    return raw(plain_json({**header, **lengths}), list(sections.values()))


def pack_bundle(bundle: Bundle) -> bytes:
    return pack(bundle.header, sections_of(bundle))


def judge(chain, tampered: bytes | Bundle, **changes) -> Report:
    """verify_file on ``tampered`` with the chain's own files, keys and generator, or ``changes``:
    expected, image, policy, cache, generator."""
    data = pack_bundle(tampered) if isinstance(tampered, Bundle) else tampered
    path = chain.bundle_file.with_name("tampered.hzp")
    path.write_bytes(data)
    arguments = {
        "expected": chain.commitment_file,
        "image": chain.image_file,
        "policy": ALLOW,
        "cache": chain.cache,
        "generator": chain.generator_file,
        **changes,
    }
    return verify_file(path, **arguments)


_held: set[tuple[str, str]] = set()


def accepted(chain, honest: bytes | Bundle | None = None, **changes) -> None:
    """All eight steps hold: by default for the untouched bundle, the control of every refusal.

    The same bytes under the chain's own files are verified once a session.
    """
    data = chain.bundle_file.read_bytes() if honest is None else honest
    data = pack_bundle(data) if isinstance(data, Bundle) else data
    key = (chain.commitment.root_hex, hashlib.sha256(data).hexdigest())
    if changes or key not in _held:
        report = judge(chain, data, **changes)
        assert [step.number for step in report.steps] == list(range(8))
    if not changes:
        _held.add(key)


def refused(step: int, words: str | None, chain, tampered: bytes | Bundle, **changes) -> None:
    """Exactly this step refuses; any other exception fails the test."""
    with pytest.raises(StepFailed, match=words) as caught:
        judge(chain, tampered, **changes)
    assert caught.value.step == step, str(caught.value)
    assert "\n" not in str(caught.value)


def with_descriptor(commitment: Commitment, descriptor: dict) -> Commitment:
    """The same points under another descriptor, hence another root."""
    body = serialise(commitment)[12 + len(canonical_json(commitment.descriptor)) :]
    return parse_commitment(pack_container(COMMITMENT_MAGIC, descriptor, [body]))


def with_points(commitment: Commitment, **points) -> Commitment:
    """The same descriptor over other points, with its true root."""
    return parse_commitment(serialise(replace(commitment, **points)))


def opening(points, chain) -> bytes:
    """How a Halo2 proof opens with these row commitments: ezkl's constant comes on top."""
    constant = blank(chain.srs, chain.keys.record.unusable)
    return b"".join(bn254.encode_uncompressed(bn254.add(p, constant)) for p in points)


def forge(
    chain,
    *,
    header: dict | None = None,
    v: tuple[int, ...] | None = None,
    seed: bytes = PUBLIC_SEED,
    commitment: Commitment | None = None,
    proof: bytes | None = None,
    quantised=None,
    secret: bytes | None = None,
    **steps,
) -> Bundle:
    """The bundle of a prover who deviates only as told; told nothing, it is the honest one.

    header: fields that say something else. v: another claimed vector. seed, commitment, quantised,
    secret: what is projected, and from what. steps: functions that replace prover's own of the same
    name. proof: the Halo2 proof, by default the honest one, opening with the row commitments that
    the projection proof was made for.
    """
    commitment = commitment or chain.commitment
    v = chain.bundle.v if v is None else v
    pixels = render(list(v), chain.generator)
    full = claim(commitment, seed, chain.prepared.shape, chain.generator, pixels)
    full |= {"format": FORMAT, **(header or {})}
    points: list = []

    def recording(transcript, commitment, seed, p, row_points):
        steps.get("absorb_claim", absorb_claim)(transcript, commitment, seed, p, row_points)
        points.extend(row_points)

    honest_check = {"_check_ours": lambda *_: None}  # it only keeps owners from mistakes
    with patch.multiple(prover, **{**honest_check, **steps, "absorb_claim": recording}):
        projection, _ = prover.prove_projection(
            quantised or chain.prepared.quantised,
            secret or chain.secret,
            commitment,
            seed,
            P,
            Transcript(statement_digest(full, v)),
            chain.srs,
        )
    if proof is None:
        proof = opening(points, chain) + chain.bundle.proof[OPENING:]
    return Bundle(full, serialise(commitment), serialise_projection(projection), tuple(v), proof)
