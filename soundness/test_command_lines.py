"""Command lines that nobody meant: no traceback, no wrong exit code, no input overwritten."""

from __future__ import annotations

import json

import pytest

from soundness import command_lines
from soundness.record import control

RUNS = {"light": 150, "heavy": 2000}


@pytest.fixture
def right(chain) -> tuple[dict[str, bytes], list[list[str]]]:
    """Honest files by name, and command lines over them that succeed in a moment."""
    files = {
        "fp.hzp": chain.bundle_file.read_bytes(),
        "fp.png": chain.image_file.read_bytes(),
        "commitment.hzc": chain.commitment_file.read_bytes(),
        "generator.safetensors": chain.generator_file.read_bytes(),
        "right.json": json.dumps({"v": list(chain.bundle.v)}).encode(),
    }
    keys = ("--keys", str(chain.cache))
    drawing = ("--generator", "IN/generator.safetensors")
    root = ("--commitment", chain.commitment.root_hex)
    lines = [
        ["verify", "IN/fp.hzp", *root, "--allow-test-setup", *keys, *drawing],
        [
            *("verify", "IN/fp.hzp", "--commitment", "IN/commitment.hzc", "--image", "IN/fp.png"),
            *("--allow-test-setup", "--json", *keys, *drawing),
        ],
        ["inspect", "IN/fp.hzp", "--json"],
        ["inspect", "IN/commitment.hzc"],
        ["render", "IN/right.json", "--out", "OUT/new.png", "--force", *drawing],
        ["sheet", "IN/fp.png", "IN/right.json", "--out", "OUT/s.png", "--force", *drawing],
        ["open", str(chain.folder), "--rows", "E:5", "--out", "OUT/o.hzo", "--force", *keys],
        ["srs", "list", *keys],
        ["keys", "list", *keys, "--json"],
    ]
    return files, lines


@pytest.mark.parametrize("half", ["light", pytest.param("heavy", marks=pytest.mark.heavy)])
def test_whatever_is_typed(half, right, tmp_path):
    files, lines = right
    seen = command_lines.run(RUNS[half], 0, tmp_path, files, lines)
    assert {code for _, code in seen} >= ({0, 2} if half == "light" else {0, 1, 2})
    assert len({command for command, _ in seen}) > 20


def test_right_lines_succeed(right, tmp_path, monkeypatch):
    """Control: nothing is refused for a reason of its own."""
    files, lines = right
    monkeypatch.setattr(command_lines, "spoilt", unspoilt)
    for number, line in enumerate(lines):
        seen = command_lines.run(2, 0, tmp_path / str(number), files, [line])
        with control():
            assert seen[line[0], 0]


def unspoilt(right, rng, files, folder):
    found = (word.replace("IN/", f"{folder / 'in'}/") for word in right)
    return [word.replace("OUT", str(folder / "out")) for word in found]


@pytest.mark.parametrize("fault", ["code", "traceback", "input"])
def test_faults_are_noticed(fault, tmp_path):
    """The fuzzer's own control."""

    def invoke(typed: list[str]) -> tuple[int, str]:
        if fault == "input":
            (tmp_path / "in" / "v.json").write_bytes(b"{}")
        return {"code": (70, ""), "traceback": (2, "Traceback ..."), "input": (0, "")}[fault]

    with pytest.raises(AssertionError):
        command_lines.run(1, 0, tmp_path, {}, invoke=invoke)
