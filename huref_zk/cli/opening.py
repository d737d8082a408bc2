"""Commands around single rows of a commitment: open, check-opening, recommit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from huref_zk.cli.common import Output, check_targets, with_output
from huref_zk.cli.owner import keys_option, load, trust_option
from huref_zk.errors import InputError, StepFailed

_SHOWN = 20  # differences listed in words; --json lists all


def _parse_nonce(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    from huref_zk.proofs.sampling import parse_nonce

    if value is None:
        return None
    try:
        return parse_nonce(value)
    except InputError as e:
        raise click.BadParameter(str(e)) from None


def nonce_option(**options: Any) -> Callable:
    """--nonce, given to the command as 32 bytes or None."""
    text = "The judge's nonce, 64 hex digits, drawn after the commitment was published."
    return click.option("--nonce", callback=_parse_nonce, help=text, **options)


commitment_option = click.option(
    "--commitment", type=click.Path(path_type=Path), required=True, help="The owner's .hzc file."
)
secret_option = click.option(
    "--secret", type=click.Path(path_type=Path), required=True, help="The owner's secret.key."
)
root_option = click.option(
    "--commitment",
    "expected",
    required=True,
    metavar="FILE_OR_ROOT",
    help="What you trust: the owner's commitment.hzc, or its root.",
)
test_setup_option = click.option(
    "--allow-test-setup", is_flag=True, help="Accept a commitment under the insecure test SRS."
)


def loading_options(command: Callable) -> Callable:
    """How a model is loaded, where a commitment already says which layers and how many tokens."""
    for option in reversed(
        (
            click.option("--revision", help="Revision of a hub model (a full commit hash)."),
            click.option("--allow-pickle", is_flag=True, help="Read pickled checkpoints, safely."),
            click.option(
                "--tokens",
                type=click.Path(path_type=Path),
                help="The file of token ids used by commit, if one was.",
            ),
        )
    ):
        command = option(command)
    return command


def load_as(output: Output, model: str, descriptor: dict[str, Any], **options: Any):
    """Load ``model`` with the layers and number of tokens of a commitment."""
    layers, count = tuple(descriptor["layers"]), descriptor["tokens"]["count"]
    return load(output, model, layers=layers, count=count, **options)


def choice_of(sample: int | None, nonce: bytes | None) -> tuple[bytes, int] | None:
    """The judge's choice from --sample and --nonce: both or neither. Raises InputError."""
    if sample is None and nonce is None:
        return None
    if sample is None or nonce is None:
        raise InputError("--sample N and --nonce HEX go together")
    return nonce, sample


@click.command("open")
@click.argument("model")
@commitment_option
@secret_option
@click.option("--rows", help="Which rows, for example 'E:0,17-20;U:5;V:7'.")
@click.option("--sample", type=int, help="Instead: so many rows, chosen by --nonce.")
@nonce_option()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The opening (.hzo).")
@keys_option
@trust_option
@loading_options
@with_output
def open_command(
    output: Output,
    model: str,
    commitment: Path,
    secret: Path,
    rows: str | None,
    sample: int | None,
    nonce: bytes | None,
    out: Path,
    cache: Path,
    trusted: tuple[str, ...],
    **options,
) -> None:
    """Reveal chosen rows of the commitment to MODEL, for good (docs/openings.md)."""
    from huref_zk.commitment.file import read_commitment
    from huref_zk.commitment.secret import read_secret
    from huref_zk.proofs.opening.file import write_opening
    from huref_zk.proofs.opening.prove import open_rows
    from huref_zk.proofs.opening.rows import name, parse_rows, sample_rows
    from huref_zk.proofs.setup import own_srs

    choice = choice_of(sample, nonce)
    if (rows is None) == (choice is None):
        raise InputError("say which rows: --rows, or --sample with --nonce")
    check_targets(out)
    committed, key = read_commitment(commitment), read_secret(secret)
    if choice is not None:
        chosen = sample_rows(committed.descriptor, committed.root, *choice)
    else:
        chosen = parse_rows(rows or "")
    prepared = load_as(output, model, committed.descriptor, **options)
    srs = own_srs(committed.descriptor, cache, trusted)
    with output.progress("opening"):
        opening = open_rows(prepared.quantised, key, committed, chosen, srs)
    write_opening(out, opening)
    data = {"opening": str(out), "rows": list(map(name, chosen)), "root": committed.root_hex}
    note = "whoever has this file knows these rows: an opening cannot be taken back"
    output.result(data, [f"opening of {len(chosen)} rows: {out}", note])


