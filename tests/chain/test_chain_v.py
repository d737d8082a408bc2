"""The published vector: any coordinate off by one, or written in another way, is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref_zk.circuit import halo2
from huref_zk.errors import InputError
from huref_zk.invariants.encoder import CONDITIONS
from huref_zk.proofs.picture.file import V_LENGTH, decode_v, encode_v
from tests.support.tampering import (
    accepted,
    forge,
    header_of,
    pack,
    pack_bundle,
    refused,
    sections_of,
)

SAMPLE = (0, 1, 255, 256, 510, 511)


def off(v, place, by):
    return (*v[:place], v[place] + by, *v[place + 1 :])


def fault(chain, v, conditions=CONDITIONS):
    return halo2.check(chain.bundle.proof, [*v, conditions], chain.keys, chain.srs)


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("place", SAMPLE)
def test_off_by_one(chain, place, by):
    """Rewritten in the bundle: the projection proof hashes v. Proven so: the Halo2 proof knows."""
    wrong = off(chain.bundle.v, place, by)
    refused(4, "equation", chain, replace(chain.bundle, v=wrong))
    if place in (0, 511):
        refused(5, "does not hold", chain, forge(chain, v=wrong))
    else:
        assert fault(chain, wrong) is not None
    right = off(wrong, place, -by)
    assert fault(chain, right) is None
    accepted(chain, replace(chain.bundle, v=right))


@pytest.mark.parametrize("count", [CONDITIONS - 1, CONDITIONS + 1, 0])
def test_the_count_of_conditions_is_the_verifiers(chain, count):
    """No bundle says how many range conditions hold; a proof of another number fails."""
    assert fault(chain, chain.bundle.v, count) is not None
    assert fault(chain, chain.bundle.v) is None


def test_every_coordinate_is_in_the_statement(chain):
    """All 512, both ways: another digest each, so another challenge; and all differ."""
    v, claim = chain.bundle.v, chain.bundle.claim
    honest = claim.digest(v)
    digests = {claim.digest(off(v, place, by)) for place in range(V_LENGTH) for by in (-1, 1)}
    assert len(digests) == 2 * V_LENGTH and honest not in digests
    assert claim.digest(list(v)) == honest


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
    refused(5, "does not hold", chain, forge(chain, v=tuple(2 * x for x in v)))
    assert pack_bundle(forge(chain, v=v)) == chain.bundle_file.read_bytes()
    accepted(chain)


def test_there_is_one_way_to_write_v(chain):
    part = encode_v(chain.bundle.v)
    assert len(part) == 8 * V_LENGTH and decode_v(part) == chain.bundle.v
    for bad in (part[:-8], part[:-1], part + bytes(8), b""):
        with pytest.raises(InputError, match="v has"):
            decode_v(bad)
    swapped = b"".join(part[i : i + 8][::-1] for i in range(0, len(part), 8))
    sections = sections_of(chain.bundle)
    refused(4, "equation", chain, pack(header_of(chain.bundle), {**sections, "v": swapped}))
    accepted(chain, pack(header_of(chain.bundle), {**sections, "v": part}))
