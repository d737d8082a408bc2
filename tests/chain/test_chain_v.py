"""The published vector: any coordinate off by one, or written in another way, is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError, StepFailed
from huref_zk.proofs.picture.file import V_LENGTH, decode_v, encode_v
from huref_zk.proofs.picture.statement import statement_digest
from huref_zk.proofs.picture.verify import _check_proof
from tests.support.tampering import accepted, forge, pack, pack_bundle, refused, sections_of

SAMPLE = (0, 1, 255, 256, 510, 511)


def off(v, place, by):
    return (*v[:place], v[place] + by, *v[place + 1 :])


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("place", SAMPLE)
def test_off_by_one(chain, place, by):
    """Rewritten in the bundle: the projection proof hashes v. Proven so: the Halo2 proof knows."""
    wrong = off(chain.bundle.v, place, by)
    refused(4, "equation", chain, replace(chain.bundle, v=wrong))
    if place in (0, 511):
        refused(5, "does not verify", chain, forge(chain, v=wrong))
    else:
        with pytest.raises(StepFailed, match="does not verify") as caught:
            _check_proof(replace(chain.bundle, v=wrong), chain.keys, chain.srs)
        assert caught.value.step == 5
    right = replace(chain.bundle, v=off(wrong, place, -by))
    _check_proof(right, chain.keys, chain.srs)
    accepted(chain, right)


def test_every_coordinate_is_in_the_statement(chain):
    """All 512, both ways: another digest each, so another challenge; and all differ."""
    v, header = chain.bundle.v, chain.bundle.header
    honest = statement_digest(header, v)
    digests = {
        statement_digest(header, off(v, place, by)) for place in range(V_LENGTH) for by in (-1, 1)
    }
    assert len(digests) == 2 * V_LENGTH and honest not in digests
    assert statement_digest(header, list(v)) == honest


def test_other_vectors(chain):
    """Negated, shifted by one place, doubled (which gives the same picture), all zero."""
    v = chain.bundle.v
    for wrong in (
        tuple(-x for x in v),
        v[1:] + v[:1],
        tuple(2 * x for x in v),
        (0,) * V_LENGTH,
    ):
        refused(4, "equation", chain, replace(chain.bundle, v=wrong))
    refused(5, "does not verify", chain, forge(chain, v=tuple(2 * x for x in v)))
    assert pack_bundle(forge(chain, v=v)) == chain.bundle_file.read_bytes()
    accepted(chain)


@pytest.mark.parametrize("place", SAMPLE)
def test_v_plus_r_is_not_another_way_to_write_v(chain, place):
    sections = sections_of(chain.bundle)
    part = sections["v"]
    at = slice(32 * place, 32 * place + 32)
    number = int.from_bytes(part[at], "big") + R
    words = f"entry {place} of v is not a canonical"
    bad = part[: at.start] + number.to_bytes(32, "big") + part[at.stop :]
    refused(0, words, chain, pack(chain.bundle.header, {**sections, "v": bad}))
    good = part[: at.start] + (number - R).to_bytes(32, "big") + part[at.stop :]
    accepted(chain, pack(chain.bundle.header, {**sections, "v": good}))


def test_the_edge_of_the_field(chain):
    part = encode_v(chain.bundle.v)
    assert decode_v((R - 1).to_bytes(32, "big") + part[32:])[0] == -1
    for number in (R, R + 1, (1 << 256) - 1):
        with pytest.raises(InputError, match="entry 0 of v"):
            decode_v(number.to_bytes(32, "big") + part[32:])
