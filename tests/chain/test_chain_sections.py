"""The sections of a bundle: cut, too long, swapped, another model's, malformed."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from huref_zk.curve import bn254
from huref_zk.files.container import canonical_json
from huref_zk.proofs.picture.file import SECTIONS, decode_v
from tests.support.tampering import accepted, forge, pack, raw, refused, sections_of


@pytest.mark.parametrize("name", SECTIONS)
def test_cut_or_too_long(chain, name):
    """With the header's length left alone, and with one that fits."""
    sections = sections_of(chain.bundle)
    part = sections[name]
    for bad in (b"", part[:1], part[:-32], part[:-1], part + b"\0", part + part[-32:]):
        tampered = {**sections, name: bad}
        refused(
            0,
            "the file is too",
            chain,
            raw(canonical_json(chain.bundle.header), [*tampered.values()]),
        )
        step = 5 if name == "proof" and len(bad) > 2048 else 0
        refused(step, None, chain, pack(chain.bundle.header, tampered))
    accepted(chain, pack(chain.bundle.header, sections))


def test_bytes_after_the_halo2_proof(chain):
    """ezkl itself ignores them."""
    for more in (b"\0", bytes(32), b"\x05" * 1000):
        refused(5, "bytes follow", chain, replace(chain.bundle, proof=chain.bundle.proof + more))
    refused(5, "does not verify", chain, replace(chain.bundle, proof=chain.bundle.proof[:-1]))
    accepted(chain)


def test_bytes_around_the_bundle(chain):
    data = chain.bundle_file.read_bytes()
    for bad in (
        data + b"\0",
        data + data,
        data[:-1],
        data[1:],
        b"\0" + data,
        data[: len(data) // 2],
    ):
        refused(0, "the file is too|other bytes", chain, bad)
    accepted(chain, data)


@pytest.mark.parametrize(("one", "other"), list(combinations(SECTIONS, 2)))
def test_sections_swapped(chain, one, other):
    """With their lengths, so that only the contents are out of place."""
    sections = sections_of(chain.bundle)
    swapped = {**sections, one: sections[other], other: sections[one]}
    refused(0, None, chain, pack(chain.bundle.header, swapped))
    accepted(chain, pack(chain.bundle.header, sections))


@pytest.mark.parametrize(
    ("name", "step", "words"),
    [
        ("commitment", 1, "does not have the expected root"),
        ("projection", 4, "equation"),
        ("v", 4, "equation"),
        ("proof", 4, "equation"),
    ],
)
def test_another_models_section(chain, stranger, name, step, words):
    sections = sections_of(chain.bundle)
    theirs = {**sections, name: sections_of(stranger.bundle)[name]}
    refused(step, words, chain, pack(chain.bundle.header, theirs))
    accepted(chain, pack(chain.bundle.header, sections))


def test_a_model_under_another_models_commitment(chain, stranger):
    """A's bundle for B's commitment: as it is, with B's root written in, with B's commitment."""
    expected = stranger.commitment.root_hex
    refused(1, "does not have the expected root", chain, chain.bundle, expected=expected)
    header = {**chain.bundle.header, "root": expected}
    refused(1, "does not have", chain, replace(chain.bundle, header=header), expected=expected)
    within = replace(chain.bundle, commitment=stranger.bundle.commitment)
    refused(1, "names another root", chain, within, expected=expected)
    both = replace(within, header=header)
    refused(4, "equation", chain, both, expected=expected)
    refused(4, "equation", chain, forge(chain, commitment=stranger.commitment), expected=expected)
    refused(6, "pixels of the picture", chain, stranger.bundle, expected=expected)
    accepted(chain, stranger.bundle, expected=expected, image=stranger.image_file)
    accepted(chain)


def test_malformed_points_and_numbers(chain):
    """Not on the curve, not below the field's order: in each section that holds points."""
    sections = sections_of(chain.bundle)
    beyond = bn254.Q.to_bytes(32, "big")
    bad = {
        "commitment": sections["commitment"][:-32] + beyond,
        "projection": beyond + sections["projection"][32:],
        "proof": (1).to_bytes(32, "big") * 2 + sections["proof"][64:],
        "v": bn254.R.to_bytes(32, "big") + sections["v"][32:],
    }
    for name, part in bad.items():
        refused(0, None, chain, pack(chain.bundle.header, {**sections, name: part}))
    assert decode_v(sections["v"]) == chain.bundle.v
    accepted(chain, pack(chain.bundle.header, sections))
