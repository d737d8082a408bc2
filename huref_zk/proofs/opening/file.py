"""An opening and its file, `.hzo`.

A container (container.py) with magic b"HUREFZKO". Header fields, all required, no others:

    format       "huref-zk opening 1"
    descriptor   the commitment's descriptor (commit/commitment.py)
    rows         {"E": [...], "U": [...], "V": [...]}: the opened rows' numbers, rising

First one section for each opened row, E's first: its integers, 16 bits big-endian two's
complement each, from -32767 to 32767, then its salts, 32 bytes big-endian each, below r. Then one
section for each Merkle leaf that an opened row lies in, in the tree's order: the 32-byte compressed
points of all the leaf's rows, then the leaf's siblings from the bottom up, 32 bytes big-endian
each, below r. So an opening can be checked against the root alone. That the integers are small is
part of the format: nothing larger can be written in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.commitment import tree as merkle
from huref_zk.commitment.file import check_descriptor
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError
from huref_zk.files.container import pack_container, read_bounded, read_container, write_atomically
from huref_zk.invariants.quantise import LIMIT
from huref_zk.proofs.opening.rows import (
    MATRICES,
    MAX_ROWS,
    Row,
    check_exist,
    checked_count,
    row_sizes,
)

MAGIC = b"HUREFZKO"
FORMAT = "huref-zk opening 1"
MAX_BYTES = 1 << 29
_FIELDS = {"format", "descriptor", "rows"}


@dataclass(frozen=True)
class OpenedRow:
    """place: (matrix, row); values: int16 array without its lowest value; salts: ints below r."""

    place: Row
    values: np.ndarray
    salts: tuple[int, ...]


@dataclass(frozen=True)
class OpenedLeaf:
    """One leaf of the Merkle tree: its number, matrix, first row, points, siblings bottom up."""

    number: int
    matrix: int
    first: int
    points: tuple[Point, ...]
    siblings: tuple[int, ...]


@dataclass(frozen=True)
class Opening:
    """Rows of a commitment with all that leads from them to its root."""

    descriptor: dict[str, Any]
    rows: tuple[OpenedRow, ...]
    leaves: tuple[OpenedLeaf, ...]

    @property
    def places(self) -> list[Row]:
        return [row.place for row in self.rows]


def leaves_of(
    descriptor: dict[str, Any], places: list[Row]
) -> tuple[list[tuple[int, int, int, int]], int]:
    """([(leaf number, matrix, first row, rows)] of the leaves that hold these rows, leaves in all).

    The places must exist.
    """
    ranges = merkle.leaf_ranges(check_descriptor(descriptor))
    wanted = {(matrix, row // merkle.LEAF_POINTS * merkle.LEAF_POINTS) for matrix, row in places}
    chosen = [
        (number, matrix, first, size)
        for number, (matrix, first, size) in enumerate(ranges)
        if (matrix, first) in wanted
    ]
    return chosen, len(ranges)


def siblings_needed(number: int, count: int) -> int:
    """How many siblings lead from leaf `number` of `count` to the top."""
    needed = 0
    while count > 1:
        needed += (number ^ 1) < count
        number, count = number >> 1, (count + 1) // 2
    return needed


def serialise_opening(opening: Opening) -> bytes:
    """The bytes of the `.hzo` file."""
    numbers: dict[str, list[int]] = {letter: [] for letter in MATRICES}
    for matrix, row in opening.places:
        numbers[MATRICES[matrix]].append(row)
    header = {"format": FORMAT, "descriptor": opening.descriptor, "rows": numbers}
    sections = [
        row.values.astype(">i2").tobytes() + b"".join(s.to_bytes(32, "big") for s in row.salts)
        for row in opening.rows
    ]
    sections += [
        b"".join(map(bn254.compress, leaf.points))
        + b"".join(s.to_bytes(32, "big") for s in leaf.siblings)
        for leaf in opening.leaves
    ]
    return pack_container(MAGIC, header, sections)


def write_opening(path: str | os.PathLike[str], opening: Opening) -> None:
    """Write the `.hzo` file, whole or not at all."""
    write_atomically(path, serialise_opening(opening))


def read_opening(path: str | os.PathLike[str]) -> Opening:
    """Read a `.hzo` file; see parse_opening."""
    return parse_opening(read_bounded(path, MAX_BYTES))


def parse_opening(data: bytes) -> Opening:
    """Parse the bytes of a `.hzo` file strictly. InputError when anything is malformed.

    Well formed says nothing yet of whether the rows belong to any commitment: check.py.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"an opening has at most {MAX_BYTES} bytes, not {len(data)}")
    header, sections = read_container(data, MAGIC, _lengths)
    descriptor, places = header["descriptor"], _places(header)
    chosen, _ = leaves_of(descriptor, places)
    rows = tuple(
        _parse_row(place, descriptor, blob)
        for place, blob in zip(places, sections[: len(places)], strict=True)
    )
    leaves = []
    for (number, matrix, first, size), blob in zip(chosen, sections[len(places) :], strict=True):
        points = tuple(bn254.decompress(blob[i : i + 32]) for i in range(0, 32 * size, 32))
        leaves.append(OpenedLeaf(number, matrix, first, points, _elements(blob[32 * size :])))
    return Opening(descriptor, rows, tuple(leaves))


def _lengths(header: dict[str, Any]) -> list[int]:
    if set(header) != _FIELDS:
        raise InputError(f"an opening's header must have the fields {', '.join(sorted(_FIELDS))}")
    if header["format"] != FORMAT:
        raise InputError(f"this program reads {FORMAT!r}, not {str(header['format'])[:40]!r}")
    if not isinstance(header["descriptor"], dict):
        raise InputError("the opening's descriptor must be an object")
    counts = check_descriptor(header["descriptor"])
    places = _places(header)
    check_exist(places, counts)
    sizes = [row_sizes(header["descriptor"], matrix) for matrix, _ in places]
    chosen, count = leaves_of(header["descriptor"], places)
    return [2 * integers + 32 * salts for integers, salts in sizes] + [
        32 * (size + siblings_needed(number, count)) for number, _, _, size in chosen
    ]


def _places(header: dict[str, Any]) -> list[Row]:
    rows = header["rows"]
    if not isinstance(rows, dict) or set(rows) != set(MATRICES):
        raise InputError("the opening's rows must be lists under E, U and V")
    places = []
    for matrix, letter in enumerate(MATRICES):
        numbers = rows[letter]
        if not isinstance(numbers, list) or not all(type(n) is int and n >= 0 for n in numbers):
            raise InputError(f"the opening's rows of {letter} must be a list of row numbers")
        if len(numbers) > MAX_ROWS or numbers != sorted(set(numbers)):
            raise InputError(f"the opening's rows of {letter} must rise, at most {MAX_ROWS}")
        places += [(matrix, number) for number in numbers]
    return checked_count(places)


def _parse_row(place: Row, descriptor: dict[str, Any], blob: bytes) -> OpenedRow:
    integers, _ = row_sizes(descriptor, place[0])
    values = np.frombuffer(blob, dtype=">i2", count=integers).astype(np.int16)
    if values.min() < -LIMIT:
        raise InputError(f"the opening holds an integer beyond {LIMIT} in magnitude")
    return OpenedRow(place, values, _elements(blob[2 * integers :]))


def _elements(blob: bytes) -> tuple[int, ...]:
    numbers = tuple(int.from_bytes(blob[i : i + 32], "big") for i in range(0, len(blob), 32))
    if any(number >= R for number in numbers):
        raise InputError("the opening holds a number that is no canonical field element")
    return numbers
