"""The commitment inside a bundle: its descriptor and its points, rewritten or committed falsely."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest

from huref_zk.commitment.descriptor import Descriptor, Tokens
from huref_zk.commitment.file import serialise
from huref_zk.commitment.witness import Witness
from huref_zk.curve import bn254
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json
from huref_zk.files.formats import COMMITMENT
from huref_zk.proofs.kernel import Policy
from huref_zk.proofs.picture.verify import shape_of
from huref_zk.srs.name import SrsName
from tests.support.cheats import failing
from tests.support.tampering import (
    accepted,
    committed_rows,
    forge,
    header_of,
    pack,
    pack_bundle,
    plain_json,
    raw,
    refused,
    sections_of,
    with_descriptor,
    with_points,
)

ANY_RECIPE = Policy(recipe=None)


@dataclass(frozen=True)
class Keyed(Witness):
    """A witness whose salts are those of the given key, whatever its integers are."""

    forced: bytes = b""

    def key(self, secret: bytes | None) -> bytes | None:
        return self.forced


def rewritten(chain) -> list[dict]:
    """Each field of the descriptor changed alone to something that still parses."""
    d = chain.commitment.descriptor
    return [
        {"model": {**d.model, "architecture": "other"}},
        {"model": {**d.model, "extra": 1}},
        {"layers": (0, 2)},
        {"tokens": replace(d.tokens, digest="0" * 64)},
        {"tokens": replace(d.tokens, choice="rare")},
        {"scales": {**d.scales, "E": "64.0"}},
        {"checkpoint": "0" * 64},
        {"public": True},
        {"srs": replace(d.srs, kind="ceremony")},
        {"srs": replace(d.srs, sha256="0" * 64)},
        {"srs": replace(d.srs, k=d.srs.k + 1)},
        {"ezkl": "23.0.6"},
    ]


def test_descriptor_rewritten(chain):
    """Another descriptor is another root, whatever the header says about it."""
    for changes in rewritten(chain):
        other = with_descriptor(chain.commitment, **changes)
        inside = replace(chain.bundle, commitment=serialise(other))
        refused(1, "does not have the expected root", chain, inside)
        named = replace(inside, claim=replace(inside.claim, root=other.root_hex))
        refused(1, "does not have the expected root", chain, named)
        honest = {name: getattr(chain.commitment.descriptor, name) for name in changes}
        again = with_descriptor(other, **honest)
        assert serialise(again) == chain.bundle.commitment
    accepted(chain)


def test_rewritten_descriptors_cover_all_fields(chain):
    """All but those that decide which matrices there are: then the points no longer fit."""
    names = {name for changes in rewritten(chain) for name in changes}
    structural = {"recipe", "audited", "output"}
    assert names | structural == {field.name for field in fields(Descriptor)}
    descriptor = chain.commitment.descriptor.to_json()
    points = serialise(chain.commitment)[-32 * (512 + 16) :]
    audited = [{"layer": 0, "attention": 16, "ffn": 24}]
    for change in ({"recipe": "last-two"}, {"audited": audited}, {"output": 1}):
        hzc = raw(canonical_json({**descriptor, **change}), [points], COMMITMENT)
        sections = {**sections_of(chain.bundle), "commitment": hzc}
        refused(0, "bytes of points", chain, pack(header_of(chain.bundle), sections))
    whole = raw(canonical_json(descriptor), [points], COMMITMENT)
    accepted(
        chain, pack(header_of(chain.bundle), {**sections_of(chain.bundle), "commitment": whole})
    )


@pytest.mark.parametrize("name", [field.name for field in fields(Descriptor)])
def test_descriptor_fields_dropped_doubled_or_mistyped(chain, name):
    sections = sections_of(chain.bundle)
    descriptor = chain.commitment.descriptor.to_json()
    text = canonical_json(descriptor)
    body = serialise(chain.commitment)[12 + len(text) + 8 :]
    field = canonical_json({name: descriptor[name]})[1:-1]
    assert text.count(field) == 1
    for bad, words in [
        (canonical_json({k: v for k, v in descriptor.items() if k != name}), "lacks the field"),
        (text.replace(field, field + b"," + field), "canonical form"),
        (plain_json({**descriptor, name: None}), "NoneType"),
        (plain_json({**descriptor, name: 10**6}), "must be|must hold"),
        (plain_json({**descriptor, name: []}), "must be|must hold|bytes of points")
        if name != "audited"
        else (plain_json({**descriptor, name: [1]}), "must be"),
        (plain_json({**descriptor, name + "2": 1}), "unknown field"),
    ]:
        hzc = raw(bad, [body], COMMITMENT)
        refused(0, words, chain, pack(header_of(chain.bundle), {**sections, "commitment": hzc}))
    whole = raw(text, [body], COMMITMENT)
    accepted(chain, pack(header_of(chain.bundle), {**sections, "commitment": whole}))


def test_an_owner_who_commits_to_a_false_srs(chain):
    """And proves honestly about it, to a verifier who expects exactly that root."""
    honest = chain.commitment.descriptor.srs
    for srs, words in [
        (replace(honest, kind="ceremony"), "ceremony"),
        (replace(honest, kind="named"), "named|trust"),
        (replace(honest, sha256="0" * 64), "000000"),
    ]:
        other = with_descriptor(chain.commitment, srs=srs)
        bundle = replace(
            chain.bundle,
            commitment=serialise(other),
            claim=replace(chain.bundle.claim, root=other.root_hex),
        )
        refused(2, words, chain, bundle, expected=other.root_hex)
    accepted(chain)


def test_a_domain_that_is_not_the_circuits(chain):
    assert shape_of(chain.commitment) == chain.prepared.shape  # the control
    srs = chain.commitment.descriptor.srs
    other = with_descriptor(chain.commitment, srs=SrsName(srs.kind, srs.k + 1, srs.sha256))
    with pytest.raises(InputError, match=rf"domain is 2\^{srs.k + 1}"):
        shape_of(other)


def owner_of(chain, commitment):
    """The chain's owner, with another commitment to the same witness and the same salts."""
    return replace(chain.owner, commitment=commitment)


