"""The proof file `.hzs`: how similar two committed models are. See docs/similarity-proof.md.

Strict container (container.py), magic b"HUREFZS" and version 1, header as canonical JSON, then five
sections whose lengths the header gives and which end exactly at the end of the file: the `.hzc`
file of either model, the projection proof of either, and the Halo2 proof as ezkl writes it, which
opens with 65 column commitments of 64 bytes.

Header fields (every one required, no others): see FIELDS; besides low and high, the bounds proven
for the similarity, integers in units of 2^-16.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from huref_zk.errors import InputError
from huref_zk.files.container import read_bounded, read_container, write_container
from huref_zk.proofs.picture.file import check_header
from huref_zk.proofs.similarity.exact import Range
from huref_zk.proofs.similarity.shape import TOP

MAGIC = b"HUREFZS\x01"
FORMAT = "huref-zk similarity 1"
MAX_BYTES = 64 << 20
MODELS = ("first", "second")
SECTIONS = (*MODELS, *(f"{model}_projection" for model in MODELS), "proof")

# name -> (type, exact length of a string or upper bound of an integer)
FIELDS: dict[str, tuple[type, int]] = {
    "format": (str, len(FORMAT)),
    "first_root": (str, 64),  # the commitments' Poseidon roots
    "second_root": (str, 64),
    "seed": (str, 64),  # seed of the sketch
    "circuit": (str, 64),  # digest of the pair's shape
    "ezkl": (str, 0),
    "srs": (str, 64),
    "first_bytes": (int, MAX_BYTES),
    "second_bytes": (int, MAX_BYTES),
    "first_projection_bytes": (int, MAX_BYTES),
    "second_projection_bytes": (int, MAX_BYTES),
    "proof_bytes": (int, 4 << 20),
}
BOUNDS = ("low", "high")


@dataclass(frozen=True)
class PairBundle:
    """header: the fields of FIELDS, low and high; the sections as bytes, pairs in order."""

    header: dict
    commitments: tuple[bytes, bytes]
    projections: tuple[bytes, bytes]
    proof: bytes

    @property
    def bounds(self) -> Range:
        """What is claimed of the similarity."""
        return Range(self.header["low"], self.header["high"])

    @property
    def sections(self) -> tuple[bytes, ...]:
        """In the file's order."""
        return (*self.commitments, *self.projections, self.proof)


def statement_digest(header: dict, model: int) -> bytes:
    """SHA-256 of the claim, 32 bytes: the start of the transcript of one model's projection proof.

    model: 0 or 1. No part of a file can be lent to another claim, nor to the other model of it.
    """
    h = hashlib.sha256(b"huref-zk similarity statement 1" + bytes([model]))
    for name in sorted((*FIELDS, *BOUNDS)):
        if not name.endswith("_bytes"):
            value = str(header[name]).encode()
            h.update(len(value).to_bytes(4, "big") + value)
    return h.digest()


def write_bundle(path: Path, bundle: PairBundle) -> None:
    """Write ``bundle`` to ``path`` (temporary name, then rename)."""
    lengths = {f"{n}_bytes": len(s) for n, s in zip(SECTIONS, bundle.sections, strict=True)}
    header = {**bundle.header, **lengths}
    _check_header(header)
    write_container(path, MAGIC, header, bundle.sections)


def is_pair_file(path: Path) -> bool:
    """Whether a regular file starts as a `.hzs` file of any version does."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(7) == MAGIC[:7]


def read_bundle(path: Path) -> PairBundle:
    """Parse a file strictly. Raises InputError naming what is malformed; judges no claim."""
    return parse_bundle(read_bounded(path, MAX_BYTES))


def parse_bundle(data: bytes) -> PairBundle:
    """As read_bundle, from bytes."""
    header, sections = read_container(data, MAGIC, _section_lengths)
    first, second, first_projection, second_projection, proof = sections
    return PairBundle(header, (first, second), (first_projection, second_projection), proof)


def _section_lengths(header: dict) -> list[int]:
    _check_header(header)
    return [header[f"{name}_bytes"] for name in SECTIONS]


def _check_header(header: dict) -> None:
    low, high = (header.get(name) for name in BOUNDS)
    check_header({k: v for k, v in header.items() if k not in BOUNDS}, FIELDS, FORMAT)
    if type(low) is not int or type(high) is not int:
        raise InputError("the bundle's header lacks low or high, or one is no integer")
    if not -TOP <= low <= high <= TOP:
        raise InputError(f"the bundle's bounds {low} and {high} are no range from -{TOP} to {TOP}")
