"""The ONNX graph of a pair.

Inputs, each a committed column of its own; `first_` and `second_` stand for the model:

    first_left    3 e   a combination of the left rows: three blocks, salts at the end of each
    first_right   e     a combination of the right rows, salts at its end
    first_maps    6 * 256 entries of the maps, then salts
    second_...    likewise
    public        the weights that the combinations were made with, the same for both models, then
                  -low and high

Output: the number of conditions that hold, and six differences that must be zero.

Committed numbers are integers; ezkl brings to FRACTION_BITS fraction bits, rounding to nearest,
whatever has more. Constants that are equal would become one with two uses, and ezkl decomposes
every entry of such a one: the second model's mask has the other sign.
"""

from __future__ import annotations

from huref_zk.circuit.graph import checked_maps, weights_of
from huref_zk.circuit.shape import TERMS
from huref_zk.circuit.writer import GraphWriter
from huref_zk.invariants.encoder import MAPS, P
from huref_zk.invariants.sketch import LEFT, RIGHT
from huref_zk.proofs.similarity.shape import (
    CONDITIONS,
    FRACTION_BITS,
    MAX_ENERGY,
    MIN_NORM,
    MODELS,
    PairShape,
    map_shift,
)

WEIGHTS = LEFT + RIGHT


def build_graph(pair: PairShape) -> bytes:
    """The serialised ONNX model of ``pair``."""
    g = GraphWriter()
    weights = weights_of(g, "public")
    maps, gaps = [], []
    for name, shape, sign in zip(MODELS, pair.shapes, (1, -1), strict=True):
        entries, gap = checked_maps(g, shape, weights, f"{name}_", sign)
        flat = g.reshape(entries, [MAPS, P * P], f"{name}_flat")
        maps.append(g.divide(flat, map_shift(shape), f"{name}_small"))
        gaps.append(gap)
    energies = [
        g.einsum("cj,cj->c", [m, m], f"{name}_energy") for name, m in zip(MODELS, maps, strict=True)
    ]
    norms = [
        g.node("Sqrt", [energy], f"{name}_norm")
        for name, energy in zip(MODELS, energies, strict=True)
    ]
    total = cosines(g, g.einsum("cj,cj->c", maps, "dot"), norms)
    held = conditions(g, total, energies, norms)
    g.node("Concat", [held, *gaps], "out", axis=1)
    return g.serialise("huref_zk similarity", pair.inputs, ("out", 1 + 2 * TERMS))


def cosines(g: GraphWriter, dot: str, norms: list[str]) -> str:
    """The sum of the maps' cosines: (1, 1)."""
    cosine = dot
    for name, norm in zip(MODELS, norms, strict=True):
        inverse = g.node("Reciprocal", [norm], f"{name}_inverse")
        cosine = g.node("Mul", [cosine, inverse], f"{name}_divided")
    row = g.reshape(cosine, [1, MAPS], "cosines")
    return g.node("ReduceSum", [row, g.whole("cosine_axis", [1])], "total", keepdims=1)


def conditions(g: GraphWriter, total: str, energies: list[str], norms: list[str]) -> str:
    """How many of the CONDITIONS hold: (1, 1).

    The lower end is asked of the norms, not of their squares: ezkl takes either root for the root,
    and with a norm of the other sign a cosine would change its own.
    """
    limits = g.divide(g.part("public", WEIGHTS, WEIGHTS + 2, "limits"), FRACTION_BITS, "near")
    signed = g.node(
        "Mul", [total, g.real("signs", [[1, -1]])], "signed"
    )  # total - low, high - total
    margins = g.reshape(g.node("Add", [limits, signed], "margins_row"), [2], "margins")
    energy = g.node("Concat", energies, "energies", axis=0)
    norm = g.node("Concat", norms, "norms", axis=0)
    unit = 2.0**-FRACTION_BITS
    held = [
        g.condition("GreaterOrEqual", margins, 0, "within"),
        g.condition("GreaterOrEqual", norm, MIN_NORM * unit, "large_enough"),
        g.condition("LessOrEqual", energy, MAX_ENERGY * unit, "small_enough"),
    ]
    row = g.reshape(g.node("Concat", held, "all_held", axis=0), [1, CONDITIONS], "held_row")
    return g.node("ReduceSum", [row, g.whole("held_axis", [1])], "held", keepdims=1)
