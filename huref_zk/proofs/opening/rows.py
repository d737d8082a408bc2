"""Which rows of a commitment: their names (E:0,17-20;U:5), and a judge's random choice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from huref_zk.commitment.file import check_descriptor, row_length
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.errors import InputError
from huref_zk.proofs.sampling import draw_distinct

MATRICES = "EUV"
MAX_ROWS = 4096
"""Rows of the largest opening."""
Row = tuple[int, int]
"""(matrix, row): matrix 0 is E, 1 is U, 2 is V."""
_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


def name(row: Row) -> str:
    """'U:5' for row 5 of U."""
    return f"{MATRICES[row[0]]}:{row[1]}"


def row_sizes(descriptor: dict[str, Any], matrix: int) -> tuple[int, int]:
    """(integers, salts) of a row of this matrix."""
    if matrix == 0:
        return descriptor["model"]["hidden_size"], E_SALTS
    return row_length(descriptor), SALTS


def parse_rows(text: str) -> list[Row]:
    """The rows that ``text`` names, sorted: matrices with row numbers and ranges (ends included),
    as in ``E:0,17-20;U:5``. InputError for anything else, and for more than MAX_ROWS rows."""
    rows: set[Row] = set()
    for part in text.split(";"):
        letter, colon, numbers = part.strip().partition(":")
        if len(letter) != 1 or letter not in MATRICES or not colon:
            raise InputError(f"write rows as E:0,17-20;U:5, not {text[:60]!r}")
        for item in numbers.split(","):
            match = _RANGE.fullmatch(item.strip())
            if match is None:
                raise InputError(f"{item.strip()[:20]!r} is no row number and no range like 17-20")
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first or last - first >= MAX_ROWS:
                raise InputError(f"{item.strip()} is no range of at most {MAX_ROWS} rows")
            rows |= {(MATRICES.index(letter), i) for i in range(first, last + 1)}
    return checked_count(sorted(rows))


def sample_rows(descriptor: dict[str, Any], root: int, nonce: bytes, count: int) -> list[Row]:
    """The ``count`` rows that a judge's nonce chooses among all rows of E, U and V, sorted.

    The root is hashed along, so the choice is one for this commitment alone. InputError when there
    are fewer rows, or more than MAX_ROWS are asked for.
    """
    counts = check_descriptor(descriptor)
    material = [root.to_bytes(32, "big"), nonce, count.to_bytes(8, "big", signed=True)]
    drawn = draw_distinct(b"huref-zk opening sample 1", material, sum(counts), count)
    everything = [(m, i) for m, rows in enumerate(counts) for i in range(rows)]
    return checked_count([everything[number] for number in drawn])


def checked_count(rows: list[Row]) -> list[Row]:
    """``rows``, if there are not too many."""
    if not 0 < len(rows) <= MAX_ROWS:
        raise InputError(f"an opening holds 1 to {MAX_ROWS} rows, not {len(rows)}")
    return rows


def check_exist(rows: Iterable[Row], counts: tuple[int, int, int]) -> None:
    """InputError unless the matrices, of that many rows each, have all these rows."""
    for row in rows:
        if row[1] >= counts[row[0]]:
            letter = MATRICES[row[0]]
            raise InputError(f"there is no row {name(row)}: {letter} has {counts[row[0]]} rows")
