"""Options, markers and fixtures of the soundness suite, and the plugin that notes what it saw."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from soundness import ROOT, record

# The small model's chain, built once for this folder.
from tests.conftest import (  # noqa: F401
    chain,
    generator_file,
    last_two,
    make_chain,
    other_generator_file,
    stranger,
)


def pytest_addoption(parser) -> None:
    group = parser.getgroup("soundness")
    group.addoption("--heavy", action="store_true", help="run the heavy half as well")
    group.addoption("--rows", type=Path, help="merge what was refused into this JSON file")


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "heavy: minutes long; runs with --heavy only")
    config.addinivalue_line(
        "markers", "attack(name, step=None, control='', each=False): a row of docs/soundness.md"
    )
    config.pluginmanager.register(Recorder(config), "soundness-recorder")


def pytest_collection_modifyitems(config, items) -> None:
    if config.getoption("--heavy"):
        return
    heavy = [item for item in items if item.get_closest_marker("heavy")]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if not item.get_closest_marker("heavy")]


class Recorder:
    """Collects a row for every test function that carried out attacks; see table.py."""

    def __init__(self, config):
        self.config = config
        self.rows: dict[str, dict] = {}
        self.failed = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session) -> None:
        for module, name in WATCHED:
            if module in sys.modules:
                watch(sys.modules[module], name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        record.current = record.Seen()
        result = yield  # a failing test raises here, and leaves no row
        seen = record.current
        marker = item.get_closest_marker("attack")
        told = dict(zip(("name", "step", "control"), marker.args, strict=False)) if marker else {}
        told |= marker.kwargs if marker else {}
        if marker and not seen.refused:  # it judged without refusal(): one attack a case
            seen.refused[str(told.get("step"))] += 1
            seen.held += bool(told.get("control"))
        if not seen.refused:
            return result
        if not seen.held and "honest" in item.fixturenames:
            seen.held += 1  # such a fixture asserts that what it gives is accepted
        name = told.get("name") or named_by(item)
        test = item.nodeid.split("[")[0]
        if not (marker or seen.held):
            return result  # its control is in another test: such a refusal makes no row
        if told.get("each"):  # a row for every case
            test, name = item.nodeid, f"{name}: {item.callspec.id}"
        row = self.rows.setdefault(
            test,
            {
                "attack": name,
                "control": told.get("control", ""),
                "area": area(item),
                "heavy": item.get_closest_marker("heavy") is not None,
                "refused": Counter(),
                "held": 0,
                "cases": 0,
            },
        )
        row["refused"].update(seen.refused)
        row["held"] += seen.held
        row["cases"] += 1
        return result

    def pytest_runtest_logreport(self, report) -> None:
        self.failed += report.failed

    def pytest_terminal_summary(self, terminalreporter) -> None:
        attacks = sum(sum(row["refused"].values()) for row in self.rows.values())
        held = sum(row["held"] for row in self.rows.values())
        terminalreporter.write_line(
            f"soundness: {attacks} attacks refused in {len(self.rows)} tests, "
            f"{held} controls accepted"
        )
        path = self.config.getoption("--rows")
        if path is None:
            return
        if self.failed:
            terminalreporter.write_line(f"{path} left as it was: {self.failed} failures")
            return
        old = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**old, **self.rows}, indent=1, sort_keys=True) + "\n")


# Through which function the tests of a module go to a verifier. Other folders' tests are counted
# when they are run with ours.
WATCHED: tuple[tuple[str, str], ...] = (
    ("tests.support.tampering", "judge"),
    ("tests.support.forging", "judge"),
    ("tests.support.audited", "verify_bytes"),
    ("tests.openings.test_opening_check", "verify_bytes"),
)


def watch(module, name: str) -> None:
    """Note what ``module.name`` refuses and accepts from here on."""
    judge = getattr(module, name)
    if hasattr(judge, "watched"):
        return

    def watched(*args, **kwargs):
        try:
            report = judge(*args, **kwargs)
        except record.HurefError as error:
            record.note_refusal(error)
            raise
        record.note_control()
        return report

    watched.watched = True
    setattr(module, name, watched)
    if hasattr(module, "_held"):
        module._held = Held(module._held)


class Held(set):
    """Bundles that `accepted` has seen accepted, and need not judge again: a control each time."""

    def __contains__(self, key) -> bool:
        found = super().__contains__(key)
        if found:
            record.note_control()
        return found


def named_by(item) -> str:
    """A test's name in words."""
    return item.function.__name__.removeprefix("test_").replace("_", " ").capitalize()


def area(item) -> str:
    """The first sentence of the test file's docstring."""
    text = ast.get_docstring(ast.parse(Path(item.path).read_text())) or str(
        Path(item.path).relative_to(ROOT)
    )
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")
