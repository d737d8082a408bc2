"""Wrong circuits: the right graph with one piece patched, and what such a circuit computes.

A mutant is what a dishonest owner would prove with: the graph, its own keys, and its own v. Every
one keeps the inputs' form, so its proofs open with true row commitments, and the projection proof,
the picture and everything else can be honest.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx
from onnx import helper, numpy_helper

from huref_zk.circuit import graph, keys
from huref_zk.circuit.shape import LAYERS, TERMS, Shape
from huref_zk.curve.bn254 import R
from huref_zk.invariants.encoder import Encoder, P, load_encoder
from huref_zk.native import ezkl as runner
from huref_zk.srs.file import Srs

true_graph, true_mask = graph.build_graph, graph.term_mask
Edit = Callable[[onnx.GraphProto], None]


@dataclass(frozen=True)
class Mutant:
    """One wrong circuit. shape, mask, encoder: replace that argument of the true graph; edit:
    changes the graph itself; arguments: ezkl run arguments that differ; same_v: it computes what
    the true one does, and is wrong about what it commits to or fixes."""

    name: str
    words: str
    shape: Callable[[Shape], Shape] = lambda shape: shape
    mask: Callable[[np.ndarray, Shape], np.ndarray] = lambda mask, shape: mask
    encoder: Callable[[Encoder], Encoder] = lambda encoder: encoder
    edit: Edit = lambda made: None
    arguments: dict = field(default_factory=dict)
    same_v: bool = False

    def build(self, shape: Shape, encoder: Encoder) -> bytes:
        """As graph.build_graph, but for the mutation."""
        other = self.shape(shape)
        with patch.object(graph, "term_mask", lambda s: self.mask(true_mask(s), s)):
            model = onnx.load_from_string(true_graph(other, self.encoder(encoder)))
        self.edit(model.graph)
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)


def derive(mutant: Mutant, shape: Shape, srs: Srs, folder: Path) -> keys.Keys:
    """The mutant's own proving and verifying key, made as the true ones are."""
    arguments = keys.run_arguments
    with (
        patch.object(graph, "build_graph", mutant.build),
        patch.object(keys, "run_arguments", lambda s: {**arguments(s), **mutant.arguments}),
    ):
        return keys.derive(shape, srs, folder)


def evaluate(mutant: Mutant, shape: Shape, rows: list[list[int]], folder: Path) -> list[int]:
    """The mutant's v of rows (2 P, L + salts), signed, as its circuit's witness has it."""
    (folder / "graph.onnx").write_bytes(mutant.build(shape, load_encoder()))
    settings, circuit = folder / "settings.json", folder / "circuit.ezkl"
    runner.run(
        "gen_settings",
        model=folder / "graph.onnx",
        output=settings,
        py_run_args={**keys.run_arguments(shape), **mutant.arguments},
    )
    runner.run(
        "compile_circuit",
        model=folder / "graph.onnx",
        compiled_circuit=circuit,
        settings_path=settings,
    )
    return witness_output(circuit, rows, folder)


