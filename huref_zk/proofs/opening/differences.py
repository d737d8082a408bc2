"""Differences, in the manner of a diff: an opening against weights, a commitment against another.

Step 5 of check-opening, and what `recommit` reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.commitment.file import Commitment, side_by_side, token_digest
from huref_zk.invariants.prepare import Prepared
from huref_zk.proofs.opening.file import Opening
from huref_zk.proofs.opening.rows import MATRICES, Row, name

_BOUND_TO_WEIGHTS = ("model", "layers", "widths", "tokens", "scales")


@dataclass(frozen=True)
class RowDifference:
    """entries: how many integers of the row differ; first: the first such column; largest: the
    largest difference. -1 each for a row that the model does not have, or has in another length."""

    place: Row
    entries: int
    first: int
    largest: int

    def __str__(self) -> str:
        if self.entries < 0:
            return f"{name(self.place)}: the model has no such row"
        return (
            f"{name(self.place)}: {self.entries} integers differ, first in column {self.first}, "
            f"by up to {self.largest}"
        )


def facts_of(prepared: Prepared) -> dict[str, Any]:
    """The part of a descriptor that a model's weights and configuration decide."""
    c = prepared.canonical
    return {
        "model": c.facts,
        "layers": list(c.layer_ids),
        "widths": list(c.widths),
        "tokens": {"count": len(c.token_ids), "digest": token_digest(c.token_ids)},
        "scales": prepared.quantised.scales,
    }


def field_differences(committed: Any, found: Any, prefix: str = "") -> list[str]:
    """'scales.U0a: committed 10, found 11' for every field that differs, in order of names."""
    if isinstance(committed, dict) and isinstance(found, dict):
        lines = []
        for key in sorted(committed.keys() | found.keys()):
            path = f"{prefix}.{key}" if prefix else key
            lines += field_differences(committed.get(key), found.get(key), path)
        return lines
    if committed == found and type(committed) is type(found):
        return []
    return [f"{prefix}: committed {_shown(committed)}, found {_shown(found)}"]


def compare_with_model(
    opening: Opening, prepared: Prepared
) -> tuple[list[str], list[RowDifference]]:
    """(descriptor fields that differ, opened rows that differ) from the quantised rows of a model.

    Both empty when every opened integer is this model's and the descriptor describes it.
    """
    wanted = {key: opening.descriptor[key] for key in _BOUND_TO_WEIGHTS}
    matrices = side_by_side(prepared.quantised)
    rows = []
    for row in opening.rows:
        matrix, number = row.place
        own = matrices[matrix]
        if number >= len(own) or own.shape[1] != len(row.values):
            rows.append(RowDifference(row.place, -1, -1, -1))
            continue
        gap = np.abs(own[number].astype(np.int64) - row.values)
        if gap.any():
            places = np.flatnonzero(gap)
            rows.append(RowDifference(row.place, len(places), int(places[0]), int(gap.max())))
    return field_differences(wanted, facts_of(prepared)), rows


@dataclass(frozen=True)
class Recommitted:
    """fields: descriptor fields that differ; rows: rows whose points differ, sorted; total: rows
    compared; a row that only one of the two commitments has counts as different."""

    fields: list[str]
    rows: list[Row]
    total: int

    @property
    def same(self) -> bool:
        return not self.fields and not self.rows


def compare_commitments(given: Commitment, found: Commitment) -> Recommitted:
    """What differs between a commitment and the one computed again."""
    rows = []
    total = 0
    for matrix in range(len(MATRICES)):
        ours, theirs = ((c.E_points, c.U_points, c.V_points)[matrix] for c in (found, given))
        longest = max(len(ours), len(theirs))
        total += longest
        rows += [(matrix, i) for i in range(longest) if ours[i : i + 1] != theirs[i : i + 1]]
    return Recommitted(field_differences(given.descriptor, found.descriptor), rows, total)


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)[:80]
