"""Rows for the picture's circuit, without a model: random ones, and ones that give chosen maps."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from huref_zk.circuit import keys
from huref_zk.circuit.product import Weights, combined_row, exact_maps
from huref_zk.circuit.shape import TERMS, CircuitShape, Shape
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.curve.bn254 import R
from huref_zk.invariants.encoder import Encoder, Maps, load_encoder, norms
from huref_zk.invariants.sketch import GROUPS, LEFT, RIGHT
from huref_zk.native import ezkl

Rows = list[list[int]]


def salted(left: np.ndarray, right: np.ndarray) -> Rows:
    """Whole rows of integers left (32, 3, d) and right (16, d), salts as a commitment has them."""

    def salts(count: int) -> list[int]:
        return [secrets.randbelow(R) for _ in range(count)]

    rows = []
    for blocks in left.tolist():
        row = [x for block in blocks for x in [*block, *[0] * E_SALTS]]
        rows.append([*row[:-SALTS], *salts(SALTS)])
    return rows + [[*row, *salts(E_SALTS)] for row in right.tolist()]


def random_rows(shape: Shape, seed: int = 0, bits: float | None = None) -> Rows:
    """Random rows whose maps have rms 2^bits, by default what the circuit is made for."""
    rng = np.random.default_rng(seed)
    d = shape.hidden
    scale = 2.0 ** (((shape.shift + 5 if bits is None else bits) - np.log2(d) / 2) / 2)
    left, right = (
        np.rint(rng.normal(scale=scale, size=size)).astype(np.int64)
        for size in ((LEFT, TERMS, d), (RIGHT, d))
    )
    return salted(left, right)


def rows_of_maps(shape: Shape, maps: Maps) -> Rows:
    """Rows that give these maps: the right ones are unit vectors. d must be 16 at least."""
    entries = np.array(maps, dtype=object).reshape(GROUPS, TERMS, LEFT // GROUPS, RIGHT)
    left = np.zeros((LEFT, TERMS, shape.hidden), dtype=object)
    left[:, :, :RIGHT] = entries.transpose(0, 2, 1, 3).reshape(LEFT, TERMS, RIGHT)
    return salted(left, np.eye(RIGHT, shape.hidden, dtype=np.int64))


def maps_of(rows: Rows) -> list[list[list[int]]]:
    return exact_maps(rows[:LEFT], rows[LEFT:])


def maps_with_norms(
    shape: Shape, wanted: list[int], seed: int = 0, encoder: Encoder | None = None
) -> list[list[list[int]]]:
    """Random maps whose norms, as the circuit rounds them, are exactly these six."""
    encoder = encoder or load_encoder()
    rng = np.random.default_rng(seed)
    unit = rng.normal(size=(len(wanted), 16, 16)) * 2.0**shape.shift
    low, high = np.zeros(len(wanted)), np.full(len(wanted), 2.0**20)
    for _ in range(200):
        scale = (low + high) / 2
        maps = [
            [[int(x) for x in row] for row in np.rint(m * s)]
            for m, s in zip(unit, scale, strict=True)
        ]
        found = np.array(norms(encoder, maps, shape.shift))
        if list(found) == wanted:
            return maps
        low = np.where(found < wanted, scale, low)
        high = np.where(found > wanted, scale, high)
    raise AssertionError(f"no maps with norms {wanted} near these")


def columns_of(rows: Rows, weights: Weights | None = None, maps: Maps | None = None) -> Rows:
    """The circuit's input columns, with random weights by default. maps: others than the rows'."""
    if weights is None:
        drawn = [secrets.randbelow(1 << 128) for _ in range(LEFT + RIGHT)]
        weights = Weights(tuple(drawn[:LEFT]), tuple(drawn[LEFT:]))
    entries = [x for m in maps or maps_of(rows) for line in m for x in line]
    return [
        combined_row(rows[:LEFT], weights.left),
        combined_row(rows[LEFT:], weights.right),
        [*entries, *(secrets.randbelow(R) for _ in range(SALTS))],
        weights.column,
    ]


def compiled(shape: CircuitShape, folder: Path, **changes: object) -> Path:
    """The circuit of ``shape``, compiled into a folder; changes: of ezkl's run arguments."""
    graph, settings, circuit = (folder / n for n in ("graph.onnx", "settings.json", "circuit.ezkl"))
    graph.write_bytes(shape.graph())
    arguments = {**keys.run_arguments(shape), **changes}
    ezkl.run("gen_settings", model=graph, output=settings, py_run_args=arguments)
    ezkl.run("compile_circuit", model=graph, compiled_circuit=circuit, settings_path=settings)
    return circuit


def output_of(circuit: Path, columns: Rows, folder: Path) -> list[int]:
    """What a compiled circuit puts out for these columns, as signed integers."""
    data = [[(int(x) % R).to_bytes(32, "little").hex() for x in column] for column in columns]
    inputs, witness = folder / "input.json", folder / "witness.json"
    inputs.write_text(json.dumps({"input_data": data}))
    ezkl.run("gen_witness", data=inputs, model=circuit, output=witness)
    (outputs,) = json.loads(witness.read_text())["outputs"]
    found = [int.from_bytes(bytes.fromhex(x), "little") for x in outputs]
    return [x - R if x > R // 2 else x for x in found]


def cosine(a: Sequence[int] | np.ndarray, b: Sequence[int] | np.ndarray) -> float:
    x, y = (np.asarray(values, dtype=np.float64).ravel() for values in (a, b))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
