"""The judge's side: does an opening belong to the commitment with this root? Numbered steps:

    0 parse     well formed; every integer within +-32767, every salt below r
    1 root      each leaf and its path lead to the expected root, with this descriptor
    2 SRS       a ceremony's, one the caller names, or the test setup if the caller allows it
    3 rows      the commitment computed from each row is the one in its leaf
    4 choice    the rows are the ones that the judge's nonce chooses
    5 weights   the integers are those of a given model (compare.py)

Imports neither torch nor safetensors.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from huref_zk.commitment import tree as merkle
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError, StepFailed
from huref_zk.files.container import canonical_json
from huref_zk.proofs.opening.file import (
    OpenedLeaf,
    OpenedRow,
    Opening,
    leaves_of,
    read_opening,
    serialise_opening,
)
from huref_zk.proofs.opening.rows import Row, name, row_sizes, sample_rows
from huref_zk.proofs.setup import trusted_srs
from huref_zk.srs.file import Srs

_NAMED = 8  # rows named in a message

Heard = Callable[[int, str, str], None]
"""Hears each step that held: number, name, what was established."""


def check_opening_file(
    path: Path,
    root_hex: str,
    cache: Path,
    allow_test: bool = False,
    choice: tuple[bytes, int] | None = None,
    heard: Heard | None = None,
    trusted: Collection[str] = (),
) -> Opening:
    """Check the file at ``path`` against the root (64 hex digits): steps 0 to 4.

    choice: the judge's nonce and how many rows it was to choose, if that is demanded; trusted:
    SHA-256, hex, of SRS files that the caller trusts besides the ceremony's. Raises StepFailed,
    EnvironmentLacks when the SRS is not at hand, InputError when there is no file.
    """
    if not path.is_file():  # a wrong argument, not a false claim
        raise InputError(f"{path} is not a file")
    try:
        opening = read_opening(path)
    except InputError as e:
        raise StepFailed(0, f"{path}: {e}") from e
    say = heard or (lambda *_: None)
    say(0, "parse", f"{len(opening.rows)} rows, well formed")
    check_opening(opening, root_hex, cache, allow_test, choice, say, trusted)
    return opening


def check_opening(
    opening: Opening,
    root_hex: str,
    cache: Path,
    allow_test: bool = False,
    choice: tuple[bytes, int] | None = None,
    heard: Heard | None = None,
    trusted: Collection[str] = (),
) -> None:
    """Steps 1 to 4 on a parsed opening; see check_opening_file."""
    say = heard or (lambda *_: None)
    check_root(opening, int(root_hex, 16))
    say(1, "root", root_hex)
    srs = trusted_srs(opening.descriptor, cache, allow_test, trusted)
    say(2, "SRS", f"{srs.kind} setup {srs.sha256[:16]}, 2^{srs.k} rows")
    wrong = wrong_rows(opening, srs)
    if wrong:
        raise StepFailed(3, f"not what was committed: {listed(wrong)}")
    say(3, "rows", f"{len(opening.rows)} rows are the committed ones, all entries small integers")
    if choice is not None:
        nonce, count = choice
        wanted = sample_rows(opening.descriptor, int(root_hex, 16), nonce, count)
        if opening.places != wanted:
            missing = [row for row in wanted if row not in set(opening.places)]
            what = f"missing are {listed(missing)}" if missing else "there are others besides"
            raise StepFailed(4, f"these are not the {count} rows that the nonce chooses: {what}")
        say(4, "choice", f"the {count} rows that the nonce chooses")


def check_root(opening: Opening, root: int) -> None:
    """Step 1: every leaf leads to ``root``. StepFailed(1)."""
    for leaf, found in roots(opening):
        if found != root:
            place = name((leaf.matrix, leaf.first))
            raise StepFailed(1, f"the leaf from {place} on does not lead to the expected root")


def roots(opening: Opening) -> Iterator[tuple[OpenedLeaf, int | None]]:
    """Each leaf, and the root that it and its path lead to; None for a path of wrong length."""
    descriptor = canonical_json(opening.descriptor)
    _, count = leaves_of(opening.descriptor, opening.places)
    for leaf in opening.leaves:
        hashed = merkle.leaf(leaf.matrix, leaf.first, b"".join(map(bn254.compress, leaf.points)))
        found = merkle.check_path(hashed, leaf.number, count, leaf.siblings, descriptor)
        yield leaf, found


def wrong_rows(opening: Opening, srs: Srs) -> list[Row]:
    """Step 3: the rows whose commitment is not the point that their leaf holds for them.

    All at once as a random combination (a false row escapes with probability 2^-128); only if
    that fails are they tried one by one.
    """
    point = _points(opening)
    sizes = [sum(row_sizes(opening.descriptor, m)) for m, _ in opening.places]
    generators = srs.lagrange(0, max(sizes))
    stream = _weights(opening)
    totals = [0] * len(generators)
    for row, weight in zip(opening.rows, stream, strict=True):
        for t, value in enumerate(_entries(row)):
            totals[t] += weight * value
    points = [point(row.place) for row in opening.rows]
    if _vanishes(generators, totals, points, stream):
        return []
    return [
        row.place
        for row, p in zip(opening.rows, points, strict=True)
        if not _vanishes(generators, _entries(row), [p], [1])
    ]


def listed(rows: Sequence[Row]) -> str:
    """'U:5, U:6 and 3 more'."""
    named = ", ".join(map(name, rows[:_NAMED]))
    return named + (f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else "")


def _entries(row: OpenedRow) -> list[int]:
    return [*row.values.tolist(), *row.salts]


def _points(opening: Opening) -> Callable[[Row], Point]:
    leaves = {(leaf.matrix, leaf.first): leaf for leaf in opening.leaves}

    @functools.cache
    def point(place: Row) -> Point:
        first = place[1] // merkle.LEAF_POINTS * merkle.LEAF_POINTS
        leaf: OpenedLeaf = leaves[place[0], first]
        return leaf.points[place[1] - first]

    return point


def _weights(opening: Opening) -> list[int]:
    """128-bit numbers that nobody can foresee without fixing the whole opening."""
    digest = hashlib.sha512(b"huref-zk opening batch 1" + serialise_opening(opening)).digest()
    stream = hashlib.shake_256(digest).digest(16 * len(opening.rows))
    return [int.from_bytes(stream[i : i + 16], "big") for i in range(0, len(stream), 16)]


def _vanishes(
    generators: Sequence[Point],
    entries: Sequence[int],
    points: Sequence[Point],
    weights: Sequence[int],
) -> bool:
    """Whether sum_t entries_t g_t = sum_i weights_i points_i."""
    terms = [*generators[: len(entries)], *points]
    scalars = [*(e % R for e in entries), *(-w for w in weights)]
    return bn254.msm(terms, scalars) is None