def test_labels_that_nothing_can_check(chain):
    """The proof is about numbers. What the owner calls them is bound to the root, and no more."""
    d = chain.commitment.descriptor
    for changes in (
        {"model": {**d.model, "architecture": "other"}},
        {"layers": (0, 2)},
        {"scales": {**d.scales, "E": "64.0"}},
        {"tokens": Tokens(d.tokens.count, d.tokens.digest, "rare")},
        {"checkpoint": "0" * 64},
    ):
        other = with_descriptor(chain.commitment, **changes)
        bundle = forge(chain, owner=owner_of(chain, other))
        accepted(chain, bundle, expected=other.root_hex)
        refused(1, "does not have the expected root", chain, bundle)


# --- the committed points ------------------------------------------------------------------------


def moved(group, place=2):
    points = list(group)
    points[place] = bn254.add(points[place], bn254.GENERATOR)
    return tuple(points)


def exchanged(group):
    points = list(group)
    points[0], points[1] = points[1], points[0]
    return tuple(points)


@pytest.mark.parametrize("change", [moved, exchanged])
@pytest.mark.parametrize(
    ("name", "broken"), [("E", ["embedding (C)", "right"]), ("C", ["core (C)"])]
)
def test_committed_points_changed(chain, name, change, broken):
    """For a verifier who expects the true root, and for one who expects the changed one: the rows
    in the Halo2 proof are not the projections of the changed points."""
    mine = chain.commitment.points[name]
    other = with_points(chain.commitment, **{name: change(mine)})
    refused(1, "expected root", chain, replace(chain.bundle, commitment=serialise(other)))
    bundle = forge(chain, owner=owner_of(chain, other))
    assert failing(chain, bundle) == broken
    refused(4, "equation", chain, bundle, expected=other.root_hex)
    same = with_points(chain.commitment, **{name: mine})
    assert pack_bundle(forge(chain, owner=owner_of(chain, same))) == chain.bundle_file.read_bytes()
    accepted(chain)


def test_core_sets_exchanged(last_two):
    c = last_two.commitment
    other = with_points(c, C0=c.points["C1"], C1=c.points["C0"])
    bundle = forge(last_two, owner=owner_of(last_two, other))
    assert failing(last_two, bundle) == ["core (C0)", "core (C1)"]
    refused(4, "core", last_two, bundle, expected=other.root_hex, policy=ANY_RECIPE)
    accepted(last_two, policy=ANY_RECIPE)


def test_another_secret_or_other_integers(chain):
    """What is proven from belongs to another commitment, in its salts or in one integer."""
    matrices = dict(chain.owner.witness.matrices)
    matrices["E"] = matrices["E"].copy()
    matrices["E"][3, 2] += 1
    key = chain.owner.witness.key(chain.owner.secret)
    changed = Keyed(chain.owner.witness.descriptor, matrices, bytes(32), key)
    for owner in (
        replace(chain.owner, secret=bytes(32)),
        replace(chain.owner, witness=changed),
    ):
        assert committed_rows(owner, chain.bundle.seed, chain.srs)
        refused(4, "equation", chain, forge(chain, owner=owner))
    same = Keyed(chain.owner.witness.descriptor, chain.owner.witness.matrices, bytes(32), key)
    with_same = forge(chain, owner=replace(chain.owner, witness=same))
    assert failing(chain, with_same) == []
    accepted(chain, with_same)
