"""Proving and verifying keys: deriving them from a shape, caching them, and pinning their digests.

A key folder holds graph.onnx, settings.json, circuit.ezkl, vk, pk and, written last, record.json.
Nothing here ever comes from a bundle: a verifying key is either derived on this machine or shipped
with the package and checked against keys/manifest.json.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from huref_zk.circuit.shape import EZKL_VERSION, UNUSABLE, CircuitShape
from huref_zk.curve import bn254
from huref_zk.errors import EnvironmentLacks
from huref_zk.native import ezkl as runner
from huref_zk.native.workers import run_all
from huref_zk.paths import SHIPPED_CIRCUITS, SHIPPED_KEYS
from huref_zk.srs.file import Srs

MAX_VK = 256 << 20


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


def run_arguments(shape: CircuitShape) -> dict:
    """The ezkl run arguments of a shape: inputs committed, output public.

    At fraction_bits 0 every number is an integer at scale 0. Else ezkl brings to that many fraction
    bits whatever has more, and committed numbers count as halves: a scale of 1 is what the
    threshold is a multiple of, and may not be 0.
    """
    return {
        "input_visibility": "polycommit",
        "output_visibility": "public",
        "param_visibility": "fixed",
        "input_scale": min(1, shape.fraction_bits),
        "param_scale": 0,
        "scale_rebase_multiplier": max(1, shape.fraction_bits),
        "rebase_frac_zero_constants": True,
        "ignore_range_check_inputs_outputs": True,  # inputs are field elements (salted rows)
        "lookup_range": [-2, 2],
        "logrows": shape.k,
        "num_inner_cols": shape.inner_columns,
        "decomp_base": 1 << shape.base_bits,
        "decomp_legs": shape.legs,
    }


def canonical_settings(text: str, shape: CircuitShape) -> str:
    """ezkl's settings.json made the same on every run: no timestamp, sorted keys and range checks.

    ezkl keeps its range checks in a set, in random order, and the verifying key follows that order.

    ezkl's dry run counts committed inputs as if they were copied into the working columns; the real
    layout uses them where they are committed. Taking that off leaves a third of the columns. Too
    few rows would make setup fail, never make a false proof pass.
    """
    settings = json.loads(text)
    settings["timestamp"] = 0
    settings["required_range_checks"].sort()
    cells = shape.input_cells
    settings["total_assignments"] -= cells
    settings["num_rows"] -= cells // settings["run_args"]["num_inner_cols"]
    return json.dumps(settings, sort_keys=True, indent=1) + "\n"


def export_circuit(shape: CircuitShape, folder: Path) -> None:
    """Write graph.onnx and settings.json of ``shape``; byte-identical on every run."""
    (folder / "graph.onnx").write_bytes(shape.graph())
    settings = folder / "settings.json"
    runner.run(
        "gen_settings",
        model=folder / "graph.onnx",
        output=settings,
        py_run_args=run_arguments(shape),
    )
    settings.write_text(canonical_settings(settings.read_text(), shape))


def derive(
    shape: CircuitShape, srs: Srs, cache: Path, stage: Callable[[str], None] | None = None
) -> Keys:
    """Derive the keys of ``shape`` under ``srs`` into ``cache``, or return those already there.

    stage: called with the name of each step as it begins. Raises EnvironmentLacks, EzklFailed, and
    EnvironmentLacks when the result differs from the digest that the package pins.
    """
    say = stage or (lambda _: None)
    found = find_proving(shape, srs.sha256, cache)
    if found is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    build = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
    try:
        say("graph and settings")
        export_circuit(shape, build)
        runner.run(
            "compile_circuit",
            model=build / "graph.onnx",
            compiled_circuit=build / "circuit.ezkl",
            settings_path=build / "settings.json",
        )
        say("verifying and proving key")
        runner.run(
            "setup",
            model=build / "circuit.ezkl",
            vk_path=build / "vk",
            pk_path=build / "pk",
            srs_path=srs.path,
        )
        say("digests")
        record = Record(
            circuit=shape.digest,
            srs=srs.sha256,
            settings=_sha256(build / "settings.json"),
            vk=_sha256(build / "vk"),
            unusable=_count_unusable(build, srs, shape.k),
        )
        _check_pin(record)
        (build / "record.json").write_text(json.dumps(asdict(record), sort_keys=True) + "\n")
        final = _folder(shape, srs.sha256, cache)
        if final.exists():  # an incomplete or verifier-only one
            shutil.rmtree(final)
        os.replace(build, final)
    finally:
        shutil.rmtree(build, ignore_errors=True)
    return Keys(final, record)


def find(shape: CircuitShape, srs_sha256: str, cache: Path) -> Keys | None:
    """Keys of ``shape`` already in ``cache``, complete for verifying, else None."""
    folder = _folder(shape, srs_sha256, cache)
    try:
        record = Record(**json.loads((folder / "record.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    if (record.circuit, record.srs) != (shape.digest, srs_sha256):
        return None
    _check_pin(record)
    keys = Keys(folder, record)
    if _file_digests(keys) != (record.vk, record.settings):
        raise EnvironmentLacks(f"the keys in {folder} are damaged; delete that folder")
    return keys


def find_proving(shape: CircuitShape, srs_sha256: str, cache: Path) -> Keys | None:
    """As find, but only keys that can prove as well."""
    keys = find(shape, srs_sha256, cache)
    return keys if keys is not None and keys.pk.exists() else None


def verifying_keys(shape: CircuitShape, srs_sha256: str, cache: Path) -> Keys:
    """Keys that can verify: from the cache, or unpacked from the package and checked against its
    pin.

    Raises EnvironmentLacks when the shape is not shipped and was never set up here.
    """
    found = find(shape, srs_sha256, cache)
    if found is not None:
        return found
    packed = packed_key(shape)
    pin = pins().get((shape.digest, srs_sha256))
    if pin is None or not packed.exists():
        raise EnvironmentLacks(
            f"no verifying key for circuit {shape.name} under this SRS; derive it once with "
            "'huref-zk setup' on the commitment or bundle ('setup-similarity' for a pair)"
        )
    cache.mkdir(parents=True, exist_ok=True)
    build = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache))
    try:
        with contextlib.suppress(EOFError, lzma.LZMAError), lzma.open(packed) as f:
            (build / "vk").write_bytes(f.read(MAX_VK))
        shutil.copy(SHIPPED_CIRCUITS / shape.name / "settings.json", build / "settings.json")
        if _file_digests(Keys(build, pin)) != (pin.vk, pin.settings):
            raise EnvironmentLacks(f"the shipped key {packed} is damaged; reinstall huref-zk")
        (build / "record.json").write_text(json.dumps(asdict(pin), sort_keys=True) + "\n")
        final = _folder(shape, srs_sha256, cache)
        if find(shape, srs_sha256, cache) is None:  # what lies there, if anything, is incomplete
            shutil.rmtree(final, ignore_errors=True)
            os.replace(build, final)
    finally:
        shutil.rmtree(build, ignore_errors=True)
    return Keys(final, pin)


@lru_cache(maxsize=1)
def pins() -> dict[tuple[str, str], Record]:
    """The records that the package pins, by (circuit digest, SRS digest)."""
    try:
        entries = json.loads((SHIPPED_KEYS / "manifest.json").read_text())["keys"]
    except OSError as e:
        raise EnvironmentLacks(f"the key manifest cannot be read ({e}); reinstall huref-zk") from e
    records = [Record(**{k: v for k, v in e.items() if k != "name"}) for e in entries]
    return {(r.circuit, r.srs): r for r in records}


def packed_key(shape: CircuitShape) -> Path:
    """Where the package keeps the shape's verifying key, if it ships it."""
    return SHIPPED_KEYS / "verifying" / f"{shape.name}.vk.xz"


