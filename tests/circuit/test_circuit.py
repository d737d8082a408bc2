"""The circuit against its definition: ezkl's witness, Python integers, and onnxruntime agree."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from huref_zk.circuit import export, keys
from huref_zk.circuit.encoder import MAPS, P, encode_exact, encode_float, load_encoder
from huref_zk.circuit.graph import build_graph, term_mask
from huref_zk.circuit.shape import SALTS, Shape, shape_for
from huref_zk.curve.bn254 import R
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.native import ezkl as runner
from huref_zk.paths import SHIPPED_CIRCUITS
from research.benchmarks.agreement import cosine, graph_in_floats

SMALL = Shape(widths=(8, 8, 16), k=13, shift=36)


def rows_of(shape: Shape, bits: float, seed: int = 0) -> np.ndarray:
    """Random rows (2 P, L + SALTS) whose maps have rms 2^bits; the salts are field elements."""
    rng = np.random.default_rng(seed)
    size = 2.0 ** ((bits - np.log2(max(shape.widths)) / 2) / 2)
    values = np.rint(rng.normal(scale=size, size=(2 * P, shape.length))).astype(np.int64)
    salts = [[int.from_bytes(rng.bytes(32), "big") % R for _ in range(SALTS)] for _ in range(2 * P)]
    return np.concatenate([values.astype(object), np.array(salts, dtype=object)], axis=1)


def maps_of(shape: Shape, rows: np.ndarray) -> list:
    mask = term_mask(shape).astype(int).astype(object)
    return [((rows[:P] * m) @ rows[P:].T).tolist() for m in mask]


def witness(shape: Shape, rows: np.ndarray, folder: Path, **changes) -> list[int]:
    """v as ezkl computes it, signed."""
    (folder / "graph.onnx").write_bytes(build_graph(shape, load_encoder()))
    settings, circuit = folder / "settings.json", folder / "circuit.ezkl"
    arguments = {**keys.run_arguments(shape), **changes}
    runner.run("gen_settings", model=folder / "graph.onnx", output=settings, py_run_args=arguments)
    runner.run(
        "compile_circuit",
        model=folder / "graph.onnx",
        compiled_circuit=circuit,
        settings_path=settings,
    )
    data = [[(int(x) % R).to_bytes(32, "little").hex() for x in row] for row in rows]
    (folder / "input.json").write_text(json.dumps({"input_data": data}))
    runner.run(
        "gen_witness", data=folder / "input.json", model=circuit, output=folder / "witness.json"
    )
    (outputs,) = json.loads((folder / "witness.json").read_text())["outputs"]
    found = [int.from_bytes(bytes.fromhex(x), "little") for x in outputs]
    return [x - R if x > R // 2 else x for x in found]


@pytest.mark.parametrize("bits", [41.0, 37.0, 44.0])
def test_ezkl_computes_what_encode_exact_says(tmp_path, bits):
    rows = rows_of(SMALL, bits)
    assert witness(SMALL, rows, tmp_path) == encode_exact(
        load_encoder(), maps_of(SMALL, rows), SMALL.shift
    )


def test_ties_of_the_division(tmp_path):
    """Filtered entries that are multiples of half the divisor: halves round away from zero."""
    rows = rows_of(SMALL, 41.0)
    rows[:, : SMALL.length] = 0
    rng = np.random.default_rng(2)
    for start, width in zip(range(0, SMALL.length, 8), [8] * (SMALL.length // 8), strict=True):
        for i in range(P):  # one product a map entry: 2^35 times -1, 0 or 1
            rows[i, start + i % width] = 1 << 18
            rows[P + i, start : start + width] = rng.integers(-1, 2, width) << 17
    assert witness(SMALL, rows, tmp_path) == encode_exact(
        load_encoder(), maps_of(SMALL, rows), SMALL.shift
    )


def test_a_vanishing_map_has_no_proof(tmp_path):
    """Its norm is zero: the circuit refuses; quantise refuses such a model long before."""
    rows = rows_of(SMALL, 41.0)
    assert len(witness(SMALL, rows, tmp_path)) == 512
    rows[:, 0:8] = 0
    with pytest.raises(runner.EzklFailed, match="gen_witness"):
        witness(SMALL, rows, tmp_path)


def test_the_probabilistic_einsum_agrees_with_the_plain_one(tmp_path):
    """ezkl's plain einsum, its oldest code, and its probabilistic one give the same v.

    Up to one known fault of the plain one in ezkl 23.0.5: an index that three operands share is
    summed over twice, so that M = A diag(mask) B^T comes out as often as a row is long.
    """
    tiny = Shape(widths=(2, 2, 2), k=13, shift=36)
    rows = rows_of(tiny, 39.0)
    maps = maps_of(tiny, rows)
    repeated = [[[tiny.row * x for x in row] for row in m] for m in maps]
    for off, expected in ((False, maps), (True, repeated)):
        folder = tmp_path / str(off)
        folder.mkdir()
        found = witness(tiny, rows, folder, disable_freivalds=off)
        assert found == encode_exact(load_encoder(), expected, tiny.shift)


def test_onnxruntime_agrees():
    """The same graph in floating point: cosine at least 0.99999 with the circuit's integers."""
    rows = rows_of(SMALL, 41.0)
    exact = encode_exact(load_encoder(), maps_of(SMALL, rows), SMALL.shift)
    assert cosine(graph_in_floats(SMALL, rows[:, : SMALL.length]), exact) >= 0.99999
    floats = encode_float(load_encoder(), np.array(maps_of(SMALL, rows), dtype=float))
    assert cosine(floats, exact) >= 0.99999


