"""Every cell of the circuit is tied down but for the hints that its gadgets have by definition"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.graph import OUTPUTS
from huref_zk.circuit.writer import GraphWriter
from huref_zk.commitment.salts import SALTS
from huref_zk.invariants.encoder import CONDITIONS, MAPS
from huref_zk.native import ezkl
from huref_zk.srs.trust import find_test_srs
from soundness.wiring import Wiring, copies, permutation

ENTRIES = 384  # of u
HIDDEN_ENTRIES = 512


def hints(legs: int) -> int:
    """How many free cells the gadgets have: d is a number's sign and digits.

    A division: its quotient is d, and the comparison of the rest takes d twice and an inverse
    twice (is it zero, is the sign 1). A ReLU: d and an inverse. A root: the root itself, its sign
    and digits, three distances of d, and two comparisons of d and two inverses. A reciprocal: d,
    three distances, two comparisons, two inverses for zero. A condition: one comparison.
    """
    d = legs + 1
    comparison = d + 2
    division = 2 * d + comparison
    root = 1 + d + 3 * d + 2 * comparison
    reciprocal = d + 3 * d + 2 * comparison + 2
    return (
        (ENTRIES + 2 * MAPS) * division
        + HIDDEN_ENTRIES * (d + 1)
        + MAPS * (root + reciprocal)
        + CONDITIONS * comparison
    )


def test_only_hints_are_free(chain):
    wiring = Wiring(chain.keys.folder, len(chain.prepared.shape.inputs))
    assert len(wiring.free()) == hints(chain.prepared.shape.legs)


def test_every_entry_of_the_inputs_and_outputs_is_used(chain):
    """All but the salts of the maps' column, which exist to hide the others."""
    shape = chain.prepared.shape
    wiring = Wiring(chain.keys.folder, len(shape.inputs))
    for column, (name, size) in enumerate(shape.inputs.items()):
        used = [len(wiring.copies((column, row))) > 1 for row in range(wiring.rows)]
        wanted = size - SALTS if name == "maps" else size
        assert used == [row < wanted for row in range(wiring.rows)], name
    public = wiring.columns(wiring.blocks) - 1
    tied = [len(wiring.copies((public, row))) > 1 for row in range(wiring.rows)]
    assert tied == [row < OUTPUTS for row in range(wiring.rows)]


# --- why einsums are plain ones ------------------------------------------------------------------

K = 7
GATES = (1, 2, 3)  # columns: what a gate reads and puts out, after the committed one
PUBLIC = 5
COLUMNS = {True: 6, False: 12}  # Freivalds' argument has columns of its own


@dataclass(frozen=True)
class Tiny:
    """Run arguments of a circuit of 2^K rows."""

    k: int = K
    columns: int = 1
    fraction_bits: int = 0
    base_bits: int = K - 1
    legs: int = 3


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "Freivalds"])
def test_what_an_einsum_puts_out(tmp_path, plain):
    """x W squared, entry by entry, x committed. With ezkl's probabilistic einsum, which it takes by
    default, the gate that squares reads cells that nothing is tied to: x W could be anything."""
    g = GraphWriter()
    x = g.reshape("x", [2, 3], "matrix")
    product = g.einsum("ab,bc->ac", [x, g.real("w", [[1, 2], [3, 4], [5, 6]])], "product")
    g.reshape(g.node("Mul", [product, product], "squared"), [1, 4], "out")
    graph, settings, circuit, vk, pk = (
        tmp_path / name for name in ("graph.onnx", "settings.json", "circuit.ezkl", "vk", "pk")
    )
    graph.write_bytes(g.serialise("square", {"x": 6}, ("out", 4)))
    arguments = {**keys.run_arguments(Tiny()), "disable_freivalds": plain}
    ezkl.run("gen_settings", model=graph, output=settings, py_run_args=arguments)
    ezkl.run("compile_circuit", model=graph, compiled_circuit=circuit, settings_path=settings)
    srs = find_test_srs(K, tmp_path, make=True)
    ezkl.run("setup", model=circuit, vk_path=vk, pk_path=pk, srs_path=srs.path)

    follows = permutation(pk, 1 << K, COLUMNS[plain])
    left, right, output = GATES
    for entry in range(4):
        row = min(row for column, row in copies(follows, (PUBLIC, entry)) if column == output)
        tied = [len(copies(follows, (column, row))) > 1 for column in (left, right)]
        assert tied == [plain, plain]
