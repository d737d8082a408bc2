"""The CI kit: the action's script, the hook, and what of the image can be tried here.

What the image does is done here: the same files are copied, installed with nothing but what the
image has, and a proof is verified without rights to write anywhere but in /tmp.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KIT = ROOT / "ci-kit"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """A folder with an executable huref-zk, for a PATH."""
    folder = tmp_path_factory.mktemp("bin")
    file = folder / "huref-zk"
    file.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m huref_zk "$@"\n')
    file.chmod(0o755)
    return folder


def script(program: Path, folder: Path, chain, **changes: str) -> tuple[int, dict, str]:
    """(exit code, output "report", summary) of the action's script on the chain's files."""
    outputs, summary = folder / "outputs", folder / "summary"
    outputs.unlink(missing_ok=True)
    keys, drawing = f"--keys {chain.cache}", f"--generator {chain.generator_file}"
    environment = {
        **os.environ,
        "PATH": f"{program}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(outputs),
        "GITHUB_STEP_SUMMARY": str(summary),
        "BUNDLE": str(chain.bundle_file),
        "COMMITMENT": str(chain.commitment_file),
        "IMAGE": str(chain.image_file),
        "ARGUMENTS": f"--allow-test-setup {keys} {drawing}",
        **changes,
    }
    done = subprocess.run(["bash", KIT / "verify.sh"], env=environment, cwd=folder, timeout=300)
    name, _, report = outputs.read_text().partition("=")
    assert name == "report"
    return done.returncode, json.loads(report), summary.read_text()


def test_a_proof_that_holds_and_one_that_does_not(program, tmp_path, chain):
    code, report, summary = script(program, tmp_path, chain)
    assert code == 0 and report["valid"] is True
    assert "holds" in summary and "7. policy" in summary and "test setup" in summary
    code, report, summary = script(program, tmp_path, chain, COMMITMENT="0" * 64)
    assert code == 1 and report["valid"] is False and "REFUSED" in summary


def test_inputs_are_no_part_of_the_script(program, tmp_path, chain):
    """A file name or an option that a shell would run does nothing of the kind."""
    marks = tmp_path / "mark"
    evil = f"$(touch {marks}); touch {marks}"
    for changes in ({"BUNDLE": evil}, {"ARGUMENTS": f"--seed {evil}"}, {"IMAGE": evil}):
        code, report, _ = script(program, tmp_path, chain, **changes)
        assert code == 2 and "error" in report
        assert not marks.exists()


def test_the_action_hands_inputs_over_as_variables():
    text = (ROOT / "action.yml").read_text()
    run = [line for line in text.splitlines() if line.lstrip().startswith("run:")]
    assert len(run) == 2 and not any("${{" in line for line in run)
    named = set(re.findall(r"inputs\.(\w+)", text))
    assert named == {"bundle", "commitment", "image", "arguments"}
    used = set(re.findall(r"\$\{?([A-Z]+)\b", (KIT / "verify.sh").read_text()))
    assert {name.upper() for name in named} <= used


def test_the_hook_is_a_command_line_of_ours():
    from tests.cli.test_documented_lines import parse

    entry = re.search(r"entry: (.*)", (ROOT / ".pre-commit-hooks.yaml").read_text())
    assert entry is not None
    parse(f"{entry[1]} MODEL BASE")


def copied() -> list[str]:
    """What the image's build copies from the checkout."""
    lines = (KIT / "Dockerfile").read_text().splitlines()
    return [
        name
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    ]


def test_the_image_holds_what_a_verifier_needs(tmp_path):
    """A wheel built from what is copied holds circuits, verifying keys and data, and no caches."""
    source = tmp_path / "source"
    source.mkdir()
    for name in copied():
        where = ROOT / name
        if where.is_dir():
            shutil.copytree(
                where, source / name, ignore=shutil.ignore_patterns("cache", "__pycache__")
            )
        else:
            shutil.copy(where, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, source]
    subprocess.run(build, check=True, timeout=300, capture_output=True)
    (wheel,) = tmp_path.glob("huref_zk-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert sum(name.startswith("huref_zk/shipped/keys/verifying/") for name in names) >= 35
    for needed in ("data/output.schema.json", "data/generator.safetensors", "py.typed"):
        assert f"huref_zk/{needed}" in names
    assert not any("cache" in name for name in names)


def test_the_image_runs_without_rights():
    text = (KIT / "Dockerfile").read_text()
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)
    assert text.index("USER ") < text.index("ENTRYPOINT")
    assert "ADD " not in text and "curl" not in text
