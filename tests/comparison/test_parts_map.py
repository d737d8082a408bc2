"""The map of parts: where B's layers come from, as a drawing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

from huref_zk.comparison.drawings import MAX_CELLS, parts_map

WIDTH = 360
"""Of a phone."""


def cells(svg: str) -> dict[str, float]:
    """{what a cell is about: its per cent}."""
    found = re.findall(r"<title>(B [^:<]*): ([0-9.]+) %</title>", svg)
    return {what: float(value) for what, value in found}


def test_every_share_is_told_and_what_is_left_is_new():
    shares = np.array([[1, 0, 0], [0, 0.25, 0.5]])
    svg = parts_map(shares, "parts <of> B", WIDTH)
    root = ElementTree.fromstring(svg)
    assert cells(svg) == {
        "B 0 from A 0": 100,
        "B 0 from no layer of A": 0,
        "B 1 from A 1": 25,
        "B 1 from A 2": 50,
        "B 1 from no layer of A": 25,
    }
    assert float(root.get("width", "0")) <= WIDTH and root.get("aria-label") == "parts <of> B"
    texts = [e.text for e in root.iter("text")]
    assert texts.count("25") == 2 and "100" in texts and "50" in texts


def test_colours_follow_shares():
    svg = parts_map(np.array([[1.0], [0.5]]), "", WIDTH)
    assert svg.count('fill="#2166ac"') == 1  # all of layer 0 is A's
    half = 'fill="#' + "".join(f"{round(255 + (c - 255) / 2):02x}" for c in (33, 102, 172)) + '"'
    assert svg.count(half) == 1


def test_many_layers_share_cells_and_the_drawing_stays_small():
    n = 2 * MAX_CELLS
    svg = parts_map(np.eye(n), "", 640)
    found = cells(svg)
    assert found["B 0-1 from A 0-1"] == 100 and found["B 254-255 from A 254-255"] == 100
    assert found["B 0-1 from no layer of A"] == 0
    assert len(svg) < 100_000 and float(ElementTree.fromstring(svg).get("width", "0")) < 760
