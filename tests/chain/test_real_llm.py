"""A real LLM, SmolLM2-135M, through the whole chain by commands alone; nothing is skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from huref_zk.proofs.picture.file import parse_bundle, read_bundle
from huref_zk.render.image import read_png, write_png
from research.benchmarks.end_to_end import chain as run_chain
from research.benchmarks.end_to_end import smollm2

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    """(folder with the chain's files, cost by step)."""
    folder = tmp_path_factory.mktemp("smollm2")
    keys = tmp_path_factory.mktemp("keys")
    costs = dict(run_chain(smollm2(), folder, keys))
    yield folder, keys, costs
    for file in keys.rglob("pk"):  # half a gigabyte
        file.unlink()


def verify(folder, keys, image, *options: str) -> subprocess.CompletedProcess:
    names = ("verify", folder / "fp.hzp", "--commitment", folder / "commitment.hzc")
    values = (*names, "--image", image, "--keys", keys, "--json", *options)
    return subprocess.run(
        [sys.executable, "-c", "from huref_zk.cli import main; main()", *map(str, values)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_sizes_and_memory(proven):
    folder, _, costs = proven
    assert list(costs) == ["fingerprint", "setup", "commit", "prove", "verify"]
    sizes = [(folder / name).stat().st_size for name in ("fp.hzp", "commitment.hzc")]
    assert sum(sizes) <= 700_000
    assert max(cost.peak for cost in costs.values()) <= 6.0


def test_what_was_proven_is_the_model(proven):
    folder, _, _ = proven
    bundle = read_bundle(folder / "fp.hzp")
    assert parse_bundle((folder / "fp.hzp").read_bytes()) == bundle
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.agreement"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["ics_of_quantised_to_float_sketch"] >= 0.9999
    assert figures["cosine_of_v_to_onnxruntime"] >= 0.99999


def test_one_pixel(proven, tmp_path):
    folder, keys, _ = proven
    pixels = read_png(folder / "fp.png")
    other = np.array(pixels)
    other[64, 64, 1] ^= 1
    for picture, code in ((other, 1), (pixels, 0)):
        write_png(tmp_path / "picture.png", picture)
        done = verify(folder, keys, tmp_path / "picture.png", "--allow-test-setup")
        assert done.returncode == code, done.stdout
    refused = verify(folder, keys, folder / "fp.png")
    assert (refused.returncode, json.loads(refused.stdout)["step"]) == (1, 2)
