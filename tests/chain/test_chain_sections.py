"""The sections of a bundle: cut, too long, swapped, another model's, malformed."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from huref_zk.curve import bn254
from huref_zk.files.container import canonical_json
from huref_zk.files.formats import BUNDLE
from huref_zk.proofs.picture.file import decode_v, parse_bundle
from tests.support.tampering import (
    OPENING,
    accepted,
    forge,
    header_of,
    pack,
    refused,
    sections_of,
)

SECTIONS = BUNDLE.sections


@pytest.mark.parametrize("name", SECTIONS)
def test_cut_or_too_long(chain, name):
    sections = sections_of(chain.bundle)
    part = sections[name]
    for bad in (b"", part[:1], part[:-32], part[:-1], part + b"\0", part + part[-32:]):
        step = 5 if name == "proof" and len(bad) >= OPENING else 0
        refused(step, None, chain, pack(header_of(chain.bundle), {**sections, name: bad}))
    accepted(chain, pack(header_of(chain.bundle), sections))


@pytest.mark.parametrize("name", SECTIONS)
def test_lengths_in_the_frame(chain, name):
    """A section's length changed with its content left alone: nothing fits any more."""
    header, sections = canonical_json(header_of(chain.bundle)), sections_of(chain.bundle)
    place = 12 + len(header)
    for other in SECTIONS[: SECTIONS.index(name)]:
        place += 8 + len(sections[other])
    data = chain.bundle_file.read_bytes()
    size = len(sections[name])
    assert data[place : place + 8] == size.to_bytes(8, "big")
    for bad in (0, size - 1, size + 1, 1 << 40, (1 << 64) - 1):
        refused(0, None, chain, data[:place] + bad.to_bytes(8, "big") + data[place + 8 :])
    accepted(chain, data)


def test_bytes_after_the_halo2_proof(chain):
    """ezkl itself ignores them."""
    for more in (b"\0", bytes(32), b"\x05" * 1000):
        refused(5, "bytes follow", chain, replace(chain.bundle, proof=chain.bundle.proof + more))
    refused(5, "does not hold", chain, replace(chain.bundle, proof=chain.bundle.proof[:-1]))
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


def test_another_version_or_kind(chain):
    data = chain.bundle_file.read_bytes()
    for version in (0, 1, 3, 255):
        refused(0, "of version", chain, data[:7] + bytes([version]) + data[8:])
    refused(0, "not a proof bundle", chain, b"HUREFZC" + data[7:])
    accepted(chain, data)


@pytest.mark.parametrize(("one", "other"), list(combinations(SECTIONS, 2)))
def test_sections_swapped(chain, one, other):
    sections = sections_of(chain.bundle)
    swapped = {**sections, one: sections[other], other: sections[one]}
    refused(0, None, chain, pack(header_of(chain.bundle), swapped))
    accepted(chain, pack(header_of(chain.bundle), sections))


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
    refused(step, words, chain, pack(header_of(chain.bundle), theirs))
    accepted(chain, pack(header_of(chain.bundle), sections))


def test_a_model_under_another_models_commitment(chain, stranger):
    """A's bundle for B's commitment: as it is, with B's root written in, with B's commitment."""
    expected = stranger.commitment.root_hex
    refused(1, "does not have the expected root", chain, chain.bundle, expected=expected)
    named = replace(chain.bundle, claim=replace(chain.bundle.claim, root=expected))
    refused(1, "does not have", chain, named, expected=expected)
    within = replace(chain.bundle, commitment=stranger.bundle.commitment)
    refused(1, "names another root", chain, within, expected=expected)
    both = replace(within, claim=named.claim)
    refused(4, "equation", chain, both, expected=expected)
    mixed = replace(chain.owner, commitment=stranger.commitment)
    refused(4, "equation", chain, forge(chain, owner=mixed), expected=expected)
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
        "proof": beyond + sections["proof"][32:],
    }
    for name, part in bad.items():
        refused(0, None, chain, pack(header_of(chain.bundle), {**sections, name: part}))
    large = sections["projection"][:-32] + bn254.R.to_bytes(32, "big")
    refused(0, "canonical", chain, pack(header_of(chain.bundle), {**sections, "projection": large}))
    assert decode_v(sections["v"]) == chain.bundle.v
    assert parse_bundle(chain.bundle_file.read_bytes()) == chain.bundle
    accepted(chain, pack(header_of(chain.bundle), sections))