def test_salts_do_not_enter(tmp_path):
    rows = rows_of(SMALL, 41.0)
    other = rows.copy()
    other[:, SMALL.length :] = rows_of(SMALL, 41.0, seed=1)[:, SMALL.length :]
    assert (other != rows).any()
    assert witness(SMALL, rows, tmp_path) == witness(SMALL, other, tmp_path)


def test_mask_covers_every_value_once_and_no_salt():
    mask = term_mask(SMALL)
    assert mask.shape == (MAPS, SMALL.row)
    assert (mask.sum(axis=0) == [1] * SMALL.length + [0] * SALTS).all()
    assert mask.sum(axis=1).tolist() == [8, 8, 16, 8, 8, 16]


def test_digest_binds_every_field():
    changed = [
        replace(SMALL, widths=(8, 9, 16)),
        replace(SMALL, k=14),
        replace(SMALL, shift=37),
    ]
    assert len({s.digest for s in [SMALL, *changed]}) == 4


def test_shape_is_a_public_function_and_bounded():
    shape = shape_for((576, 576, 1536), 4096, 576)
    assert (shape.k, shape.shift, shape.row) == (14, 47, 5384)
    assert (1 << (shape.base_bits * shape.legs)) > 1 << (shape.shift + 1)
    with pytest.raises(InputError, match="rows"):
        shape_for((1 << 19, 1 << 19, 1 << 19), 4096, 4096)
    with pytest.raises(InputError, match="positive"):
        shape_for((0, 1, 1), 4096, 64)


@pytest.mark.parametrize("name", export.MODELS)
def test_shipped_circuits_regenerate_byte_for_byte(name, tmp_path):
    shape = export.shipped_shapes()[name]
    export.export(shape, tmp_path)
    for file in ("graph.onnx", "settings.json"):
        made = (tmp_path / shape.name / file).read_bytes()
        assert made == (SHIPPED_CIRCUITS / shape.name / file).read_bytes()


def test_a_dying_or_failing_call_is_one_clear_error():
    with pytest.raises(runner.EzklFailed, match="ezkl compile_circuit failed"):
        runner.run("compile_circuit", model="/nonexistent", compiled_circuit="/nonexistent")
    with pytest.raises(runner.EzklFailed, match="did not end"):
        runner.run("verify", timeout=0.01)
    with pytest.raises(runner.EzklFailed, match="died"):
        runner.run("no_such_call")


@pytest.mark.parametrize("name", export.MODELS)
def test_shipped_verifying_keys_are_the_pinned_ones(name, tmp_path, monkeypatch):
    """Unpacked into an empty cache without ezkl's setup; a pin that differs is refused."""
    shape = export.shipped_shapes()[name]
    ((pair, pin),) = ((p, r) for p, r in keys.pins().items() if p[0] == shape.digest)
    found = keys.verifying_keys(shape, pair[1], tmp_path / "cache")
    assert hashlib.sha256(found.vk.read_bytes()).hexdigest() == pin.vk
    assert hashlib.sha256(found.settings.read_bytes()).hexdigest() == pin.settings
    assert not found.pk.exists()
    monkeypatch.setattr(keys, "pins", lambda: {pair: replace(pin, vk="00" * 32)})
    with pytest.raises(EnvironmentLacks, match="damaged"):
        keys.verifying_keys(shape, pair[1], tmp_path / "other")
