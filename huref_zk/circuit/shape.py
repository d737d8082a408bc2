"""The public shape of a circuit: everything but the encoder's weights that decides its keys.

It follows from the hidden size alone: models of one width share a circuit and its keys, whatever
their depth, heads, feed-forward width, experts or architecture.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Protocol

from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.errors import InputError
from huref_zk.invariants.encoder import INVERSE_BITS, MAPS, VERSION, P, load_encoder
from huref_zk.invariants.sketch import LEFT, RIGHT

TERMS = 3  # a = QK, b = VO, f = FFN
MAP_ENTRIES = MAPS * P * P
EZKL_VERSION = "23.0.5"
# Rows at the bottom of a column that Halo2 keeps for blinding: an upper bound, checked in setup.
UNUSABLE = 16
MIN_K, MAX_K = 11, 17
# Measured (docs/circuit.md). Time hardly depends on k; a proof of 2^11 rows is three times as long
# as one of 2^13. Up to SMALL it is 2^11 all the same, for which short ceremony files will do.
SMALL, USUAL_K, COLUMNS = 64, 13, 2
# |w1 y| < 2^(INVERSE_BITS + MIX_BITS), by Cauchy-Schwarz over the shipped encoder's weights.
MIX_BITS = 11


class CircuitShape(Protocol):
    """What keys.py and halo2.py need to know of a circuit: this module's Shape, or a pair's
    (proofs/similarity/shape.py)."""

    @property
    def k(self) -> int:
        """log2 of the rows."""
        ...

    @property
    def base_bits(self) -> int:
        """Bits of one decomposition leg: its range table must fit the rows."""
        ...

    @property
    def legs(self) -> int: ...
    @property
    def columns(self) -> int:
        """Working columns side by side."""
        ...

    @property
    def fraction_bits(self) -> int:
        """ezkl keeps numbers at scale 2^fraction_bits; 0: integers throughout."""
        ...

    @property
    def inputs(self) -> dict[str, int]:
        """The circuit's inputs, committed columns all, in order, and how many entries each has."""
        ...

    @property
    def digest(self) -> str: ...
    @property
    def name(self) -> str: ...
    def graph(self) -> bytes:
        """The serialised ONNX graph."""
        ...


@dataclass(frozen=True)
class Shape:
    """hidden: d; k: log2 of the rows; columns: working columns; shift: the divisor is 2^shift."""

    hidden: int
    k: int
    columns: int
    shift: int

    @property
    def block(self) -> int:
        """e: entries of a row of the right side, and of each of the three blocks of a left one."""
        return self.hidden + E_SALTS

    @property
    def inputs(self) -> dict[str, int]:
        """The circuit's committed columns and how many entries each has (circuit/graph.py)."""
        return {
            "left": TERMS * self.block,
            "right": self.block,
            "maps": MAP_ENTRIES + SALTS,
            "weights": LEFT + RIGHT,
        }

    @property
    def base_bits(self) -> int:
        """Bits of one decomposition leg: its range table must fit the rows."""
        return self.k - 1

    @property
    def legs(self) -> int:
        """Legs that hold any remainder of a division by 2^shift, and the ReLU's inputs."""
        bits = max(self.shift + 1, INVERSE_BITS + MIX_BITS)
        return math.ceil(bits / self.base_bits)

    @property
    def fraction_bits(self) -> int:
        """Integers throughout (graph.py)."""
        return 0

    def graph(self) -> bytes:
        """The serialised ONNX graph, with the shipped encoder's weights."""
        from huref_zk.circuit import graph  # which builds on this module

        return graph.build_graph(self, load_encoder())

    @property
    def digest(self) -> str:
        """SHA-256, hex, of everything that fixes the circuit."""
        body = {
            "circuit": "huref-zk circuit 2",
            "ezkl": EZKL_VERSION,
            "encoder": VERSION,
            "encoder_digest": load_encoder().digest,
            "rows": [LEFT, RIGHT],
            "salts": [SALTS, E_SALTS],
            **asdict(self),
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """A folder name a person can read: hidden size, rows and the start of the digest."""
        return f"d{self.hidden}-k{self.k}-{self.digest[:8]}"


def shape_for(hidden: int, k: int | None = None) -> Shape:
    """The shape used for models of this hidden size: a public function of it alone.

    k: log2 of the rows, where another than the default is wanted. The shift is what brings the
    entries of u to about 2^12 when tokens are quantised to rms 2^7 and cores to 2^7 or 2^8.
    Raises InputError when no supported circuit is large enough.
    """
    if hidden < 1:
        raise InputError("a model needs a positive hidden size")
    need = max(MIN_K, math.ceil(math.log2(TERMS * (hidden + E_SALTS) + UNUSABLE)))
    if k is None:
        k = need if hidden <= SMALL else max(need, USUAL_K)
    if not need <= k <= MAX_K:
        raise InputError(f"a hidden size of {hidden} needs a circuit of 2^{need} to 2^{MAX_K} rows")
    return Shape(hidden, k, COLUMNS, 28 + round(math.log2(hidden)))
