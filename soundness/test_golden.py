"""Bundles of earlier releases, which must keep verifying, and their tampered twins."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from huref_zk import __version__
from huref_zk.errors import InputError
from huref_zk.proofs.picture.file import Bundle, read_bundle, write_bundle
from huref_zk.proofs.picture.verify import STEPS, Policy, verify_file
from huref_zk.render.image import read_png, write_png
from soundness.make_golden import FILES, GOLDEN, MAX_BYTES, make
from soundness.record import control, refusal

VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir())
ALLOW = Policy(allow_test_setup=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """No keys but the shipped ones, and an SRS made now."""
    return tmp_path_factory.mktemp("golden")


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def other_root(bundle: Bundle) -> dict:
    root = bundle.header["root"]
    return {"header": {**bundle.header, "root": root[:-1] + ("0" if root[-1] != "0" else "1")}}


# What is tampered with -> (the step that refuses, how a bundle is changed).
TWINS = {
    "a point of the commitment": (0, lambda b: {"commitment": b.commitment[:-32] + b"\xff" * 32}),
    "the root": (1, other_root),
    "a response": (4, lambda b: {"projection": flipped(b.projection, -1)}),
    "v": (4, lambda b: {"v": (b.v[0] + 1, *b.v[1:])}),
    "a row commitment": (4, lambda b: {"proof": b.proof[64:128] + b.proof[:64] + b.proof[128:]}),
    "the Halo2 proof": (5, lambda b: {"proof": flipped(b.proof, -1)}),
}


def test_this_release_has_its_bundle():
    assert __version__ in VERSIONS, "python -m soundness.make_golden"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_bundle_is_what_it_was(version):
    folder = GOLDEN / version
    expected = json.loads((folder / "expected.json").read_text())
    found = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in FILES}
    assert found == expected["sha256"]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MAX_BYTES
    bundle = read_bundle(folder / "proof.hzp")
    assert bundle.header["root"] == expected["root"]
    assert {name: bundle.header[name] for name in expected["header"]} == expected["header"]
    assert hashlib.sha256(json.dumps(bundle.v).encode()).hexdigest() == expected["v"]


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_bundle_and_its_twins(version, cache, tmp_path):
    """A released bundle with one section tampered with"""
    folder = GOLDEN / version
    bundle = read_bundle(folder / "proof.hzp")
    root = json.loads((folder / "expected.json").read_text())["root"]
    picture = folder / "picture.png"
    with control():
        report = verify_file(folder / "proof.hzp", root, picture, ALLOW, cache)
        assert len(report.steps) == len(STEPS) and report.test_setup
    with control():
        verify_file(folder / "proof.hzp", str(folder / "commitment.hzc"), picture, ALLOW, cache)
    twin = tmp_path / "twin.hzp"
    for step, change in TWINS.values():
        write_bundle(twin, replace(bundle, **change(bundle)))
        with refusal(step):
            verify_file(twin, root, picture, ALLOW, cache)
    with refusal(2, "TEST setup"):
        verify_file(folder / "proof.hzp", root, picture, Policy(), cache)
    pixels = np.array(read_png(picture))
    pixels[0, 0, 0] ^= 1
    write_png(tmp_path / "other.png", pixels)
    with refusal(6, "pixels"):
        verify_file(folder / "proof.hzp", root, tmp_path / "other.png", ALLOW, cache)
    write_bundle(twin, bundle)
    with control():
        verify_file(twin, root, picture, ALLOW, cache)


def test_a_release_is_never_made_again(tmp_path):
    (tmp_path / "1.0").mkdir()
    with pytest.raises(InputError, match="never made again"):
        make(tmp_path / "1.0", tmp_path)
