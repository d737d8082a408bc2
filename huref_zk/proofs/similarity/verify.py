"""The verifier of similarity. Its steps are those of kernel.STEPS["similarity"].

Nothing that the file brings is trusted. Imports neither torch, transformers nor onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huref_zk.argument.projection import SetProof, parse_projection, verify_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.circuit.keys import Keys, verifying_keys
from huref_zk.circuit.shape import EZKL_VERSION
from huref_zk.commitment.file import Commitment, parse_commitment
from huref_zk.errors import InputError
from huref_zk.files.formats import SIMILARITY
from huref_zk.invariants.sketch import LEFT, RIGHT
from huref_zk.proofs.kernel import (
    Policy,
    Report,
    Setup,
    Step,
    check_policy,
    check_srs,
    expected_root,
    facts_of,
    facts_of_seed,
    read_claim,
    refuse_unless,
)
from huref_zk.proofs.similarity import columns
from huref_zk.proofs.similarity.exact import Range
from huref_zk.proofs.similarity.file import Claim, PairBundle, parse_bundle
from huref_zk.proofs.similarity.shape import MODELS, PairShape, pair_for
from huref_zk.srs.file import Srs

ROWS = LEFT + RIGHT


@dataclass(frozen=True)
class _Parts:
    """What a file's sections hold, parsed; pairs in order."""

    bundle: PairBundle
    commitments: tuple[Commitment, Commitment]
    projections: list[tuple[SetProof, ...]]
    proof: columns.PairProof


def pair_of(commitments: tuple[Commitment, Commitment]) -> PairShape:
    """The pair's shape. InputError unless similarity means something for these two, and has a
    circuit: the same recipe, the same tokens in the same order, one SRS."""
    first, second = (c.descriptor for c in commitments)
    refuse_unless(
        first.recipe == second.recipe,
        f"one commitment is of the recipe {first.recipe}, the other of {second.recipe}; their "
        "maps do not compare",
    )
    refuse_unless(
        first.tokens == second.tokens,
        "the two commitments are over different tokens; nothing can be compared",
    )
    refuse_unless(
        first.srs.k == second.srs.k,
        f"the first model is committed in a domain of 2^{first.srs.k} rows, the second in one of "
        f"2^{second.srs.k}; only models with the same domain can be compared",
    )
    refuse_unless(first.srs == second.srs, "the two commitments were made under different SRS")
    return pair_for(first.hidden, second.hidden, first.srs.k)


def verify_file(
    path: Path,
    expected: tuple[str | Path, str | Path],
    setup: Setup,
    bounds: Range | None,
    policy: Policy | None = None,
    heard: Callable[[Step], None] | None = None,
) -> Report:
    """Verify a `.hzs` file against two commitment files or roots (64 hex digits), in its order.

    bounds: what is proven must imply that the similarity lies within them; None says that no bound
    is demanded. report.facts tell what was proven: "shown" in words, "low" and "high" in multiples
    of 2^-16. Raises StepFailed (a claim that is false or malformed), InputError (unreadable
    arguments), EnvironmentLacks (a key, an SRS or memory is missing here).
    """
    roots = (expected_root(expected[0]), expected_root(expected[1]))
    data = read_claim(path, SIMILARITY)
    return verify_bytes(data, roots, setup, bounds, policy, Report("similarity", heard=heard))


def verify_bytes(
    data: bytes,
    roots: tuple[str, str],
    setup: Setup,
    bounds: Range | None,
    policy: Policy | None = None,
    report: Report | None = None,
) -> Report:
    """Run all steps on a file's bytes. See verify_file."""
    report = report or Report("similarity")
    parts = _parse(data, report)
    claim, seed = parts.bundle.claim, parts.bundle.seed
    with report.step("commitments") as step:
        for name, commitment, root, named in zip(
            MODELS, parts.commitments, roots, claim.roots, strict=True
        ):
            ours = commitment.root_hex
            refuse_unless(ours == root, f"the {name} commitment does not have the expected root")
            refuse_unless(named == ours, f"the file names another {name} root than it has")
        step.established(f"roots {roots[0]} and {roots[1]}")
    _describe(report, parts, seed)
    srs = check_srs(report, parts.commitments[0].descriptor, setup)
    keys = _circuit(parts, srs, setup, report)
    with report.step("projection") as step:
        blank = halo2.blank_point(keys, srs)
        for model, name in enumerate(MODELS):
            rows = halo2.without_blank(parts.proof.rows[model], blank)
            transcript = Transcript(claim.digest(name))
            try:
                verify_projection(
                    parts.commitments[model], seed, parts.projections[model], rows, transcript, srs
                )
            except InputError as e:
                raise InputError(f"{name} model: {e}") from e
        step.established(f"{ROWS} row commitments of either model are projections")
    with report.step("proof") as step:
        fault = columns.check(parts.proof, claim, keys, srs)
        refuse_unless(fault is None, f"the Halo2 proof does not hold: {fault}")
        step.established(f"the rows' similarity: {claim.bounds.words}; all norms in range")
    with report.step("policy") as step:
        for commitment in parts.commitments:
            check_policy(commitment.descriptor, seed, policy or Policy())
        refuse_unless(
            bounds is None or claim.bounds.within(bounds),
            f"proven is {claim.bounds.words}, demanded {bounds.words if bounds else ''}",
        )
        asked = "no bound was demanded" if bounds is None else f"within {bounds.words}"
        step.established(f"seed, recipe and tokens are as asked for; {asked}")
    return report.finished()


def _parse(data: bytes, report: Report) -> _Parts:
    with report.step("parse") as step:
        bundle = parse_bundle(data)
        first, second = (parse_commitment(part) for part in bundle.commitments)
        projections = [
            parse_projection(part, commitment.descriptor)
            for part, commitment in zip(bundle.projections, (first, second), strict=True)
        ]
        proof = columns.parse(bundle.proof)
        step.established(f"{len(data)} bytes, well formed")
    return _Parts(bundle, (first, second), projections, proof)


def _describe(report: Report, parts: _Parts, seed: bytes) -> None:
    """Facts: "first" and "second", what either commitment is about; the seed; what is claimed."""
    for name, commitment in zip(MODELS, parts.commitments, strict=True):
        root, public = commitment.root_hex, commitment.descriptor.public
        report.facts[name] = {**facts_of(commitment.descriptor), "root": root, "public": public}
    bounds = parts.bundle.claim.bounds
    report.facts["seed"] = facts_of_seed(seed)
    report.facts |= {"shown": bounds.words, "low": bounds.low, "high": bounds.high}


def _circuit(parts: _Parts, srs: Srs, setup: Setup, report: Report) -> Keys:
    claim: Claim = parts.bundle.claim
    with report.step("circuit") as step:
        pair = pair_of(parts.commitments)
        refuse_unless(
            claim.ezkl == EZKL_VERSION, f"made with ezkl {claim.ezkl}, not {EZKL_VERSION}"
        )
        refuse_unless(
            claim.circuit == pair.digest, "names another circuit than its commitments imply"
        )
        keys = verifying_keys(pair, srs.sha256, setup.keys)
        report.facts["circuit"] = {"name": pair.name, "vk": keys.record.vk}
        step.established(f"{pair.name}, verifying key {keys.record.vk[:16]}")
    return keys
