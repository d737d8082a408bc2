"""`huref-zk srs`: the key folder's structured reference strings: import, fetch, list."""

from __future__ import annotations

import os
from pathlib import Path

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.owner import keys_option
from huref_zk.errors import InputError

URL_VARIABLE = "HUREF_ZK_SRS_URL"


@click.group()
def srs() -> None:
    """Structured reference strings: get a ceremony's into the key folder, and see what is there."""


@srs.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--k", type=int, help="For which domain 2^k; needed for a .ptau file.")
@click.option("--force", is_flag=True, help="Replace what lies in the key folder.")
@keys_option
@with_output
def import_command(output: Output, file: Path, k: int | None, force: bool, cache: Path) -> None:
    """Check FILE, a halo2 raw SRS or a snarkjs .ptau, and put it into the key folder.

    A file that is not a ceremony's known one is taken if its structure is right; it must then be
    named by its digest to be used.
    """
    from huref_zk.srs.file import ceremony_file
    from huref_zk.srs.importing import import_srs

    with output.stages(f"importing {file.name}") as stage:
        found = import_srs(file, cache, k, force, stage)
    path = ceremony_file(found.k, cache)
    note = [] if found.kind == "ceremony" else [unknown_note(found.sha256)]
    output.result(
        {"kind": found.kind, "k": found.k, "sha256": found.sha256, "path": str(path)},
        [f"{path}: {found.kind} SRS for k={found.k}, SHA-256 {found.sha256}", *note],
    )


def unknown_note(sha256: str) -> str:
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
    help=f"Address of the ceremony's halo2 raw files, with {{k}} in it; or set {URL_VARIABLE}.",
)
@click.option("--force", is_flag=True, help="Replace what lies in the key folder.")
@keys_option
@with_output
def fetch_command(output: Output, k: int, template: str | None, force: bool, cache: Path) -> None:
    """Download the ceremony's SRS for domain 2^K; kept only if its digest is the known one."""
    from huref_zk.srs.file import ceremony_file
    from huref_zk.srs.importing import fetch_srs

    if template is None:
        raise InputError(f"say where from: --url, or {URL_VARIABLE}, with {{k}} standing for k")
    with output.progress(f"downloading the SRS for k={k}") as progress:
        found = fetch_srs(k, template, cache, force, progress)
    path = ceremony_file(k, cache)
    output.result(
        {"kind": found.kind, "k": k, "sha256": found.sha256, "path": str(path)},
        [f"{path}: {found.kind} SRS for k={k}, SHA-256 {found.sha256}"],
    )


@srs.command("list")
@keys_option
@with_output
def list_command(output: Output, cache: Path) -> None:
    """Show the SRS files of the key folder and what they are."""
    from huref_zk.srs.importing import list_srs

    rows, lines = [], []
    for item in list_srs(cache):
        size = os.path.getsize(item.path)
        row = {"path": str(item.path), "bytes": size, "problem": item.problem}
        if item.id is not None:
            row |= {"kind": item.id.kind, "k": item.id.k, "sha256": item.id.sha256}
        rows.append(row)
        what = f"{item.id.kind}, k={item.id.k}, {item.id.sha256}" if item.id else "no SRS"
        lines.append(f"{item.path.name}: {what}" + (f" ({item.problem})" if item.problem else ""))
    output.result({"folder": str(cache), "srs": rows}, lines or [f"no SRS files in {cache}"])
