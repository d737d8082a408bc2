"""The seam to the circuit: ezkl commits to the rows we prove about, salts and all."""

import json

import ezkl
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from huref_zk.argument.projection_prover import prove_projection
from huref_zk.argument.projection_verifier import verify_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.kzg import blank
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.errors import StepFailed
from huref_zk.invariants.sketch import signs
from tests.support.small_model import SECRET, K

P = 2
SEED = bytes(32)
RUN_ARGS = {
    "input_visibility": "polycommit",
    "output_visibility": "public",
    "param_visibility": "fixed",
    "input_scale": 0,
    "param_scale": 0,
    "scale_rebase_multiplier": 1,
    "ignore_range_check_inputs_outputs": True,
    "lookup_range": (-2, 2),
    "logrows": 8,
    "num_inner_cols": 2,
    "decomp_base": 64,
    "decomp_legs": 8,
}


def graph(row, path):
    """v = A diag(mask) B^T for rows A0.., B0.. of `row` entries, the last SALTS masked out."""
    names = [f"{side}{i}" for side in "AB" for i in range(P)]
    mask = np.ones((1, row), dtype=np.float32)
    mask[:, -SALTS:] = 0
    nodes = [
        helper.make_node("Concat", names[:P], ["A"], axis=0),
        helper.make_node("Concat", names[P:], ["B"], axis=0),
        helper.make_node("Einsum", ["A", "mask", "B"], ["M"], equation="ae,te,be->tab"),
        helper.make_node("Reshape", ["M", "flat"], ["v"]),
    ]
    constants = [
        numpy_helper.from_array(mask, "mask"),
        numpy_helper.from_array(np.array([1, P * P]), "flat"),
    ]
    made = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info(name, 1, [1, row]) for name in names],
        [helper.make_tensor_value_info("v", 1, [1, P * P])],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def proven(model, commitment, srs, tmp_path_factory):
    """(projection proof, witness, Halo2 proof, v) of the small model, by the real ezkl."""
    folder = tmp_path_factory.mktemp("ezkl")

    def f(name):
        return str(folder / name)

    projection, rows = prove_projection(
        model, SECRET, commitment, SEED, P, Transcript(b"claim"), srs
    )
    graph(commitment.length + SALTS, folder / "net.onnx")
    arguments = ezkl.PyRunArgs()
    for name, value in RUN_ARGS.items():
        setattr(arguments, name, value)
    ezkl.gen_settings(f("net.onnx"), f("settings"), py_run_args=arguments)
    ezkl.compile_circuit(f("net.onnx"), f("net"), f("settings"))
    ezkl.setup(f("net"), f("vk"), f("pk"), str(srs.path))
    felts = [[(value % R).to_bytes(32, "little").hex() for value in row] for row in rows]
    (folder / "input").write_text(json.dumps({"input_data": felts}))
    ezkl.gen_witness(f("input"), f("net"), f("witness"), f("vk"), str(srs.path))
    ezkl.prove(f("witness"), f("net"), f("pk"), f("proof"), str(srs.path))
    assert ezkl.verify(f("proof"), f("settings"), f("vk"), str(srs.path)) is True
    witness = json.loads((folder / "witness").read_text())
    proof = json.loads((folder / "proof").read_text())
    return projection, witness, proof


def columns(proof):
    data = bytes.fromhex(proof["hex_proof"].removeprefix("0x"))
    return [bn254.decode_uncompressed(data[i : i + 64]) for i in range(0, 64 * 2 * P, 64)]


def test_salts_do_not_reach_the_output(model, proven):
    """Full-size salts pass through ezkl's witness and circuit and leave v alone."""
    left, right = (signs(SEED, side, P, K).astype(object) @ model.E.astype(object) for side in "LR")
    a = left @ np.concatenate(model.U, axis=1).astype(object)
    b = right @ np.concatenate(model.V, axis=1).astype(object)
    (felts,) = proven[2]["instances"]
    numbers = [int.from_bytes(bytes.fromhex(felt), "little") for felt in felts]
    assert numbers == [int(m) % R for m in (a @ b.T).reshape(-1)]


def test_the_halo2_proof_opens_with_the_rows_the_projection_proves(commitment, proven, srs):
    projection, _, proof = proven
    found = []
    for unusable in range(1, 17):
        base = bn254.negate(blank(srs, unusable))
        rows = [bn254.add(column, base) for column in columns(proof)]
        try:
            verify_projection(commitment, SEED, P, projection, rows, Transcript(b"claim"), srs)
            found.append(unusable)
        except StepFailed:
            continue
    assert len(found) == 1


def test_witness_file_holds_the_same_points(proven):
    _, witness, proof = proven
    compressed = [text for (text,) in witness["processed_inputs"]["polycommit"]]
    assert [bn254.decode_witness(bytes.fromhex(text)) for text in compressed] == columns(proof)
