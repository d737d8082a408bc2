"""Proving and verifying keys: deriving them from a shape, caching them, and pinning their digests.

A key folder holds settings.json, vk, record.json and, where it can prove, circuit.ezkl and pk. It
is made within a private folder of the cache and moved into place when whole, so that what a killed
process leaves behind is swept by the next one. Nothing here ever comes from a bundle: a verifying
key is either derived on this machine or shipped with the package and checked against
keys/manifest.json.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from huref_zk.circuit.shape import EZKL_VERSION, UNUSABLE, CircuitShape
from huref_zk.curve import bn254
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.files.container import load_json, read_bounded
from huref_zk.files.fields import hex_digits, integer, members
from huref_zk.native import ezkl
from huref_zk.native.scratch import private_folder
from huref_zk.native.workers import run_all
from huref_zk.paths import SHIPPED_CIRCUITS, SHIPPED_KEYS
from huref_zk.srs.file import Srs

MAX_VK = 64 << 20
MAX_RECORD = 1 << 12
BUILDING, UNPACKING = ".building-", ".unpacking-"
"""How the folders begin in which keys are made; killed processes leave some behind."""


@dataclass(frozen=True)
class Record:
    """What a key folder holds: identities as SHA-256 hex, and the circuit's unusable rows."""

    circuit: str
    srs: str
    settings: str
    vk: str
    unusable: int


@dataclass(frozen=True)
class Keys:
    """Paths of derived keys; ``pk`` and ``circuit`` are missing in verifier-only folders."""

    folder: Path
    record: Record

    @property
    def settings(self) -> Path:
        return self.folder / "settings.json"

    @property
    def vk(self) -> Path:
        return self.folder / "vk"

    @property
    def pk(self) -> Path:
        return self.folder / "pk"

    @property
    def circuit(self) -> Path:
        return self.folder / "circuit.ezkl"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _file_digests(keys: Keys) -> tuple[str, str]:
    """Digests of the verifying key and the settings; "" for a missing file."""
    vk, settings = (_sha256(p) if p.is_file() else "" for p in (keys.vk, keys.settings))
    return vk, settings


def run_arguments(shape: CircuitShape) -> dict[str, Any]:
    """The ezkl run arguments of a shape: inputs committed, output public.

    At fraction_bits 0 every number is an integer at scale 0. Else ezkl brings to that many fraction
    bits whatever has more. The threshold is a multiple of the larger of both scales, so one of them
    is 1; it is the constants', which stay at scale 0 where they are whole.

    disable_freivalds: without it nothing ties what an einsum puts out to what reads it, and ezkl's
    own range checks are made of einsums (docs/circuit.md).
    """
    return {
        "input_visibility": "polycommit",
        "output_visibility": "public",
        "param_visibility": "fixed",
        "input_scale": 0,
        "param_scale": min(1, shape.fraction_bits),
        "scale_rebase_multiplier": max(1, shape.fraction_bits),
        "rebase_frac_zero_constants": True,
        "ignore_range_check_inputs_outputs": True,  # inputs are field elements (salted rows)
        "disable_freivalds": True,
        "lookup_range": [-2, 2],
        "logrows": shape.k,
        "num_inner_cols": shape.columns,
        "decomp_base": 1 << shape.base_bits,
        "decomp_legs": shape.legs,
    }


def canonical_settings(text: str, shape: CircuitShape) -> str:
    """ezkl's settings.json made the same on every run: no timestamp, sorted keys and range checks.

    ezkl keeps its range checks in a set, in random order, and the verifying key follows that order.

    ezkl's dry run counts committed inputs as if they were copied into the working columns; the real
    layout uses them where they are committed. Too few rows would make setup fail, never make a
    false proof pass.
    """
    settings = json.loads(text)
    settings["timestamp"] = 0
    settings["required_range_checks"].sort()
    cells = sum(shape.inputs.values())
    settings["total_assignments"] -= cells
    settings["num_rows"] -= cells // settings["run_args"]["num_inner_cols"]
    return json.dumps(settings, sort_keys=True, indent=1) + "\n"


