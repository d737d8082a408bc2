"""The house: rooms import from those before them, and no module reaches back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "huref_zk"
# In the order of docs/architecture.md; what stands in one line may not import one another.
ORDER = (
    ("errors", "paths"),
    ("curve", "files"),
    ("native",),
    ("srs", "render"),
    ("models",),
    ("invariants",),
    ("commitment", "attacks"),
    ("argument",),
    ("circuit",),
    ("proofs",),
    ("evm", "comparison"),
    ("api", "cli", "__main__", "__init__"),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
FREE = {("api", "cli"), ("cli", "api"), ("__main__", "cli"), ("cli", "__init__")}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(tree: ast.AST, known: dict[str, Path], lazy: bool) -> Iterator[str]:
    """Modules of the package that are imported: at once, or (``lazy``) within functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("huref_zk"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("huref_zk"))
        if lazy or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(node, known, lazy)


def graph(lazy: bool) -> dict[str, set[str]]:
    known = modules()
    return {
        name: set(imports(ast.parse(path.read_text("utf-8")), known, lazy)) - {name}
        for name, path in known.items()
    }


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_room_has_its_place():
    assert {room(name) for name in modules()} == set(LEVEL)


def test_no_room_reaches_back():
    """Imports within functions count as well."""
    back = [
        f"{name} imports {other}"
        for name, others in graph(lazy=True).items()
        for other in sorted(others)
        if room(name) != room(other)
        and room(other) != "__init__"
        and (room(name), room(other)) not in FREE
        and LEVEL[room(name)] <= LEVEL[room(other)]
    ]
    assert back == []


def test_no_import_goes_in_circles():
    edges = graph(lazy=False)
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name in done:
            return
        for other in edges.get(name, ()):
            walk(other, (*path, name))
        done.add(name)

    for name in edges:
        walk(name, ())
    assert done == set(edges)  # the control: all were looked at
