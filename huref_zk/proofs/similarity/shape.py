"""The public shape of a pair's circuit: everything that decides its keys."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from huref_zk.circuit.encoder import MAPS, P
from huref_zk.circuit.shape import EZKL_VERSION, LAYERS, SALTS, Shape
from huref_zk.errors import InputError

FRACTION_BITS = 24
"""Numbers in the circuit are integers over 2^24."""
ENERGY_BITS = 32
"""Squared norm of a map whose entries have rms 2^(shift + 5), in units of 2^-FRACTION_BITS."""
MIN_ENERGY, MAX_ENERGY = 1 << 16, 1 << 36
"""Between which a squared norm must lie, in the same units: rms 2^-8 to 2^2 times that."""
CELL_BITS = 16
"""A similarity is named by its cell, the nearest multiple of 2^-16."""
CELL = MAPS << (FRACTION_BITS - CELL_BITS)
"""Width of a cell, in the circuit's unit of the sum of MAPS cosines."""
TOP = (1 << CELL_BITS) + 64
"""Cells are named from -TOP to TOP: 1, and more than rounding adds to it."""
CONDITIONS = 2 * 2 * MAPS + 2
"""How many conditions the circuit counts: every squared norm in range, the sum within bounds."""
MAX_SHIFT = 52
"""Beyond, squared norms do not fit the signed 128-bit integers of ezkl's witnesses."""


@dataclass(frozen=True)
class PairShape:
    """Shapes of the first and of the second model's own circuit; they share k."""

    first: Shape
    second: Shape

    @property
    def k(self) -> int:
        """log2 of the rows."""
        return self.first.k

    @property
    def base_bits(self) -> int:
        """Bits of one decomposition leg: its range table must fit the rows."""
        return self.k - 1

    @property
    def legs(self) -> int:
        """Legs that hold any remainder of the largest division, and the largest quotient."""
        return math.ceil(
            (max(*map(energy_shift, (self.first, self.second)), 60) + 2) / (self.k - 1)
        )

    @property
    def inner_columns(self) -> int:
        """So many that products of inputs fill about four blocks of them, and at least two:
        measured (docs/similarity-proof.md)."""
        return max(2, round(self.input_cells / (3 << self.k)))

    @property
    def fraction_bits(self) -> int:
        return FRACTION_BITS

    @property
    def input_cells(self) -> int:
        """Entries of all committed columns: the rows of both models, and the bounds."""
        return self.first.input_cells + self.second.input_cells + 2

    def graph(self) -> bytes:
        """The serialised ONNX graph."""
        from huref_zk.proofs.similarity import graph

        return graph.build_graph(self)

    @property
    def digest(self) -> str:
        """SHA-256, hex, of everything that fixes the circuit."""
        body = {
            "circuit": "huref-zk similarity circuit 1",
            "ezkl": EZKL_VERSION,
            "p": P,
            "layers": LAYERS,
            "salts": SALTS,
            "fraction_bits": FRACTION_BITS,
            "energy": [ENERGY_BITS, MIN_ENERGY, MAX_ENERGY],
            "first": asdict(self.first),
            "second": asdict(self.second),
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """A folder name a person can read: widths and shift of either, rows, and the digest."""
        models = [
            f"a{a}-b{b}-f{f}-s{s.shift}"
            for s in (self.first, self.second)
            for a, b, f in [s.widths]
        ]
        return f"pair-{models[0]}-{models[1]}-k{self.k}-{self.digest[:8]}"


def map_shift(shape: Shape) -> int:
    """h: a model's maps are taken as M / 2^h before they are multiplied with one another.

    256 squares of rms 2^(shift + 5), committed numbers counting as halves (keys.run_arguments),
    then come to 2^ENERGY_BITS units of 2^-FRACTION_BITS.
    """
    return shape.shift + 3


def energy_shift(shape: Shape) -> int:
    """e: a squared norm of a model's map is divided by 2^e."""
    return 2 * map_shift(shape) + 4 - FRACTION_BITS


def pair_for(first: Shape, second: Shape) -> PairShape:
    """The pair's shape. InputError when the models cannot share a circuit."""
    if first.k != second.k:
        raise InputError(
            f"the first model is committed in a domain of 2^{first.k} rows, the second in one of "
            f"2^{second.k}; only models with the same domain can be compared"
        )
    if max(first.shift, second.shift) > MAX_SHIFT:
        raise InputError("these models' maps are too large for a proof of similarity")
    return PairShape(first, second)