@click.command()
@click.argument("opening", type=click.Path(path_type=Path))
@root_option
@click.option("--model", help="Also demand that the rows are those of this model.")
@click.option("--sample", type=int, help="Demand so many rows, chosen by --nonce.")
@nonce_option()
@test_setup_option
@keys_option
@trust_option
@loading_options
@with_output
def check_opening(
    output: Output,
    opening: Path,
    expected: str,
    model: str | None,
    sample: int | None,
    nonce: bytes | None,
    allow_test_setup: bool,
    cache: Path,
    trusted: tuple[str, ...],
    **options,
) -> None:
    """Check that OPENING shows rows of a commitment. Exit code 1 if it does not."""
    from huref_zk.proofs.opening.rows import name
    from huref_zk.proofs.opening.verify import check_opening_file
    from huref_zk.proofs.picture.verify import expected_root

    choice = choice_of(sample, nonce)
    steps = []

    def heard(number: int, step: str, detail: str) -> None:
        steps.append({"step": number, "name": step, "detail": detail})
        output.say(f"  {number} {step}: {detail}")

    opened = check_opening_file(
        opening, expected_root(expected), cache, allow_test_setup, choice, heard, trusted
    )
    rows = list(map(name, opened.places))
    if model is not None:
        _check_model(output, opened, model, options)
        heard(5, "weights", f"the rows are those of {model}")
    data = {"valid": True, "rows": rows, "steps": steps, "chosen_by_nonce": choice is not None}
    lines = ["VALID: these rows are the committed ones"]
    if choice is None:
        lines.append("note: the owner chose them; --sample and --nonce demand rows chosen by you")
    output.result(data, lines)


def _check_model(output: Output, opened, model: str, options: dict[str, Any]) -> None:
    """Step 5; on failure the differences go to stdout. Raises StepFailed, or exits as it would."""
    from huref_zk.proofs.opening.differences import compare_with_model
    from huref_zk.proofs.opening.rows import name

    prepared = load_as(output, model, opened.descriptor, **options)
    fields, rows = compare_with_model(opened, prepared)
    if not fields and not rows:
        return
    error = StepFailed(
        5,
        f"not of this model: {len(rows)} of {len(opened.rows)} opened rows and "
        f"{len(fields)} fields of the descriptor differ",
    )
    found = [{"row": name(r.place), "entries": r.entries, "largest": r.largest} for r in rows]
    refuse(output, error, {"fields": fields, "rows": found}, [*fields, *map(str, rows)])


def refuse(output: Output, error: StepFailed, data: dict[str, Any], lines: list[str]) -> None:
    """Print what differs and refuse: with --json all in the one object, else lines and an error."""
    if output.json:
        verdict = {"error": str(error), "exit_code": error.exit_code, "valid": False}
        output.result({**verdict, "step": error.step, **data}, [])
        sys.exit(error.exit_code)
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    output.result({}, lines[:_SHOWN] + more)
    raise error


@click.command()
@click.argument("model")
@commitment_option
@secret_option
@click.option("--check", is_flag=True, help="Exit with code 1 if the commitment is another.")
@keys_option
@trust_option
@loading_options
@with_output
def recommit(
    output: Output,
    model: str,
    commitment: Path,
    secret: Path,
    check: bool,
    cache: Path,
    trusted: tuple[str, ...],
    **options,
) -> None:
    """Compute the whole commitment again from MODEL and the secret, and say if it is the same."""
    from huref_zk.commitment.file import read_commitment
    from huref_zk.commitment.secret import read_secret
    from huref_zk.invariants.prepare import commit_model
    from huref_zk.proofs.opening.differences import compare_commitments
    from huref_zk.proofs.opening.verify import listed
    from huref_zk.proofs.setup import own_srs

    given, key = read_commitment(commitment), read_secret(secret)
    prepared = load_as(output, model, given.descriptor, **options)
    srs = own_srs(given.descriptor, cache, trusted)
    with output.progress("committing") as progress:
        found = commit_model(prepared, key, srs, progress)
    result = compare_commitments(given, found)
    data = {
        "same": result.same,
        "given_root": given.root_hex,
        "recomputed_root": found.root_hex,
        "fields": result.fields,
        "rows_different": len(result.rows),
        "rows": result.total,
    }
    if result.same:
        output.result(data, [f"SAME: all {result.total} rows and the root {found.root_hex}"])
        return
    lines = list(result.fields)
    if result.rows:
        lines.append(f"{len(result.rows)} of {result.total} rows differ: {listed(result.rows)}")
    if len(result.rows) == result.total:
        lines.append(
            "every row differs: another secret, or weights that differ somewhere (all salts "
            "depend on all weights)"
        )
    if check:
        refuse(output, StepFailed(1, "the commitment is not this model's"), data, lines)
    output.result(data, ["DIFFERENT", *lines])
