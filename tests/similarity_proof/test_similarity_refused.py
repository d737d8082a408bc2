"""What a verifier of similarity refuses, each with the untampered or undone twin that passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref_zk.circuit import keys
from huref_zk.commitment.file import serialise
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.prove import prove_circuit
from huref_zk.proofs.picture.verify import Policy, check_halo2
from huref_zk.proofs.similarity.exact import TOP, Range, exactly
from huref_zk.proofs.similarity.shape import CONDITIONS
from huref_zk.proofs.similarity.verify import COLUMNS, PairPolicy
from tests.support.forging import (
    accepted,
    forge,
    judge,
    pack,
    refused,
    rows_of,
    with_descriptor,
    with_header,
)

FRESH = bytes(range(32))


def swapped(two: tuple) -> tuple:
    return two[1], two[0]


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def rows(pair):
    """The circuit's 2 x 32 rows under the public seed."""
    return rows_of(pair, 0) + rows_of(pair, 1)


@pytest.fixture(scope="module")
def cell(pair):
    return exactly(pair.total).low


def halo2(pair, rows, bounds, held=CONDITIONS, keys=None) -> bytes:
    chain = pair.chains[0]
    return prove_circuit([*rows, bounds.column], [held], keys or pair.keys, chain.srs, silent)


def test_the_forger_is_honest_unless_told_otherwise(pair, cell):
    again = forge(pair, pair.exact.proof, Range(cell, cell))
    assert pack(again) == pack(pair.exact)
    accepted(pair, again)


# --- which commitments ---------------------------------------------------------------------------


def test_wrong_roots(pair):
    first, second = pair.roots
    other = f"{(int(first, 16) + 1):064x}"
    for roots, which in (((other, second), "first"), ((first, other), "second")):
        refused(1, f"the {which} commitment", pair, pair.exact, roots=roots)
    refused(1, "the first commitment", pair, pair.exact, roots=(second, first))
    refused(1, "the second commitment", pair, pair.exact, roots=(first, first))
    accepted(pair, pair.exact, roots=(first, second))


