"""The public commitment to a model: descriptor, row commitments, root; and its file, `.hzc`.

The header is the descriptor (descriptor.py); the one section holds 32-byte compressed points
(curve/encoding.py), those of every row of every matrix in the descriptor's order. The root is
Poseidon's (tree.py); written as 64 hex digits, big-endian.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huref_zk.commitment import tree
from huref_zk.commitment.descriptor import Descriptor, parse_descriptor
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point
from huref_zk.errors import InputError
from huref_zk.files.container import pack, read_bounded, unpack
from huref_zk.files.formats import COMMITMENT
from huref_zk.files.writing import write_atomically
from huref_zk.native.workers import run_all


@dataclass(frozen=True)
class Commitment:
    """points: of the rows of each matrix, by name, in the descriptor's order; root: the Poseidon
    root, an int below r."""

    descriptor: Descriptor
    points: Mapping[str, tuple[Point, ...]]
    root: int

    @property
    def root_hex(self) -> str:
        """The root as 64 hex digits, as commands and files show it."""
        return f"{self.root:064x}"

    @property
    def hidden(self) -> int:
        """d, the model's hidden size."""
        return self.descriptor.hidden


def make_commitment(
    descriptor: Descriptor, points: Mapping[str, Sequence[Point]], processes: int | None = None
) -> Commitment:
    """The commitment that consists of these points; its root is computed."""
    _, tops, _ = _tree(_blobs(points), False, processes)
    root = tree.root(tops, descriptor.to_bytes())
    return Commitment(descriptor, {name: tuple(rows) for name, rows in points.items()}, root)


def leaf_hashes(commitment: Commitment, processes: int | None = None) -> list[int]:
    """The tree's leaves under the root, for tree.paths."""
    return _tree(_blobs(commitment.points), False, processes)[0]


def serialise(commitment: Commitment) -> bytes:
    """The bytes of the `.hzc` file."""
    points = b"".join(_blobs(commitment.points))
    return pack(COMMITMENT, commitment.descriptor.to_json(), [points])


def write_commitment(path: str | os.PathLike[str], commitment: Commitment) -> None:
    """Write the `.hzc` file, whole or not at all."""
    write_atomically(path, serialise(commitment))


def read_commitment(path: str | os.PathLike[str]) -> Commitment:
    """Read a `.hzc` file; see parse_commitment."""
    return parse_commitment(read_bounded(path, COMMITMENT.max_bytes))


@functools.lru_cache(maxsize=2)  # a verifier meets the same commitment in a file and in a bundle
def parse_commitment(data: bytes) -> Commitment:
    """Parse the bytes of a `.hzc` file strictly and compute the root.

    InputError when anything is malformed: frame, descriptor, a point. The root says what the file
    holds; whether it is the expected one is the caller's question.
    """
    header, (blob,) = unpack(COMMITMENT, data)
    descriptor = parse_descriptor(header)
    counts = [m.rows for m in descriptor.matrices]
    if len(blob) != 32 * sum(counts):
        raise InputError(
            f"the commitment holds {len(blob)} bytes of points, its descriptor implies "
            f"{32 * sum(counts)}"
        )
    blobs, start = [], 0
    for count in counts:
        blobs.append(blob[start : start + 32 * count])
        start += 32 * count
    _, tops, decoded = _tree(blobs, True, None)
    rest = iter(decoded)
    points = {m.name: tuple(next(rest) for _ in range(m.rows)) for m in descriptor.matrices}
    return Commitment(descriptor, points, tree.root(tops, descriptor.to_bytes()))


def expected_root(expected: str | Path) -> str:
    """The root that a caller trusts: given as 64 hex digits, or recomputed from a .hzc file.

    InputError for anything else.
    """
    given = str(expected)
    if len(given) == 64 and set(given.lower()) <= set("0123456789abcdef"):
        return given.lower()
    if not Path(given).is_file():
        raise InputError(f"{given} is neither a commitment file nor a root of 64 hex digits")
    return read_commitment(given).root_hex


def _blobs(points: Mapping[str, Sequence[Point]]) -> list[bytes]:
    return [b"".join(map(bn254.compress, rows)) for rows in points.values()]


def _tree(
    blobs: Sequence[bytes], decode: bool, processes: int | None
) -> tuple[list[int], list[int], list[Point]]:
    """Over the matrices' compressed points: leaf hashes, group tops, decoded points (or none)."""
    ranges = tree.leaf_ranges([len(blob) // 32 for blob in blobs])
    leaves = [(m, first, blobs[m][32 * first : 32 * (first + n)]) for m, first, n in ranges]
    size = tree.GROUP_LEAVES
    jobs = [(leaves[i : i + size], decode) for i in range(0, len(leaves), size)]
    if len(jobs) == 1:
        results = [tree.open_group(*jobs[0])]
    else:
        results = run_all(tree.open_group, jobs, processes)
    return (
        [leaf for hashes, _, _ in results for leaf in hashes],
        [top for _, top, _ in results],
        [point for _, _, points in results for point in points],
    )
