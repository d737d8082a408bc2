"""Wrong circuits: the right graph with one piece patched, and what such a circuit computes.

A mutant is what a dishonest owner would prove with: the graph, its own keys, and its own v. Every
one keeps the inputs' form, so its proofs are over true row commitments, and the projection proof,
the picture and everything else can be honest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx
from onnx import helper, numpy_helper

from huref_zk.circuit import graph, halo2, keys
from huref_zk.circuit.shape import Shape
from huref_zk.invariants.encoder import CONDITIONS, INVERSE_BITS, MAPS, Encoder
from huref_zk.invariants.sketch import GROUPS, LEFT, RIGHT
from huref_zk.srs.file import Srs
from tests.support.circuit_rows import Rows, columns_of, compiled, maps_of, output_of

true_graph = graph.build_graph
TERMS = MAPS // GROUPS
Edit = Callable[[onnx.GraphProto], None]
IntegerMaps = list[list[list[int]]]


@dataclass(frozen=True)
class Mutant:
    """One wrong circuit. shape, encoder: replace that argument of the true graph; edit: changes the
    graph itself; maps: what its prover commits to for these rows; arguments: ezkl run arguments
    that differ; same_v: of honest rows it computes what the true one does, and is wrong about what
    it ties down."""

    name: str
    words: str
    shape: Callable[[Shape], Shape] = lambda shape: shape
    encoder: Callable[[Encoder], Encoder] = lambda encoder: encoder
    edit: Edit = lambda made: None
    maps: Callable[[Rows], IntegerMaps] = maps_of
    arguments: dict = field(default_factory=dict)
    same_v: bool = False

    def build(self, shape: Shape, encoder: Encoder) -> bytes:
        """As graph.build_graph, but for the mutation."""
        model = onnx.load_from_string(true_graph(self.shape(shape), self.encoder(encoder)))
        self.edit(model.graph)
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within the block every circuit's graph and run arguments are the mutant's."""
        arguments = keys.run_arguments
        with (
            patch.object(graph, "build_graph", self.build),
            patch.object(keys, "run_arguments", lambda s: {**arguments(s), **self.arguments}),
        ):
            yield


def derive(mutant: Mutant, shape: Shape, srs: Srs, folder: Path) -> keys.Keys:
    """The mutant's own proving and verifying key, made as the true ones are."""
    with mutant.installed():
        return keys.derive(shape, srs, folder)


def evaluate(mutant: Mutant, shape: Shape, rows: Rows, folder: Path) -> list[int]:
    """The mutant's output for rows, as its circuit's witness has it: v, conditions, differences."""
    with mutant.installed():
        circuit = compiled(shape, folder)
    return output_of(circuit, columns_of(rows, maps=mutant.maps(rows)), folder)


def prove(mutant: Mutant, rows: Rows, v: list[int], made: keys.Keys, srs: Srs) -> bytes:
    """The mutant's proof that ``rows`` give ``v`` and all conditions hold."""

    def maps(left: Rows, right: Rows) -> IntegerMaps:
        return mutant.maps([*left, *right])

    with patch.object(halo2, "exact_maps", maps):
        return halo2.prove(rows, [*v, CONDITIONS], made, srs, lambda _: None)


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


def constant(made: onnx.GraphProto, name: str, value: np.ndarray) -> str:
    """A constant put in, or in place of the one of this name."""
    for old in [c for c in made.initializer if c.name == name]:
        made.initializer.remove(old)
    made.initializer.append(numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))
    return name


def value_of(made: onnx.GraphProto, name: str) -> np.ndarray:
    (found,) = (c for c in made.initializer if c.name == name)
    return numpy_helper.to_array(found).copy()


def dropped(output: str, instead: str) -> Edit:
    """A node left out: who read what it makes reads something else."""

    def edit(made: onnx.GraphProto) -> None:
        made.node.remove(node_of(made, output))
        for node in made.node:
            node.input[:] = [instead if name == output else name for name in node.input]

    return edit


