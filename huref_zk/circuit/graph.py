"""The ONNX graph of a shape.

Inputs, each a committed column of its own (circuit/product.py says where they come from):

    left      3 e   a combination of the left rows: three blocks, salts at the end of each
    right     e     a combination of the right rows, salts at its end
    maps      6 * 256 entries of the maps, then salts
    weights   the 32 and 16 weights that the combinations were made with

Output: v (512), the number of conditions that hold, and three differences that must be zero.

Constants that are equal would become one with two uses, and ezkl decomposes every entry of such a
one, so no two are.
"""

from __future__ import annotations

import numpy as np

from huref_zk.circuit.shape import MAP_ENTRIES, TERMS, Shape
from huref_zk.circuit.writer import GraphWriter
from huref_zk.invariants.encoder import (
    FILTERS,
    GUESS_BITS,
    INVERSE_BITS,
    MAPS,
    NORM_MAX,
    NORM_MIN,
    V_LENGTH,
    Encoder,
    P,
)
from huref_zk.invariants.sketch import GROUPS, LEFT, RIGHT

OUTPUTS = V_LENGTH + 1 + TERMS


def build_graph(shape: Shape, encoder: Encoder) -> bytes:
    """The serialised ONNX model of ``shape`` with the encoder's weights as constants."""
    g = GraphWriter()
    maps, gap = checked_maps(g, shape, weights_of(g, "weights"))
    u = filters(g, shape, encoder, maps)
    norm = g.node("Sqrt", [g.einsum("cfij,cfij->c", [u, u], "energy")], "norm")
    v = readout(g, encoder, u, inverse(g, norm))
    held = conditions(g, norm)
    g.node("Concat", [v, held, gap], "out", axis=1)
    return g.serialise("huref_zk", shape.inputs, ("out", OUTPUTS))


def weights_of(g: GraphWriter, column: str) -> tuple[str, str]:
    """The weights of the left rows (2, 16) and of the right ones (16), which ``column`` begins
    with."""
    left = g.part(column, 0, LEFT, "left_part")
    right = g.part(column, LEFT, LEFT + RIGHT, "right_part")
    return g.reshape(left, [GROUPS, P], "left_weights"), g.reshape(right, [P], "right_weights")


def checked_maps(
    g: GraphWriter, shape: Shape, weights: tuple[str, str], prefix: str = "", sign: int = 1
) -> tuple[str, str]:
    """(maps (6, 16, 16), differences (1, 3)) of the inputs left, right and maps whose names begin
    with ``prefix``. The differences are zero if and only if, for each term, the weighted sum of the
    maps' entries is the product of the two combined rows.

    sign: 1 or -1, of the mask; another for each model in a graph (see the module's head).
    """
    mask = np.zeros((1, shape.block))
    mask[0, : shape.hidden] = sign
    right = g.node("Mul", [f"{prefix}right", g.real(f"{prefix}mask", mask)], f"{prefix}masked")
    rows = [
        g.reshape(f"{prefix}left", [TERMS, shape.block], f"{prefix}blocks"),
        g.reshape(right, [shape.block], f"{prefix}row"),
    ]
    product = g.einsum("te,e->t", rows, f"{prefix}product")
    entries = g.part(f"{prefix}maps", 0, MAP_ENTRIES, f"{prefix}entries")
    maps = g.reshape(entries, [MAPS, P, P], f"{prefix}maps_3d")
    folded = g.einsum("cab,b->ca", [maps, weights[1]], f"{prefix}folded")
    folded = g.reshape(folded, [GROUPS, TERMS, P], f"{prefix}folded_groups")
    weighted = g.einsum("sta,sa->t", [folded, weights[0]], f"{prefix}weighted")
    difference = g.node("Sub" if sign == 1 else "Add", [product, weighted], f"{prefix}difference")
    return maps, g.reshape(difference, [1, TERMS], f"{prefix}gap")


def filters(g: GraphWriter, shape: Shape, encoder: Encoder, maps: str) -> str:
    """u (6, 4, 4, 4): the filtered maps over 2^shift."""
    patches = g.reshape(maps, [MAPS, 4, P // 4, 4, P // 4], "patched")  # map, i, row, j, column
    small = g.divide(patches, shape.shift, "small")
    return g.einsum("cixjy,cfxy->cfij", [small, g.real("filt", encoder.filt)], "u")


def inverse(g: GraphWriter, norm: str) -> str:
    """encoder.inverse of each norm (6)."""
    guess = g.node("Reciprocal", [g.divide(norm, GUESS_BITS, "norm_small")], "guess")
    twice = g.real("twice", np.full(MAPS, 1 << (GUESS_BITS + 1)))
    rest = g.node("Sub", [twice, g.node("Mul", [norm, guess], "about_one")], "rest")
    step = g.node("Mul", [guess, rest], "step")
    return g.reshape(
        g.divide(step, 2 * GUESS_BITS - INVERSE_BITS, "step_small"), [MAPS, 1, 1, 1], "inverse"
    )


def readout(g: GraphWriter, encoder: Encoder, u: str, scale: str) -> str:
    """v (1, 512)."""
    assert encoder.filt.shape[1] == FILTERS
    y = g.node("Mul", [u, scale], "y")
    mixed = g.einsum("cfij,ocf->oij", [y, g.real("w1", encoder.w1)], "mixed")
    h = g.node("Relu", [mixed], "h")
    v = g.einsum("oij,qo->qij", [h, g.real("w2", encoder.w2)], "readout")
    v = g.node("Sub", [v, g.real("b2", encoder.b2[:, None, None])], "centred")
    return g.reshape(v, [1, V_LENGTH], "v")


def conditions(g: GraphWriter, norm: str) -> str:
    """How many of the norms' 2 * 6 range conditions hold: (1, 1)."""
    large = g.condition("GreaterOrEqual", norm, NORM_MIN, "large_enough")
    small = g.condition("LessOrEqual", norm, NORM_MAX, "small_enough")
    both = g.reshape(g.node("Concat", [large, small], "both", axis=0), [1, 2 * MAPS], "all_of_them")
    return g.node("ReduceSum", [both, g.whole("sum_axis", [1])], "held", keepdims=1)
