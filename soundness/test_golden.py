"""Bundles of each version of the formats, which must keep verifying, and their tampered twins."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.files.container import VERSION
from huref_zk.proofs.kernel import STEPS, Setup
from huref_zk.proofs.picture.file import Bundle, committed_in, read_bundle, write_bundle
from huref_zk.proofs.picture.verify import verify_file
from huref_zk.render.image import read_png, write_png
from soundness.make_golden import FILES, GOLDEN, MAX_BYTES, make
from soundness.record import control, refusal

VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.name.isdigit())


@pytest.fixture(scope="module")
def setup(tmp_path_factory) -> Setup:
    """No keys but the shipped ones, and an SRS made now."""
    return Setup(tmp_path_factory.mktemp("golden"), allow_test=True)


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def other_root(bundle: Bundle) -> dict:
    root = bundle.claim.root
    other = root[:-1] + ("0" if root[-1] != "0" else "1")
    return {"claim": replace(bundle.claim, root=other)}


# What is tampered with -> (the step that refuses, how a bundle is changed).
TWINS = {
    "a point of the commitment": (
        "parse",
        lambda b: {"commitment": b.commitment[:-32] + b"\xff" * 32},
    ),
    "the root": ("commitment", other_root),
    "a response": ("projection", lambda b: {"projection": flipped(b.projection, -1)}),
    "v": ("projection", lambda b: {"v": (b.v[0] + 1, *b.v[1:])}),
    "a row commitment": (
        "projection",
        lambda b: {"proof": b.proof[32:64] + b.proof[:32] + b.proof[64:]},
    ),
    "the Halo2 proof": ("proof", lambda b: {"proof": flipped(b.proof, -1)}),
}


def test_this_version_has_its_bundle():
    assert str(VERSION) in VERSIONS, "python -m soundness.make_golden"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_bundle_is_what_it_was(version):
    folder = GOLDEN / version
    expected = json.loads((folder / "expected.json").read_text())
    found = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in FILES}
    assert found == expected["sha256"]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MAX_BYTES
    bundle = read_bundle(folder / "proof.hzp")
    assert asdict(bundle.claim) == expected["claim"]
    assert committed_in(bundle).descriptor.to_json() == expected["descriptor"]
    assert committed_in(bundle).root_hex == expected["claim"]["root"]
    assert hashlib.sha256(json.dumps(bundle.v).encode()).hexdigest() == expected["v"]


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_bundle_and_its_twins(version, setup, tmp_path):
    """A released bundle with one section tampered with"""
    folder = GOLDEN / version
    bundle = read_bundle(folder / "proof.hzp")
    root, picture = bundle.claim.root, folder / "picture.png"

    def judge(path: Path, expected=root, setup=setup, image=picture):
        return verify_file(path, expected, setup, image=image)

    with control():
        report = judge(folder / "proof.hzp")
        assert len(report.steps) == len(STEPS["picture"]) and report.test_setup
        assert report.facts["standard"]
    with control():
        judge(folder / "proof.hzp", folder / "commitment.hzc")
    twin = tmp_path / "twin.hzp"
    for step, change in TWINS.values():
        write_bundle(twin, replace(bundle, **change(bundle)))
        with refusal(step):
            judge(twin)
    with refusal("SRS", "TEST setup"):
        judge(folder / "proof.hzp", setup=Setup(setup.keys))
    pixels = np.array(read_png(picture))
    pixels[0, 0, 0] ^= 1
    write_png(tmp_path / "other.png", pixels)
    with refusal("image", "pixels"):
        judge(folder / "proof.hzp", image=tmp_path / "other.png")
    write_bundle(twin, bundle)
    with control():
        judge(twin)


def test_a_golden_bundle_is_never_made_again(tmp_path):
    (tmp_path / "2").mkdir()
    with pytest.raises(InputError, match="never made again"):
        make(tmp_path / "2", tmp_path)
