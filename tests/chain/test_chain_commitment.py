"""The commitment inside a bundle: its descriptor and its points, rewritten or committed falsely."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from huref_zk.argument import projection_prover as prover
from huref_zk.commitment import file as commitment
from huref_zk.commitment.file import serialise
from huref_zk.curve import bn254
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.files.container import canonical_json
from huref_zk.proofs.picture.verify import shape_of
from tests.support.tampering import (
    accepted,
    forge,
    pack,
    pack_bundle,
    plain_json,
    raw,
    refused,
    sections_of,
    with_descriptor,
    with_points,
)


def changed(descriptor: dict, path: str, value) -> dict:
    """A copy with the field at the dotted ``path`` set."""
    result = copy.deepcopy(descriptor)
    *parents, last = path.split(".")
    target = result
    for name in parents:
        target = target[name]
    target[last] = value
    return result


# --- the commitment's descriptor -----------------------------------------------------------------

REWRITTEN = [
    ("model.architecture", "other"),
    ("model.heads", 3),
    ("model.extra", 1),
    ("layers", [0, 2]),
    ("layers", [2, 1]),
    ("widths", [15, 17, 16]),
    ("tokens.digest", "0" * 64),
    ("scales.E", 5),
    ("scales.U0a", 1),
    ("domain_k", 14),
    ("srs.kind", "ceremony"),
    ("srs.sha256", "0" * 64),
    ("ezkl", "23.0.6"),
]


@pytest.mark.parametrize(("path", "value"), REWRITTEN)
def test_descriptor_rewritten(chain, path, value):
    """Another descriptor is another root, whatever the header says about it."""
    other = with_descriptor(chain.commitment, changed(chain.commitment.descriptor, path, value))
    inside = replace(chain.bundle, commitment=serialise(other))
    refused(1, "does not have the expected root", chain, inside)
    header = {**chain.bundle.header, "root": other.root_hex}
    refused(1, "does not have the expected root", chain, replace(inside, header=header))
    again = with_descriptor(other, chain.commitment.descriptor)
    accepted(chain, replace(chain.bundle, commitment=serialise(again)))


def test_rewritten_descriptors_cover_all_fields():
    paths = {path.split(".")[0] for path, _ in REWRITTEN}
    assert paths == set(commitment._FIELDS) - {"format", "salts"}  # these have one value only


@pytest.mark.parametrize("name", sorted(commitment._FIELDS))
def test_descriptor_fields_dropped_doubled_or_mistyped(chain, name):
    sections = sections_of(chain.bundle)
    descriptor = chain.commitment.descriptor
    text = canonical_json(descriptor)
    body = sections["commitment"][12 + len(text) :]
    field = canonical_json({name: descriptor[name]})[1:-1]
    assert text.count(field) == 1
    for bad, words in [
        (canonical_json({k: v for k, v in descriptor.items() if k != name}), "lacks the field"),
        (text.replace(field, field + b"," + field), "canonical form"),
        (plain_json({**descriptor, name: None}), "NoneType"),
        (plain_json({**descriptor, name: 10**6 if name != "model" else "x"}), "must be|reads"),
        (plain_json({**descriptor, name + "2": 1}), "unknown field"),
    ]:
        hzc = raw(bad, [body], b"HUREFZKC")
        refused(0, words, chain, pack(chain.bundle.header, {**sections, "commitment": hzc}))
    whole = raw(text, [body], b"HUREFZKC")
    accepted(chain, pack(chain.bundle.header, {**sections, "commitment": whole}))


@pytest.mark.parametrize(
    ("path", "value", "step", "words"),
    [
        ("layers", [1], 3, "1 layers, not 2"),
        ("layers", [0, 1, 2], 3, "3 layers, not 2"),
        ("widths", [15, 17, 16], 3, "another circuit"),
        ("srs.kind", "ceremony", 2, "calls its test SRS ceremony"),
        ("srs.kind", "unknown", 2, "calls its test SRS unknown"),
        ("srs.sha256", "0" * 64, 2, "no ceremony's that we know"),
    ],
)
def test_an_owner_who_commits_to_a_false_descriptor(chain, path, value, step, words):
    """And proves honestly about it, to a verifier who expects exactly that root."""
    descriptor = changed(chain.commitment.descriptor, path, value)
    other = with_descriptor(chain.commitment, descriptor)
    bundle = replace(chain.bundle, commitment=serialise(other))
    header = {**bundle.header, "root": other.root_hex, "srs": descriptor["srs"]["sha256"]}
    refused(step, words, chain, replace(bundle, header=header), expected=other.root_hex)
    accepted(chain)


def test_an_owner_who_claims_the_circuit_of_another_shape(chain):
    """The descriptor and the header agree; there is no key of that circuit here."""
    descriptor = changed(chain.commitment.descriptor, "widths", [15, 17, 16])
    other = with_descriptor(chain.commitment, descriptor)
    header = {"circuit": shape_of(other).digest}
    bundle = forge(chain, commitment=other, header=header)
    with pytest.raises(EnvironmentLacks, match="no verifying key"):
        accepted(chain, bundle, expected=other.root_hex)
    accepted(chain)


def test_a_domain_that_is_not_the_circuits(chain):
    assert shape_of(chain.commitment) == chain.prepared.shape  # the control
    other = with_descriptor(chain.commitment, changed(chain.commitment.descriptor, "domain_k", 14))
    with pytest.raises(InputError, match=r"domain is 2\^14"):
        shape_of(other)


@pytest.mark.parametrize(
    ("path", "value"),
    [("model.architecture", "other"), ("layers", [0, 2]), ("scales.E", 5)],
)
def test_labels_that_nothing_can_check(chain, path, value):
    """The proof is about numbers. What the owner calls them is bound to the root, and no more."""
    descriptor = changed(chain.commitment.descriptor, path, value)
    other = with_descriptor(chain.commitment, descriptor)
    bundle = forge(chain, commitment=other)
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


def on_the_old_points(chain):
    """_image as a prover runs it who keeps the projected rows of the old U and V."""
    image, factors = prover._image, (chain.commitment.U_points, chain.commitment.V_points)
    return lambda row, _, tail, side: image(row, factors[side], tail, side)


def refused_both_ways(chain, other, equation):
    """For a verifier who expects the true root, and for one who expects the changed one: the
    projected rows are either not those of the changed points or not those of the Halo2 proof."""
    expected = other.root_hex
    refused(1, "expected root", chain, replace(chain.bundle, commitment=serialise(other)))
    old_rows = forge(chain, commitment=other, _image=on_the_old_points(chain))
    assert old_rows.proof == chain.bundle.proof
    refused(4, equation, chain, old_rows, expected=expected)
    new_rows = forge(chain, commitment=other)
    if new_rows.proof != chain.bundle.proof:
        refused(5, "does not verify", chain, new_rows, expected=expected)


@pytest.mark.parametrize("change", [moved, exchanged])
@pytest.mark.parametrize("name", ["E_points", "U_points", "V_points"])
def test_committed_points_changed(chain, name, change):
    mine = getattr(chain.commitment, name)
    kind = "embedding" if name == "E_points" else "factor"
    other = with_points(chain.commitment, **{name: change(mine)})
    refused_both_ways(chain, other, rf"{kind} equation \({name[0]}\)")
    same = with_points(chain.commitment, **{name: mine})
    twin = forge(chain, commitment=same, _image=on_the_old_points(chain))
    assert pack_bundle(twin) == chain.bundle_file.read_bytes()
    accepted(chain)


def test_u_and_v_exchanged(chain):
    c = chain.commitment
    refused_both_ways(
        chain, with_points(c, U_points=c.V_points, V_points=c.U_points), r"factor equation \(U\)"
    )
    accepted(chain)
