"""Commands about keys: setup, keys list, keys clean."""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import TEST_SETUP_NOTE, Output, with_output
from huref_zk.cli.options import keys_option, reading_options, trust_option
from huref_zk.cli.outputs import REFERENCE
from huref_zk.errors import InputError
from huref_zk.files.container import load_json, read_bounded

if TYPE_CHECKING:
    from huref_zk.circuit.shape import CircuitShape
    from huref_zk.srs.file import Srs
    from huref_zk.srs.name import SrsName


_NAME = re.compile(r"(pair-d[0-9]+-)?d[0-9]+-k[0-9]+-[0-9a-f]+-srs-[0-9a-f]+")


@click.command()
@click.argument("what", type=REFERENCE, metavar="D|MODEL|FILE")
@click.option(
    "--verify-only", is_flag=True, help="Keep no proving key; needs the base installation only."
)
@keys_option
@trust_option
@reading_options
@with_output
def setup(
    output: Output,
    what: str,
    verify_only: bool,
    cache: Path,
    trusted: tuple[str, ...],
    **reading: Any,
) -> None:
    """Derive the keys of a circuit. There is one circuit for each hidden size.

    Name the hidden size D, for example 576; or a MODEL; or a FILE, a commitment (.hzc) or a proof
    (.hzp, .hzs), whose SRS is then used.
    """
    shape, named = _circuit_of(what, reading)
    report_keys(output, shape, cache, trusted, named, verify_only)


def _circuit_of(what: str, reading: dict[str, Any]) -> tuple[CircuitShape, SrsName | None]:
    """The circuit that is meant, and the SRS that a file names."""
    from huref_zk.circuit.shape import shape_for

    path = Path(what)
    if what.isdecimal() and not path.exists():
        if len(what) > 6:
            raise InputError(f"no model has a hidden size of {what[:20]}")
        return shape_for(int(what)), None
    if path.is_file() and path.suffix != ".gguf":
        return _circuit_of_file(path)
    from huref_zk.models.families import family_for
    from huref_zk.models.layers import dimensions
    from huref_zk.models.load import open_model

    map_file = reading.pop("map_file")
    model = open_model(what, **reading)
    return shape_for(dimensions(model, family_for(model, map_file)).hidden), None


def _circuit_of_file(path: Path) -> tuple[CircuitShape, SrsName]:
    from huref_zk.files import formats
    from huref_zk.files.container import read_start

    kind = formats.format_of(read_start(path, 8))
    if kind is formats.COMMITMENT:
        from huref_zk.commitment.file import read_commitment

        commitment = read_commitment(path)
    elif kind is formats.BUNDLE:
        from huref_zk.proofs.picture.file import committed_in, read_bundle

        commitment = committed_in(read_bundle(path))
    elif kind is formats.SIMILARITY:
        return _circuit_of_pair(path)
    else:
        raise InputError(f"{path}: a {kind.name} needs no keys")
    from huref_zk.proofs.picture.verify import shape_of

    return shape_of(commitment), commitment.descriptor.srs


def _circuit_of_pair(path: Path) -> tuple[CircuitShape, SrsName]:
    from huref_zk.commitment.file import parse_commitment
    from huref_zk.proofs.similarity.file import read_bundle
    from huref_zk.proofs.similarity.verify import pair_of

    first, second = (parse_commitment(data) for data in read_bundle(path).commitments)
    return pair_of((first, second)), first.descriptor.srs


def report_keys(
    output: Output,
    shape: CircuitShape,
    cache: Path,
    trusted: tuple[str, ...] = (),
    named: SrsName | None = None,
    verify_only: bool = False,
) -> None:
    """Derive the keys of ``shape`` unless they are in ``cache``, and say where they are.

    named: the SRS to use; default: the one that the key folder has for proving.
    """
    from huref_zk.circuit import keys as circuit_keys

    srs = _srs(output, shape, cache, trusted, named)
    find = circuit_keys.find if verify_only else circuit_keys.find_proving
    found = find(shape, srs.sha256, cache)
    already = found is not None
    if found is None:
        with output.stages("deriving keys") as stage:
            found = circuit_keys.derive(shape, srs, cache, stage, verify_only)
    test = srs.kind == "test"
    output.result(
        {
            "shape": shape.name,
            "circuit": shape.digest,
            "srs": {"kind": srs.kind, "k": srs.k, "sha256": srs.sha256},
            "vk": found.record.vk,
            "folder": str(found.folder),
            "already": already,
            "proving": not verify_only,
            "test_setup": test,
        },
        [
            f"keys of {shape.name} {'were already' if already else 'are'} in {found.folder}",
            *([TEST_SETUP_NOTE] if test else []),
        ],
    )


