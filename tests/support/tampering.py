"""What the refusal tests share: taking bundles apart, judging them, and a prover who deviates."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any
from unittest.mock import patch

import pytest

from huref_zk.argument import projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.commitment.commit import Owner
from huref_zk.commitment.file import Commitment, make_commitment, serialise
from huref_zk.curve import bn254
from huref_zk.errors import StepFailed
from huref_zk.files.container import Format
from huref_zk.files.formats import BUNDLE
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.kernel import STEPS, Report
from huref_zk.proofs.picture.file import Bundle, Claim, claim_of, encode_v
from huref_zk.proofs.picture.verify import verify_file
from huref_zk.render import render

NAMES = [name for name, _ in STEPS["picture"]]
OPENING = halo2.POINT_BYTES * halo2.HEAD_POINTS  # bytes at the start of a proof: rows and maps


def raw(header: bytes, sections: list[bytes], fmt: Format = BUNDLE) -> bytes:
    """A file as anybody can write it, checking nothing."""
    parts = [fmt.magic, len(header).to_bytes(4, "big"), header]
    for section in sections:
        parts += [len(section).to_bytes(8, "big"), section]
    return b"".join(parts)


def plain_json(value: dict[str, Any]) -> bytes:
    """JSON as canonical_json writes it, of values that it would refuse."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def header_of(bundle: Bundle) -> dict[str, Any]:
    return asdict(bundle.claim)


def sections_of(bundle: Bundle) -> dict[str, bytes]:
    parts = (bundle.commitment, bundle.projection, encode_v(bundle.v), bundle.proof)
    return dict(zip(BUNDLE.sections, parts, strict=True))


def pack(header: dict[str, Any], sections: dict[str, bytes]) -> bytes:
    """A bundle file of this header and these sections."""
    return raw(plain_json(header), list(sections.values()))


def pack_bundle(bundle: Bundle) -> bytes:
    return pack(header_of(bundle), sections_of(bundle))


def judge(chain, tampered: bytes | Bundle, **changes) -> Report:
    """verify_file on ``tampered`` with the chain's own files, keys and generator, or ``changes``:
    expected, image, policy, setup, generator."""
    data = pack_bundle(tampered) if isinstance(tampered, Bundle) else tampered
    path = chain.bundle_file.with_name("tampered.hzp")
    path.write_bytes(data)
    arguments = {
        "expected": chain.commitment_file,
        "image": chain.image_file,
        "setup": chain.setup,
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
    assert (caught.value.step, caught.value.name) == (step, NAMES[step]), str(caught.value)
    assert "\n" not in str(caught.value)


def with_descriptor(commitment: Commitment, **changes: Any) -> Commitment:
    """The same points under a changed descriptor, hence another root."""
    return make_commitment(replace(commitment.descriptor, **changes), commitment.points)


def with_points(commitment: Commitment, **points) -> Commitment:
    """The same descriptor over other points, with its true root."""
    return make_commitment(commitment.descriptor, {**commitment.points, **points})


def opening(points, chain, proof: bytes | None = None) -> bytes:
    """How a proof opens with these row commitments, ezkl's constant on top, and the maps'
    commitment of ``proof``, by default the honest one."""
    constant = halo2.blank_point(chain.keys, chain.srs)
    rows = b"".join(bn254.compress(bn254.add(p, constant)) for p in points)
    return rows + (proof or chain.bundle.proof)[len(rows) : OPENING]


def committed_rows(owner: Owner, seed: bytes, srs) -> list[bn254.Point]:
    """<Y_i>, then <B_i>, by definition."""
    left, right = projection.projected_rows(owner, seed)
    generators = srs.lagrange(0, max(map(len, left + right)))
    return [bn254.msm(generators[: len(row)], row) for row in left + right]


def forge(
    chain,
    *,
    claim: dict[str, str] | None = None,
    v: tuple[int, ...] | None = None,
    seed: bytes = PUBLIC_SEED,
    owner: Owner | None = None,
    points: list[bn254.Point] | None = None,
    proof: bytes | None = None,
    **steps,
) -> Bundle:
    """The bundle of a prover who deviates only as told; told nothing, it is the honest one.

    claim: fields that say something else. v: another claimed vector. seed, owner: what is
    projected, and from what. points: other row commitments. steps: functions that replace those of
    the same name in argument/projection.py while the prover runs. proof: the Halo2 proof, by
    default the honest one, opening with the row commitments that the projection proof is made for.
    """
    owner = owner or chain.owner
    v = chain.bundle.v if v is None else v
    pixels = render(list(v), chain.generator)
    honest = claim_of(owner.commitment, seed, chain.prepared.shape, chain.generator, pixels)
    full = replace(honest, **(claim or {}))
    with ExitStack() as patches:
        for name, step in steps.items():
            patches.enter_context(patch.object(projection, name, step))
        if points is None:
            points = committed_rows(owner, seed, chain.srs)
        made = projection.prove_projection(
            owner, seed, points, Transcript(Claim.digest(full, v)), chain.srs
        )
    if proof is None:
        proof = opening(points, chain) + chain.bundle.proof[OPENING:]
    return Bundle(
        full,
        serialise(owner.commitment),
        projection.serialise_projection(made),
        tuple(v),
        proof,
    )
