"""The Poseidon tree over the committed points, and its root.

    leaf = H("huref-zk leaf", matrix, first row, number of rows, packed points ...)
    node = H("huref-zk node", left, right)
    root = H("huref-zk root", top node, descriptor digest's high half, its low half)

A leaf holds up to LEAF_POINTS consecutive rows of one matrix (E = 0, U = 1, V = 2): their 32-byte
compressed points, concatenated and cut into 31-byte field elements. A matrix starts a new leaf. On
every level neighbours pair up; an odd last node moves up unchanged. How many leaves there are
follows from the descriptor (SHA-256 of its canonical JSON), which the root binds, so a tree cannot
be read as one of another shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from huref_zk.commitment.poseidon import pack, poseidon
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point

LEAF_POINTS = 32
GROUP_LEAVES = 8
"""Leaves hashed in one go; a power of two, so that the node above them is one of the tree's."""


def leaf(matrix: int, first: int, points: bytes) -> int:
    """The hash of one leaf; points: up to LEAF_POINTS compressed points of 32 bytes each."""
    return poseidon(b"huref-zk leaf", [matrix, first, len(points) // 32, *pack(points)])


def leaf_ranges(rows: Sequence[int]) -> list[tuple[int, int, int]]:
    """(matrix, first row, number of rows) of every leaf, for matrices with that many rows each."""
    return [
        (matrix, first, min(LEAF_POINTS, count - first))
        for matrix, count in enumerate(rows)
        for first in range(0, count, LEAF_POINTS)
    ]


def open_group(
    group: Sequence[tuple[int, int, bytes]], decode: bool
) -> tuple[list[int], int, list[Point]]:
    """For up to GROUP_LEAVES neighbouring leaves (matrix, first row, compressed points), of which
    the first has a number divisible by GROUP_LEAVES: their hashes, the node above them all, and,
    if `decode`, their points. InputError for a malformed point.

    Made to run in a child process: imports nothing heavy.
    """
    blob = b"".join(points for _, _, points in group) if decode else b""
    decoded = [bn254.decompress(blob[i : i + 32]) for i in range(0, len(blob), 32)]
    leaves = [leaf(matrix, first, points) for matrix, first, points in group]
    return leaves, _levels(leaves)[-1][0], decoded


def _levels(leaves: Sequence[int]) -> list[list[int]]:
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        level = levels[-1]
        above = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        levels.append(above + level[len(level) & ~1 :])
    return levels


def _node(left: int, right: int) -> int:
    return poseidon(b"huref-zk node", [left, right])


def root(nodes: Sequence[int], descriptor: bytes) -> int:
    """The root over any whole level of the tree (the leaves, or the groups' tops) and the
    descriptor's canonical JSON."""
    return _bind(_levels(nodes)[-1][0], descriptor)


def _bind(top: int, descriptor: bytes) -> int:
    digest = hashlib.sha256(descriptor).digest()
    halves = [int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")]
    return poseidon(b"huref-zk root", [top, *halves])


def path(leaves: Sequence[int], index: int) -> list[int]:
    """The siblings of leaf `index` from the bottom up (a level without a sibling adds none)."""
    return paths(leaves, [index])[0]


def paths(leaves: Sequence[int], indices: Sequence[int]) -> list[list[int]]:
    """The path of each leaf in `indices`; the tree is built once."""
    levels = _levels(leaves)[:-1]
    return [
        [level[i >> n ^ 1] for n, level in enumerate(levels) if i >> n ^ 1 < len(level)]
        for i in indices
    ]


def check_path(
    leaf_hash: int, index: int, count: int, siblings: Sequence[int], descriptor: bytes
) -> int | None:
    """The root that leaf `index` of `count` and its siblings lead to; None if too many or few."""
    if not 0 <= index < count:
        return None
    current = leaf_hash
    rest = list(reversed(siblings))
    while count > 1:
        if index ^ 1 < count:
            if not rest:
                return None
            sibling = rest.pop()
            current = _node(sibling, current) if index & 1 else _node(current, sibling)
        index >>= 1
        count = (count + 1) // 2
    return None if rest else _bind(current, descriptor)
