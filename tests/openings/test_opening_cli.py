"""open, check-opening and recommit, as commands, on the embedded family."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.commitment.file import write_commitment
from huref_zk.commitment.secret import create_secret
from huref_zk.invariants.prepare import commit_model, prepare
from huref_zk.models.load import EMBEDDED
from huref_zk.render.tensors_file import write_safetensors
from huref_zk.srs.trust import find_srs

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
def owner(tmp_path_factory):
    """Folder with commitment.hzc and secret.key of demo-base with 64 tokens, and a key folder."""
    folder = tmp_path_factory.mktemp("owner")
    prepared = prepare("demo-base", count=64)
    srs = find_srs(prepared.shape.k, folder / "keys", make_test=True)
    write_commitment(folder / "commitment.hzc", commit_model(prepared, bytes(32), srs))
    create_secret(folder / "secret.key", bytes(32))
    return folder


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """demo-base with one weight of Wup in layer 3 changed: it lies in row 5 of U."""
    from safetensors.numpy import load_file

    folder = tmp_path_factory.mktemp("model") / "edited"
    shutil.copytree(EMBEDDED["demo-base"], folder)
    tensors = load_file(folder / "model.safetensors")
    up = tensors["model.layers.3.mlp.up_proj.weight"].copy()
    up[7, 5] += np.float16(0.05)
    tensors["model.layers.3.mlp.up_proj.weight"] = up
    write_safetensors(folder / "model.safetensors", tensors, {})
    return folder


def private(owner):
    files = ("--commitment", owner / "commitment.hzc", "--secret", owner / "secret.key")
    return (*files, "--keys", owner / "keys")


def public(owner):
    keys = ("--keys", owner / "keys", "--allow-test-setup")
    return ("--commitment", owner / "commitment.hzc", *keys)


@pytest.fixture(scope="module")
def opening(owner):
    path = owner / "some.hzo"
    code, answer = command(
        "open", "demo-base", *private(owner), "--rows", "E:0,17-20;U:5,6;V:7", "--out", path
    )
    assert code == 0
    assert answer["rows"] == ["E:0", "E:17", "E:18", "E:19", "E:20", "U:5", "U:6", "V:7"]
    return path


def test_against_the_root_alone(owner, opening):
    root = command("inspect", owner / "commitment.hzc")[1]["recomputed_root"]
    keys = ("--keys", owner / "keys")
    code, answer = command(
        "check-opening", opening, "--commitment", root, "--allow-test-setup", *keys
    )
    assert (code, answer["valid"], answer["chosen_by_nonce"]) == (0, True, False)
    assert [step["step"] for step in answer["steps"]] == [0, 1, 2, 3]
    code, answer = command("check-opening", opening, "--commitment", root, *keys)
    assert (code, answer["step"]) == (1, 2)


def test_against_weights(owner, opening, edited):
    code, answer = command("check-opening", opening, *public(owner), "--model", "demo-base")
    assert code == 0 and answer["steps"][-1]["step"] == 5
    code, answer = command("check-opening", opening, *public(owner), "--model", edited)
    assert (code, answer["step"], answer["fields"]) == (1, 5, [])
    # The weight lies in row 5 of U; its column is balanced anew, which turns a rounding elsewhere.
    (changed,) = [row for row in answer["rows"] if row["largest"] > 1]
    assert (changed["row"], changed["entries"]) == ("U:5", 1) and changed["largest"] > 50
    assert len(answer["rows"]) < 4 and all(row["entries"] == 1 for row in answer["rows"])
    code, answer = command("check-opening", opening, *public(owner), "--model", "demo-stranger")
    assert (code, answer["step"], len(answer["rows"])) == (1, 5, 8)


def test_differences_in_words(owner, opening, edited):
    options = [*map(str, public(owner)), "--model", str(edited)]
    result = CliRunner().invoke(main, ["check-opening", str(opening), *options])
    assert result.exit_code == 1
    # Column 7 of layer 3's FFN block: after layer 2's 320 columns, and 128 of Q and V.
    assert "U:5: 1 integers differ, first in column 455" in result.stdout
    assert re.search(r"[12] of 8 opened rows and 0 fields of the descriptor differ", result.stderr)


def test_rows_chosen_by_a_nonce(owner, opening):
    path = owner / "sample.hzo"
    choice = ("--sample", 9, "--nonce", NONCE)
    assert command("open", "demo-base", *private(owner), *choice, "--out", path)[0] == 0
    code, answer = command("check-opening", path, *public(owner), *choice)
    assert (code, answer["chosen_by_nonce"], len(answer["rows"])) == (0, True, 9)
    code, answer = command("check-opening", opening, *public(owner), *choice)
    assert (code, answer["step"]) == (1, 4)
    other = ("--sample", 9, "--nonce", "5b" * 32)
    assert command("check-opening", path, *public(owner), *other)[1]["step"] == 4


def test_options_that_do_not_go_together(owner, opening):
    for options in (
        (),
        ("--rows", "E:1", "--sample", 3, "--nonce", NONCE),
        ("--sample", 3),
        ("--nonce", NONCE),
        ("--sample", 3, "--nonce", NONCE[1:]),
        ("--rows", "E:64"),
    ):
        code, _ = command(
            "open", "demo-base", *private(owner), *options, "--out", owner / "none.hzo"
        )
        assert code == 2
    assert not (owner / "none.hzo").exists()
    assert command("check-opening", opening, *public(owner), "--sample", 3)[0] == 2
    assert command("check-opening", owner / "none.hzo", *public(owner))[0] == 2


def test_another_secret_or_model(owner, edited, tmp_path):
    create_secret(tmp_path / "other.key", bytes([1]) * 32)
    wrong = ("--secret", tmp_path / "other.key", "--rows", "E:1", "--out", tmp_path / "x.hzo")
    for model, options in (("demo-base", wrong), (edited, ("--rows", "E:1", *wrong[-2:]))):
        code, answer = command("open", model, *private(owner), *options)
        assert code == 2 and "under this secret" in answer["error"]
    assert not (tmp_path / "x.hzo").exists()


def test_recommit(owner, edited, tmp_path):
    code, answer = command("recommit", "demo-base", *private(owner), "--check")
    assert (code, answer["same"], answer["fields"]) == (0, True, [])
    assert answer["given_root"] == answer["recomputed_root"]
    code, answer = command("recommit", edited, *private(owner))
    assert (code, answer["same"]) == (0, False)
    assert (answer["rows_different"], answer["rows"], answer["fields"]) == (192, 192, [])
    code, answer = command("recommit", edited, *private(owner), "--check")
    assert (code, answer["valid"], answer["same"]) == (1, False, False)
    create_secret(tmp_path / "other.key", bytes([1]) * 32)
    result = CliRunner().invoke(
        main,
        ["recommit", "demo-base", *map(str, private(owner)), "--secret", tmp_path / "other.key"],
    )
    assert result.exit_code == 0 and "every row differs: another secret" in result.stdout


def test_nothing_heavy_is_needed(owner, opening):
    """check-opening works where torch, safetensors and onnx cannot be imported; open does not."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", BLOCKER, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ,
            check=False,
        )

    done = run("check-opening", opening, *public(owner))
    assert done.returncode == 0, done.stderr
    rest = (*private(owner), "--rows", "E:1", "--out", owner / "x.hzo")
    done = run("open", "demo-base", *rest)
    assert done.returncode == 3 and "safetensors" in done.stderr