def _folder(shape: CircuitShape, srs_sha256: str, cache: Path) -> Path:
    return cache / f"{shape.name}-srs-{srs_sha256[:8]}"


def _check_pin(record: Record) -> None:
    pin = pins().get((record.circuit, record.srs))
    if pin is not None and pin != record:
        raise EnvironmentLacks(
            f"derived keys differ from the pinned ones of circuit {record.circuit[:8]}; "
            f"is ezkl {EZKL_VERSION} installed?"
        )


def _count_unusable(build: Path, srs: Srs, k: int) -> int:
    """How many rows at the bottom of a column this circuit keeps: ezkl fills them with ones in
    every committed column, so the commitment to nothing is the sum of their Lagrange points."""
    files = (str(build / "vk"), str(build / "settings.json"), str(srs.path))
    (target,) = run_all(_commit_to_nothing, [files])
    total = None
    for count in range(1, UNUSABLE + 1):
        total = bn254.add(total, srs.lagrange((1 << k) - count, 1)[0])
        if total == target:
            return count
    raise EnvironmentLacks("this ezkl fills committed columns in a way this program does not know")


def _commit_to_nothing(vk: str, settings: str, srs: str) -> bn254.Point:
    """ezkl's commitment to a zero; made to run in a child process."""
    import ezkl

    return bn254.from_ezkl(ezkl.kzg_commit(["00" * 32], vk, settings, srs)[0])
