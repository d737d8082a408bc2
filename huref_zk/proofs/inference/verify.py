"""The verifier's side of an audit. Numbered steps, each with its own error:

    0 parse     bounded sizes, finite floats, bounded integers, points on the curve
    1 root      the commitment in the file is the expected one
    2 SRS       a ceremony's, one the caller names, or the test setup if the caller allows it
    3 demand    nonce, prompt and number of positions are the ones that the caller asked for
    4 linear    q, k, v, up and both blocks' outputs are what the committed weights give
    5 public    norms, residual stream, activation, attention (public.py)

Imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from huref_zk.commitment.file import Commitment
from huref_zk.errors import InputError, StepFailed
from huref_zk.proofs.inference.claims import geometry_of
from huref_zk.proofs.inference.file import Audit, choose_positions, read_audit
from huref_zk.proofs.inference.linear import start_transcript, verify_linear
from huref_zk.proofs.inference.public import Measured, check_public
from huref_zk.proofs.opening.verify import Heard
from huref_zk.proofs.setup import trusted_srs


@dataclass(frozen=True)
class Demand:
    """What the verifier asked the owner for. nonce: 32 bytes; prompt or ids: one of them;
    positions: how many at least, None for all of the prompt's."""

    nonce: bytes
    prompt: str | None
    ids: Sequence[int] | None
    positions: int | None


def check_audit_file(
    path: Path,
    root_hex: str,
    demand: Demand,
    cache: Path,
    allow_test: bool = False,
    heard: Heard | None = None,
    trusted: Collection[str] = (),
) -> tuple[Audit, Measured]:
    """Run all steps on the file at ``path``; root_hex: the trusted root, 64 hex digits; trusted:
    SHA-256, hex, of SRS files that the caller trusts besides the ceremony's.

    Raises StepFailed, EnvironmentLacks when the SRS is not at hand, InputError when there is no
    such file.
    """
    if not path.is_file():  # a wrong argument, not a false claim
        raise InputError(f"{path} is not a file")
    try:
        audit, commitment = read_audit(path)
    except InputError as e:
        raise StepFailed(0, f"{path}: {e}") from e
    measured = check_audit(audit, commitment, root_hex, demand, cache, allow_test, heard, trusted)
    return audit, measured


def check_audit(
    audit: Audit,
    commitment: Commitment,
    root_hex: str,
    demand: Demand,
    cache: Path,
    allow_test: bool = False,
    heard: Heard | None = None,
    trusted: Collection[str] = (),
) -> Measured:
    """Steps 1 to 5 on a parsed audit and its commitment; see check_audit_file."""
    say = heard or (lambda *_: None)
    say(0, "parse", f"{len(audit.ids)} tokens, well formed")
    if commitment.root_hex != root_hex:
        raise StepFailed(1, "the audit's commitment does not have the expected root")
    say(1, "root", root_hex)
    srs = trusted_srs(commitment.descriptor, cache, allow_test, trusted)
    say(2, "SRS", f"{srs.kind} setup {srs.sha256[:16]}, 2^{srs.k} rows")
    _check_demand(audit, demand)
    count = audit.header["positions"]
    positions = choose_positions(commitment.root, audit.nonce, audit.ids, count)
    say(3, "demand", f"{count} of {len(audit.ids)} positions, chosen by the nonce")
    geometry = geometry_of(commitment.descriptor)
    transcript = start_transcript(audit.header, commitment, audit.ids, audit.claims)
    try:
        held = verify_linear(commitment, geometry, audit.claims, audit.proof, transcript, srs)
    except InputError as e:
        raise StepFailed(0, str(e)) from e
    say(4, "linear", f"{held} relations hold between claims and committed weights")
    measured = check_public(
        geometry,
        audit.claims,
        positions,
        commitment.descriptor["scales"],
        audit.header["scales"],
        audit.eps,
        audit.theta,
    )
    say(
        5,
        "public",
        f"norms exact; residual within {measured.residual:.2f} rounding errors; "
        f"attention recomputed at {measured.attended} places",
    )
    return measured


def _check_demand(audit: Audit, demand: Demand) -> None:
    header = audit.header
    if audit.nonce != demand.nonce:
        raise StepFailed(3, f"made for the nonce {header['nonce']}, asked for {demand.nonce.hex()}")
    if demand.ids is not None and tuple(demand.ids) != audit.ids:
        raise StepFailed(3, "made for another prompt: the token ids differ")
    if demand.prompt is not None and demand.prompt != header["prompt"]:
        raise StepFailed(3, "made for another prompt: the text differs")
    wanted = len(audit.ids) if demand.positions is None else demand.positions
    if header["positions"] < wanted:
        raise StepFailed(3, f"{header['positions']} positions are audited, asked for {wanted}")