def write_settings(shape: CircuitShape, graph: Path, settings: Path) -> None:
    """Write the graph and the settings of ``shape``; byte-identical on every run."""
    graph.write_bytes(shape.graph())
    ezkl.run("gen_settings", model=graph, output=settings, py_run_args=run_arguments(shape))
    settings.write_text(canonical_settings(settings.read_text(), shape))


def derive(
    shape: CircuitShape,
    srs: Srs,
    cache: Path,
    stage: Callable[[str], None] | None = None,
    verify_only: bool = False,
) -> Keys:
    """Derive the keys of ``shape`` under ``srs`` into ``cache``, or return those already there.

    stage: called with the name of each step as it begins. verify_only: keep no proving key.
    Raises EnvironmentLacks, also when the result differs from the digest that the package pins,
    and EzklFailed.
    """
    say = stage or (lambda _: None)
    found = (find if verify_only else find_proving)(shape, srs.sha256, cache)
    if found is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with private_folder(BUILDING, parent=cache) as private:
        keys = Keys(private / "keys", Record("", "", "", "", 0))
        keys.folder.mkdir()
        say("graph and settings")
        graph = private / "graph.onnx"
        write_settings(shape, graph, keys.settings)
        ezkl.run(
            "compile_circuit",
            model=graph,
            compiled_circuit=keys.circuit,
            settings_path=keys.settings,
        )
        say("verifying and proving key")
        ezkl.run("setup", model=keys.circuit, vk_path=keys.vk, pk_path=keys.pk, srs_path=srs.path)
        say("digests")
        vk, settings = _file_digests(keys)
        unusable = _count_unusable(keys, srs)
        record = Record(shape.digest, srs.sha256, settings, vk, unusable)
        _check_pin(record)
        if verify_only:
            keys.pk.unlink()
            keys.circuit.unlink()
        return _move_in(keys.folder, record, folder_of(shape, srs.sha256, cache))


def find(shape: CircuitShape, srs_sha256: str, cache: Path) -> Keys | None:
    """Keys of ``shape`` already in ``cache``, complete for verifying, else None."""
    folder = folder_of(shape, srs_sha256, cache)
    record = read_record(folder)
    if record is None or (record.circuit, record.srs) != (shape.digest, srs_sha256):
        return None
    _check_pin(record)
    keys = Keys(folder, record)
    if _file_digests(keys) != (record.vk, record.settings):
        raise EnvironmentLacks(f"the keys in {folder} are damaged; delete that folder")
    return keys


def read_record(folder: Path) -> Record | None:
    """What record.json says that ``folder`` holds; None where it says nothing that is one."""
    names = [field.name for field in fields(Record)]
    what = f"the record in {folder}"
    try:
        found = members(load_json(read_bounded(folder / "record.json", MAX_RECORD)), names, what)
        for name in names[:-1]:
            hex_digits(found[name], what)
        integer(found["unusable"], what, 1, UNUSABLE)
    except (InputError, ValueError):
        return None
    return Record(**found)


def find_proving(shape: CircuitShape, srs_sha256: str, cache: Path) -> Keys | None:
    """As find, but only keys that can prove as well."""
    keys = find(shape, srs_sha256, cache)
    return keys if keys is not None and keys.pk.exists() and keys.circuit.exists() else None


