"""The proof of similarity `.hzs`: how alike two committed models are.

Header fields (every one required, no others); roots and digests are 64 hex digits:

    first_root   the first commitment's Poseidon root
    second_root  the second's
    seed         of the sketch
    circuit      digest of the pair's shape
    ezkl         version that made the proof
    low          lower bound of what is proven, an integer: a multiple of 2^-16
    high         upper bound

Sections: the whole `.hzc` file of either model; the projection proof of either
(argument/projection.py); the circuit's proof (circuit/product.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from huref_zk.circuit.shape import EZKL_VERSION
from huref_zk.commitment.file import Commitment
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json, pack, read_bounded, unpack
from huref_zk.files.fields import hex_digits, integer, members, text
from huref_zk.files.formats import SIMILARITY
from huref_zk.files.writing import write_atomically
from huref_zk.proofs.similarity.exact import Range
from huref_zk.proofs.similarity.shape import MODELS, TOP, PairShape

_DIGESTS = ("first_root", "second_root", "seed", "circuit")
_BOUNDS = ("low", "high")


@dataclass(frozen=True)
class Claim:
    """The header; see the module's head."""

    first_root: str
    second_root: str
    seed: str
    circuit: str
    ezkl: str
    low: int
    high: int

    @property
    def roots(self) -> tuple[str, str]:
        return self.first_root, self.second_root

    @property
    def bounds(self) -> Range:
        """What is claimed of the similarity."""
        return Range(self.low, self.high)

    def digest(self, part: str) -> bytes:
        """SHA-256 of the claim, 32 bytes, for one part of the proof: "first" or "second", whose
        projection proof's transcript starts from it, or "circuit".

        So no part of a file can be lent to another claim, nor to the other model of it.
        """
        body = canonical_json(asdict(self))
        return hashlib.sha256(b"huref-zk similarity 2 " + part.encode() + body).digest()


@dataclass(frozen=True)
class PairBundle:
    """claim: the header; commitments: bytes of either `.hzc`; projections: bytes of either
    projection proof; proof: the circuit's proof. Pairs are in order."""

    claim: Claim
    commitments: tuple[bytes, bytes]
    projections: tuple[bytes, bytes]
    proof: bytes

    @property
    def seed(self) -> bytes:
        return bytes.fromhex(self.claim.seed)

    @property
    def sections(self) -> tuple[bytes, ...]:
        """In the file's order."""
        return (*self.commitments, *self.projections, self.proof)


def claim_of(
    commitments: tuple[Commitment, Commitment], pair: PairShape, seed: bytes, bounds: Range
) -> Claim:
    """What an honest file claims. seed: 32 bytes."""
    first, second = (commitment.root_hex for commitment in commitments)
    return Claim(first, second, seed.hex(), pair.digest, EZKL_VERSION, bounds.low, bounds.high)


def serialise_bundle(bundle: PairBundle) -> bytes:
    """The bytes of the `.hzs` file."""
    return pack(SIMILARITY, asdict(bundle.claim), bundle.sections)


def write_bundle(path: Path, bundle: PairBundle) -> None:
    """Write the `.hzs` file, whole or not at all."""
    write_atomically(path, serialise_bundle(bundle))


def read_bundle(path: Path) -> PairBundle:
    """Read a `.hzs` file; see parse_bundle."""
    return parse_bundle(read_bounded(path, SIMILARITY.max_bytes))


def parse_bundle(data: bytes) -> PairBundle:
    """Parse a file strictly. InputError naming what is malformed; judges no claim."""
    header, sections = unpack(SIMILARITY, data)
    first, second, first_projection, second_projection, proof = sections
    fields = members(header, (*_DIGESTS, "ezkl", *_BOUNDS), "the header")
    for name in _DIGESTS:
        hex_digits(fields[name], f"the header's {name}")
    text(fields["ezkl"], "the header's ezkl", 32)
    for name in _BOUNDS:
        integer(fields[name], f"the header's {name}", -TOP, TOP)
    claim = Claim(**fields)
    if claim.low > claim.high:
        raise InputError(f"the bounds {claim.low} and {claim.high} are no range")
    return PairBundle(claim, (first, second), (first_projection, second_projection), proof)


assert SIMILARITY.sections[:2] == MODELS
