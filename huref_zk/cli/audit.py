"""audit-inference, and how `verify` judges audits of an inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.options import (
    keys_option,
    model_argument,
    nonce_option,
    owner_argument,
    prompt_options,
    reading_options,
    tokens_option,
)
from huref_zk.cli.outputs import Writes, force_option
from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.proofs.kernel import Policy, Setup


def _check_options(
    prompt: str | None, ids: tuple[int, ...] | None, positions: int | None, everything: bool
) -> None:
    if (prompt is None) == (ids is None) or prompt == "":
        raise InputError("give the prompt once: --prompt TEXT or --prompt-ids 5,17,3")
    if (positions is None) != everything:
        raise InputError("say which positions: --positions N or --all-positions")


@click.command()
@owner_argument
@model_argument
@prompt_options
@nonce_option(required=True)
@click.option("--out", type=Writes(".hza"), required=True, help="The audit (.hza).")
@force_option
@tokens_option
@reading_options
@keys_option
@with_output
def audit_inference(
    output: Output,
    owner: Path,
    model: str,
    prompt: str | None,
    prompt_ids: tuple[int, ...] | None,
    positions: int | None,
    all_positions: bool,
    nonce: bytes,
    out: Path,
    tokens: Path | None,
    cache: Path,
    **reading: Any,
) -> None:
    """Run MODEL on a prompt and prove the work of the layers that FOLDER committed to.

    The layers are those named by commit --audit-layers (docs/inference-audit.md).
    """
    from huref_zk.commitment.commit import read_owner
    from huref_zk.proofs.inference.claims import geometry_of
    from huref_zk.proofs.inference.file import MAX_TOKENS, write_audit
    from huref_zk.proofs.inference.prove import committed_tokens, make_audit
    from huref_zk.proofs.inference.run import run_model
    from huref_zk.srs.trust import own_srs

    _check_options(prompt, prompt_ids, positions, all_positions)
    held = read_owner(owner)
    layers = geometry_of(held.descriptor).layers
    ids = committed_tokens(held.descriptor, model, tokens=tokens, **reading)
    srs = own_srs(held.descriptor.srs, cache)
    loading = {name: reading[name] for name in ("revision", "allow_pickle")}
    with output.stages("auditing") as stage:
        stage("running the model")
        run = run_model(model, layers, prompt, prompt_ids, **loading)
        if len(run.ids) > MAX_TOKENS:
            raise InputError(f"the prompt has {len(run.ids)} tokens, at most {MAX_TOKENS} may be")
        audit, report, errors = make_audit(held, run, ids, nonce, positions, srs, cache, stage)
    write_audit(out, audit)
    data = {
        "audit": str(out),
        "tokens": len(run.ids),
        "positions": audit.head.positions,
        "measured": report.facts["measured"],
        "logits": report.facts.get("logits"),
        "relative_errors": {name: round(error, 6) for name, error in errors.items()},
        "prompt_ids": list(run.ids),
    }
    lines = [
        f"audit of {audit.head.positions} of {len(run.ids)} positions: {out}",
        f"the prompt's token ids: {','.join(map(str, run.ids))}",
        "it publishes what the committed layers compute there; see the budget in "
        "docs/inference-audit.md",
    ]
    output.result(data, lines)


def verify_audit(
    output: Output,
    file: Path,
    expected: tuple[str, ...],
    policy: Policy,
    setup: Setup,
    prompt: str | None,
    prompt_ids: tuple[int, ...] | None,
    positions: int | None,
    all_positions: bool,
    nonce: bytes | None,
    tokenizer: Path | None,
    logits: Path | None,
) -> None:
    """`verify` for an audit; tokenizer: the verifier's own, for a prompt as text; logits: what a
    service said, to be compared."""
    from huref_zk.cli.verdicts import about, heard, show
    from huref_zk.proofs.inference.logits import read_served
    from huref_zk.proofs.inference.verify import Demand, tokenise, verify_file

    _check_options(prompt, prompt_ids, positions, all_positions)
    if nonce is None:
        raise InputError("an audit is judged by the nonce that you drew: --nonce HEX")
    if (prompt is None) != (tokenizer is None):
        raise InputError(
            "a prompt as text is made into tokens by a tokenizer that you hold: --prompt TEXT goes "
            "with --tokenizer FILE (a tokenizer.json); or give --prompt-ids"
        )
    if prompt is not None and tokenizer is not None:
        prompt_ids = tokenise(prompt, tokenizer)
    served = None if logits is None else read_served(logits)
    demand = Demand(nonce, prompt_ids, None if all_positions else positions, served)
    report = verify_file(file, expected[0], setup, demand, policy, heard(output))
    audited = ", ".join(map(str, report.facts["audit"]["layers"]))
    said = report.facts.get("logits")
    lines = about(report.facts)
    if said is None:
        lines.append("  what the model says (its logits) is not part of this audit")
    elif not said["compared"]:
        lines.append("  the logits were not compared with what was served; --logits does")
    headline = f"the committed matrices of layers {audited} give these activations"
    show(output, report, headline, lines)
