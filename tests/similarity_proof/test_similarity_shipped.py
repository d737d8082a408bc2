"""What the package ships for pairs, and docs/similarity-proof.md against the code."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from huref_zk.circuit import export, keys
from huref_zk.errors import EnvironmentLacks
from huref_zk.paths import SHIPPED_CIRCUITS
from huref_zk.proofs.similarity import file as bundle
from huref_zk.proofs.similarity.shape import CELL, CONDITIONS, MAX_ENERGY, MIN_ENERGY, TOP, pair_for
from huref_zk.proofs.similarity.verify import COLUMNS, STEPS

DOC = (Path(__file__).resolve().parents[2] / "docs" / "similarity-proof.md").read_text("utf-8")
PAIRS = export.shipped_pairs()


@pytest.mark.parametrize("name", PAIRS)
def test_circuits_regenerate_byte_for_byte(name, tmp_path):
    shape = PAIRS[name]
    export.export(shape, tmp_path)
    for file in ("graph.onnx", "settings.json"):
        made = (tmp_path / shape.name / file).read_bytes()
        assert made == (SHIPPED_CIRCUITS / shape.name / file).read_bytes()


@pytest.mark.parametrize("name", PAIRS)
def test_verifying_keys_are_the_pinned_ones(name, tmp_path, monkeypatch):
    """Unpacked into an empty cache without ezkl's setup; a pin that differs is refused."""
    shape = PAIRS[name]
    ((place, pin),) = ((p, r) for p, r in keys.pins().items() if p[0] == shape.digest)
    found = keys.verifying_keys(shape, place[1], tmp_path / "cache")
    assert hashlib.sha256(found.vk.read_bytes()).hexdigest() == pin.vk
    assert hashlib.sha256(found.settings.read_bytes()).hexdigest() == pin.settings
    monkeypatch.setattr(keys, "pins", lambda: {place: replace(pin, vk="00" * 32)})
    with pytest.raises(EnvironmentLacks, match="damaged"):
        keys.verifying_keys(shape, place[1], tmp_path / "other")


def test_pairs_are_of_shapes_that_are_shipped():
    for name, shape in export.shipped_shapes().items():
        assert PAIRS[f"{name} x {name}"] == pair_for(shape, shape)


def documented_fields(doc: str) -> list[str]:
    table = doc.split("<!-- fields: similarity -->\n", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_documented_fields_are_those_of_the_code():
    assert set(documented_fields(DOC)) == {*bundle.FIELDS, *bundle.BOUNDS}
    assert len(documented_fields(DOC)) == len(bundle.FIELDS) + len(bundle.BOUNDS)
    assert "low" not in documented_fields(DOC.replace("| `low` |", "| |"))


def test_documented_numbers_are_those_of_the_code():
    words = " ".join(DOC.replace("\N{MINUS SIGN}", "-").split())
    for text in (
        f"hex `{bundle.MAGIC.hex(' ')}`",
        f"`{bundle.FORMAT}`",
        f"{TOP:,}",
        f"its first {64 * COLUMNS:,} bytes are {COLUMNS} points",
        f"how many of {CONDITIONS} conditions",
        f"`energy` [32, {MIN_ENERGY}, {MAX_ENERGY}]",
        f"`low' = {CELL} low - {CELL // 2}` and `high' = {CELL} high + {CELL // 2 - 1}`",
        *(f" | {number} {step} |" for number, step in enumerate(STEPS)),
    ):
        assert text in words, text
