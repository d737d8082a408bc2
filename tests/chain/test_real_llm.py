"""A real LLM, SmolLM2-135M, through the whole chain by commands alone; nothing is skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from huref_zk.invariants.quantise import integer_maps
from huref_zk.invariants.sketch import PUBLIC_SEED, ics_maps
from huref_zk.proofs.picture.file import read_bundle
from huref_zk.proofs.prepare import prepare, sketch_of
from huref_zk.render.image import read_png, write_png
from research.benchmarks.end_to_end import Cost, smollm2

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: a child's peak memory is never below that of whoever starts it.
RUN = """
import json, sys
from pathlib import Path
from research.benchmarks.end_to_end import chain, smollm2
costs = chain(smollm2(), "576", Path(sys.argv[1]), Path(sys.argv[2]))
print(json.dumps({step: vars(cost) for step, cost in costs}))
"""


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    """(folder with the chain's files, folder of keys, cost by step)."""
    folder = tmp_path_factory.mktemp("smollm2")
    keys = tmp_path_factory.mktemp("keys")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder), str(keys)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    costs = {step: Cost(**cost) for step, cost in json.loads(done.stdout).items()}
    yield folder, keys, costs
    for file in keys.rglob("pk"):  # hundreds of megabytes
        file.unlink()


def verify(folder, keys, image, *options: str) -> subprocess.CompletedProcess:
    names = ("verify", folder / "fp.hzp", "--commitment", folder / "owner" / "commitment.hzc")
    values = (*names, "--image", image, "--keys", keys, "--json", *options)
    return subprocess.run(
        [sys.executable, "-c", "from huref_zk.cli import main; main()", *map(str, values)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_sizes_and_memory(proven):
    """The bundle is self-contained. The peak is that of the largest process."""
    folder, _, costs = proven
    assert list(costs) == ["fingerprint", "setup", "commit", "prove", "verify"]
    assert (folder / "fp.hzp").stat().st_size <= 250_000
    assert costs["prove"].peak <= 1.6
    assert max(cost.peak for cost in costs.values()) <= 2.0


def test_integers_are_the_model(proven):
    """The committed integers' maps against those of the float cores."""
    folder, _, _ = proven
    prepared = prepare(smollm2())
    integers = np.array(integer_maps(prepared.quantised, PUBLIC_SEED), dtype=np.float64)
    found = ics_maps(integers, sketch_of(prepared, PUBLIC_SEED))
    assert found.min() >= 0.9999
    assert read_bundle(folder / "fp.hzp").seed == PUBLIC_SEED


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
