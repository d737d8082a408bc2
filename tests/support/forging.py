"""A prover of similarity who deviates as told, and the judging of what comes out."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from huref_zk.argument.projection import projected_rows, prove_projection, serialise_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.commitment.file import serialise
from huref_zk.errors import StepFailed
from huref_zk.files.formats import SIMILARITY
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.kernel import STEPS, Report
from huref_zk.proofs.similarity import columns
from huref_zk.proofs.similarity.exact import Range
from huref_zk.proofs.similarity.file import PairBundle, claim_of
from huref_zk.proofs.similarity.prove import maps_of
from huref_zk.proofs.similarity.shape import MODELS
from huref_zk.proofs.similarity.verify import verify_file
from tests.support.tampering import plain_json, raw

NAMES = [name for name, _ in STEPS["similarity"]]


def pack(bundle: PairBundle, header: dict[str, Any] | None = None) -> bytes:
    """The file of a bundle, or of its sections under another header, checking nothing."""
    fields = asdict(bundle.claim) if header is None else header
    return raw(plain_json(fields), list(bundle.sections), SIMILARITY)


def judge(pair, tampered: bytes | PairBundle, **changes: Any) -> Report:
    """verify_file with the pair's roots and set-up and no bounds, or ``changes``: expected, setup,
    bounds, policy."""
    data = pack(tampered) if isinstance(tampered, PairBundle) else tampered
    path = pair.cache / "tampered.hzs"
    path.write_bytes(data)
    return verify_file(
        path, **{"expected": pair.roots, "setup": pair.setup, "bounds": None, **changes}
    )


_held: set[bytes] = set()


def accepted(pair, honest: bytes | PairBundle, **changes: Any) -> None:
    """All seven steps hold. The same bytes, without changes, are verified once a session."""
    data = pack(honest) if isinstance(honest, PairBundle) else honest
    if changes or data not in _held:
        assert [step.name for step in judge(pair, data, **changes).steps] == NAMES
    if not changes:
        _held.add(data)


def refused(step: int, words: str, pair, tampered: bytes | PairBundle, **changes: Any) -> None:
    """Exactly this step refuses; any other exception fails the test."""
    with pytest.raises(StepFailed, match=words) as caught:
        judge(pair, tampered, **changes)
    assert (caught.value.step, caught.value.name) == (step, NAMES[step]), str(caught.value)
    assert "\n" not in str(caught.value)


def with_claim(bundle: PairBundle, **fields: Any) -> PairBundle:
    """The same sections under another header."""
    return replace(bundle, claim=replace(bundle.claim, **fields))


def with_proof(bundle: PairBundle, **parts: Any) -> PairBundle:
    """The same bundle with other rows, maps or halo2 in its circuit proof."""
    proof = replace(columns.parse(bundle.proof), **parts)
    return replace(bundle, proof=columns.serialise(proof))


def rows_of(pair, seed: bytes = PUBLIC_SEED) -> list[tuple[list, list]]:
    """(Y, B) of either model."""
    return [projected_rows(owner, seed) for owner in pair.owners]


def integer_maps_of(pair, seed: bytes = PUBLIC_SEED) -> list:
    """The six integer maps of either model."""
    return [maps_of(owner, seed) for owner in pair.owners]


def circuit_proof(pair, bounds: Range, rows=None, maps=None, seed: bytes = PUBLIC_SEED) -> bytes:
    """The proof about these rows and maps, by default the honest ones."""
    return columns.prove(
        rows or rows_of(pair, seed),
        maps or integer_maps_of(pair, seed),
        honest_claim(pair, bounds, seed),
        pair.keys,
        pair.srs,
        lambda _: None,
    )


def honest_claim(pair, bounds: Range, seed: bytes = PUBLIC_SEED):
    first, second = (owner.commitment for owner in pair.owners)
    return claim_of((first, second), pair.shape, seed, bounds)


def forge(
    pair,
    proof: bytes,
    bounds: Range,
    *,
    seed: bytes = PUBLIC_SEED,
    projected_with: bytes | None = None,
    models: tuple[int, int] = (0, 1),
    **fields: Any,
) -> PairBundle:
    """A bundle for ``bounds`` around a ready circuit proof, its projection proofs made anew.

    They are honest but for what is told. projected_with: another seed than the claim's. models:
    what each is told it is the model's of. fields: of the claim.
    """
    claim = replace(honest_claim(pair, bounds, seed), **fields)
    blank = halo2.blank_point(pair.keys, pair.srs)
    projections = [
        serialise_projection(
            prove_projection(
                owner,
                projected_with or seed,
                halo2.without_blank(points, blank),
                Transcript(claim.digest(MODELS[model])),
                pair.srs,
            )
        )
        for model, owner, points in zip(models, pair.owners, columns.parse(proof).rows, strict=True)
    ]
    commitments = [serialise(owner.commitment) for owner in pair.owners]
    return PairBundle(
        claim, (commitments[0], commitments[1]), (projections[0], projections[1]), proof
    )
