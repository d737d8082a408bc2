"""open, verify and recommit, as commands, on the embedded family."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.models.load import EMBEDDED
from huref_zk.render.tensors_file import write_safetensors

NONCE = "5a" * 32
BLOCKER = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "safetensors", "onnx", "gguf"):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
from huref_zk.cli import main
main(sys.argv[1:])
"""


def command(*arguments) -> tuple[int, dict]:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return ("--keys", tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def owner(tmp_path_factory, keys):
    """The owner's folder of demo-base with 64 tokens, its last layer audited."""
    folder = tmp_path_factory.mktemp("owner") / "mine"
    what = ("--count", 64, "--audit-layers", 3, "--audit-output")
    code, answer = command("commit", "demo-base", "--out", folder, *what, *keys)
    assert code == 0, answer
    return folder


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """demo-base with one weight of Wup in layer 3 changed."""
    from safetensors.numpy import load_file

    folder = tmp_path_factory.mktemp("model") / "edited"
    shutil.copytree(EMBEDDED["demo-base"], folder)
    tensors = load_file(folder / "model.safetensors")
    up = tensors["model.layers.3.mlp.up_proj.weight"].copy()
    up[7, 5] += np.float16(0.05)
    tensors["model.layers.3.mlp.up_proj.weight"] = up
    write_safetensors(folder / "model.safetensors", tensors, {})
    return folder


@pytest.fixture(scope="module")
def public(owner, keys):
    return ("--commitment", owner / "commitment.hzc", *keys, "--allow-test-setup")


@pytest.fixture(scope="module")
def opening(owner, keys):
    path = owner.parent / "some.hzo"
    rows = "E:0,17-18;C:5;up3:5,6;O:7"
    code, answer = command("open", owner, *keys, "--rows", rows, "--out", path)
    assert code == 0
    assert answer["rows"] == ["E:0", "E:17", "E:18", "C:5", "up3:5", "up3:6", "O:7"]
    return path


def test_against_the_root_alone(owner, keys, opening):
    root = command("inspect", owner / "commitment.hzc")[1]["recomputed_root"]
    code, answer = command("verify", opening, "--commitment", root, "--allow-test-setup", *keys)
    assert (code, answer["valid"], answer["chosen_by_nonce"]) == (0, True, False)
    assert [step["step"] for step in answer["steps"]] == [0, 1, 2, 3, 4]
    code, answer = command("verify", opening, "--commitment", root, *keys)
    assert (code, answer["step"]) == (1, 2)


def test_against_weights(public, opening, edited):
    code, answer = command("verify", opening, *public, "--model", "demo-base")
    assert code == 0 and answer["steps"][-1]["name"] == "weights"
    code, answer = command("verify", opening, *public, "--model", edited)
    assert (code, answer["step"]) == (1, 5)
    rows = {row["row"]: row for row in answer["rows"]}
    assert rows["up3:5"]["entries"] == 1 and rows["up3:5"]["largest"] > 5  # the edited weight
    assert set(rows) <= {"up3:5", "up3:6", "C:5"}  # its scale and the cores may move, not E or O
    code, answer = command("verify", opening, *public, "--model", "demo-stranger")
    assert (code, answer["step"], len(answer["rows"])) == (1, 5, 7)


def test_differences_in_words(public, opening, edited):
    result = CliRunner().invoke(
        main, ["verify", *map(str, (opening, *public)), "--model", str(edited)]
    )
    assert result.exit_code == 1
    assert "up3:5: 1 integers differ, first in column 7" in result.stdout
    assert "of 7 opened rows" in result.stderr


def test_rows_chosen_by_a_nonce(owner, keys, public, opening):
    path = owner.parent / "sample.hzo"
    choice = ("--sample", 3, "--nonce", NONCE)
    code, answer = command("open", owner, *keys, *choice, "--out", path)
    assert code == 0 and len(answer["rows"]) == 3 * 8  # E, C, qv3, ko3, up3, gate3, down3, O
    code, answer = command("verify", path, *public, *choice)
    assert (code, answer["chosen_by_nonce"], len(answer["rows"])) == (0, True, 24)
    code, answer = command("verify", opening, *public, *choice)
    assert (code, answer["step"]) == (1, 4)
    other = ("--sample", 3, "--nonce", "5b" * 32)
    assert command("verify", path, *public, *other)[1]["step"] == 4


def test_another_recipe_is_demanded(public, opening):
    code, answer = command("verify", opening, *public, "--recipe", "official")
    assert (code, answer["step"]) == (1, 1) and "recipe whole" in answer["error"]


def test_options_that_do_not_go_together(owner, keys, public, opening):
    none = owner.parent / "none.hzo"
    for options in (
        (),
        ("--rows", "E:1", "--sample", 3, "--nonce", NONCE),
        ("--sample", 3),
        ("--nonce", NONCE),
        ("--sample", 3, "--nonce", NONCE[1:]),
        ("--rows", "E:64"),
        ("--rows", "U:5"),
    ):
        assert command("open", owner, *keys, *options, "--out", none)[0] == 2
    assert not none.exists()
    assert command("verify", opening, *public, "--sample", 3)[0] == 2
    assert command("verify", none, *public)[0] == 2


def test_another_secret(owner, keys, tmp_path):
    other = shutil.copytree(owner, tmp_path / "other")
    (other / "secret.key").write_bytes(bytes([1]) * 32)
    out = ("--rows", "E:1", "--out", tmp_path / "x.hzo")
    code, answer = command("open", other, *keys, *out)
    assert code == 2 and "do not belong together" in answer["error"]
    assert not (tmp_path / "x.hzo").exists()
    code, answer = command("recommit", other, *keys)
    assert (code, answer["valid"], answer["same"]) == (1, False, False)
    assert answer["rows_different"] == answer["rows"] == 64 * 8
    result = CliRunner().invoke(main, ["recommit", *map(str, (other, *keys))])
    assert result.exit_code == 1 and "another secret" in result.stdout
    assert command("open", owner, *keys, *out)[0] == 0


def test_recommit(owner, keys, edited):
    code, answer = command("recommit", owner, *keys)
    assert (code, answer["same"], answer["rows"]) == (0, True, 64 * 8)
    assert answer["given_root"] == answer["recomputed_root"]
    code, answer = command("recommit", owner, *keys, "--model", "demo-base")
    assert (code, answer["same"], answer["checkpoint"], answer["fields"]) == (0, True, True, [])
    assert answer["matrices"]["E"]["different"] == 0 and answer["matrices"]["E"]["allowed"] == 0
    assert answer["matrices"]["C"]["largest"] <= answer["matrices"]["C"]["allowed"] == 1
    code, answer = command("recommit", owner, *keys, "--model", edited)
    assert (code, answer["valid"], answer["same"], answer["checkpoint"]) == (1, False, False, False)
    assert answer["rows_different"] == 0  # the witness is still the committed one
    assert answer["matrices"]["up3"]["different"] == 1 and answer["matrices"]["E"]["different"] == 0


def test_nothing_heavy_is_needed(owner, keys, public, opening, tmp_path):
    """open and verify work where torch, safetensors and onnx cannot be imported."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", BLOCKER, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ,
            check=False,
        )

    done = run("verify", opening, *public)
    assert done.returncode == 0, done.stderr
    done = run("open", owner, *keys, "--rows", "E:1", "--out", tmp_path / "x.hzo")
    assert done.returncode == 0, done.stderr
    done = run("verify", opening, *public, "--model", "demo-base")
    assert done.returncode == 3 and "safetensors" in done.stderr
