"""ezkl's two kinds of einsum, and the whole circuit, against exact integers.

ezkl computes a product of tensors either plainly or with a probabilistic argument (Freivalds'),
which is newer than its audit and is what this circuit uses. Both must give what big integers give,
and the whole circuit either that or nothing.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from huref_zk.circuit import graph, keys
from huref_zk.circuit.shape import SALTS, Shape
from huref_zk.curve.bn254 import R
from huref_zk.invariants.encoder import MAPS, P, encode_exact, load_encoder
from huref_zk.invariants.quantise import FILTER_BITS, I128_BITS
from huref_zk.native import ezkl as runner
from soundness.mutants import NONE, evaluate, witness_output

SMALL = Shape(widths=(4, 4, 4), k=13, shift=36)


# --- single einsums ------------------------------------------------------------------------------

# equation, shape of the committed operand, shape of the second (None: the operand itself).
EINSUMS = {
    "filters": ("cixjy,cfxy->cfij", (2, 2, 4, 2, 4), (2, 3, 4, 4)),
    "energy": ("cfij,cfij->c", (2, 3, 2, 2), None),
    "mixing": ("cfij,ocf->oij", (2, 3, 2, 2), (5, 2, 3)),
    "read-out": ("oij,qo->qij", (5, 2, 2), (4, 5)),
    "product": ("ae,be->ab", (6, 9), (6, 9)),
}


def einsum(name: str, first: np.ndarray, second: np.ndarray | None, plain: bool, folder) -> list:
    """The named einsum by ezkl, in the true circuit's run arguments; a flat list of integers."""
    equation, *_ = EINSUMS[name]
    flat = numpy_helper.from_array(np.array(first.shape, dtype=np.int64), "shape")
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["first"])]
    inputs, constants = ["first", "first"], [flat]
    if second is not None:
        constants.append(numpy_helper.from_array(second.astype(np.float32), "second"))
        inputs[1] = "second"
    nodes.append(helper.make_node("Einsum", inputs, ["product"], equation=equation))
    exact = np.einsum(equation, first, first if second is None else second)
    all_of_it = numpy_helper.from_array(np.array([1, exact.size], dtype=np.int64), "all")
    nodes.append(helper.make_node("Reshape", ["product", "all"], ["v"]))
    made = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", 1, [1, first.size])],
        [helper.make_tensor_value_info("v", 1, [1, exact.size])],
        [*constants, all_of_it],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", graph.OPSET)])
    model.ir_version = graph.IR_VERSION
    onnx.save(model, str(folder / "graph.onnx"))
    arguments = {**keys.run_arguments(SMALL), "disable_freivalds": plain}
    settings, circuit = folder / "settings.json", folder / "circuit.ezkl"
    runner.run("gen_settings", model=folder / "graph.onnx", output=settings, py_run_args=arguments)
    runner.run(
        "compile_circuit",
        model=folder / "graph.onnx",
        compiled_circuit=circuit,
        settings_path=settings,
    )
    return witness_output(circuit, [first.reshape(-1).tolist()], folder)


