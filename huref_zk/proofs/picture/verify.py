"""The verifier of pictures. Its steps are those of kernel.STEPS["picture"].

Nothing that the bundle brings is trusted. Imports neither torch, transformers nor onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.argument.projection import SetProof, parse_projection, verify_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.circuit.keys import Keys, verifying_keys
from huref_zk.circuit.shape import EZKL_VERSION, Shape, shape_for
from huref_zk.commitment.file import Commitment
from huref_zk.curve.bn254 import Point
from huref_zk.errors import InputError
from huref_zk.files.formats import BUNDLE
from huref_zk.invariants.encoder import CONDITIONS, load_encoder
from huref_zk.invariants.sketch import LEFT, RIGHT
from huref_zk.proofs.kernel import (
    Policy,
    Report,
    Setup,
    Step,
    check_policy,
    check_srs,
    describe,
    expected_root,
    read_claim,
    refuse_unless,
)
from huref_zk.proofs.picture.file import (
    Bundle,
    Claim,
    committed_in,
    parse_bundle,
    pixel_digest,
    render_digest,
)
from huref_zk.render import Generator, load_generator, render
from huref_zk.render.image import read_png
from huref_zk.srs.file import Srs

ROWS = LEFT + RIGHT


@dataclass(frozen=True)
class _Parts:
    """What a bundle's sections hold, parsed."""

    bundle: Bundle
    commitment: Commitment
    projection: tuple[SetProof, ...]
    columns: list[Point]


def verify_file(
    path: Path,
    expected: str | Path,
    setup: Setup,
    policy: Policy | None = None,
    image: Path | None = None,
    generator: Path | None = None,
    heard: Callable[[Step], None] | None = None,
) -> Report:
    """Verify a `.hzp` file against ``expected``: a commitment file, or a root as 64 hex digits.

    image: the published picture (PNG), if there is one to compare. Raises StepFailed (a claim that
    is false or malformed), InputError (unreadable arguments), EnvironmentLacks (a key, an SRS or
    memory is missing here).
    """
    root = expected_root(expected)
    picture = None if image is None else read_png(image)
    data = read_claim(path, BUNDLE)
    loaded = load_generator(generator)
    report = Report("picture", heard=heard)
    return verify_bytes(data, root, setup, policy or Policy(), loaded, picture, report)


def verify_bytes(
    data: bytes,
    root: str,
    setup: Setup,
    policy: Policy,
    generator: Generator,
    picture: np.ndarray | None = None,
    report: Report | None = None,
) -> Report:
    """Run all steps on a bundle's bytes. picture: uint8 (H, W, 3), or None. See verify_file."""
    report = report or Report("picture")
    parts = _parse(data, report)
    claim, commitment, v = parts.bundle.claim, parts.commitment, parts.bundle.v
    seed = parts.bundle.seed
    with report.step("commitment") as step:
        ours = commitment.root_hex
        refuse_unless(ours == root, "the bundle's commitment does not have the expected root")
        refuse_unless(claim.root == root, "the bundle names another root than its commitment has")
        step.established(f"root {root}")
    describe(report, commitment.descriptor, seed, root)
    srs = check_srs(report, commitment.descriptor, setup)
    keys = _circuit(commitment, claim, srs, setup, report)
    with report.step("projection") as step:
        blank = halo2.blank_point(keys, srs)
        rows = halo2.without_blank(parts.columns, blank)
        verify_projection(
            commitment, seed, parts.projection, rows, Transcript(claim.digest(v)), srs
        )
        step.established(f"{ROWS} row commitments are projections of the committed matrices")
    with report.step("proof") as step:
        fault = halo2.check(parts.bundle.proof, [*v, CONDITIONS], keys, srs)
        refuse_unless(fault is None, f"the Halo2 proof does not hold: {fault}")
        step.established("v is the encoding of those rows' maps, whose norms are in range")
    _image(claim, v, generator, picture, report)
    with report.step("policy") as step:
        check_policy(commitment.descriptor, seed, policy)
        step.established("seed, recipe, layers and tokens are as asked for")
    return report.finished()


def _parse(data: bytes, report: Report) -> _Parts:
    with report.step("parse") as step:
        bundle = parse_bundle(data)
        commitment = committed_in(bundle)
        parts = _Parts(
            bundle,
            commitment,
            parse_projection(bundle.projection, commitment.descriptor),
            halo2.committed_points(bundle.proof, ROWS),
        )
        step.established(f"{len(data)} bytes, well formed")
    return parts


def shape_of(commitment: Commitment) -> Shape:
    """The circuit's shape that a commitment implies. InputError if there is none."""
    shape = shape_for(commitment.hidden)
    k = commitment.descriptor.srs.k
    if shape.k != k:
        raise InputError(f"the commitment's domain is 2^{k}, its circuit's 2^{shape.k}")
    return shape


def _circuit(commitment: Commitment, claim: Claim, srs: Srs, setup: Setup, report: Report) -> Keys:
    with report.step("circuit") as step:
        shape, ours = shape_of(commitment), load_encoder().digest
        refuse_unless(
            claim.ezkl == EZKL_VERSION, f"made with ezkl {claim.ezkl}, not {EZKL_VERSION}"
        )
        refuse_unless(claim.encoder == ours, f"made with another encoder than ours, {ours[:16]}")
        refuse_unless(
            claim.circuit == shape.digest, "names another circuit than its hidden size implies"
        )
        keys = verifying_keys(shape, srs.sha256, setup.keys)
        report.facts["circuit"] = {"name": shape.name, "vk": keys.record.vk}
        step.established(f"{shape.name}, verifying key {keys.record.vk[:16]}")
    return keys


def _image(
    claim: Claim,
    v: tuple[int, ...],
    generator: Generator,
    picture: np.ndarray | None,
    report: Report,
) -> None:
    with report.step("image") as step:
        ours = generator.digest
        refuse_unless(
            claim.generator == ours,
            f"made with generator {claim.generator[:16]}, this one is {ours[:16]}",
        )
        refuse_unless(
            claim.render == render_digest(generator), "made with other rendering constants"
        )
        drawn = render(list(v), generator)
        refuse_unless(
            claim.image == pixel_digest(drawn), "the bundle names another picture than v gives"
        )
        report.facts["image"] = {"digest": claim.image, "compared": picture is not None}
        if picture is None:
            step.established(f"v draws the picture {claim.image[:16]}; none was given to compare")
            return
        size, wanted = _size(picture), _size(drawn)
        refuse_unless(picture.shape == drawn.shape, f"the picture is {size}, not {wanted}")
        wrong = int((picture != drawn).any(axis=2).sum())
        refuse_unless(wrong == 0, f"{wrong} pixels of the picture differ from what v renders to")
        step.established(f"{wanted} pixels equal")


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"
