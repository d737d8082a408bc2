"""The ONNX graph of a pair: projected rows of two models and two bounds in, conditions held out.

This module needs the onnx library. As in circuit/graph.py inputs are not sliced, one fixed 0/1 mask
picks terms and drops the salts, and a multiplication with a negative power of two only moves the
binary point: ezkl divides, rounding to nearest, when a product has more than FRACTION_BITS.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from huref_zk.circuit.encoder import P
from huref_zk.circuit.graph import IR_VERSION, OPSET, input_names, term_mask
from huref_zk.circuit.shape import Shape
from huref_zk.proofs.similarity.shape import (
    FRACTION_BITS,
    MAX_ENERGY,
    MIN_ENERGY,
    PairShape,
    map_shift,
)

MODELS = ("first", "second")


def build_graph(pair: PairShape) -> bytes:
    """The serialised ONNX model of ``pair``."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def const(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def real(name: str, value: np.ndarray | list | float) -> str:
        return const(name, np.asarray(value, dtype=np.float32))

    def node(op: str, inputs: list[str], output: str, **attributes) -> str:
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def bit(op: str, left: str, right: str, name: str) -> str:
        truth = node(op, [left, right], f"{name}_truth")
        return node("Cast", [truth], name, to=TensorProto.FLOAT)

    inputs: list[tuple[str, int]] = []

    def maps(name: str, shape: Shape, sign: int) -> str:
        """M[t] = A diag(mask_t) B^T of one model, each P x P, over 2^h, times ``sign``."""
        names = [f"{name}_{row}" for row in input_names()]
        inputs.extend((row, shape.row) for row in names)
        a = node("Concat", names[:P], f"{name}_A", axis=0)
        b = node("Concat", names[P:], f"{name}_B", axis=0)
        mask = real(f"{name}_mask", sign * term_mask(shape))
        m = node("Einsum", [a, mask, b], f"{name}_M", equation="ae,te,be->tab")
        return node("Mul", [m, real(f"{name}_down", 2.0 ** -map_shift(shape))], f"{name}_small")

    def product(left: str, right: str, name: str) -> str:
        return node("Einsum", [left, right], name, equation="tab,tab->t")

    # Equal constants would become one with two uses, and ezkl decomposes every entry of such a one.
    # So the second model's mask and maps have the other sign, and so has the sum of cosines.
    x, y = maps(MODELS[0], pair.first, 1), maps(MODELS[1], pair.second, -1)
    energies = [product(m, m, f"{name}_energy") for name, m in zip(MODELS, (x, y), strict=True)]
    cosine = product(x, y, "dot")
    for name, energy in zip(MODELS, energies, strict=True):
        inverse = node("Reciprocal", [node("Sqrt", [energy], f"{name}_norm")], f"{name}_inverse")
        cosine = node("Mul", [cosine, inverse], f"{name}_divided")
    total = node("ReduceSum", [cosine, const("axis", np.array([0]))], "total", keepdims=1)

    inputs.append(("bounds", 2))  # -low and high: the sum's bounds, low negated
    bounds = node("Mul", ["bounds", real("unit", 2.0 ** (1 - FRACTION_BITS))], "bounds_scaled")
    signed = node("Mul", [total, real("signs", [[-1.0, 1.0]])], "signed")
    margins = node("Add", [bounds, signed], "margins")  # total - low and high - total
    inside = bit("GreaterOrEqual", margins, real("zero", [[0.0]]), "inside")

    energy = node("Concat", energies, "energies", axis=0)
    unit = 2.0**-FRACTION_BITS
    enough = bit("GreaterOrEqual", energy, real("least", [MIN_ENERGY * unit]), "enough")
    bounded = bit("LessOrEqual", energy, real("most", [MAX_ENERGY * unit]), "bounded")
    flat = node("Reshape", [inside, const("flat", np.array([2], dtype=np.int64))], "inside_flat")
    held = node("Concat", [flat, enough, bounded], "conditions", axis=0)
    node("ReduceSum", [held, "axis"], "held", keepdims=1)

    graph = helper.make_graph(
        nodes,
        "huref_zk similarity",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, size]) for n, size in inputs],
        [helper.make_tensor_value_info("held", TensorProto.FLOAT, [1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.producer_name = "huref_zk"
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
