"""The ONNX graph of a shape: projected rows in, v out. This module needs the onnx library.

Every tensor is an integer at ezkl scale 0; the two places that divide say so by multiplying with a
negative power of two, which ezkl turns into one rounded division (its "rebase"). Inputs are never
sliced (a slice copies what it cuts); a fixed 0/1 mask picks terms and drops the salts in the same
einsum that multiplies, so an input cell costs one cell.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from huref_zk.circuit.encoder import FILTERS, INVERSE_BITS, MAPS, V_LENGTH, Encoder, P
from huref_zk.circuit.shape import LAYERS, TERMS, Shape

# Fixed so that the same shape gives the same bytes whatever onnx release is installed.
OPSET, IR_VERSION = 17, 8


def term_mask(shape: Shape) -> np.ndarray:
    """0/1 float32 (6, L + salts): which entries of a row belong to map 3*layer + term."""
    mask = np.zeros((MAPS, shape.row), dtype=np.float32)
    start = 0
    for layer in range(LAYERS):
        for term, width in enumerate(shape.widths):
            mask[TERMS * layer + term, start : start + width] = 1
            start += width
    return mask


def input_names() -> list[str]:
    """Circuit inputs in order: the P rows of side L (A), then the P rows of side R (B)."""
    return [f"{side}{i}" for side in "AB" for i in range(P)]


def build_graph(shape: Shape, encoder: Encoder) -> bytes:
    """The serialised ONNX model of ``shape`` with the encoder's weights as constants."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def const(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def real(name: str, value: np.ndarray | float) -> str:
        return const(name, np.asarray(value, dtype=np.float32))

    def node(op: str, inputs: list[str], output: str, **attributes) -> str:
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    names = input_names()
    a = node("Concat", names[:P], "A", axis=0)
    b = node("Concat", names[P:], "B", axis=0)
    # Maps M[t] = A diag(mask_t) B^T, each P x P.
    m = node("Einsum", [a, real("mask", term_mask(shape)), b], "M", equation="ae,te,be->tab")
    patches = np.array([MAPS, 4, P // 4, 4, P // 4], dtype=np.int64)  # map, i, row, j, column
    m = node("Reshape", [m, const("patches", patches)], "patched")
    m = node("Mul", [m, real("down", 2.0**-shape.shift)], "small")
    u = node("Einsum", [m, real("filt", encoder.filt)], "u", equation="cixjy,cfxy->cfij")
    norm = node("Sqrt", [node("Einsum", [u, u], "energy", equation="cfij,cfij->c")], "norm")
    norm = node("Mul", [norm, real("unit", 2.0**-INVERSE_BITS)], "norm_scaled")
    inverse = node("Reciprocal", [norm], "inverse")
    per_map = const("per_map", np.array([MAPS, 1, 1, 1], dtype=np.int64))
    y = node("Mul", [u, node("Reshape", [inverse, per_map], "inverses")], "y")
    mixed = node("Einsum", [y, real("w1", encoder.w1)], "mixed", equation="cfij,ocf->oij")
    h = node("Relu", [mixed], "h")
    v = node("Einsum", [h, real("w2", encoder.w2)], "readout", equation="oij,qo->qij")
    v = node("Sub", [v, real("b2", encoder.b2[:, None, None])], "centred")
    node("Reshape", [v, const("flat", np.array([1, V_LENGTH], dtype=np.int64))], "v")

    assert encoder.filt.shape[1] == FILTERS
    graph = helper.make_graph(
        nodes,
        "huref_zk",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, shape.row]) for n in names],
        [helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, V_LENGTH])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.producer_name = "huref_zk"
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
