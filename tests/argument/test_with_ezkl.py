"""The seam to the circuit: ezkl commits to the very rows we prove about, salts and all."""

import json

import ezkl
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from huref_zk.argument.projection import projected_rows
from huref_zk.commitment.descriptor import block_length
from huref_zk.commitment.kzg import blank
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import LEFT, RIGHT, signs
from tests.support.projecting import SEED, check, points_of, prove
from tests.support.small_owner import D, K

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


def graph(path):
    """v_t = sum_{a, b} of the maps Y_at B_b^T, without the salts: rows Y0.., B0.. as inputs."""
    e = block_length(D)
    lengths = {f"Y{i}": 3 * e for i in range(LEFT)} | {f"B{i}": e for i in range(RIGHT)}
    names = list(lengths)
    mask = np.zeros(e, dtype=np.float32)
    mask[:D] = 1
    nodes = [
        helper.make_node("Concat", names[:LEFT], ["Y"], axis=0),
        helper.make_node("Concat", names[LEFT:], ["B"], axis=0),
        helper.make_node("Reshape", ["Y", "blocks"], ["blocked"]),
        helper.make_node("Einsum", ["blocked", "mask"], ["y"], equation="ate,e->te"),
        helper.make_node("Einsum", ["B", "mask"], ["b"], equation="be,e->e"),
        helper.make_node("Einsum", ["y", "b"], ["v"], equation="te,e->t"),
    ]
    constants = [
        numpy_helper.from_array(mask, "mask"),
        numpy_helper.from_array(np.array([LEFT, 3, e]), "blocks"),
    ]
    made = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info(name, 1, [1, length]) for name, length in lengths.items()],
        [helper.make_tensor_value_info("v", 1, [3])],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def proven(owners, srs, tmp_path_factory):
    """(rows, witness, Halo2 proof) of the small model, by the real ezkl."""
    folder = tmp_path_factory.mktemp("ezkl")

    def f(name):
        return str(folder / name)

    left, right = projected_rows(owners["whole"], SEED)
    rows = [*left, *right]
    graph(folder / "net.onnx")
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
    return rows, witness, proof


def columns(proof):
    data = bytes.fromhex(proof["hex_proof"].removeprefix("0x"))
    places = range(0, 64 * (LEFT + RIGHT), 64)
    return [bn254.decode_uncompressed(data[i : i + 64]) for i in places]


def test_salts_do_not_reach_the_output(owners, proven):
    """Full-size salts pass through ezkl's witness and circuit and leave v alone."""
    matrices = owners["whole"].witness.matrices
    E, C = (matrices[name].astype(object) for name in "EC")
    left, right = (signs(SEED, s, n, K).astype(object) for s, n in (("L", LEFT), ("R", RIGHT)))
    maps = [left @ E @ C[:, term] @ (right @ E).T for term in range(3)]
    (felts,) = proven[2]["instances"]
    numbers = [int.from_bytes(bytes.fromhex(felt), "little") for felt in felts]
    assert numbers == [int(m.sum()) % R for m in maps]


def test_the_halo2_proof_opens_with_the_rows_the_projection_proves(owners, proven, srs):
    """Less ezkl's constant, of which one number of reserved rows alone is right."""
    found = []
    for unusable in range(1, 17):
        base = bn254.negate(blank(srs, unusable))
        rows = [bn254.add(column, base) for column in columns(proven[2])]
        proof = prove(owners["whole"], rows, srs)
        try:
            check(owners["whole"].commitment, proof, rows, srs)
        except InputError:
            continue
        found.append(unusable)
        assert rows == points_of(proven[0], srs)
    assert len(found) == 1


def test_witness_file_holds_the_same_points(proven):
    _, witness, proof = proven
    compressed = [text for (text,) in witness["processed_inputs"]["polycommit"]]
    assert [bn254.decode_witness(bytes.fromhex(text)) for text in compressed] == columns(proof)