def verifying_keys(shape: CircuitShape, srs_sha256: str, cache: Path) -> Keys:
    """Keys that can verify: from the cache, or unpacked from the package and checked against its
    pin.

    Raises EnvironmentLacks when the shape is not shipped and was never set up here.
    """
    found = find(shape, srs_sha256, cache)
    if found is not None:
        return found
    packed = packed_key(shape, srs_sha256)
    pin = pins().get((shape.digest, srs_sha256))
    if pin is None or not packed.exists():
        raise EnvironmentLacks(
            f"no verifying key for circuit {shape.name} under this SRS; derive it once with "
            "'huref-zk setup FILE', FILE being the commitment or proof (--verify-only will do)"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with private_folder(UNPACKING, parent=cache) as private:
        keys = Keys(private / "keys", pin)
        keys.folder.mkdir()
        with contextlib.suppress(EOFError, lzma.LZMAError), lzma.open(packed) as f:
            keys.vk.write_bytes(f.read(MAX_VK))
        shutil.copy(shipped_settings(shape), keys.settings)
        if _file_digests(keys) != (pin.vk, pin.settings):
            raise EnvironmentLacks(f"the shipped key {packed} is damaged; reinstall huref-zk")
        return _move_in(keys.folder, pin, folder_of(shape, srs_sha256, cache))


@lru_cache(maxsize=1)
def pins() -> dict[tuple[str, str], Record]:
    """The records that the package pins, by (circuit digest, SRS digest)."""
    try:
        entries = json.loads((SHIPPED_KEYS / "manifest.json").read_text())["keys"]
    except OSError as e:
        raise EnvironmentLacks(f"the key manifest cannot be read ({e}); reinstall huref-zk") from e
    names = [field.name for field in fields(Record)]
    records = [Record(**{name: entry[name] for name in names}) for entry in entries]
    return {(r.circuit, r.srs): r for r in records}


def packed_key(shape: CircuitShape, srs_sha256: str) -> Path:
    """Where the package keeps the shape's verifying key, if it ships it."""
    return SHIPPED_KEYS / "verifying" / f"{_name(shape, srs_sha256)}.vk.xz"


def shipped_settings(shape: CircuitShape) -> Path:
    """Where the package keeps the shape's settings, if it ships its key."""
    return SHIPPED_CIRCUITS / f"{shape.name}.settings.json"


def folder_of(shape: CircuitShape, srs_sha256: str, cache: Path) -> Path:
    """Where a cache keeps the keys of a shape."""
    return cache / _name(shape, srs_sha256)


def _name(shape: CircuitShape, srs_sha256: str) -> str:
    return f"{shape.name}-srs-{srs_sha256[:8]}"


def _move_in(built: Path, record: Record, final: Path) -> Keys:
    """Put a finished folder where keys are looked for, in place of what lies there: keys that are
    not whole, or that verify only."""
    (built / "record.json").write_text(json.dumps(asdict(record), sort_keys=True) + "\n")
    if final.exists():
        os.replace(final, built.parent / "replaced")
    os.replace(built, final)
    return Keys(final, record)


def _check_pin(record: Record) -> None:
    pin = pins().get((record.circuit, record.srs))
    if pin is not None and pin != record:
        raise EnvironmentLacks(
            f"derived keys differ from the pinned ones of circuit {record.circuit[:8]}; "
            f"is ezkl {EZKL_VERSION} installed?"
        )


def _count_unusable(keys: Keys, srs: Srs) -> int:
    """How many rows at the bottom of a column this circuit keeps: ezkl fills them with ones in
    every committed column, so the commitment to nothing is the sum of their Lagrange points."""
    (target,) = run_all(_commit_to_nothing, [(keys.vk, keys.settings, srs.path)])
    total = None
    for count in range(1, UNUSABLE + 1):
        total = bn254.add(total, srs.lagrange((1 << srs.k) - count, 1)[0])
        if bn254.encode_uncompressed(total) == target:
            return count
    raise EnvironmentLacks("this ezkl fills committed columns in a way this program does not know")


def _commit_to_nothing(vk: Path, settings: Path, srs: Path) -> bytes:
    """ezkl's commitment to a zero, an uncompressed point; made to run in a child process."""
    import ezkl as native

    (point,) = native.kzg_commit(["00" * 32], str(vk), str(settings), str(srs))
    return bn254.encode_uncompressed(bn254.from_ezkl(point))
