"""The sign of a square root: ezkl's gadget takes either, so a circuit must ask for the right one.

With a negative norm a cosine changes its sign: relatives (s = 1) would have a proof of s <= -0.9.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from huref_zk.circuit.shape import shape_for
from huref_zk.proofs.similarity.shape import FRACTION_BITS, MIN_ENERGY, MIN_NORM, pair_for

CIRCUITS = {"picture": lambda: shape_for(16), "pair": lambda: pair_for(16, 24, 11)}
PASSING = ("Concat", "Reshape")


def accepted_roots(square: int) -> list[int]:
    """What ezkl's Sqrt lets pass for the root of ``square``: n with |n^2 - square| at most that of
    n + 1 and less than that of n - 1 (ezkl 23.0.5, layouts.rs)."""

    def off(n: int) -> int:
        return abs(n * n - square)

    top = int(square**0.5) + 3
    return [n for n in range(-top, top) if off(n) <= off(n + 1) and off(n) < off(n - 1)]


def test_the_gadget_has_two_roots():
    assert accepted_roots(10_000) == [-100, 100]
    assert accepted_roots(10_090) == [-100, 100]


def test_the_least_norm_is_that_of_the_least_square():
    def root(energy: int) -> int:
        return round(float(energy << FRACTION_BITS) ** 0.5)

    assert root(MIN_ENERGY) == MIN_NORM > root(MIN_ENERGY - 1)


@cache
def graph(name: str) -> onnx.GraphProto:
    return onnx.load_model_from_string(CIRCUITS[name]().graph()).graph


def unbounded(nodes, constants: dict[str, np.ndarray]) -> list[str]:
    """Outputs of Sqrt that no GreaterOrEqual compares with a positive constant."""
    into = {node.output[0]: node for node in nodes}
    bounded: set[str] = set()
    for node in nodes:
        if node.op_type == "GreaterOrEqual" and (constants[node.input[1]] > 0).all():
            todo = [node.input[0]]
            while todo:
                bounded.add(tensor := todo.pop())
                if tensor in into and into[tensor].op_type in PASSING:
                    todo += into[tensor].input
    return [n.output[0] for n in nodes if n.op_type == "Sqrt" and n.output[0] not in bounded]


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_root_is_asked_to_be_positive(name):
    nodes = graph(name).node
    constants = {c.name: numpy_helper.to_array(c) for c in graph(name).initializer}
    assert any(node.op_type == "Sqrt" for node in nodes)
    assert unbounded(nodes, constants) == []
    without = [node for node in nodes if node.op_type != "GreaterOrEqual"]
    assert unbounded(without, constants)  # control: the condition is what bounds them
