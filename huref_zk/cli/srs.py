"""`huref-zk srs`: the key folder's structured reference strings: import, fetch, list."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.options import keys_option
from huref_zk.cli.outputs import IN
from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.srs.file import Srs, SrsId

URL_VARIABLE = "HUREF_ZK_SRS_URL"


@click.group()
def srs() -> None:
    """Structured reference strings: get a ceremony's into the key folder, and see what is there."""


@srs.command("import")
@click.argument("file", type=IN)
@click.option("--k", type=int, help="For which domain 2^k; needed for a .ptau file.")
@click.option("--force", is_flag=True, help="Replace what lies in the key folder.")
@click.option(
    "--beside",
    is_flag=True,
    help="Keep it beside the SRS that is proved under, to verify what others made under it.",
)
@keys_option
@with_output
def import_command(
    output: Output, file: Path, k: int | None, force: bool, beside: bool, cache: Path
) -> None:
    """Check FILE, a halo2 raw SRS or a snarkjs .ptau, and put it into the key folder.

    Files of the known ceremonies are recognised. Any other is taken if its structure is right; it
    must then be named by its digest to be used.
    """
    from huref_zk.srs.importing import import_srs

    with output.stages(f"importing {file.name}") as stage:
        found = import_srs(file, cache, k, force, stage, beside)
    note = [] if found.kind == "ceremony" else [unknown_note(found.sha256)]
    output.result(_fields(found), [_line(found), *note])


def unknown_note(sha256: str) -> str:
    """What to say of an SRS whose origin this program does not know."""
    return (
        "NOTE: well formed, but of unknown origin: whoever made it may know its secret and could "
        f"forge any proof. Those who trust it say so: --trust-srs {sha256}"
    )


@srs.command("fetch")
@click.argument("k", type=int)
@click.option(
    "--url",
    "template",
    envvar=URL_VARIABLE,
    help=f"Address of a ceremony's halo2 raw files, with {{k}} in it; or set {URL_VARIABLE}.",
)
@click.option("--force", is_flag=True, help="Replace what lies in the key folder.")
@keys_option
@with_output
def fetch_command(output: Output, k: int, template: str | None, force: bool, cache: Path) -> None:
    """Download a ceremony's SRS for domain 2^K; kept only if it is recognised as one."""
    from huref_zk.srs.importing import fetch_srs

    if template is None:
        raise InputError(f"say where from: --url, or {URL_VARIABLE}, with {{k}} standing for k")
    with output.progress(f"downloading the SRS for k={k}") as progress:
        found = fetch_srs(k, template, cache, force, progress)
    output.result(_fields(found), [_line(found)])


@srs.command("list")
@keys_option
@with_output
def list_command(output: Output, cache: Path) -> None:
    """Show the SRS files of the key folder and what they are."""
    from huref_zk.srs.importing import list_srs

    rows, lines = [], []
    for item in list_srs(cache):
        size = os.path.getsize(item.path)
        row: dict[str, Any] = {"path": str(item.path), "bytes": size, "problem": item.problem}
        what = "no SRS"
        if item.id is not None:
            row |= _identity(item.id)
            what = f"{_kind(item.id)}, k={item.id.k}, {item.id.sha256}"
        rows.append(row)
        lines.append(f"{item.path.name}: {what}" + (f" ({item.problem})" if item.problem else ""))
    output.result({"folder": str(cache), "srs": rows}, lines or [f"no SRS files in {cache}"])


def _kind(srs_id: SrsId) -> str:
    return f"ceremony ({srs_id.ceremony})" if srs_id.ceremony else srs_id.kind


def _identity(srs_id: SrsId) -> dict[str, Any]:
    return {
        "kind": srs_id.kind,
        "ceremony": srs_id.ceremony or None,
        "k": srs_id.k,
        "sha256": srs_id.sha256,
    }


def _fields(found: Srs) -> dict[str, Any]:
    return {**_identity(found.id), "path": str(found.path)}


def _line(found: Srs) -> str:
    return f"{found.path}: {_kind(found.id)} SRS for k={found.k}, SHA-256 {found.sha256}"
