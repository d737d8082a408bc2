"""docs/soundness.md from rows.json: ``python -m soundness.table``.

rows.json is what the suite's last runs saw (conftest.py, --rows). The table stands between two
marks in the page; the rest of the page is written by hand and left alone. A row whose test is gone
is dropped.
"""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

from huref_zk.files.writing import write_atomically
from soundness import ROOT

PAGE = ROOT / "docs" / "soundness.md"
ROWS = Path(__file__).with_name("rows.json")
BEGIN, END = "<!-- table begins -->", "<!-- table ends -->"


@cache
def functions(path: Path) -> frozenset[str]:
    """Names of the functions and methods defined in a Python file; none if there is no file."""
    if not path.is_file():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def exists(test: str) -> bool:
    """Whether ``folder/file.py::[Class::]function`` is there."""
    path, *names = test.split("[")[0].split("::")
    return bool(names) and names[-1] in functions(ROOT / path)


def table(rows: dict[str, dict]) -> str:
    """The Markdown of all rows, a table for every area, and the totals."""
    rows = {test: row for test, row in rows.items() if exists(test)}
    areas: dict[str, list[str]] = {}
    for test, row in sorted(rows.items(), key=lambda pair: (not pair[0].startswith("s"), pair[0])):
        refused = ", ".join(
            step + (f" ({n})" if len(row["refused"]) > 1 else "")
            for step, n in sorted(row["refused"].items())
        )
        held = f"{row['held']}" + (f": {row['control']}" if row["control"] else "")
        path, name = test.split("[")[0].split("::", 1)
        link = f"[{name.removeprefix('test_')}](../{path})" + (" †" if row["heavy"] else "")
        cells = (row["attack"], str(sum(row["refused"].values())), refused, held, link)
        line = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        areas.setdefault(row["area"], []).append(line)
    attacks = sum(sum(row["refused"].values()) for row in rows.values())
    held = sum(row["held"] for row in rows.values())
    out = [
        f"**{attacks} attacks in {len(rows)} rows; all were refused, none was accepted; "
        f"{held} controls were accepted.** † marks the heavy half.",
    ]
    head = "| attack | tried | refused by | controls accepted | test |\n|---|---|---|---|---|"
    for area, lines in areas.items():
        out += [f"### {area}", head + "\n" + "\n".join(lines)]
    return "\n\n".join(out)


def page(text: str, rows: dict[str, dict]) -> str:
    """The page ``text`` with its table made anew. ValueError if the marks are missing."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}"


def main() -> None:
    rows = {test: row for test, row in json.loads(ROWS.read_text()).items() if exists(test)}
    write_atomically(ROWS, (json.dumps(rows, indent=1, sort_keys=True) + "\n").encode())
    write_atomically(PAGE, page(PAGE.read_text(), rows).encode())


if __name__ == "__main__":
    main()