def _srs(
    output: Output,
    shape: CircuitShape,
    cache: Path,
    trusted: tuple[str, ...],
    named: SrsName | None,
) -> Srs:
    from huref_zk.srs.trust import find_srs, own_srs

    with output.progress("structured reference string") as progress:
        if named is not None:
            return own_srs(named, cache)
        return find_srs(shape.k, cache, True, progress, trusted)


@click.group()
def keys() -> None:
    """The derived keys on this machine: what there is, and how to be rid of it."""


@dataclass(frozen=True)
class Kept:
    """A folder of derived keys. record: what record.json says, {} where keys are not whole; pk:
    bytes of the proving key, 0 without one; size: bytes of all files."""

    folder: Path
    record: dict[str, Any]
    pk: int
    size: int

    def line(self) -> str:
        """In words."""
        if not self.record:
            return f"{self.folder.name}: not whole, {self.size >> 20} MB"
        what = "proving and verifying" if self.pk else "verifying only"
        return f"{self.folder.name}: {what}, {self.size >> 20} MB, vk {self.record['vk'][:16]}"


def kept_keys(cache: Path) -> list[Kept]:
    """What lies in a key folder but SRS files and other things that are not ours: folders that have
    the name of keys and what belongs to keys in them. No links: they may lead anywhere."""
    from huref_zk.circuit.keys import MAX_RECORD

    found = []
    for folder in sorted(path for path in cache.glob("*") if path.is_dir()):
        if not _NAME.fullmatch(folder.name) or folder.is_symlink():
            continue
        record: dict[str, Any] = {}
        with contextlib.suppress(InputError, ValueError):
            read = load_json(read_bounded(folder / "record.json", MAX_RECORD))
            record = read if isinstance(read, dict) and isinstance(read.get("vk"), str) else {}
        if record or (folder / "vk").exists() or (folder / "settings.json").exists():
            pk = folder / "pk"
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            found.append(Kept(folder, record, pk.stat().st_size if pk.is_file() else 0, size))
    return found


@keys.command("list")
@keys_option
@with_output
def list_command(output: Output, cache: Path) -> None:
    """Show the derived keys of the key folder. SRS files: 'huref-zk srs list'."""
    found = kept_keys(cache)
    rows = [
        {
            "folder": str(kept.folder),
            "whole": bool(kept.record),
            "proving": kept.pk > 0,
            "bytes": kept.size,
            **{name: kept.record.get(name) for name in ("circuit", "srs", "vk")},
        }
        for kept in found
    ]
    lines = [kept.line() for kept in found] or [f"no derived keys in {cache}"]
    output.result({"folder": str(cache), "keys": rows}, lines)


@keys.command("clean")
@click.option("--proving", is_flag=True, help="Remove all proving keys, and keep verifying keys.")
@click.option("--all", "everything", is_flag=True, help="Remove all derived keys.")
@keys_option
@with_output
def clean_command(output: Output, proving: bool, everything: bool, cache: Path) -> None:
    """Remove what interrupted runs left in the key folder; with an option also whole keys.

    Whatever is removed can be derived again by setup. SRS files are never removed.
    """
    from huref_zk.circuit.keys import BUILDING, UNPACKING
    from huref_zk.native.scratch import sweep

    removed = [path for prefix in (BUILDING, UNPACKING) for path in sweep(cache, prefix)]
    size = 0
    for kept in kept_keys(cache):
        if everything or not kept.record:
            shutil.rmtree(kept.folder)
            removed.append(kept.folder)
            size += kept.size
        elif proving and kept.pk:
            for name in ("pk", "circuit.ezkl"):
                (kept.folder / name).unlink(missing_ok=True)
            removed.append(kept.folder / "pk")
            size += kept.pk
    lines = [f"removed {path}" for path in removed]
    lines.append(f"{size >> 20} MB freed" if removed else f"nothing to remove in {cache}")
    output.result({"removed": [str(path) for path in removed], "bytes": size}, lines)
