"""docs/similarity-proof.md against the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from huref_zk.files.formats import SIMILARITY
from huref_zk.proofs.kernel import STEPS
from huref_zk.proofs.similarity import columns
from huref_zk.proofs.similarity.file import Claim
from huref_zk.proofs.similarity.shape import (
    CELL,
    CONDITIONS,
    ENERGY_BITS,
    FRACTION_BITS,
    MAX_ENERGY,
    MIN_ENERGY,
    TOP,
    energy_shift,
    pair_for,
)

DOC = (Path(__file__).resolve().parents[2] / "docs" / "similarity-proof.md").read_text("utf-8")
WORDS = " ".join(DOC.replace("\N{MINUS SIGN}", "-").split())


def rows(doc: str, start: str) -> list[str]:
    """The first column of the table that follows ``start``, without quotes."""
    table = doc.split(start, 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_documented_fields_are_those_of_the_code():
    found = rows(DOC, "<!-- fields: similarity -->\n")
    assert found == [field.name for field in fields(Claim)]
    assert rows(DOC, "Sections:\n\n") == list(SIMILARITY.sections)
    assert "low" not in rows(DOC.replace("| `low` |", "| |"), "<!-- fields: similarity -->\n")


def test_documented_numbers_are_those_of_the_code():
    shape = pair_for(64, 64, 11).shapes[0]
    low, high = (bound.bit_length() - 1 for bound in (MIN_ENERGY, MAX_ENERGY))
    for text in (
        f"hex `{SIMILARITY.magic.hex(' ')}`",
        f"{TOP:,}",
        f"| `proof` | {columns.HEAD_POINTS} commitments",
        f"the number of {CONDITIONS} conditions",
        f"with {FRACTION_BITS} fraction bits",
        f"e = 2·shift - {2 * shape.shift - energy_shift(shape)}`",
        f"`2^{low} ≤ N ≤ 2^{high}`",
        f"hence N near 2^{ENERGY_BITS}",
        f"`energy` [{ENERGY_BITS}, {MIN_ENERGY}, {MAX_ENERGY}]",
        f"`low' = {CELL} low - {CELL // 2}` and `high' = {CELL} high + {CELL // 2 - 1}`",
        *(f"| {number} {name} |" for number, (name, _) in enumerate(STEPS["similarity"])),
    ):
        assert text in WORDS, text