def encoder_reads(made: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Nodes put in between the maps, which stay checked, and the encoder."""
    reader = node_of(made, "patched")
    reader.input[0] = nodes[-1].output[0]
    at = list(made.node).index(reader)
    for node in reversed(nodes):
        made.node.insert(at, node)


def transposed(made: onnx.GraphProto) -> None:
    encoder_reads(made, [helper.make_node("Transpose", ["maps_3d"], ["turned"], perm=[0, 2, 1])])


def query_key_exchanged(made: onnx.GraphProto) -> None:
    """Maps a (0 and 3) transposed, which is what Wk^T Wq in place of Wq^T Wk gives."""
    turned = np.zeros((MAPS, 1, 1))
    turned[::TERMS] = 1
    parts = [
        helper.make_node("Transpose", ["maps_3d"], ["other"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["other", constant(made, "turned", turned)], ["first"]),
        helper.make_node("Mul", ["maps_3d", constant(made, "kept", 1 - turned)], ["second"]),
        helper.make_node("Add", ["first", "second"], ["mixed_maps"]),
    ]
    encoder_reads(made, parts)


def chosen(*order: int) -> Edit:
    """The encoder reads these maps, in this order."""

    def edit(made: onnx.GraphProto) -> None:
        pick = constant(made, "pick", np.eye(MAPS)[list(order)])
        node = helper.make_node("Einsum", [pick, "maps_3d"], ["picked"], equation="dc,cab->dab")
        encoder_reads(made, [node])

    return edit


def inverse_norm_dropped(made: onnx.GraphProto) -> None:
    fixed = np.full((MAPS, 1, 1, 1), 1 << (INVERSE_BITS - 15))
    node_of(made, "y").input[1] = constant(made, "fixed", fixed)


def unchecked(made: onnx.GraphProto) -> None:
    """The maps' differences are put out times zero."""
    node = node_of(made, "gap")
    zero = helper.make_node(
        "Mul", ["difference", constant(made, "nothing", np.zeros(TERMS))], ["no_difference"]
    )
    node.input[0] = "no_difference"
    made.node.insert(list(made.node).index(node), zero)


def mask_changed(entry: int, value: int) -> Edit:
    def edit(made: onnx.GraphProto) -> None:
        mask = value_of(made, "mask")
        mask[0, entry] = value
        constant(made, "mask", mask)

    return edit


def without_first_entry(rows: Rows) -> IntegerMaps:
    """The maps of rows whose first entries are left out."""
    block = len(rows[-1])
    bare = [[0, *row[1:]] for row in rows[LEFT:]]
    assert len(bare) == RIGHT and len(rows[0]) == TERMS * block
    return maps_of([*rows[:LEFT], *bare])


def condition_removed(which: str, index: int) -> Edit:
    """One of the twelve holds always. which: large_enough or small_enough; index: the map's."""

    def edit(made: onnx.GraphProto) -> None:
        (limit,) = value_of(made, f"{which}_bound")
        limits = np.full(MAPS, limit)
        limits[index] = -(1 << 36) if which == "large_enough" else 1 << 36
        constant(made, f"{which}_bound", limits)

    return edit


NONE = Mutant("none", "no mutation at all")
CONDITION_MUTANTS = [
    Mutant(
        f"{which.split('_')[0]}-{index}",
        f"map {index} is not asked to be {which.replace('_', ' ')}",
        edit=condition_removed(which, index),
        same_v=True,
    )
    for which in ("large_enough", "small_enough")
    for index in range(MAPS)
]
MUTANTS = [
    Mutant("query-key", "Wq and Wk exchanged: the maps a transposed", edit=query_key_exchanged),
    Mutant("transpose", "every map transposed", edit=transposed),
    Mutant(
        "unchecked",
        "the maps are not compared with the rows",
        edit=unchecked,
        maps=lambda rows: maps_of(rows)[::-1],
    ),
    Mutant(
        "mask-short",
        "one entry left out of the mask",
        edit=mask_changed(0, 0),
        maps=without_first_entry,
    ),
    Mutant("inverse-norm", "1/|u| dropped", edit=inverse_norm_dropped),
    Mutant("relu", "the ReLU removed", edit=dropped("h", "mixed")),
    Mutant("bias", "the bias b2 dropped", edit=dropped("centred", "readout")),
    Mutant("filt", "one entry of the filters changed by one", encoder=weight("filt")),
    Mutant("w1", "one entry of w1 changed by one", encoder=weight("w1")),
    Mutant("w2", "one entry of w2 changed by one", encoder=weight("w2")),
    Mutant("b2", "one entry of b2 changed by the least there is", encoder=weight("b2")),
    Mutant("groups", "the two groups in the other order", edit=chosen(3, 4, 5, 0, 1, 2)),
    Mutant("one-group", "the first group in place of both", edit=chosen(0, 1, 2, 0, 1, 2)),
    Mutant("map-twice", "one map used twice, another not at all", edit=chosen(0, 0, 2, 3, 4, 5)),
    Mutant("shift+1", "divides by twice as much", shape=lambda s: replace(s, shift=s.shift + 1)),
    Mutant("shift-1", "divides by half as much", shape=lambda s: replace(s, shift=s.shift - 1)),
    Mutant(
        "free-parameters",
        "encoder and mask are the prover's own and not in the key",
        arguments={"param_visibility": "private"},
        same_v=True,
    ),
    Mutant(
        "freivalds",
        "ezkl's probabilistic einsum, whose output is tied to nothing",
        arguments={"disable_freivalds": False},
        same_v=True,
    ),
    CONDITION_MUTANTS[0],
    CONDITION_MUTANTS[-1],
]
# Salts are full-size field elements: a map that takes one in is out of every range, so no proof of
# it can be made at all.
SALTED = Mutant("mask-salt", "the mask lets a salt in", edit=mask_changed(-1, 1))
