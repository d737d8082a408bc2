"""The public shape of a circuit: everything but the encoder's weights that decides its keys.

Two models with the same term widths share a shape, and so share keys, whatever their hidden size.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Protocol

from huref_zk.circuit.encoder import MAPS, VERSION, P, load_encoder
from huref_zk.errors import InputError

TERMS = 3  # a = QK, b = VO, f = FFN
LAYERS = MAPS // TERMS
SALTS = 8  # salt entries at the end of every committed row; the circuit masks them out
EZKL_VERSION = "23.0.5"
# Rows at the bottom of a column that Halo2 keeps for blinding: an upper bound, checked in setup.
UNUSABLE = 16
MIN_K, MAX_K = 13, 20
# Rounded u has about 12 bits: enough for cosine 1 - 1e-8, few enough for the norm to stay small.
U_BITS = 12


class CircuitShape(Protocol):
    """What keys.py needs to know of a circuit: this module's Shape, or a pair's
    (similarity_proof/shape.py)."""

    @property
    def k(self) -> int: ...
    @property
    def base_bits(self) -> int: ...
    @property
    def legs(self) -> int: ...
    @property
    def inner_columns(self) -> int:
        """Working columns side by side."""
        ...

    @property
    def fraction_bits(self) -> int:
        """ezkl keeps numbers at scale 2^fraction_bits; 0: integers throughout."""
        ...

    @property
    def input_cells(self) -> int:
        """Entries of all committed inputs together."""
        ...

    @property
    def digest(self) -> str: ...
    @property
    def name(self) -> str: ...
    def graph(self) -> bytes:
        """The serialised ONNX graph. Needs the onnx library."""
        ...


@dataclass(frozen=True)
class Shape:
    """widths: (H_a, H_b, H_f) of one layer; k: log2 of the rows; shift: the divisor is 2^shift."""

    widths: tuple[int, int, int]
    k: int
    shift: int

    @property
    def length(self) -> int:
        """L: entries of one projected row that are not salts (both layers side by side)."""
        return LAYERS * sum(self.widths)

    @property
    def row(self) -> int:
        """Entries of one circuit input: L values and the salts."""
        return self.length + SALTS

    @property
    def base_bits(self) -> int:
        """Bits of one decomposition leg: its range table must fit the rows."""
        return self.k - 1

    @property
    def legs(self) -> int:
        """Legs that hold any remainder of a division by 2^shift, and the ReLU's inputs."""
        return math.ceil((max(self.shift, 40) + 1) / self.base_bits)

    @property
    def inner_columns(self) -> int:
        """Measured (docs/circuit.md)."""
        return 2

    @property
    def fraction_bits(self) -> int:
        """Integers throughout (graph.py)."""
        return 0

    @property
    def input_cells(self) -> int:
        """Entries of the 2 P committed rows together."""
        return 2 * P * self.row

    def graph(self) -> bytes:
        """The serialised ONNX graph, with the shipped encoder's weights."""
        from huref_zk.circuit import graph

        return graph.build_graph(self, load_encoder())

    @property
    def digest(self) -> str:
        """SHA-256, hex, of everything that fixes the circuit."""
        body = {
            "circuit": "huref-zk circuit 1",
            "ezkl": EZKL_VERSION,
            "encoder": VERSION,
            "encoder_digest": load_encoder().digest,
            "p": P,
            "layers": LAYERS,
            "salts": SALTS,
            **asdict(self),
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """A folder name a person can read: widths, rows, shift and the start of the digest."""
        a, b, f = self.widths
        return f"a{a}-b{b}-f{f}-k{self.k}-s{self.shift}-{self.digest[:8]}"


def shape_for(
    widths: tuple[int, int, int], tokens: int, hidden: int, k: int | None = None
) -> Shape:
    """The shape used for a model: a public function of public numbers.

    widths: (H_a, H_b, H_f); tokens: K; hidden: d. The shift is what brings the entries of u to
    about 2^U_BITS when embeddings are quantised to rms 2^6 and weights to 2^7 (quantise.py).
    Raises InputError when no supported circuit is large enough.
    """
    if min(widths) < 1 or tokens < 2 or hidden < 1:
        raise InputError("a model needs positive widths, tokens and hidden size")
    row = LAYERS * sum(widths) + SALTS
    need = math.ceil(math.log2(row + UNUSABLE))
    if k is None:
        # One more than the inputs need is fastest for small models: fewer, longer columns
        # (measured; benchmarks/README.md). Large ones take the smallest that fits.
        k = max(MIN_K, need, min(need + 1, 15))
    if not max(MIN_K, need) <= k <= MAX_K:
        raise InputError(f"a row of {row} entries needs a circuit of 2^{need} to 2^{MAX_K} rows")
    # rms of A = 2^6 sqrt(K) 2^7 sqrt(d); of M = A^2 sqrt(H); the 4x4 filters add 7 bits.
    map_bits = 2 * (6 + 7) + math.log2(tokens) + math.log2(hidden) + math.log2(max(widths)) / 2
    return Shape((widths[0], widths[1], widths[2]), k, round(map_bits + 7 - U_BITS))
