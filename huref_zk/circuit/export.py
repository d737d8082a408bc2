"""Regenerates circuits/ and keys/: ``python -m huref_zk.circuit.export`` (or ``make circuits``).

For every shipped hidden size: the circuit's settings, and its verifying key under the test SRS,
packed, byte for byte the same on every run; and the manifest that pins their digests. With
``--srs FOLDER`` also the keys under every ceremony's SRS that lies in FOLDER, for the sizes whose
circuit has as many rows. Sizes may be named; ``--missing`` makes only what is not there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import lzma
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huref_zk.circuit import keys
from huref_zk.circuit.shape import CircuitShape, shape_for
from huref_zk.errors import InputError
from huref_zk.files.writing import write_atomically
from huref_zk.paths import SHIPPED_CIRCUITS, SHIPPED_KEYS, default_cache
from huref_zk.srs.file import Srs
from huref_zk.srs.trust import find_test_srs

MANIFEST = "manifest.json"
# Hidden sizes of published models, and of the embedded family.
SIZES = (
    *(64, 128, 256, 288, 384, 512, 576, 640, 768, 896, 960, 1024, 1152, 1280, 1536, 1600, 1792),
    *(2048, 2304, 2560, 2816, 2880, 3072, 3200, 3584, 3840, 4096, 4544, 4608, 5120, 5376, 6144),
    *(6656, 7168, 8192),
)


@dataclass(frozen=True)
class Place:
    """Where what is shipped is written: settings in ``circuits``, the rest in ``keys``."""

    circuits: Path = SHIPPED_CIRCUITS
    keys: Path = SHIPPED_KEYS

    @property
    def manifest(self) -> Path:
        return self.keys / MANIFEST


def export(shape: CircuitShape, srs: Srs, place: Place) -> dict[str, Any]:
    """Derive a shape's verifying key and ship it; its entry in the manifest."""
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as scratch:
        derived = keys.derive(shape, srs, Path(scratch), verify_only=True)
        packed = lzma.compress(derived.vk.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
        name = keys.packed_key(shape, srs.sha256).name
        write_atomically(place.keys / "verifying" / name, packed)
        settings = derived.settings.read_bytes()
        write_atomically(place.circuits / keys.shipped_settings(shape).name, settings)
    return {"name": shape.name, "kind": srs.kind, **asdict(derived.record)}


def read_manifest(place: Place) -> list[dict[str, Any]]:
    """The entries so far."""
    if not place.manifest.exists():
        return []
    entries: list[dict[str, Any]] = json.loads(place.manifest.read_text())["keys"]
    return entries


def write_manifest(entries: Iterable[dict[str, Any]], place: Place) -> None:
    """Entries in a fixed order, one for each circuit and SRS."""
    ordered = sorted(entries, key=lambda e: (e["kind"], e["name"], e["srs"]))
    text = json.dumps({"keys": ordered}, indent=1, sort_keys=True) + "\n"
    write_atomically(place.manifest, text.encode())
    keys.pins.cache_clear()


def export_all(wanted: Sequence[tuple[CircuitShape, Srs]], place: Place, missing: bool) -> None:
    """Export all that is wanted; the manifest is written after each, so that a run that was
    interrupted can be gone on with."""
    for shape, srs in wanted:
        this = (shape.digest, srs.sha256)
        entries = read_manifest(place)
        others = [e for e in entries if (e["circuit"], e["srs"]) != this]
        if missing and len(others) < len(entries):
            continue
        # What was pinned before is not to judge what is made now.
        write_manifest(others, place)
        print(f"{shape.name} under the {srs.kind} SRS {srs.sha256[:8]}", flush=True)
        write_manifest([*others, export(shape, srs, place)], place)


def remove_others(place: Place, wanted: Sequence[tuple[CircuitShape, Srs]]) -> None:
    """Remove what is shipped of circuits that there no longer are."""
    digests = {shape.digest for shape, _ in wanted}
    write_manifest([e for e in read_manifest(place) if e["circuit"] in digests], place)
    entries = read_manifest(place)
    kept = {f"{e['name']}.settings.json" for e in entries}
    kept |= {f"{e['name']}-srs-{e['srs'][:8]}.vk.xz" for e in entries}
    for file in (*place.circuits.glob("*.settings.json"), *(place.keys / "verifying").glob("*")):
        if file.name not in kept:
            file.unlink()


def ceremony_files(folder: Path) -> list[Srs]:
    """The ceremonies' SRS files in a folder. InputError when there is none."""
    found = []
    for path in sorted(folder.glob("*.srs")):
        with contextlib.suppress(InputError):
            found.append(Srs.open(path))
    ceremonies = [srs for srs in found if srs.kind == "ceremony"]
    if not ceremonies:
        raise InputError(f"{folder} holds no SRS file of a ceremony")
    return ceremonies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, metavar="D")
    parser.add_argument("--srs", type=Path, metavar="FOLDER")
    parser.add_argument("--missing", action="store_true")
    given = parser.parse_args()
    place = Place()
    shapes = [shape_for(d) for d in given.sizes or SIZES]
    wanted = [(s, find_test_srs(s.k, default_cache(), make=True)) for s in shapes]
    if given.srs is not None:
        wanted += [(s, srs) for srs in ceremony_files(given.srs) for s in shapes if s.k == srs.k]
    export_all(wanted, place, given.missing)
    if not given.sizes:
        remove_others(place, wanted)


if __name__ == "__main__":
    main()
