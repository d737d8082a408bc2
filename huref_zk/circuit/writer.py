"""Writes ONNX graphs for ezkl, the same bytes everywhere, without the onnx library.

Every tensor is of integers. A product with a negative power of two is ezkl's way to divide: it
takes it for a change of scale, and the operation that reads it divides and rounds.

ONNX is protocol buffers; the field numbers below are those of onnx.proto, and a test has the onnx
library read and check what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OPSET, IR_VERSION = 17, 8
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_INT, _STRING = 2, 3  # AttributeProto.AttributeType


class GraphWriter:
    """Nodes and constants of a graph that is being written. Tensors go by their names: every
    method returns the name of what it makes."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def whole(self, name: str, value: Sequence[int]) -> str:
        """A constant of integers: shapes, axes."""
        return self._constant(name, np.asarray(value, dtype="<i8"), _INT64)

    def real(self, name: str, value: Any) -> str:
        """A constant of numbers. ONNX keeps them as float32, which must hold them exactly."""
        array = np.asarray(value, dtype="<f4")
        if not np.array_equal(array, np.asarray(value)):
            raise ValueError(f"the constant {name} is not exact in float32")
        return self._constant(name, array, _FLOAT)

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: int | str) -> str:
        self._nodes.append(
            b"".join(_field(1, name) for name in inputs)
            + _field(2, output)
            + _field(4, op)
            + b"".join(_field(5, _attribute(*pair)) for pair in attributes.items())
        )
        return output

    def einsum(self, equation: str, inputs: Sequence[str], output: str) -> str:
        return self.node("Einsum", inputs, output, equation=equation)

    def reshape(self, tensor: str, shape: Sequence[int], output: str) -> str:
        return self.node("Reshape", [tensor, self.whole(f"{output}_shape", shape)], output)

    def divide(self, tensor: str, bits: int, output: str) -> str:
        """``tensor`` over 2^bits: the division happens in whatever reads it next."""
        return self.node("Mul", [tensor, self.real(f"{output}_unit", 2.0**-bits)], output)

    def part(self, tensor: str, start: int, stop: int, output: str) -> str:
        """Columns [start, stop) of a tensor (1, n). Costs a cell an entry."""
        limits = [self.whole(f"{output}_{n}", [v]) for n, v in (("from", start), ("to", stop))]
        return self.node("Slice", [tensor, *limits, self.whole(f"{output}_axis", [1])], output)

    def condition(self, op: str, tensor: str, bound: float, output: str) -> str:
        """1 where the comparison with a constant holds, else 0."""
        truth = self.node(op, [tensor, self.real(f"{output}_bound", [bound])], f"{output}_truth")
        return self.node("Cast", [truth], output, to=_FLOAT)

    def serialise(self, name: str, inputs: Mapping[str, int], output: tuple[str, int]) -> bytes:
        """The model's bytes; inputs and output are rows (1, n), given by name and n."""
        graph = (
            b"".join(_field(1, node) for node in self._nodes)
            + _field(2, name)
            + b"".join(_field(5, constant) for constant in self._constants)
            + b"".join(_field(11, _row(*pair)) for pair in inputs.items())
            + _field(12, _row(*output))
        )
        opset = _field(1, "") + _field(2, OPSET)
        return _field(1, IR_VERSION) + _field(2, "huref_zk") + _field(7, graph) + _field(8, opset)

    def _constant(self, name: str, array: np.ndarray[Any, Any], kind: int) -> str:
        dimensions = b"".join(_field(1, size) for size in array.shape)
        values = _field(9, array.tobytes())
        self._constants.append(dimensions + _field(2, kind) + _field(8, name) + values)
        return name


def _row(name: str, size: int) -> bytes:
    """A float tensor (1, size), as the graph's inputs and outputs are declared."""
    shape = b"".join(_field(1, _field(1, n)) for n in (1, size))
    return _field(1, name) + _field(2, _field(1, _field(1, _FLOAT) + _field(2, shape)))


def _attribute(name: str, value: int | str) -> bytes:
    if isinstance(value, str):
        return _field(1, name) + _field(4, value) + _field(20, _STRING)
    return _field(1, name) + _field(3, value) + _field(20, _INT)


def _field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protocol buffer: a number that is not negative, or text or bytes."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
