"""The circuit against its definition: ezkl's witness, Python integers, and onnxruntime agree."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.graph import OUTPUTS
from huref_zk.circuit.shape import MAP_ENTRIES, MAX_K, TERMS, UNUSABLE, Shape, shape_for
from huref_zk.circuit.writer import GraphWriter
from huref_zk.errors import InputError
from huref_zk.invariants.encoder import CONDITIONS, encode_exact, encode_float, load_encoder
from huref_zk.invariants.sketch import GROUPS, LEFT, RIGHT
from huref_zk.native import ezkl
from tests.support.circuit_rows import (
    columns_of,
    compiled,
    cosine,
    maps_of,
    output_of,
    random_rows,
    rows_of_maps,
)

SMALL = shape_for(16)
ZEROS = [0] * TERMS


def expected(shape: Shape, rows) -> list[int]:
    return [*encode_exact(load_encoder(), maps_of(rows), shape.shift), CONDITIONS, *ZEROS]


@pytest.mark.parametrize("seed", range(3))
def test_ezkl_computes_what_encode_exact_says(circuit, tmp_path, seed):
    rows = random_rows(SMALL, seed)
    assert output_of(circuit, columns_of(rows), tmp_path) == expected(SMALL, rows)


@pytest.mark.parametrize("hidden", [17, 64, 576])
def test_and_at_other_sizes(tmp_path, hidden):
    shape = shape_for(hidden)
    rows = random_rows(shape, hidden)
    assert output_of(compiled(shape, tmp_path), columns_of(rows), tmp_path) == expected(shape, rows)


def test_ties_of_the_division(circuit, tmp_path):
    """Filtered entries that are multiples of half the divisor: halves round away from zero."""
    rng = np.random.default_rng(2)
    halves = rng.integers(-160, 161, (6, 16, 16)) << (SMALL.shift - 1)
    rows = rows_of_maps(SMALL, halves.tolist())
    assert maps_of(rows) == halves.tolist()
    assert output_of(circuit, columns_of(rows), tmp_path) == expected(SMALL, rows)


def test_salts_do_not_enter(circuit, tmp_path):
    rows, other = random_rows(SMALL, 1), random_rows(SMALL, 1)
    assert rows != other and maps_of(rows) == maps_of(other)  # drawn anew
    found = [output_of(circuit, columns_of(r), tmp_path) for r in (rows, other)]
    assert found[0] == found[1] == expected(SMALL, rows)


@pytest.mark.parametrize(("index", "term"), [(0, 0), (1, 1), (5, 2)])
def test_maps_that_are_not_the_rows_leave_a_difference(circuit, tmp_path, index, term):
    """One entry of one map off by one: its term's difference is not zero, the others' are."""
    rows = random_rows(SMALL)
    columns = columns_of(rows)
    assert output_of(circuit, columns, tmp_path)[-TERMS:] == ZEROS
    columns[2][256 * index + 7] += 1
    gap = output_of(circuit, columns, tmp_path)[-TERMS:]
    assert [bool(x) for x in gap] == [t == term for t in range(TERMS)]


def test_a_combined_row_that_is_not_the_rows_leaves_a_difference(circuit, tmp_path):
    for which in (0, 1):
        columns = columns_of(random_rows(SMALL))
        columns[which][3] += 1
        assert output_of(circuit, columns, tmp_path)[-TERMS:] != ZEROS


def test_vanishing_maps_have_no_proof(circuit, tmp_path):
    """A norm of zero has no inverse: no witness at all."""
    rows = random_rows(SMALL)
    maps = maps_of(rows)
    assert output_of(circuit, columns_of(rows), tmp_path)[-4] == CONDITIONS
    maps[4] = [[0] * 16] * 16
    with pytest.raises(ezkl.EzklFailed, match="gen_witness"):
        output_of(circuit, columns_of(rows_of_maps(SMALL, maps)), tmp_path)


def test_onnxruntime_agrees():
    """The same graph in floating point: cosine at least 0.99999 with the circuit's integers."""
    rows = random_rows(SMALL)
    maps = maps_of(rows)
    exact = encode_exact(load_encoder(), maps, SMALL.shift)
    feeds = {name: np.zeros((1, size), dtype=np.float32) for name, size in SMALL.inputs.items()}
    feeds["maps"][0, :MAP_ENTRIES] = np.array(maps).reshape(-1)
    session = onnxruntime.InferenceSession(SMALL.graph(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["out"], feeds)
    assert found.shape == (1, OUTPUTS)
    assert cosine(found[0, :512], exact) >= 0.99999
    assert cosine(encode_float(load_encoder(), np.array(maps, dtype=float)), exact) >= 0.99999


def test_the_onnx_library_reads_the_graph():
    """What writer.py writes is what the library would: checked, and the same bytes when written
    anew."""
    data = shape_for(64).graph()
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert model.SerializeToString(deterministic=True) == data


def test_the_base_install_writes_the_graph():
    """Without the onnx library, which only proving installs."""
    program = (
        "import sys; sys.modules.update(onnx=None, onnxruntime=None, torch=None)\n"
        "import hashlib\n"
        "from huref_zk.circuit import export, halo2, keys\n"
        "from huref_zk.circuit.shape import shape_for\n"
        "print(hashlib.sha256(shape_for(64).graph()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == hashlib.sha256(shape_for(64).graph()).hexdigest(), done.stderr


def test_a_constant_that_float32_cannot_hold_is_refused():
    assert GraphWriter().real("fits", [(1 << 24) - 1]) == "fits"
    with pytest.raises(ValueError, match="float32"):
        GraphWriter().real("large", [(1 << 24) + 1])


def test_digest_binds_every_field():
    changed = [
        replace(SMALL, hidden=17),
        replace(SMALL, k=12),
        replace(SMALL, columns=1),
        replace(SMALL, shift=SMALL.shift + 1),
    ]
    assert len({s.digest for s in [SMALL, *changed]}) == 5
    assert len({s.name for s in [SMALL, *changed]}) == 5


def test_shape_is_a_public_function_and_bounded():
    assert (LEFT, RIGHT, GROUPS) == (32, 16, 2)
    ks = {d: shape_for(d).k for d in (16, 64, 65, 576, 2709, 2710, 4096, 5440, 5441, 8192, 16384)}
    assert list(ks.values()) == [11, 11, 13, 13, 13, 14, 14, 14, 15, 15, 16]
    shifts = [shape_for(d).shift for d in (64, 576, 4096, 8192, 16384)]
    assert shifts == [34, 37, 40, 41, 42]
    for d in (1, 16, 640, 4096, 32768):
        shape = shape_for(d)
        assert max(shape.inputs.values()) + UNUSABLE <= 1 << shape.k
        assert 1 << (shape.base_bits * shape.legs) > 1 << shape.shift
    assert shape_for(576, 11).k == 11
    for hidden, k in ((0, None), (4096, 13), (64, MAX_K + 1), (1 << 20, None)):
        with pytest.raises(InputError):
            shape_for(hidden, k)


def test_every_circuit_ties_its_einsums_down():
    """ezkl's other einsum leaves its output free (soundness/test_wiring.py)."""
    assert keys.run_arguments(SMALL)["disable_freivalds"] is True