def test_swapped_in_the_file(pair):
    """Commitments, header, projections and rows of the proof, one by one and all together."""
    bundle, roots = pair.exact, swapped(pair.roots)
    turned = replace(bundle, commitments=swapped(bundle.commitments))
    refused(1, "the first commitment", pair, turned)
    refused(1, "names another first root", pair, turned, roots=roots)
    named = with_header(turned, first_root=roots[0], second_root=roots[1])
    refused(4, "first model", pair, named, roots=roots)
    named = replace(named, projections=swapped(bundle.projections))
    refused(4, "first model", pair, named, roots=roots)
    half = 64 * (COLUMNS // 2)
    proof = bundle.proof
    moved = proof[half : 2 * half] + proof[:half] + proof[2 * half :]
    refused(4, "first model", pair, replace(named, proof=moved), roots=roots)
    back = replace(named, commitments=bundle.commitments, projections=bundle.projections)
    accepted(pair, with_header(back, **bundle.header))


def test_root_named_in_the_header(pair):
    for name in ("first", "second"):
        for root in (pair.roots[0], pair.roots[1], "0" * 64):
            bundle = with_header(pair.exact, **{f"{name}_root": root})
            if bundle.header == pair.exact.header:
                accepted(pair, bundle)
            else:
                refused(1, f"another {name} root", pair, bundle)


def test_commitments_that_cannot_be_compared(pair):
    """Other tokens, another domain, another number of layers: the same points all the same."""
    honest = pair.members[1].commitment
    tokens = honest.descriptor["tokens"]
    for fields, words in (
        ({"tokens": {**tokens, "digest": "ab" * 32}}, "different tokens"),
        ({"domain_k": 14}, "its circuit's 2"),
        ({"layers": [0, 1, 2], "widths": [8, 8, 16]}, "3 layers"),
        ({"tokens": tokens}, None),
    ):
        changed = with_descriptor(honest, **fields)
        roots = (pair.roots[0], changed.root_hex)
        bundle = replace(
            with_header(pair.exact, second_root=changed.root_hex),
            commitments=(pair.exact.commitments[0], serialise(changed)),
        )
        if words is None:
            accepted(pair, bundle, roots=roots)
        else:
            refused(3, words, pair, bundle, roots=roots)


def test_another_srs(pair):
    """Named by the header, or by one of the descriptors alone."""
    refused(2, "different SRS", pair, with_header(pair.exact, srs="0" * 64))
    honest = pair.members[1].commitment
    changed = with_descriptor(honest, srs={"kind": "unknown", "sha256": "1" * 64})
    bundle = replace(
        with_header(pair.exact, second_root=changed.root_hex),
        commitments=(pair.exact.commitments[0], serialise(changed)),
    )
    refused(2, "different SRS", pair, bundle, roots=(pair.roots[0], changed.root_hex))
    accepted(pair, pair.exact)


def test_circuit_named_in_the_header(pair):
    refused(3, "another circuit", pair, with_header(pair.exact, circuit="0" * 64))
    refused(3, "made with ezkl", pair, with_header(pair.exact, ezkl="23.0.4"))
    accepted(pair, with_header(pair.exact, circuit=pair.shape.digest, ezkl="23.0.5"))


# --- what is claimed -----------------------------------------------------------------------------


@pytest.mark.parametrize("by", [-1, 1])
def test_s_off_by_one_unit(pair, cell, by):
    """Rewritten in the file; and with projection proofs made for the lie. A Halo2 proof told
    the lie is test_a_forged_bit's."""
    wrong = Range(cell + by, cell + by)
    refused(4, "first model", pair, with_header(pair.exact, low=wrong.low, high=wrong.high))
    refused(5, "other bounds", pair, forge(pair, pair.exact.proof, wrong))
    accepted(pair, forge(pair, pair.exact.proof, Range(cell, cell)))


def test_threshold_changed(pair, cell):
    """Another one in the header, or in the column that the Halo2 proof was told."""
    for low in (cell - 2, cell, cell + 1):
        bounds = Range(low, TOP)
        refused(4, "first model", pair, with_header(pair.threshold, low=low))
        refused(5, "other bounds", pair, forge(pair, pair.threshold.proof, bounds))
    refused(5, "other bounds", pair, forge(pair, pair.threshold.proof, Range(cell - 1, TOP - 1)))
    refused(5, "other bounds", pair, forge(pair, pair.threshold.proof, Range(cell, cell)))
    accepted(pair, forge(pair, pair.threshold.proof, Range(cell - 1, TOP)))


def test_a_forged_bit(pair, cell, rows):
    """The threshold one unit of 2^-16 above s: a true Halo2 proof that one condition is missed does
    not pass for a proof that all hold."""
    missed = Range(cell + 1, TOP)
    proof = halo2(pair, rows, missed, CONDITIONS - 1)
    check_halo2(proof, [CONDITIONS - 1], pair.keys, pair.chains[0].srs)
    refused(5, "does not verify", pair, forge(pair, proof, missed))
    accepted(pair, forge(pair, pair.threshold.proof, Range(cell - 1, TOP)))


def test_column_with_more_in_it_than_bounds(pair, cell, rows):
    """The bounds' column is checked whole: nothing may stand in its other rows."""
    bundle = forge(pair, pair.exact.proof, Range(cell, cell))
    at = slice(64 * (COLUMNS - 1), 64 * COLUMNS)
    first = bundle.proof[:64]
    refused(5, "other bounds", pair, replace(bundle, proof=bundle.proof[: at.start] + first
            + bundle.proof[at.stop :]))  # fmt: skip
    accepted(pair, bundle)


@pytest.mark.parametrize(
    "fields",
    [{"low": 5, "high": 4}, {"low": -TOP - 1}, {"high": TOP + 1}, {"low": "0"}, {"low": True}],
)
def test_bounds_that_are_none(pair, fields):
    refused(0, "low|bounds|bool", pair, with_header(pair.exact, **fields))
    accepted(pair, with_header(pair.exact, low=pair.exact.bounds.low))


def test_another_seed(pair, cell):
    """Named in the header, asked for, or used for one model's projection alone."""
    refused(4, "first model", pair, with_header(pair.exact, seed=FRESH.hex()))
    fresh = PairPolicy(Policy(seed=FRESH, allow_test_setup=True))
    refused(6, "asked for", pair, pair.exact, policy=fresh)
    projected = forge(pair, pair.exact.proof, Range(cell, cell), seed=FRESH)
    refused(4, "first model", pair, projected, policy=fresh)
    accepted(pair, with_header(pair.exact, seed=PUBLIC_SEED.hex()))


# --- what is proven of ---------------------------------------------------------------------------


def test_rows_of_another_model(pair, rows):
    """A true Halo2 proof that a model is like itself, passed off as one about two."""
    own = rows[: len(rows) // 2]
    like = Range(1 << 16, 1 << 16)
    proof = halo2(pair, own + own, like)
    check_halo2(proof, [CONDITIONS], pair.keys, pair.chains[0].srs)
    for claimed_points in (False, True):
        bundle = forge(pair, proof, like, claimed_points=claimed_points)
        refused(4, "second model: the projection proof's", pair, bundle)
    accepted(pair, pair.exact)


def test_a_projection_proof_lent(pair):
    """From another claim about the same pair, from the other model, and told to be the other's."""
    for place in (0, 1):
        lent = list(pair.exact.projections)
        lent[place] = pair.threshold.projections[place]
        which = ("first", "second")[place]
        refused(4, f"{which} model", pair, replace(pair.exact, projections=tuple(lent)))
    refused(
        4, "first model", pair, replace(pair.exact, projections=swapped(pair.exact.projections))
    )
    bounds = pair.exact.bounds
    refused(4, "second model", pair, forge(pair, pair.exact.proof, bounds, models=(0, 0)))
    accepted(pair, forge(pair, pair.exact.proof, bounds, models=(0, 1)))


def test_rows_of_the_proof_exchanged(pair):
    """Columns are bound to their places: two of them exchanged, and a graft of another proof."""
    proof = pair.exact.proof
    turned = proof[64:128] + proof[:64] + proof[128:]
    refused(4, "first model", pair, replace(pair.exact, proof=turned))
    opening = 64 * COLUMNS
    graft = proof[:opening] + pair.threshold.proof[opening:]
    refused(5, "does not verify", pair, replace(pair.exact, proof=graft))
    accepted(pair, replace(pair.exact, proof=proof[:opening] + proof[opening:]))


def test_a_proof_under_another_key(pair, cell, rows):
    """The circuit of models whose maps are twice as large: the same form, another key."""
    chain = pair.chains[0]
    other = replace(
        pair.shape,
        first=replace(pair.shape.first, shift=pair.shape.first.shift + 1),
        second=replace(pair.shape.second, shift=pair.shape.second.shift + 1),
    )
    theirs = keys.derive(other, chain.srs, chain.cache)
    bounds = Range(cell - 3, cell + 3)
    proof = halo2(pair, rows, bounds, keys=theirs)
    check_halo2(proof, [CONDITIONS], theirs, chain.srs)
    refused(5, "does not verify", pair, forge(pair, proof, bounds))
    refused(3, "another circuit", pair, forge(pair, proof, bounds, circuit=other.digest))
    accepted(pair, forge(pair, pair.exact.proof, Range(cell, cell)))


# --- the file ------------------------------------------------------------------------------------


def test_trailing_and_missing_bytes(pair):
    data = pack(pair.exact)
    for bad, words in (
        (data + b"\0", "too long"),
        (data[:-1], "too short"),
        (data[:8], "ends inside"),
        (b"HUREFZP\x01" + data[8:], "starts with other bytes"),
        (b"", "starts with other bytes"),
    ):
        refused(0, words, pair, bad)
    refused(5, "bytes follow", pair, replace(pair.exact, proof=pair.exact.proof + b"\0"))
    refused(5, "does not verify", pair, replace(pair.exact, proof=pair.exact.proof[:-1]))
    for place in (0, 1):
        parts = list(pair.exact.projections)
        parts[place] += b"\0"
        refused(0, "projection proof has", pair, replace(pair.exact, projections=tuple(parts)))
    short = replace(pair.exact, proof=pair.exact.proof[: 64 * COLUMNS - 1])
    refused(0, "too short to hold", pair, short)
    accepted(pair, data)


def test_header_fields(pair):
    for fields in ({"image": "0" * 64}, {"format": "huref-zk similarity 2"}, {"seed": "AB" * 32}):
        refused(0, "header|reads|hex", pair, with_header(pair.exact, **fields))
    for name in pair.exact.header:
        lacking = {k: v for k, v in pair.exact.header.items() if k != name}
        if not name.endswith("_bytes"):
            refused(0, "lacks", pair, replace(pair.exact, header=lacking))
    accepted(pair, pair.exact)


def test_points_that_are_none(pair):
    proof = pair.exact.proof
    refused(0, "curve", pair, replace(pair.exact, proof=b"\1" * 64 + proof[64:]))
    accepted(pair, replace(pair.exact, proof=proof[:64] + proof[64:]))


def test_arguments_that_are_wrong(pair, tmp_path):
    """No claim is judged: the caller named something that is no commitment."""
    with pytest.raises(InputError, match="neither a commitment file"):
        judge(pair, pair.exact, roots=(pair.roots[0], str(tmp_path / "none.hzc")))
    accepted(pair, pair.exact, roots=pair.roots)
