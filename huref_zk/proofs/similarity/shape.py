"""The public shape of a pair's circuit: everything that decides its keys."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from huref_zk.circuit.shape import COLUMNS, EZKL_VERSION, Shape, shape_for
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.invariants.encoder import MAPS
from huref_zk.invariants.sketch import LEFT, RIGHT

FRACTION_BITS = 24
"""Numbers in the circuit are integers over 2^24."""
ENERGY_BITS = 28
"""Squared norm of a map whose entries have rms 2^(shift + 5), in units of 2^-FRACTION_BITS."""
MIN_ENERGY, MAX_ENERGY = 1 << 22, 1 << 32
"""Between which a squared norm must lie, in the same units: a norm 2^-3 to 2^2 times that."""
MIN_NORM = math.isqrt(MIN_ENERGY << FRACTION_BITS)
"""The norm, positive, of the least squared norm: those of lesser ones round to less."""
CELL_BITS = 16
"""A similarity is named by its cell, the nearest multiple of 2^-16."""
CELL = MAPS << (FRACTION_BITS - CELL_BITS)
"""Width of a cell, in the circuit's unit of the sum of MAPS cosines."""
TOP = (1 << CELL_BITS) + 64
"""Cells are named from -TOP to TOP: 1, and more than rounding adds to it."""
CONDITIONS = 2 * 2 * MAPS + 2
"""How many conditions the circuit counts: every squared norm in range, the sum within bounds."""
MODELS = ("first", "second")


@dataclass(frozen=True)
class PairShape:
    """hidden: d of the first model and of the second; k: log2 of the rows, of both commitments'
    domain; columns: working columns side by side."""

    hidden: tuple[int, int]
    k: int
    columns: int

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """Either model's own shape in this domain."""
        first, second = self.hidden
        return shape_for(first, self.k), shape_for(second, self.k)

    @property
    def base_bits(self) -> int:
        """Bits of one decomposition leg: its range table must fit the rows."""
        return self.k - 1

    @property
    def legs(self) -> int:
        """Legs that hold any remainder of the largest division, and the largest quotient."""
        return math.ceil((max(map(energy_shift, self.shapes)) + 2) / self.base_bits)

    @property
    def fraction_bits(self) -> int:
        return FRACTION_BITS

    @property
    def inputs(self) -> dict[str, int]:
        """The circuit's committed columns and how many entries each has (graph.py)."""
        own = {
            f"{name}_{column}": size
            for name, shape in zip(MODELS, self.shapes, strict=True)
            for column, size in shape.inputs.items()
            if column != "weights"
        }
        return {**own, "public": LEFT + RIGHT + 2}

    def graph(self) -> bytes:
        """The serialised ONNX graph."""
        from huref_zk.proofs.similarity import graph  # which builds on this module

        return graph.build_graph(self)

    @property
    def digest(self) -> str:
        """SHA-256, hex, of everything that fixes the circuit."""
        body = {
            "circuit": "huref-zk similarity circuit 3",
            "ezkl": EZKL_VERSION,
            "rows": [LEFT, RIGHT],
            "salts": [SALTS, E_SALTS],
            "fraction_bits": FRACTION_BITS,
            "energy": [ENERGY_BITS, MIN_ENERGY, MAX_ENERGY],
            "shifts": [shape.shift for shape in self.shapes],
            **asdict(self),
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """A folder name a person can read: hidden sizes, rows, and the start of the digest."""
        first, second = self.hidden
        return f"pair-d{first}-d{second}-k{self.k}-{self.digest[:8]}"


def map_shift(shape: Shape) -> int:
    """h: a model's maps are taken as M / 2^h before they are multiplied with one another.

    256 squares of rms 2^(shift + 5) then come to 2^ENERGY_BITS units of 2^-FRACTION_BITS.
    """
    return shape.shift + 5 + (8 + FRACTION_BITS - ENERGY_BITS) // 2


def energy_shift(shape: Shape) -> int:
    """e: a squared norm of a model's map is divided by 2^e."""
    return 2 * map_shift(shape) - FRACTION_BITS


def pair_for(first: int, second: int, k: int) -> PairShape:
    """The shape for models of these hidden sizes, both committed in the domain of 2^k rows.

    InputError when that domain does not hold one of them.
    """
    shape_for(first, k), shape_for(second, k)
    return PairShape((first, second), k, COLUMNS)
