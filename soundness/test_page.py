"""docs/soundness.md says what the suite saw, and names tests and functions that are there."""

from __future__ import annotations

import json
import re

from huref_zk.proofs.kernel import STEPS
from soundness import ROOT
from soundness.table import BEGIN, PAGE, ROWS, exists, functions, page

FOLDERS = [
    f"huref_zk/{name}"
    for name in ("argument", "circuit", "commitment", "curve", "invariants", "proofs", "srs")
]
WRITTEN = PAGE.read_text().split(BEGIN)[0]
LINES = WRITTEN.split("## The soundness argument")[1].split("\n## ")[0]


def test_the_table_is_made_of_the_rows():
    text = PAGE.read_text()
    assert page(text, json.loads(ROWS.read_text())) == text, "python -m soundness.table"
    # The control: another row, another page.
    assert page(text, {}) != text
    assert BEGIN in page(text, {})


def test_every_test_named_is_there():
    named = re.findall(r"`((?:tests|soundness)/[\w/]+\.py::\w+)`", WRITTEN)
    assert len(named) > 60
    assert [test for test in named if not exists(test)] == []
    assert not exists(named[0] + "_not") and not exists("tests/nowhere.py::test_x")


def test_every_line_names_code_that_is_there():
    rows = [line for line in LINES.split("\n") if line.startswith("|")][2:]
    assert len(rows) > 15
    for row in rows:
        _, _, code, tests, _ = row.replace("\\|", "").split("|")
        assert exists_any(tests), row
        for file, rest in re.findall(r"`([\w/]+\.py)`: ([^;]+)", code):
            path = next(p for folder in FOLDERS if (p := ROOT / folder / file).exists())
            for name in re.findall(r"`(\w+)`", rest):
                words = path.read_text()
                assert name in functions(path) or re.search(rf"\b{name}\b", words), (path, name)


def exists_any(tests: str) -> bool:
    return any(exists(test) for test in re.findall(r"`([\w/]+\.py::\w+)`", tests))


def test_rows_show_refusals_by_known_steps():
    rows = json.loads(ROWS.read_text())
    assert sum(sum(row["refused"].values()) for row in rows.values()) > 400
    kinds = {kind for row in rows.values() for kind in row["refused"]}
    known = {f"{n} {name}" for steps in STEPS.values() for n, (name, _) in enumerate(steps)}
    assert {f"{n} {name}" for n, (name, _) in enumerate(STEPS["picture"])} <= kinds
    assert kinds <= known | {"input", "environment", "pairing", "None"}, kinds - known
    for test, row in rows.items():
        assert row["held"] > 0, f"{test} has no control"
