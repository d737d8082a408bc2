"""The circuit's similarity against its definition in integers and in floats, and against ezkl."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.encoder import MAPS, P
from huref_zk.circuit.graph import term_mask
from huref_zk.circuit.shape import SALTS, Shape
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import ics
from huref_zk.native import ezkl as runner
from huref_zk.proofs.similarity.exact import (
    Range,
    at_least,
    at_most,
    exactly,
    holds,
    sum_of_cosines,
)
from huref_zk.proofs.similarity.shape import (
    CELL,
    CONDITIONS,
    FRACTION_BITS,
    MAX_SHIFT,
    TOP,
    PairShape,
    energy_shift,
    pair_for,
)

ONE = MAPS << FRACTION_BITS
SMALL = Shape(widths=(8, 8, 16), k=13, shift=36)
OTHER = Shape(widths=(4, 8, 12), k=13, shift=33)
PAIR = pair_for(SMALL, OTHER)


def rows_of(shape: Shape, octaves: float = 0.0, seed: int = 0) -> np.ndarray:
    """Random rows (2 P, L + SALTS) whose maps have 2^octaves times the size that is expected."""
    rng = np.random.default_rng(seed)
    values = np.zeros((2 * P, shape.length))
    start = 0
    for width in shape.widths * 2:
        size = 2.0 ** ((shape.shift + 5 + octaves - np.log2(width) / 2) / 2)
        values[:, start : start + width] = rng.normal(scale=size, size=(2 * P, width))
        start += width
    salts = [[int.from_bytes(rng.bytes(32), "big") % R for _ in range(SALTS)] for _ in range(2 * P)]
    rounded = np.rint(values).astype(np.int64).astype(object)
    return np.concatenate([rounded, np.array(salts, dtype=object)], axis=1)


def maps_of(shape: Shape, rows: np.ndarray) -> list:
    return [((rows[:P] * m) @ rows[P:].T).tolist() for m in term_mask(shape).astype(int)]


def floats(maps: list) -> np.ndarray:
    return np.array(maps, dtype=np.float64)


class Circuit:
    """The compiled circuit of a pair; tells how many conditions hold of rows and bounds."""

    def __init__(self, pair: PairShape, folder: Path):
        self.folder = folder
        keys.export_circuit(pair, folder)
        runner.run(
            "compile_circuit",
            model=folder / "graph.onnx",
            compiled_circuit=folder / "circuit.ezkl",
            settings_path=folder / "settings.json",
        )

    def held(self, x: np.ndarray, y: np.ndarray, column: list[int]) -> int:
        rows = [*x.tolist(), *y.tolist(), column]
        data = [[(int(v) % R).to_bytes(32, "little").hex() for v in row] for row in rows]
        files = {name: self.folder / f"{name}.json" for name in ("input", "witness")}
        files["input"].write_text(json.dumps({"input_data": data}))
        runner.run(
            "gen_witness",
            data=files["input"],
            model=self.folder / "circuit.ezkl",
            output=files["witness"],
        )
        ((count,),) = json.loads(files["witness"].read_text())["outputs"]
        return int.from_bytes(bytes.fromhex(count), "little")


@pytest.fixture(scope="module")
def circuit(tmp_path_factory) -> Circuit:
    return Circuit(PAIR, tmp_path_factory.mktemp("pair"))


# --- in integers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("octaves", [-6, -3, 0, 1.5])
def test_integers_agree_with_floats(octaves):
    """To far less than what is asked for, over the sizes that the circuit is made for."""
    x = rows_of(SMALL, octaves)
    for mix in (0.0, 0.4, 1.0):
        y = rows_of(SMALL, -octaves / 4, seed=1)
        y[:, : SMALL.length] = np.rint(
            ((1 - mix) * y[:, : SMALL.length] + mix * x[:, : SMALL.length]).astype(float)
        ).astype(object)
        maps = maps_of(SMALL, x), maps_of(SMALL, y)
        total = sum_of_cosines(pair_for(SMALL, SMALL), *maps)
        assert abs(total / ONE - ics(*map(floats, maps))) < 2.0 ** (-20 + max(0, -octaves))


def test_a_model_is_like_itself_and_unlike_its_negative():
    x = maps_of(SMALL, rows_of(SMALL))
    minus = [[[-v for v in row] for row in m] for m in x]
    pair = pair_for(SMALL, SMALL)
    assert exactly(sum_of_cosines(pair, x, x)) == Range(1 << 16, 1 << 16)
    assert sum_of_cosines(pair, x, minus) == -sum_of_cosines(pair, x, x)


def test_maps_of_impossible_size():
    x, y = maps_of(SMALL, rows_of(SMALL)), maps_of(OTHER, rows_of(OTHER, seed=1))
    for t, factor, words in ((2, 0, "map 2 of the second model vanishes"), (5, 1 << 9, "size 2")):
        scaled = list(y)
        scaled[t] = [[factor * v for v in row] for row in y[t]]
        with pytest.raises(InputError, match=words):
            sum_of_cosines(PAIR, x, scaled)
    sum_of_cosines(PAIR, x, y)


def test_cells():
    """A cell is what rounding to the nearest 2^-16 gives; a bound is rounded to the safe side."""
    for total in (0, 1, CELL // 2 - 1, CELL // 2, CELL, -CELL // 2, -CELL // 2 - 1, ONE, -ONE):
        cell = exactly(total).low
        assert cell == (2 * total + CELL) // (2 * CELL)
        assert [holds(total, Range(c, c)) for c in (cell - 1, cell, cell + 1)] == [
            False,
            True,
            False,
        ]
    assert at_least(0.3) == Range(19661, TOP) and 19660 / 65536 < 0.3 < 19661 / 65536
    assert at_most(0.3) == Range(-TOP, 19660)
    assert at_least(0.5).low == at_most(0.5).high == 1 << 15
    assert holds(CELL * 7 - CELL // 2, Range(7, TOP))
    assert not holds(CELL * 7 - CELL // 2 - 1, Range(7, TOP))
    for bad in (1.01, -1.01, float("nan"), float("inf")):
        with pytest.raises(InputError, match="between -1 and 1"):
            at_least(bad)


def test_words():
    assert Range(1 << 15, 1 << 15).words == "s = 0.50000"
    assert at_least(0.25).words == "s >= 0.25000"
    assert at_most(0.25).words == "s <= 0.25000"
    assert Range(0, 1 << 14).words == "0.00000 <= s <= 0.25000"


def test_shapes():
    same = pair_for(SMALL, SMALL)
    swapped = pair_for(OTHER, SMALL)
    assert len({p.digest for p in (PAIR, same, swapped)}) == 3
    assert len({p.name for p in (PAIR, same, swapped)}) == 3
    larger = replace(SMALL, k=14)
    with pytest.raises(InputError, match="domain"):
        pair_for(SMALL, larger)
    assert pair_for(larger, larger).k == 14
    edge = replace(SMALL, shift=MAX_SHIFT)
    with pytest.raises(InputError, match="too large"):
        pair_for(SMALL, replace(edge, shift=MAX_SHIFT + 1))
    large = Shape(widths=(576, 576, 1536), k=14, shift=47)
    assert (same.inner_columns, pair_for(large, large).inner_columns) == (2, 7)
    for pair in (same, pair_for(edge, edge)):
        assert pair.base_bits * pair.legs > energy_shift(pair.first) + 1


# --- in the circuit ------------------------------------------------------------------------------


def test_ezkl_finds_exactly_our_sum(circuit):
    """Within [sum, sum], and not within bounds that miss it by one unit on either side."""
    for seed, octaves in ((0, 0.0), (1, -4.0), (2, 1.3)):
        x, y = rows_of(SMALL, octaves, seed), rows_of(OTHER, -octaves / 4, seed + 10)
        total = sum_of_cosines(PAIR, maps_of(SMALL, x), maps_of(OTHER, y))
        wide = 1 << 30
        for column, held in (
            ([-total, total], CONDITIONS),
            ([-total - 1, wide], CONDITIONS - 1),
            ([wide, total - 1], CONDITIONS - 1),
            ([-total - 1, total - 1], CONDITIONS - 2),
            (exactly(total).column, CONDITIONS),
        ):
            assert circuit.held(x, y, column) == held


def test_ezkl_counts_maps_of_impossible_size(circuit):
    """A map that vanishes, one that is too small and one that is too large, each in one model."""
    x, y = rows_of(SMALL), rows_of(OTHER, seed=1)
    wide = [1 << 30, 1 << 30]
    assert circuit.held(x, y, wide) == CONDITIONS
    for rows, model, factor in ((x, 0, 0.0), (x, 0, 2.0**-9), (y, 1, 2.0**3)):
        changed = rows.copy()
        part = changed[:P, : (SMALL, OTHER)[model].widths[0]].astype(float)
        changed[:P, : (SMALL, OTHER)[model].widths[0]] = np.rint(factor * part).astype(object)
        models = [changed if i == model else r for i, r in enumerate((x, y))]
        if factor:
            assert circuit.held(*models, wide) == CONDITIONS - 1
        else:  # there is not even a witness
            with pytest.raises(runner.EzklFailed, match="gen_witness"):
                circuit.held(*models, wide)


def test_salts_and_order_of_models(circuit, tmp_path):
    """Salts do not enter; a pair of one shape (one mask for both) is computed as well."""
    x, y = rows_of(SMALL), rows_of(OTHER, seed=1)
    total = sum_of_cosines(PAIR, maps_of(SMALL, x), maps_of(OTHER, y))
    salted = x.copy()
    salted[:, SMALL.length :] = rows_of(SMALL, seed=9)[:, SMALL.length :]
    assert (salted != x).any()
    assert circuit.held(salted, y, [-total, total]) == CONDITIONS
    same = Circuit(pair_for(SMALL, SMALL), tmp_path)
    z = rows_of(SMALL, seed=3)
    total = sum_of_cosines(pair_for(SMALL, SMALL), maps_of(SMALL, x), maps_of(SMALL, z))
    assert same.held(x, z, [-total, total]) == CONDITIONS
    assert same.held(z, x, [-total - 2, 1 << 30]) == CONDITIONS - 1