def operands(name: str, what: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Integer operands of the named einsum: object arrays."""
    _, one, two = EINSUMS[name]
    rng = np.random.default_rng(sorted(EINSUMS).index(name))

    def draw(shape, bits):
        if what == "zeros":
            return np.zeros(shape, dtype=object)
        if what == "extremes":  # both signs of the largest, so that sums cancel and add up
            return rng.choice([-(2**bits), 2**bits - 1, 2**bits], shape).astype(object)
        if what == "negative":
            return -rng.integers(1, 2 ** min(bits, 60), shape).astype(object)
        return rng.integers(-(2 ** min(bits, 60)), 2 ** min(bits, 60), shape).astype(object)

    # A constant is a float32 in the graph: 24 bits; a squared operand must stay within i128.
    return draw(one, 58 if two is None else 96), None if two is None else draw(two, 20)


@pytest.mark.parametrize("what", ["zeros", "negative", "random", "extremes"])
@pytest.mark.parametrize("name", sorted(EINSUMS))
def test_einsum_against_integers(tmp_path, name, what):
    first, second = operands(name, what)
    equation, *_ = EINSUMS[name]
    exact = np.einsum(equation, first, first if second is None else second).reshape(-1)
    for plain in (False, True):
        found = einsum(name, first, second, plain, tmp_path)
        assert found == [int(x) for x in exact], f"plain={plain}"


@pytest.mark.parametrize("plain", [False, True])
def test_einsum_beyond_128_bits(tmp_path, plain):
    """Products are taken in the field: 128-bit integers do not wrap, and r's multiples vanish."""
    one, two = (np.ones(shape, dtype=object) for shape in EINSUMS["product"][1:])
    for bits in (100, 107, 110, 200, 253):
        (found,) = set(einsum("product", one * 2**bits, two * 2**20, plain, tmp_path))
        assert found % R == 9 * 2 ** (bits + 20) % R


# --- the whole circuit ---------------------------------------------------------------------------


def rows_of(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rows (2 P, L + salts): the values, then salts as full-size field elements."""
    rng = np.random.default_rng(seed)
    salts = [[int.from_bytes(rng.bytes(32), "big") % R for _ in range(SALTS)] for _ in range(2 * P)]
    return np.concatenate([values.astype(object), np.array(salts, dtype=object)], axis=1)


def maps_of(rows: np.ndarray, shape: Shape = SMALL) -> list:
    mask = graph.term_mask(shape).astype(int).astype(object)
    return [((rows[:P] * m) @ rows[P:].T).tolist() for m in mask]


def exact_v(rows: np.ndarray) -> list[int]:
    return encode_exact(load_encoder(), maps_of(rows), SMALL.shift)


def random_values(bits: float, seed: int) -> np.ndarray:
    """Values whose maps have rms 2^bits."""
    rng = np.random.default_rng(seed)
    return np.rint(rng.normal(scale=2.0 ** ((bits - 1) / 2), size=(2 * P, SMALL.length)))


def integers(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64)


def one_patch() -> np.ndarray:
    """Each map is zero but for one entry, so most of u is zero."""
    values = np.zeros((2 * P, SMALL.length), dtype=np.int64)
    for start in range(0, SMALL.length, 4):
        values[start % P, start] = 1 << 20
        values[P + (start // 4) % P, start] = 1 << 21
    return values


def ties() -> np.ndarray:
    """Products of 2^35 times -1, 0, 1: every filtered entry is a multiple of half the divisor."""
    rng = np.random.default_rng(2)
    values = np.zeros((2 * P, SMALL.length), dtype=np.int64)
    for start in range(0, SMALL.length, 4):
        for i in range(P):
            values[i, start + i % 4] = 1 << 18
            values[P + i, start : start + 4] = rng.integers(-1, 2, 4) << 17
    return values


INPUTS = {
    "random": lambda: integers(random_values(41, 1)),
    "small": lambda: integers(random_values(37, 2)),
    "large": lambda: integers(random_values(44, 3)),
    "negative": lambda: -np.abs(integers(random_values(41, 4))) - 1,
    "positive": lambda: np.abs(integers(random_values(41, 5))) + 1,
    "ties": ties,
    "mostly-zero": one_patch,
    "rank-one": lambda: np.ones((2 * P, SMALL.length), dtype=np.int64) << 20,
}


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_circuit_against_integers(tmp_path, name):
    rows = rows_of(INPUTS[name]())
    assert evaluate(NONE, SMALL, rows.tolist(), tmp_path) == exact_v(rows)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The true circuit of SMALL, compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    evaluate(NONE, SMALL, rows_of(INPUTS["random"]()).tolist(), folder)
    return folder / "circuit.ezkl"


def either(compiled, rows: np.ndarray, folder) -> str:
    """ "exact" or "refused"; fails on any third thing."""
    try:
        found = witness_output(compiled, rows.tolist(), folder)
    except runner.EzklFailed as error:
        assert "gen_witness" in str(error)
        return "refused"
    assert found == exact_v(rows)
    return "exact"


def test_from_the_smallest_maps_to_the_largest(compiled, tmp_path):
    """Maps of 2^30 to 2^115, the bound of quantise: exact while it can be, then refused."""
    results = []
    for bits in (30, 34, 38, 42, 46, 50, 58, 70, I128_BITS - FILTER_BITS):
        scale = 1 << max(0, (bits - 20) // 2)
        values = integers(random_values(20, bits)).astype(object) * scale
        results.append(either(compiled, rows_of(values), tmp_path))
    middle = results.index("exact")
    stop = len(results) - results[::-1].index("exact")
    assert set(results[middle:stop]) == {"exact"}  # no holes
    assert stop - middle >= 4, results
    assert results[-1] == "refused", results


@pytest.mark.parametrize("which", range(MAPS))
def test_one_map_zero(compiled, tmp_path, which):
    values = INPUTS["random"]()
    rows = rows_of(values)
    zero = rows.copy()
    zero[:, 4 * which : 4 * which + 4] = 0
    with pytest.raises(runner.EzklFailed, match="gen_witness"):
        witness_output(compiled, zero.tolist(), tmp_path)
    assert witness_output(compiled, rows.tolist(), tmp_path) == exact_v(rows)


def test_the_plain_einsum_sums_a_shared_index_twice(tmp_path):
    """The known fault of ezkl 23.0.5's plain einsum: M comes out `row` times too large, so the
    circuit must not be built with it; the probabilistic one is right."""
    tiny = Shape(widths=(1, 1, 1), k=13, shift=36)
    rows = rows_of(integers(random_values(40, 7))[:, : tiny.length])
    maps = maps_of(rows, tiny)
    repeated = [[[tiny.row * x for x in line] for line in m] for m in maps]
    plain = replace(NONE, arguments={"disable_freivalds": True})
    for mutant, expected in ((NONE, maps), (plain, repeated)):
        found = evaluate(mutant, tiny, rows.tolist(), tmp_path)
        assert found == encode_exact(load_encoder(), expected, tiny.shift)
    assert "disable_freivalds" not in keys.run_arguments(tiny)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["run_args"]["disable_freivalds"] is True  # the switch does switch