def witness_output(circuit: Path, rows: list[list[int]], folder: Path) -> list[int]:
    """What a compiled circuit puts out for ``rows``, as signed integers."""
    data = [[(int(x) % R).to_bytes(32, "little").hex() for x in row] for row in rows]
    (folder / "input.json").write_text(json.dumps({"input_data": data}))
    witness = folder / "witness.json"
    runner.run("gen_witness", data=folder / "input.json", model=circuit, output=witness)
    (outputs,) = json.loads(witness.read_text())["outputs"]
    found = [int.from_bytes(bytes.fromhex(x), "little") for x in outputs]
    return [x - R if x > R // 2 else x for x in found]


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as folder:
        yield Path(folder)


# --- pieces --------------------------------------------------------------------------------------


def weight(name: str) -> Callable[[Encoder], Encoder]:
    """The encoder with one entry of an array larger by one, or by what float32, which the graph
    keeps it in, can tell apart."""

    def change(encoder: Encoder) -> Encoder:
        array = getattr(encoder, name).copy()
        array.flat[0] += max(1, int(np.spacing(np.float32(abs(array.flat[0])))))
        return replace(encoder, **{name: array})

    return change


def node_of(made: onnx.GraphProto, output: str) -> onnx.NodeProto:
    (node,) = (n for n in made.node if output in n.output)
    return node


def rewire(made: onnx.GraphProto, old: str, new: str, gone: tuple[str, ...]) -> None:
    """Whoever read ``old`` reads ``new``; the nodes that made ``gone`` are dropped."""
    for node in made.node:
        node.input[:] = [new if name == old else name for name in node.input]
    for output in gone:
        made.node.remove(node_of(made, output))


def transposed(made: onnx.GraphProto) -> None:
    node_of(made, "M").attribute[0].s = b"ae,te,be->tba"


def query_key_exchanged(made: onnx.GraphProto) -> None:
    """Maps a (0 and 3) transposed, which is what Wk^T Wq in place of Wq^T Wk gives."""
    node = node_of(made, "M")
    mask = numpy_helper.to_array(next(c for c in made.initializer if c.name == "mask"))
    turned = np.zeros_like(mask)
    turned[::TERMS] = mask[::TERMS]
    made.initializer.append(numpy_helper.from_array(turned, "turned"))
    made.initializer.append(numpy_helper.from_array(mask - turned, "straight"))
    at = list(made.node).index(node)
    made.node.remove(node)
    for place, (output, which, equation) in enumerate(
        [("Mt", "turned", "ae,te,be->tba"), ("Ms", "straight", "ae,te,be->tab")]
    ):
        made.node.insert(
            at + place, helper.make_node("Einsum", ["A", which, "B"], [output], equation=equation)
        )
    made.node.insert(at + 2, helper.make_node("Add", ["Mt", "Ms"], ["M"]))


def inverse_norm_dropped(made: onnx.GraphProto) -> None:
    made.initializer.append(
        numpy_helper.from_array(np.full((6, 1, 1, 1), 4096, dtype=np.float32), "constant")
    )
    gone = ("energy", "norm", "norm_scaled", "inverse", "inverses")
    rewire(made, "inverses", "constant", gone)


def relu_removed(made: onnx.GraphProto) -> None:
    rewire(made, "h", "mixed", ("h",))


def bias_dropped(made: onnx.GraphProto) -> None:
    rewire(made, "centred", "readout", ("centred",))


def sides_exchanged(made: onnx.GraphProto) -> None:
    """B diag(mask) A^T: the inputs are concatenated into the other side."""
    left, right = node_of(made, "A"), node_of(made, "B")
    left.output[0], right.output[0] = "B", "A"


def mask_shifted(mask: np.ndarray, shape: Shape) -> np.ndarray:
    mask[:, : shape.length] = np.roll(mask[:, : shape.length], 1, axis=1)
    return mask


def mask_with_a_salt(mask: np.ndarray, shape: Shape) -> np.ndarray:
    mask[-1, shape.length] = 1
    return mask


def mask_without_an_entry(mask: np.ndarray, shape: Shape) -> np.ndarray:
    mask[0, 0] = 0
    return mask


def layers_exchanged(mask: np.ndarray, shape: Shape) -> np.ndarray:
    return np.concatenate([mask[TERMS:], mask[:TERMS]])


def first_map_twice(mask: np.ndarray, shape: Shape) -> np.ndarray:
    mask[1] = mask[0]
    return mask


def one_layer_only(mask: np.ndarray, shape: Shape) -> np.ndarray:
    return np.concatenate([mask[:TERMS]] * LAYERS)


NONE = Mutant("none", "no mutation at all")
MUTANTS = [
    Mutant("query-key", "Wq and Wk exchanged: the maps a transposed", edit=query_key_exchanged),
    Mutant("transpose", "the transpose dropped: every map transposed", edit=transposed),
    Mutant("sides", "A and B exchanged", edit=sides_exchanged),
    Mutant("mask-shifted", "the mask shifted by one column", mask=mask_shifted),
    Mutant("mask-short", "one entry left out of the mask", mask=mask_without_an_entry),
    Mutant("inverse-norm", "1/sigma dropped", edit=inverse_norm_dropped),
    Mutant("relu", "the ReLU removed", edit=relu_removed),
    Mutant("bias", "the bias b2 dropped", edit=bias_dropped),
    Mutant("filt", "one entry of the filters changed by one", encoder=weight("filt")),
    Mutant("w1", "one entry of w1 changed by one", encoder=weight("w1")),
    Mutant("w2", "one entry of w2 changed by one", encoder=weight("w2")),
    Mutant("b2", "one entry of b2 changed by the least there is", encoder=weight("b2")),
    Mutant("layers", "the two layers in the other order", mask=layers_exchanged),
    Mutant("shift+1", "divides by twice as much", shape=lambda s: replace(s, shift=s.shift + 1)),
    Mutant("shift-1", "divides by half as much", shape=lambda s: replace(s, shift=s.shift - 1)),
    Mutant("map-twice", "one map used twice, another not at all", mask=first_map_twice),
    Mutant("one-layer", "the first layer in place of both", mask=one_layer_only),
    Mutant(
        "free-parameters",
        "encoder and mask are the prover's own and not in the key",
        arguments={"param_visibility": "private"},
        same_v=True,
    ),
]
# Salts are full-size field elements: a map that takes one in is out of every range, so no proof of
# it can be made at all.
SALTED = Mutant("mask-salt", "the mask lets a salt column in", mask=mask_with_a_salt)
assert P == 16
