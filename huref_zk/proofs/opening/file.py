"""An opening and its file, `.hzo`.

The header is the commitment's descriptor. Sections:

    places  for each opened row, in the commitment's order, its matrix (its number in the
            descriptor, 16 bits big-endian) and its number (32 bits)
    rows    for each its integers, 16 bits big-endian two's complement, from -32767 to 32767, then
            its salts, 32 bytes big-endian each, below r
    leaves  for each leaf of the tree that an opened row lies in, in the tree's order: the 32-byte
            compressed points of all the leaf's rows, then the leaf's siblings from the bottom up,
            32 bytes big-endian each, below r

So an opening can be checked against the root alone. That the integers are small is part of the
format: nothing larger can be written in it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.commitment import tree
from huref_zk.commitment.descriptor import Descriptor, parse_descriptor
from huref_zk.commitment.witness import LIMIT
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError
from huref_zk.files.container import pack, read_bounded, unpack
from huref_zk.files.formats import OPENING
from huref_zk.files.writing import write_atomically
from huref_zk.proofs.opening.rows import MAX_ROWS, Row, checked

_PLACE = np.dtype([("matrix", ">u2"), ("row", ">u4")])


@dataclass(frozen=True)
class OpenedRow:
    """place: (matrix, row); values: int16 array without its lowest value; salts: ints below r."""

    place: Row
    values: np.ndarray
    salts: tuple[int, ...]


@dataclass(frozen=True)
class Leaf:
    """Where a leaf of the tree stands: its number, its matrix, its first row, how many rows."""

    number: int
    matrix: str
    first: int
    rows: int


@dataclass(frozen=True)
class OpenedLeaf:
    """place: where it stands; points: of its rows; siblings: bottom up."""

    place: Leaf
    points: tuple[Point, ...]
    siblings: tuple[int, ...]


@dataclass(frozen=True)
class Opening:
    """Rows of a commitment with all that leads from them to its root."""

    descriptor: Descriptor
    rows: tuple[OpenedRow, ...]
    leaves: tuple[OpenedLeaf, ...]

    @property
    def places(self) -> list[Row]:
        return [row.place for row in self.rows]

    def points(self) -> list[Point]:
        """What the leaves hold for the opened rows."""
        leaves = {(leaf.place.matrix, leaf.place.first): leaf.points for leaf in self.leaves}
        size = tree.LEAF_POINTS
        return [leaves[matrix, row // size * size][row % size] for matrix, row in self.places]


def leaves_of(descriptor: Descriptor, places: Sequence[Row]) -> tuple[list[Leaf], int]:
    """(the leaves that hold these rows, which must exist; how many the tree has in all)."""
    names = [m.name for m in descriptor.matrices]
    ranges = tree.leaf_ranges([m.rows for m in descriptor.matrices])
    size = tree.LEAF_POINTS
    wanted = {(matrix, row // size * size) for matrix, row in places}
    chosen = [
        Leaf(number, names[matrix], first, rows)
        for number, (matrix, first, rows) in enumerate(ranges)
        if (names[matrix], first) in wanted
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
    number = {m.name: i for i, m in enumerate(opening.descriptor.matrices)}
    places = np.array([(number[matrix], row) for matrix, row in opening.places], dtype=_PLACE)
    rows = b"".join(
        row.values.astype(">i2").tobytes() + _numbers(row.salts) for row in opening.rows
    )
    leaves = b"".join(
        b"".join(map(bn254.compress, leaf.points)) + _numbers(leaf.siblings)
        for leaf in opening.leaves
    )
    return pack(OPENING, opening.descriptor.to_json(), [places.tobytes(), rows, leaves])


def write_opening(path: str | os.PathLike[str], opening: Opening) -> None:
    """Write the `.hzo` file, whole or not at all."""
    write_atomically(path, serialise_opening(opening))


def read_opening(path: str | os.PathLike[str]) -> Opening:
    """Read a `.hzo` file; see parse_opening."""
    return parse_opening(read_bounded(path, OPENING.max_bytes))


def parse_opening(data: bytes) -> Opening:
    """Parse the bytes of a `.hzo` file strictly. InputError when anything is malformed.

    Well formed says nothing yet of whether the rows belong to any commitment: verify.py.
    """
    header, (places_data, rows_data, leaves_data) = unpack(OPENING, data)
    descriptor = parse_descriptor(header)
    places = _parse_places(places_data, descriptor)
    matrices = [descriptor.matrix(matrix) for matrix, _ in places]
    leaves, count = leaves_of(descriptor, places)
    rows = tuple(
        _parse_row(place, matrix.columns, blob)
        for place, matrix, blob in zip(
            places,
            matrices,
            _cut(rows_data, [2 * m.columns + 32 * m.salts for m in matrices], "rows"),
            strict=True,
        )
    )
    sizes = [32 * (leaf.rows + siblings_needed(leaf.number, count)) for leaf in leaves]
    opened = []
    for leaf, blob in zip(leaves, _cut(leaves_data, sizes, "leaves"), strict=True):
        points = tuple(bn254.decompress(blob[i : i + 32]) for i in range(0, 32 * leaf.rows, 32))
        opened.append(OpenedLeaf(leaf, points, _elements(blob[32 * leaf.rows :])))
    return Opening(descriptor, rows, tuple(opened))


def _parse_places(data: bytes, descriptor: Descriptor) -> list[Row]:
    if len(data) % _PLACE.itemsize or not 0 < len(data) <= _PLACE.itemsize * MAX_ROWS:
        raise InputError(f"an opening names 1 to {MAX_ROWS} rows of {_PLACE.itemsize} bytes each")
    found = np.frombuffer(data, dtype=_PLACE)
    names = [m.name for m in descriptor.matrices]
    if int(found["matrix"].max()) >= len(names):
        raise InputError(f"the opening names a matrix beyond the {len(names)} of its descriptor")
    places = [(names[matrix], row) for matrix, row in found.tolist()]
    if places != checked(places, descriptor):
        raise InputError("the opening's rows must stand in the commitment's order, each once")
    return places


def _cut(data: bytes, sizes: Sequence[int], what: str) -> list[bytes]:
    if len(data) != sum(sizes):
        raise InputError(f"the opening's {what} have {len(data)} bytes, not {sum(sizes)}")
    found, start = [], 0
    for size in sizes:
        found.append(data[start : start + size])
        start += size
    return found


def _parse_row(place: Row, columns: int, blob: bytes) -> OpenedRow:
    values = np.frombuffer(blob, dtype=">i2", count=columns).astype(np.int16)
    if values.min() < -LIMIT:
        raise InputError(f"the opening holds an integer beyond {LIMIT} in magnitude")
    return OpenedRow(place, values, _elements(blob[2 * columns :]))


def _elements(blob: bytes) -> tuple[int, ...]:
    numbers = tuple(int.from_bytes(blob[i : i + 32], "big") for i in range(0, len(blob), 32))
    if any(number >= R for number in numbers):
        raise InputError("the opening holds a number that is no canonical field element")
    return numbers


def _numbers(numbers: Sequence[int]) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)
