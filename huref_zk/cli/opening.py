"""Commands around single rows of a commitment: open, recommit; and how `verify` judges openings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.options import (
    keys_option,
    nonce_option,
    owner_argument,
    reading_options,
    sample_option,
    tokens_option,
)
from huref_zk.cli.outputs import REFERENCE, Writes, force_option
from huref_zk.errors import InputError, NotValid, StepFailed

if TYPE_CHECKING:
    from huref_zk.proofs.kernel import Policy, Setup
    from huref_zk.proofs.opening.verify import Choice

_SHOWN = 20  # differences listed in words; --json lists all


def choice_of(sample: int | None, nonce: bytes | None) -> Choice | None:
    """The judge's choice from --sample and --nonce: both or neither. Raises InputError."""
    from huref_zk.proofs.opening.verify import Choice

    if sample is None and nonce is None:
        return None
    if sample is None or nonce is None:
        raise InputError("--sample N and --nonce HEX go together")
    return Choice(nonce, sample)


@click.command("open")
@owner_argument
@click.option("--rows", help="Which rows, for example 'E:0,17-20;C:5'.")
@sample_option
@nonce_option()
@click.option("--out", type=Writes(".hzo"), required=True, help="The opening (.hzo).")
@force_option
@keys_option
@with_output
def open_command(
    output: Output,
    owner: Path,
    rows: str | None,
    sample: int | None,
    nonce: bytes | None,
    out: Path,
    cache: Path,
) -> None:
    """Reveal chosen rows of what FOLDER committed to, for good (docs/openings.md).

    Either --rows, or --sample N with --nonce HEX: N rows of every matrix, chosen by the nonce.
    """
    from huref_zk.commitment.commit import read_owner
    from huref_zk.proofs.opening.file import write_opening
    from huref_zk.proofs.opening.prove import open_rows
    from huref_zk.proofs.opening.rows import name, parse_rows, sample_rows
    from huref_zk.srs.trust import own_srs

    choice = choice_of(sample, nonce)
    if (rows is None) == (choice is None):
        raise InputError("say which rows: --rows, or --sample with --nonce")
    held = read_owner(owner)
    if choice is not None:
        root = held.commitment.root
        chosen = sample_rows(held.descriptor, root, choice.nonce, choice.count)
    else:
        chosen = parse_rows(rows or "", held.descriptor)
    srs = own_srs(held.descriptor.srs, cache)
    with output.progress("opening"):
        opening = open_rows(held, chosen, srs)
    write_opening(out, opening)
    data = {
        "opening": str(out),
        "rows": list(map(name, chosen)),
        "root": held.commitment.root_hex,
    }
    note = "whoever has this file knows these rows: an opening cannot be taken back"
    output.result(data, [f"opening of {len(chosen)} rows: {out}", note])


def verify_opening(
    output: Output,
    file: Path,
    expected: tuple[str, ...],
    policy: Policy,
    setup: Setup,
    sample: int | None,
    nonce: bytes | None,
    model: str | None,
    tokens: Path | None,
    **reading: Any,
) -> None:
    """`verify` for an opening; model: the rows must be this one's."""
    from huref_zk.cli.verdicts import about, heard, show
    from huref_zk.proofs.opening.differences import recomputing
    from huref_zk.proofs.opening.verify import verify_file

    recompute = None if model is None else recomputing(model, tokens=tokens, **reading)
    choice = choice_of(sample, nonce)
    try:
        report = verify_file(
            file, expected[0], setup, policy, choice, recompute, heard=heard(output)
        )
    except StepFailed as error:
        _show_differences(output, error)
    lines = about(report.facts)
    if choice is None:
        lines.append("  the owner may have chosen them; --sample and --nonce demand yours")
    count = len(report.facts["rows"])
    whose = "" if model is None else f", and {model}'s"
    show(output, report, f"these {count} rows are the committed ones{whose}", lines)


def _show_differences(output: Output, error: StepFailed) -> NoReturn:
    """Report a refused opening; where a model was given, with what differs from it."""
    from huref_zk.proofs.opening.differences import Different
    from huref_zk.proofs.opening.rows import name

    found = error.__cause__
    if not isinstance(found, Different):
        raise error
    rows = [{"row": name(r.place), "entries": r.entries, "largest": r.largest} for r in found.rows]
    data = {"step": error.step, "fields": found.fields, "rows": rows}
    _refuse(output, error, data, [*found.fields, *map(str, found.rows)])


def _refuse(output: Output, error: NotValid, data: dict[str, Any], lines: list[str]) -> NoReturn:
    """Print what differs and leave: with --json all in the one object, else lines and an error."""
    if output.json:
        verdict = {"error": str(error), "exit_code": error.exit_code, "valid": False}
        output.result({**verdict, **data}, [])
        sys.exit(error.exit_code)
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    output.result({}, lines[:_SHOWN] + more)
    raise error


@click.command()
@owner_argument
@click.option("--model", type=REFERENCE, help="Also compute all integers again from this model.")
@tokens_option
@reading_options
@keys_option
@with_output
def recommit(
    output: Output,
    owner: Path,
    model: str | None,
    tokens: Path | None,
    cache: Path,
    **reading: Any,
) -> None:
    """Compute the whole commitment of FOLDER again, from its witness and its secret.

    With --model also the witness, from the model. Exit code 1 if anything differs.
    """
    from huref_zk.commitment.commit import read_owner
    from huref_zk.proofs.opening.differences import recommit as compute_again
    from huref_zk.proofs.opening.rows import listed
    from huref_zk.srs.trust import own_srs

    held = read_owner(owner)
    srs = own_srs(held.descriptor.srs, cache)
    with output.progress("committing") as progress:
        result = compute_again(held, srs, progress)
    data: dict[str, Any] = {
        "same": result.same,
        "given_root": result.roots[0],
        "recomputed_root": result.roots[1],
        "rows_different": len(result.rows),
        "rows": result.total,
    }
    lines = [f"all {result.total} rows and the root {result.roots[0]} follow from the witness"]
    if not result.same:
        lines = [f"{len(result.rows)} of {result.total} rows differ: {listed(result.rows)}"]
        lines += ["another secret, or integers that differ somewhere: all salts depend on all"]
    if model is not None:
        same = _against_model(output, held, model, tokens, reading, data, lines)
        data["same"] = data["same"] and same
    if not data["same"]:
        _refuse(output, NotValid("the commitment is another"), data, lines)
    output.result(data, ["SAME", *(f"  {line}" for line in lines)])


def _against_model(
    output: Output,
    held: Any,
    model: str,
    tokens: Path | None,
    reading: dict[str, Any],
    data: dict[str, Any],
    lines: list[str],
) -> bool:
    """Whether the witness is the model's; adds to ``data`` and ``lines``."""
    from huref_zk.proofs.opening.differences import compare_with_model, recomputing

    with output.progress("reading the model") as progress:
        recompute = recomputing(model, tokens=tokens, progress=progress, **reading)
        found = compare_with_model(held.witness, recompute)
    data["fields"] = found.fields
    data["checkpoint"] = found.checkpoint
    data["matrices"] = {
        m.name: {
            "entries": m.entries,
            "different": m.different,
            "share": m.share,
            "largest": m.largest,
            "allowed": m.allowed,
        }
        for m in found.matrices
    }
    lines += found.fields
    told = "is" if found.checkpoint else "is NOT"
    lines.append(f"the digest of the checkpoint {told} this model's")
    lines += map(str, found.matrices)
    return found.same
