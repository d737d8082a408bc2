"""The verifier: numbered steps, each with its own error, none trusting anything the file brings.

    0 parse         bounded sizes, canonical numbers, points on the curve
    1 commitments   both roots, recomputed, are the ones the caller expects, in this order
    2 SRS           a ceremony's, known by digest; a test setup only if the caller allows it
    3 circuit       same tokens; shape rebuilt from descriptors; verifying key derived or pinned
    4 projection    for either model: the published row commitments are P E U, P E V
    5 proof         the Halo2 proof, over exactly those rows and over bounds that we commit to
    6 policy        what the caller asked for is what was proven

Imports neither torch, transformers nor onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from huref_zk.argument.projection_verifier import parse_projection, verify_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import keys as circuit_keys
from huref_zk.circuit.encoder import P
from huref_zk.circuit.shape import EZKL_VERSION
from huref_zk.commitment.file import Commitment, parse_commitment
from huref_zk.curve import bn254
from huref_zk.errors import InputError, StepFailed
from huref_zk.proofs.picture.verify import (
    ROWS,
    Policy,
    Report,
    check_halo2,
    check_policy,
    expected_root,
    opening_points,
    require,
    shape_of,
    trusted_srs,
    without_blank,
)
from huref_zk.proofs.similarity.exact import Range
from huref_zk.proofs.similarity.file import MODELS, PairBundle, read_bundle, statement_digest
from huref_zk.proofs.similarity.shape import CONDITIONS, PairShape, pair_for
from huref_zk.srs.file import Srs

STEPS = ("parse", "commitments", "SRS", "circuit", "projection", "proof", "policy")
COLUMNS = 2 * ROWS + 1
"""Committed columns: the rows of either model, and the bounds."""


@dataclass(frozen=True)
class PairPolicy:
    """What the caller demands: of either model (verify.Policy), and of the similarity.

    bounds: what is proven must imply that the similarity lies within; None: any bounds will do.
    """

    of_each: Policy = field(default_factory=Policy)
    bounds: Range | None = None


def pair_of(commitments: tuple[Commitment, Commitment]) -> PairShape:
    """The pair's shape. InputError unless similarity means something for these two, and has a
    circuit: the same tokens in the same order, one domain, one SRS."""
    first, second = (c.descriptor for c in commitments)
    if first["tokens"] != second["tokens"]:
        raise InputError("the two commitments are over different tokens; nothing can be compared")
    shapes = [shape_of(c) for c in commitments]
    if first["srs"] != second["srs"] and shapes[0].k == shapes[1].k:
        raise InputError("the two commitments were made under different SRS")
    return pair_for(shapes[0], shapes[1])


def verify_file(
    bundle: Path,
    expected: tuple[str | Path, str | Path],
    policy: PairPolicy,
    cache: Path,
    heard: Callable | None = None,
) -> tuple[Report, Range]:
    """Verify a `.hzs` file against two commitment files or roots (64 hex digits), in its order.

    Returns the report of all steps and what they establish about the similarity. Raises StepFailed
    (a claim that is false or malformed), InputError (unreadable arguments), EnvironmentLacks (a key
    or SRS is missing here).
    """
    roots = (expected_root(expected[0]), expected_root(expected[1]))
    report = Report(heard=heard, names=STEPS)
    if not bundle.is_file():  # a wrong argument, not a false claim
        raise InputError(f"{bundle} is not a file")
    try:
        parsed = read_bundle(bundle)
    except InputError as e:
        raise StepFailed(0, f"{bundle}: {e}") from e
    return verify(parsed, roots, policy, cache, report), parsed.bounds


def verify(
    bundle: PairBundle,
    roots: tuple[str, str],
    policy: PairPolicy,
    cache: Path,
    report: Report | None = None,
) -> Report:
    """Run all steps on a parsed bundle. See verify_file."""
    report = report or Report(names=STEPS)
    header = bundle.header

    commitments, columns = _parse_inside(bundle)
    report.add(f"{sum(map(len, bundle.sections))} bytes, well formed")

    for name, commitment, root in zip(MODELS, commitments, roots, strict=True):
        ours = commitment.root_hex
        require(
            1, ours == root, f"the {name} commitment in the file does not have the root asked for"
        )
        require(
            1, header[f"{name}_root"] == ours, f"the file names another {name} root than it has"
        )
    report.add(f"roots {roots[0]} and {roots[1]}")

    srs = trusted_srs(commitments[0], header["srs"], policy.of_each, cache)
    same = commitments[0].descriptor["srs"] == commitments[1].descriptor["srs"]
    require(2, same, "the two commitments were made under different SRS")
    report.test_setup = srs.id.kind == "test"
    report.add(f"{srs.id.kind} setup {srs.id.sha256[:16]}, 2^{srs.k} rows")

    pair, keys = _circuit(commitments, header, srs, cache)
    report.add(f"{pair.name}, verifying key {keys.record.vk[:16]}")

    points = without_blank(columns, keys, srs)
    seed = bytes.fromhex(header["seed"])
    for model, name in enumerate(MODELS):
        rows = points[model * ROWS : (model + 1) * ROWS]
        projection = parse_projection(bundle.projections[model], commitments[model])
        transcript = Transcript(statement_digest(header, model))
        try:
            verify_projection(commitments[model], seed, P, projection, rows, transcript, srs)
        except StepFailed as e:
            raise StepFailed(e.step, f"{name} model: {e}") from e
    report.add(f"{ROWS} row commitments of either model are projections of its committed matrices")

    bounds = bundle.bounds
    told = bn254.msm(srs.lagrange(0, 2), [x % bn254.R for x in bounds.column])
    require(5, points[-1] == told, "the Halo2 proof is about other bounds than the file names")
    check_halo2(bundle.proof, [CONDITIONS], keys, srs)
    report.add(f"the rows' similarity: {bounds.words}")

    for commitment in commitments:
        check_policy(6, commitment, seed, policy.of_each)
    asked = policy.bounds
    met = asked is None or asked.low <= bounds.low <= bounds.high <= asked.high
    require(6, met, f"proven is {bounds.words}; asked for {asked.words if asked else ''}")
    report.add("seed, layers, tokens and similarity are as asked for")
    return report


def _parse_inside(
    bundle: PairBundle,
) -> tuple[tuple[Commitment, Commitment], list[bn254.Point]]:
    """Both commitments, and the column commitments that open the proof's transcript."""
    try:
        first, second = (parse_commitment(data) for data in bundle.commitments)
        for commitment, projection in zip((first, second), bundle.projections, strict=True):
            parse_projection(projection, commitment)
        return (first, second), opening_points(bundle.proof, COLUMNS)
    except InputError as e:
        raise StepFailed(0, str(e)) from e


def _circuit(
    commitments: tuple[Commitment, Commitment], header: dict, srs: Srs, cache: Path
) -> tuple[PairShape, circuit_keys.Keys]:
    try:
        pair = pair_of(commitments)
    except InputError as e:
        raise StepFailed(3, str(e)) from e
    require(
        3, header["ezkl"] == EZKL_VERSION, f"made with ezkl {header['ezkl']}, not {EZKL_VERSION}"
    )
    require(3, header["circuit"] == pair.digest, "names another circuit than its descriptors imply")
    return pair, circuit_keys.verifying_keys(pair, srs.id.sha256, cache)
