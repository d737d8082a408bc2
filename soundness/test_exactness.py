"""ezkl's einsums, and the whole circuit, against exact integers.

Every einsum of the circuit must give what big integers give, and the whole circuit either that or
nothing.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.shape import TERMS, shape_for
from huref_zk.circuit.writer import GraphWriter
from huref_zk.curve.bn254 import R
from huref_zk.invariants.encoder import (
    CONDITIONS,
    MAPS,
    NORM_MAX,
    NORM_MIN,
    encode_exact,
    load_encoder,
    norms,
)
from huref_zk.native import ezkl
from soundness.mutants import NONE, evaluate
from tests.support.circuit_rows import (
    columns_of,
    compiled,
    maps_of,
    output_of,
    random_rows,
    rows_of_maps,
    salted,
)

SMALL = shape_for(16)


# --- single einsums ------------------------------------------------------------------------------

# equation, shape of the committed operand, shape of the second (None: the operand itself).
EINSUMS = {
    "rows": ("te,e->t", (3, 20), (20,)),
    "right weights": ("cab,b->ca", (2, 4, 5), (5,)),
    "left weights": ("sta,sa->t", (2, 3, 4), (2, 4)),
    "filters": ("cixjy,cfxy->cfij", (2, 2, 4, 2, 4), (2, 3, 4, 4)),
    "energy": ("cfij,cfij->c", (2, 3, 2, 2), None),
    "mixing": ("cfij,ocf->oij", (2, 3, 2, 2), (5, 2, 3)),
    "read-out": ("oij,qo->qij", (5, 2, 2), (4, 5)),
}


def einsum(name: str, first: np.ndarray, second: np.ndarray | None, folder) -> list[int]:
    """The named einsum by ezkl, in the true circuit's run arguments; a flat list of integers."""
    equation, *_ = EINSUMS[name]
    g = GraphWriter()
    x = g.reshape("x", list(first.shape), "first")
    other = x if second is None else g.real("second", second.astype(float))
    exact = np.einsum(equation, first, first if second is None else second)
    g.reshape(g.einsum(equation, [x, other], "product"), [1, exact.size], "out")
    graph, settings, circuit = (folder / n for n in ("graph.onnx", "settings.json", "c.ezkl"))
    graph.write_bytes(g.serialise(name, {"x": first.size}, ("out", exact.size)))
    arguments = keys.run_arguments(SMALL)
    ezkl.run("gen_settings", model=graph, output=settings, py_run_args=arguments)
    ezkl.run("compile_circuit", model=graph, compiled_circuit=circuit, settings_path=settings)
    return output_of(circuit, [first.reshape(-1).tolist()], folder)


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
    assert einsum(name, first, second, tmp_path) == [int(x) for x in exact]


def test_einsum_beyond_128_bits(tmp_path):
    """Products are taken in the field: 128-bit integers do not wrap, and r's multiples vanish."""
    one, two = (np.ones(shape, dtype=object) for shape in EINSUMS["rows"][1:])
    for bits in (100, 107, 110, 200, 253):
        (found,) = set(einsum("rows", one * 2**bits, two * 2**20, tmp_path))
        assert found % R == 20 * 2 ** (bits + 20) % R


def test_an_index_that_three_operands_share(tmp_path):
    """A known fault of ezkl 23.0.5's plain einsum: it sums over such an index twice, so no equation
    of ours has one."""
    g = GraphWriter()
    x = g.reshape("x", [4], "row")
    g.reshape(g.einsum("e,e,e->", [x, x, x], "cubes"), [1, 1], "out")
    graph, settings, circuit = (tmp_path / n for n in ("graph.onnx", "settings.json", "c.ezkl"))
    graph.write_bytes(g.serialise("cubes", {"x": 4}, ("out", 1)))
    arguments = keys.run_arguments(SMALL)
    ezkl.run("gen_settings", model=graph, output=settings, py_run_args=arguments)
    ezkl.run("compile_circuit", model=graph, compiled_circuit=circuit, settings_path=settings)
    (found,) = output_of(circuit, [[1, 2, 3, 4]], tmp_path)
    assert found == 4 * (1 + 8 + 27 + 64)
    ours = json.loads(keys.shipped_settings(shape_for(64)).read_text())["einsum_params"]
    assert ours["equations"] and ours["total_einsum_col_size"] == 0
    assert all(equation.count(",") == 1 for equation, _ in ours["equations"])


# --- the whole circuit ---------------------------------------------------------------------------


