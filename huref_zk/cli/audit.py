"""Commands around one inference of a committed model: audit-inference, check-audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from huref_zk.cli.common import Output, check_targets, with_output
from huref_zk.cli.opening import (
    commitment_option,
    load_as,
    loading_options,
    nonce_option,
    root_option,
    secret_option,
    test_setup_option,
)
from huref_zk.cli.owner import keys_option, trust_option
from huref_zk.errors import InputError


def _parse_ids(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        ids = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("write token ids with commas, for example 5,17,3") from None
    if not all(0 <= i < 1 << 32 for i in ids):
        raise click.BadParameter("token ids are numbers from 0 to 2^32 - 1")
    return ids


def prompt_options(command):
    """--prompt or --prompt-ids, --positions or --all-positions."""
    for option in reversed(
        (
            click.option("--prompt", help="The prompt, as text."),
            click.option("--prompt-ids", callback=_parse_ids, help="Or as token ids: 5,17,3."),
            click.option("--positions", type=click.IntRange(1), help="How many positions."),
            click.option("--all-positions", is_flag=True, help="Or all of the prompt's."),
        )
    ):
        command = option(command)
    return command


def _check_options(
    prompt: str | None, ids: tuple[int, ...] | None, positions: int | None, everything: bool
) -> None:
    if (prompt is None) == (ids is None) or prompt == "":
        raise InputError("give the prompt once: --prompt TEXT or --prompt-ids 5,17,3")
    if (positions is None) != everything:
        raise InputError("say which positions: --positions N or --all-positions")


@click.command()
@click.argument("model")
@commitment_option
@secret_option
@prompt_options
@nonce_option(required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The audit (.hza).")
@keys_option
@trust_option
@loading_options
@with_output
def audit_inference(
    output: Output,
    model: str,
    commitment: Path,
    secret: Path,
    prompt: str | None,
    prompt_ids: tuple[int, ...] | None,
    positions: int | None,
    all_positions: bool,
    nonce: bytes,
    out: Path,
    cache: Path,
    trusted: tuple[str, ...],
    revision: str | None,
    allow_pickle: bool,
    tokens: Path | None,
) -> None:
    """Run MODEL on a prompt and prove its committed layers' work (docs/inference-audit.md)."""
    from huref_zk.commitment.file import read_commitment
    from huref_zk.commitment.secret import read_secret
    from huref_zk.proofs.inference.claims import geometry_of
    from huref_zk.proofs.inference.file import MAX_PROMPT, MAX_TOKENS, write_audit
    from huref_zk.proofs.inference.prove import make_audit
    from huref_zk.proofs.inference.public import describe
    from huref_zk.proofs.inference.run import run_model
    from huref_zk.proofs.setup import own_srs

    _check_options(prompt, prompt_ids, positions, all_positions)
    if len(prompt or "") > MAX_PROMPT:
        raise InputError(f"a prompt has at most {MAX_PROMPT} characters")
    check_targets(out)
    committed, key = read_commitment(commitment), read_secret(secret)
    geometry = geometry_of(committed.descriptor)
    loading: dict[str, Any] = {"revision": revision, "allow_pickle": allow_pickle}
    prepared = load_as(output, model, committed.descriptor, tokens=tokens, **loading)
    srs = own_srs(committed.descriptor, cache, trusted)
    with output.stages("auditing") as stage:
        stage("running the model")
        run = run_model(model, geometry.layers, prompt, prompt_ids, **loading)
        if len(run.ids) > MAX_TOKENS:
            raise InputError(f"the prompt has {len(run.ids)} tokens, at most {MAX_TOKENS} may be")
        audit, measured, errors = make_audit(
            run, prompt, nonce, positions, prepared, key, committed, srs, stage
        )
    write_audit(out, audit)
    data = {
        "audit": str(out),
        "tokens": len(run.ids),
        "positions": audit.header["positions"],
        "measured": describe(measured),
        "relative_errors": {name: round(error, 6) for name, error in errors.items()},
        "prompt_ids": list(run.ids),
    }
    lines = [
        f"audit of {audit.header['positions']} of {len(run.ids)} positions: {out}",
        "it publishes what the committed layers compute there; see the budget in "
        "docs/inference-audit.md",
    ]
    output.result(data, lines)


@click.command()
@click.argument("audit", type=click.Path(path_type=Path))
@root_option
@prompt_options
@nonce_option(required=True)
@test_setup_option
@keys_option
@trust_option
@with_output
def check_audit(
    output: Output,
    audit: Path,
    expected: str,
    prompt: str | None,
    prompt_ids: tuple[int, ...] | None,
    positions: int | None,
    all_positions: bool,
    nonce: bytes,
    allow_test_setup: bool,
    cache: Path,
    trusted: tuple[str, ...],
) -> None:
    """Check an AUDIT of the committed layers on your prompt and nonce. Exit code 1 if it fails."""
    from huref_zk.proofs.inference.public import describe
    from huref_zk.proofs.inference.verify import Demand, check_audit_file
    from huref_zk.proofs.picture.verify import expected_root

    _check_options(prompt, prompt_ids, positions, all_positions)
    demand = Demand(nonce, prompt, prompt_ids, None if all_positions else positions)
    steps = []

    def heard(number: int, step: str, detail: str) -> None:
        steps.append({"step": number, "name": step, "detail": detail})
        output.say(f"  {number} {step}: {detail}")

    root = expected_root(expected)
    _, measured = check_audit_file(audit, root, demand, cache, allow_test_setup, heard, trusted)
    data = {
        "valid": True,
        "steps": steps,
        "measured": describe(measured),
        "prompt_ids_checked": prompt_ids is not None,
    }
    lines = ["VALID: the committed layers give these activations"]
    if prompt_ids is None:
        lines.append("note: that these are the prompt's tokens was not checked; --prompt-ids does")
    output.result(data, lines)
