"""Regenerates circuits/ and keys/: ``python -m huref_zk.circuit.export`` (or ``make circuits``).

For every shipped shape: its graph and settings, byte for byte the same on every run; its verifying
key under the test SRS, packed; and the manifest that pins the digests. Keys under a ceremony's SRS
are derived by whoever has it, with `huref-zk setup`.
"""

from __future__ import annotations

import json
import lzma
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from huref_zk.circuit import keys
from huref_zk.circuit.shape import CircuitShape, Shape, shape_for
from huref_zk.files.container import write_atomically
from huref_zk.paths import SHIPPED_CIRCUITS, SHIPPED_KEYS, default_cache
from huref_zk.proofs.similarity.shape import PairShape, pair_for
from huref_zk.srs.trust import find_srs

# name -> (widths, K, d) of the models whose circuits are shipped.
MODELS: dict[str, tuple[tuple[int, int, int], int, int]] = {
    "demo": ((64, 64, 192), 4096, 64),
    "SmolLM2-135M": ((576, 576, 1536), 4096, 576),
}


def shipped_shapes() -> dict[str, Shape]:
    """Model name -> its shape."""
    return {name: shape_for(*numbers) for name, numbers in MODELS.items()}


def shipped_pairs() -> dict[str, PairShape]:
    """Name -> shape of a pair of models of one shipped shape (for proofs of similarity)."""
    return {f"{name} x {name}": pair_for(shape, shape) for name, shape in shipped_shapes().items()}


def export(shape: CircuitShape, circuits: Path) -> None:
    """Write circuits/NAME/{graph.onnx, settings.json}."""
    folder = circuits / shape.name
    folder.mkdir(parents=True, exist_ok=True)
    keys.export_circuit(shape, folder)


def main() -> None:
    entries = []
    # Derived apart from the cache and the old pins, so that what is pinned was made just now.
    (SHIPPED_KEYS / "manifest.json").write_text('{"keys": []}\n')
    keys.pins.cache_clear()
    for old in (*SHIPPED_CIRCUITS.glob("*/"), SHIPPED_KEYS / "verifying"):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as scratch:
        shapes: dict[str, CircuitShape] = {**shipped_shapes(), **shipped_pairs()}
        for name, shape in shapes.items():
            print(f"{name}: {shape.name}", flush=True)
            export(shape, SHIPPED_CIRCUITS)
            srs = find_srs(shape.k, default_cache(), make_test=True)
            derived = keys.derive(shape, srs, Path(scratch))
            packed = lzma.compress(derived.vk.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
            write_atomically(keys.packed_key(shape), packed)
            entries.append({"name": name, **asdict(derived.record)})
    text = json.dumps({"keys": entries}, indent=1, sort_keys=True) + "\n"
    write_atomically(SHIPPED_KEYS / "manifest.json", text.encode())


if __name__ == "__main__":
    main()