def exact_output(rows) -> list[int]:
    """v, and how many conditions hold, of rows with maps whose norms are not zero."""
    encoder, maps = load_encoder(), maps_of(rows)
    sizes = norms(encoder, maps, SMALL.shift)
    held = sum((n >= NORM_MIN) + (n <= NORM_MAX) for n in sizes)
    return [*encode_exact(encoder, maps, SMALL.shift), held, *[0] * TERMS]


def one_patch():
    """Each map is zero but for one entry, so most of u is zero."""
    maps = np.zeros((MAPS, 16, 16), dtype=object)
    for t in range(MAPS):
        maps[t, t, 2 * t + 1] = 300 << SMALL.shift
    return rows_of_maps(SMALL, maps.tolist())


def ties():
    """Maps of multiples of 2^(shift - 1): every filtered entry is one of half the divisor."""
    rng = np.random.default_rng(2)
    return rows_of_maps(
        SMALL, (rng.integers(-99, 100, (MAPS, 16, 16)) << (SMALL.shift - 1)).tolist()
    )


def of_one_sign(sign: int):
    rng = np.random.default_rng(4)
    maps = sign * rng.integers(1, 1 << (SMALL.shift + 6), (MAPS, 16, 16))
    return rows_of_maps(SMALL, maps.tolist())


def full_of_ones():
    """All rows equal: maps of rank one."""
    bits = (SMALL.shift + 2) // 2
    left, right = np.ones((32, TERMS, 16)), np.ones((16, 16))
    return salted(left.astype(np.int64) << bits, right.astype(np.int64) << bits)


INPUTS = {
    "random": lambda: random_rows(SMALL, 1),
    "small": lambda: random_rows(SMALL, 2, SMALL.shift + 3.2),
    "large": lambda: random_rows(SMALL, 3, SMALL.shift + 6.8),
    "negative": lambda: of_one_sign(-1),
    "positive": lambda: of_one_sign(1),
    "ties": ties,
    "mostly-zero": one_patch,
    "rank-one": full_of_ones,
}


@pytest.fixture(scope="module")
def circuit(tmp_path_factory):
    """The true circuit of SMALL, compiled."""
    return compiled(SMALL, tmp_path_factory.mktemp("compiled"))


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_circuit_against_integers(circuit, tmp_path, name):
    rows = INPUTS[name]()
    found = output_of(circuit, columns_of(rows), tmp_path)
    assert found == exact_output(rows)
    assert found[-1 - TERMS] == CONDITIONS


def either(circuit, rows, folder) -> str:
    """ "exact" or "refused"; fails on any third thing."""
    try:
        found = output_of(circuit, columns_of(rows), folder)
    except ezkl.EzklFailed as error:
        assert "gen_witness" in str(error)
        return "refused"
    assert found == exact_output(rows)
    return "exact"


def test_from_the_smallest_maps_to_the_largest(circuit, tmp_path):
    """Maps of 2^20 to 2^115, the bound of quantise: exact while it can be, then refused; and all
    conditions hold somewhere in the middle of where it is exact."""
    sizes = [20, 26, 30, 33, SMALL.shift + 5, 40, 44, 48, 56, 70, 115]
    results = [either(circuit, rows_at(bits), tmp_path) for bits in sizes]
    first, last = results.index("exact"), len(results) - results[::-1].index("exact")
    assert set(results[first:last]) == {"exact"}  # no holes
    assert last - first >= 4, results
    assert results[-1] == "refused", results
    assert first <= sizes.index(SMALL.shift + 5) < last


def rows_at(bits: float):
    """Rows whose maps are random with about so many bits."""
    rng = np.random.default_rng(int(bits))
    unit = rng.integers(-(1 << 18), 1 << 18, (MAPS, 16, 16)).astype(object)
    return rows_of_maps(SMALL, (unit * (1 << max(0, int(bits) - 18))).tolist())


@pytest.mark.parametrize("which", range(MAPS))
def test_one_map_zero(circuit, tmp_path, which):
    rows = INPUTS["random"]()
    maps = maps_of(rows)
    maps[which] = [[0] * 16 for _ in range(16)]
    with pytest.raises(ezkl.EzklFailed, match="gen_witness"):
        output_of(circuit, columns_of(rows_of_maps(SMALL, maps)), tmp_path)
    assert output_of(circuit, columns_of(rows), tmp_path) == exact_output(rows)


def test_another_shift_is_another_circuit(tmp_path):
    """The divisor is the shape's: the same rows under one of twice the size."""
    longer = replace(SMALL, shift=SMALL.shift + 1)
    rows = INPUTS["random"]()
    found = evaluate(NONE, longer, rows, tmp_path)
    assert found[:512] == encode_exact(load_encoder(), maps_of(rows), longer.shift)
    assert found[:512] != exact_output(rows)[:512]
