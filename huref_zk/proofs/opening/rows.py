"""Which rows of a commitment: their names (E:0,17-20;C:5;qv28:7), and a judge's random choice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from huref_zk.commitment.descriptor import Descriptor
from huref_zk.errors import InputError
from huref_zk.proofs.sampling import draw_distinct

MAX_ROWS = 1 << 14
"""Rows of the largest opening."""
Row = tuple[str, int]
"""(matrix, row): a matrix of the descriptor and the number of a row of it."""
MAX_NAMED = 8
"""Rows named in a message."""
_MATRIX = re.compile(r"[A-Za-z]{1,8}[0-9]{0,6}")
_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


def name(row: Row) -> str:
    """'C:5' for row 5 of C."""
    return f"{row[0]}:{row[1]}"


def listed(rows: Sequence[Row]) -> str:
    """'C:5, C:6 and 3 more'."""
    named = ", ".join(map(name, rows[:MAX_NAMED]))
    return named + (f" and {len(rows) - MAX_NAMED} more" if len(rows) > MAX_NAMED else "")


def parse_rows(text: str, descriptor: Descriptor) -> list[Row]:
    """The rows that ``text`` names, in order: matrices with row numbers and ranges (ends included),
    as in ``E:0,17-20;C:5``. InputError for anything else, for rows that the commitment does not
    have, and for more than MAX_ROWS."""
    rows: set[Row] = set()
    for part in text.split(";"):
        matrix, colon, numbers = part.strip().partition(":")
        if not _MATRIX.fullmatch(matrix) or not colon:
            raise InputError(f"write rows as E:0,17-20;C:5, not {text[:60]!r}")
        for item in numbers.split(","):
            match = _RANGE.fullmatch(item.strip())
            if match is None:
                raise InputError(f"{item.strip()[:20]!r} is no row number and no range like 17-20")
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first or last - first >= MAX_ROWS:
                raise InputError(f"{item.strip()} is no range of at most {MAX_ROWS} rows")
            rows |= {(matrix, i) for i in range(first, last + 1)}
    return checked(rows, descriptor)


def sample_rows(descriptor: Descriptor, root: int, nonce: bytes, count: int) -> list[Row]:
    """The rows that a judge's nonce chooses: ``count`` of every matrix, all of those that have
    fewer, in order.

    Stratified, so that no matrix is small beside another: each is sampled as if it were alone. Root
    and matrix are hashed along. InputError for a count below 1, and when that would be more than
    MAX_ROWS in all.
    """
    if count < 1:
        raise InputError("a sample has at least one row of every matrix")
    rows: list[Row] = []
    for m in descriptor.matrices:
        wanted = min(count, m.rows)
        material = [root.to_bytes(32, "big"), nonce, m.name.encode(), wanted.to_bytes(8, "big")]
        drawn = draw_distinct(b"huref-zk opening sample 2", material, m.rows, wanted)
        rows += [(m.name, number) for number in drawn]
    return checked(rows, descriptor)


def checked(rows: Iterable[Row], descriptor: Descriptor) -> list[Row]:
    """``rows`` in the commitment's order, each once. InputError when there are none, too many, or
    one that the commitment does not have."""
    found = set(rows)
    if not 0 < len(found) <= MAX_ROWS:
        raise InputError(f"an opening holds 1 to {MAX_ROWS} rows, not {len(found)}")
    for row in sorted(found):
        matrix = descriptor.matrix(row[0])
        if not 0 <= row[1] < matrix.rows:
            raise InputError(f"there is no row {name(row)}: {row[0]} has {matrix.rows} rows")
    order = {m.name: i for i, m in enumerate(descriptor.matrices)}
    return sorted(found, key=lambda row: (order[row[0]], row[1]))
