"""The verifier of inference audits. Its steps are those of kernel.STEPS["inference"].

Imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from huref_zk.argument.linear import verify_linear
from huref_zk.commitment.descriptor import token_digest
from huref_zk.commitment.file import Commitment
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.files.formats import AUDIT
from huref_zk.proofs.inference.claims import geometry_of
from huref_zk.proofs.inference.file import Audit, Places, parse_audit, places_of
from huref_zk.proofs.inference.logits import Served, Spoken, check_output
from huref_zk.proofs.inference.public import Measured, check_public, describe
from huref_zk.proofs.inference.relations import relations, start_transcript
from huref_zk.proofs.kernel import (
    Policy,
    Report,
    Setup,
    Step,
    check_policy,
    check_srs,
    expected_root,
    read_claim,
    refuse_unless,
)
from huref_zk.proofs.kernel import describe as describe_commitment
from huref_zk.srs.file import Srs


@dataclass(frozen=True)
class Demand:
    """What the verifier asked the owner for. nonce: 32 bytes; ids: the prompt's token ids, None for
    any prompt; positions: how many at least, None for all of the prompt's; served: what a service
    said, if it is to be compared."""

    nonce: bytes
    ids: Sequence[int] | None
    positions: int | None
    served: Served | None = None


def verify_file(
    path: Path,
    expected: str | Path,
    setup: Setup,
    demand: Demand,
    policy: Policy | None = None,
    heard: Callable[[Step], None] | None = None,
) -> Report:
    """Verify a `.hza` file against ``expected``: a commitment file, or a root as 64 hex digits.

    policy: what is demanded of recipe, layers (of the cores) and tokens, None for nothing (a
    sketch's seed plays no part here). Raises StepFailed (a claim that is false or malformed),
    InputError (unreadable arguments), EnvironmentLacks (the SRS is not at hand).
    """
    root = expected_root(expected)
    data = read_claim(path, AUDIT)
    return verify_bytes(data, root, setup, demand, policy, Report("inference", heard=heard))


def verify_bytes(
    data: bytes,
    root: str,
    setup: Setup,
    demand: Demand,
    policy: Policy | None = None,
    report: Report | None = None,
) -> Report:
    """Run all steps on an audit's bytes. See verify_file."""
    report = report or Report("inference")
    with report.step("parse") as step:
        audit, commitment = parse_audit(data)
        step.established(f"{len(data)} bytes, {len(audit.ids)} tokens, well formed")
    with report.step("commitment") as step:
        refuse_unless(
            commitment.root_hex == root, "the audit's commitment does not have the expected root"
        )
        refuse_unless(
            token_digest(audit.tokens) == commitment.descriptor.tokens.digest,
            "the audit names other tokens than E has rows of",
        )
        if policy is not None:
            check_policy(commitment.descriptor, None, policy)
        step.established(f"root {root}")
    describe_commitment(report, commitment.descriptor, root=root)
    srs = check_srs(report, commitment.descriptor, setup)
    places = _demand(audit, commitment, demand, report)
    _linear(audit, commitment, places, srs, report)
    with report.step("public") as step:
        measured = check_public(commitment.descriptor, audit.head, audit.claims, places)
        spoken = check_output(
            *(commitment.descriptor, audit.head, audit.claims, places, audit.ids, audit.tokens),
            demand.served,
        )
        report.facts["measured"] = describe(measured)
        if spoken is not None:
            report.facts["logits"] = {"matrix": audit.head.output, **asdict(spoken)}
        step.established(_in_words(measured, spoken))
    return report.finished()


def _demand(audit: Audit, commitment: Commitment, demand: Demand, report: Report) -> Places:
    head = audit.head
    geometry = geometry_of(commitment.descriptor)
    with report.step("demand") as step:
        asked = demand.nonce.hex()
        refuse_unless(head.nonce == asked, f"made for the nonce {head.nonce}, asked for {asked}")
        if demand.ids is not None:
            refuse_unless(
                tuple(demand.ids) == audit.ids, "made for another prompt: the token ids differ"
            )
        wanted = len(audit.ids) if demand.positions is None else demand.positions
        refuse_unless(
            head.positions >= wanted,
            f"{head.positions} positions are audited, asked for {wanted}",
        )
        places = places_of(commitment.root, geometry, head, audit.ids, audit.tokens)
        report.facts["audit"] = {
            "layers": list(geometry.layers),
            "tokens": len(audit.ids),
            "positions": list(places.positions),
            "prompt_checked": demand.ids is not None,
        }
        step.established(f"{head.positions} of {len(audit.ids)} positions, chosen by the nonce")
    return places


def _linear(audit: Audit, commitment: Commitment, places: Places, srs: Srs, report: Report) -> None:
    with report.step("linear") as step:
        transcript = start_transcript(audit.head, commitment, audit.ids, audit.tokens, audit.claims)
        found = relations(
            commitment.descriptor, audit.claims, audit.head.output, places, transcript
        )
        verify_linear(commitment, found, audit.proof, transcript, srs)
        step.established(f"{len(found)} relations hold between claims and committed weights")


def _in_words(measured: Measured, spoken: Spoken | None) -> str:
    words = [
        f"norms exact; residual within {measured.residual:.2f} rounding errors; attention "
        f"recomputed at {measured.attended} places; E's rows met at {measured.named} positions"
    ]
    if spoken is not None and spoken.next:
        words.append(
            f"the prompt's next tokens cost {spoken.loss:.2f} nats at {spoken.next} positions "
            f"(chance {spoken.chance:.2f})"
        )
    if spoken is not None and spoken.compared:
        words.append(
            f"served log-probabilities within {spoken.served:.3f} at {spoken.compared} positions"
        )
    return "; ".join(words)


def tokenise(prompt: str, tokenizer: Path) -> tuple[int, ...]:
    """The token ids of a prompt, by a tokenizer.json that the verifier holds.

    EnvironmentLacks without the tokenizers library; InputError for a file that it does not read.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise EnvironmentLacks(
            f"a prompt as text needs the tokenizers library ({error}); pip install tokenizers, or "
            "give --prompt-ids"
        ) from error
    if not tokenizer.is_file():
        raise InputError(f"{tokenizer} is not a file; a tokenizer.json is needed")
    try:
        loaded = tokenizers.Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # what the library raises has no class of its own
        raise InputError(f"{tokenizer} is no tokenizer that can be read: {error}") from error
    return tuple(loaded.encode(prompt).ids)
