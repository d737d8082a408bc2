"""What a verifier of similarity refuses, each with the untampered or undone twin that passes."""

from __future__ import annotations

from dataclasses import asdict, replace
from unittest.mock import patch

import pytest

from huref_zk.argument.batching import dot
from huref_zk.circuit import halo2
from huref_zk.circuit.product import Weights
from huref_zk.commitment.file import make_commitment, serialise
from huref_zk.curve.field import Q
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import LEFT, PUBLIC_SEED, RIGHT
from huref_zk.proofs.kernel import Policy, Setup
from huref_zk.proofs.similarity import columns
from huref_zk.proofs.similarity.exact import ANY, TOP, Range, exactly, sum_of_cosines
from huref_zk.proofs.similarity.shape import CONDITIONS
from huref_zk.proofs.similarity.verify import pair_of
from huref_zk.srs.name import SrsName
from tests.support.forging import (
    accepted,
    circuit_proof,
    forge,
    integer_maps_of,
    judge,
    pack,
    refused,
    rows_of,
    with_claim,
    with_proof,
)

FRESH = bytes(range(32))
NOT_ON_THE_CURVE = next(x for x in range(100) if pow(x**3 + 3, (Q - 1) // 2, Q) == Q - 1)


def swapped(two: tuple) -> tuple:
    return two[1], two[0]


@pytest.fixture(scope="module")
def cell(pair):
    return exactly(pair.total).low


@pytest.fixture(scope="module")
def parts(pair) -> columns.PairProof:
    return columns.parse(pair.exact.proof)


def test_the_forger_is_honest_unless_told_otherwise(pair, cell):
    again = forge(pair, pair.exact.proof, Range(cell, cell))
    assert pack(again) == pack(pair.exact)
    accepted(pair, again)


# --- which commitments ---------------------------------------------------------------------------


def test_wrong_roots(pair):
    first, second = pair.roots
    other = f"{(int(first, 16) + 1):064x}"
    for roots, which in (
        ((other, second), "first"),
        ((first, other), "second"),
        ((second, first), "first"),
        ((first, first), "second"),
    ):
        refused(1, f"the {which} commitment", pair, pair.exact, expected=roots)
    accepted(pair, pair.exact)


def test_swapped_in_the_file(pair, parts):
    """Commitments, header, projections and rows of the proof, one by one and all together."""
    bundle, roots = pair.exact, swapped(pair.roots)
    turned = replace(bundle, commitments=swapped(bundle.commitments))
    refused(1, "the first commitment", pair, turned)
    refused(1, "names another first root", pair, turned, expected=roots)
    named = with_claim(turned, first_root=roots[0], second_root=roots[1])
    refused(4, "first model", pair, named, expected=roots)
    named = replace(named, projections=swapped(bundle.projections))
    refused(4, "first model", pair, named, expected=roots)
    moved = with_proof(named, rows=swapped(parts.rows), maps=swapped(parts.maps))
    refused(4, "first model", pair, moved, expected=roots)
    accepted(pair, bundle)


def test_root_named_in_the_header(pair):
    for name, true in zip(("first_root", "second_root"), pair.roots, strict=True):
        for root in {*pair.roots, "0" * 64} - {true}:
            refused(1, "names another", pair, with_claim(pair.exact, **{name: root}))
    accepted(pair, with_claim(pair.exact, first_root=pair.roots[0]))


def test_commitments_that_cannot_be_compared(pair):
    """Other tokens, another SRS: the same points all the same. And what pair_of says of others."""
    honest = pair.owners[1].commitment
    d = honest.descriptor
    for fields, words in (
        ({"tokens": replace(d.tokens, digest="ab" * 32)}, "different tokens"),
        ({"tokens": replace(d.tokens, choice="rare")}, "different tokens"),
        ({"srs": SrsName("named", d.srs.k, "1" * 64)}, "different SRS"),
        ({"tokens": d.tokens}, None),
    ):
        changed = make_commitment(replace(d, **fields), honest.points)
        roots = (pair.roots[0], changed.root_hex)
        bundle = replace(
            with_claim(pair.exact, second_root=changed.root_hex),
            commitments=(pair.exact.commitments[0], serialise(changed)),
        )
        if words is None:
            accepted(pair, bundle, expected=roots)
        else:
            refused(3, words, pair, bundle, expected=roots)
    first = pair.owners[0].commitment
    for fields, words in (
        ({"recipe": "last-two"}, "recipe whole, the other of last-two"),
        ({"srs": SrsName("test", d.srs.k + 1, "1" * 64)}, "same domain"),
        ({"model": {"hidden_size": 700}}, "700 needs a circuit"),
    ):
        with pytest.raises(InputError, match=words):
            pair_of((first, replace(honest, descriptor=replace(d, **fields))))
    assert pair_of((first, honest)) == pair.shape


def test_a_test_setup_unless_it_is_allowed(pair):
    refused(2, "TEST setup", pair, pair.exact, setup=Setup(pair.cache))
    accepted(pair, pair.exact, setup=Setup(pair.cache, allow_test=True))


def test_circuit_named_in_the_header(pair):
    refused(3, "another circuit", pair, with_claim(pair.exact, circuit="0" * 64))
    refused(3, "made with ezkl", pair, with_claim(pair.exact, ezkl="23.0.4"))
    accepted(pair, with_claim(pair.exact, circuit=pair.shape.digest, ezkl="23.0.5"))


# --- what is claimed -----------------------------------------------------------------------------


@pytest.mark.parametrize("by", [-1, 1])
def test_s_off_by_one_cell(pair, cell, by):
    """Rewritten in the file; and with projection proofs made for the lie."""
    wrong = Range(cell + by, cell + by)
    refused(4, "first model", pair, with_claim(pair.exact, low=wrong.low, high=wrong.high))
    refused(5, "does not hold", pair, forge(pair, pair.exact.proof, wrong))
    accepted(pair, forge(pair, pair.exact.proof, Range(cell, cell)))


def test_threshold_changed(pair, cell):
    """Another one in the header, without and with projection proofs for it: even a weaker one."""
    for bounds in (Range(cell - 2, TOP), Range(cell, TOP), Range(cell - 1, TOP - 1)):
        lie = with_claim(pair.threshold, low=bounds.low, high=bounds.high)
        refused(4, "first model", pair, lie)
        refused(5, "does not hold", pair, forge(pair, pair.threshold.proof, bounds))
    accepted(pair, forge(pair, pair.threshold.proof, Range(cell - 1, TOP)))


def test_a_forged_bit(pair, cell):
    """The threshold one cell above s: a true proof that one condition is missed does not pass for a
    proof that all hold."""
    missed = Range(cell + 1, TOP)
    with patch.object(columns, "OUTPUTS", [CONDITIONS - 1, *columns.OUTPUTS[1:]]):
        bundle = forge(pair, circuit_proof(pair, missed), missed)
        accepted(pair, bundle, policy=Policy())
    refused(5, "does not hold", pair, bundle)


def test_a_circuit_told_other_bounds_than_the_file(pair, cell):
    """The prover's column has bounds that hold; the verifier computes the column from the file."""
    claimed = Range(cell + 1, TOP)
    honest = columns.public_column

    def other(weights, bounds):
        return honest(weights, ANY)

    with patch.object(columns, "public_column", other):
        bundle = forge(pair, circuit_proof(pair, claimed), claimed)
        accepted(pair, bundle, policy=Policy())
    refused(5, "does not hold", pair, bundle)


def weighted(maps: list, weights: Weights) -> list[int]:
    """For each term, the weighted sum of its maps' entries."""
    sums = [0, 0, 0]
    for index, m in enumerate(maps):
        for a, line in enumerate(m):
            left = weights.left[len(m) * (index // 3) + a]
            sums[index % 3] += left * dot(weights.right, line)
    return sums


def test_maps_of_other_rows(pair):
    """Both models' maps the same, hence s = 1: the differences show it, and they must be zero."""
    one = Range(1 << 16, 1 << 16)
    first, second = integer_maps_of(pair)
    honest = halo2.prove_columns

    def proven(inputs, outputs, *rest):
        weights = Weights(tuple(inputs[-1][:LEFT]), tuple(inputs[-1][LEFT : LEFT + RIGHT]))
        false, true = (weighted(maps, weights) for maps in (first, second))
        gaps = [a - b for a, b in zip(false, true, strict=True)]
        assert all(gaps)
        return honest(inputs, [CONDITIONS, 0, 0, 0, *gaps], *rest)

    with patch.object(halo2, "prove_columns", proven):
        proof = circuit_proof(pair, one, maps=[first, first])
    refused(5, "does not hold", pair, forge(pair, proof, one))
    accepted(pair, pair.exact)


def test_weights_of_the_provers_choice(pair):
    """Known before the maps are fixed, they let any maps through: with these, all that have their
    true first entries. The verifier draws its own."""
    first, second = integer_maps_of(pair)
    false = [[list(line) for line in m] for m in first]
    for t in range(3):
        false[t][0][0] = second[t][0][0]
    claimed = exactly(sum_of_cosines(pair.shape, first, false))
    assert claimed.low > exactly(pair.total).low + 1000
    chosen = Weights((1,) + (0,) * (LEFT - 1), (1,) + (0,) * (RIGHT - 1))
    with patch.object(columns, "draw", lambda *_: chosen):
        bundle = forge(pair, circuit_proof(pair, claimed, maps=[first, false]), claimed)
        accepted(pair, bundle, policy=Policy())
    refused(5, "does not hold", pair, bundle)


@pytest.mark.parametrize(
    "fields",
    [{"low": 5, "high": 4}, {"low": -TOP - 1}, {"high": TOP + 1}, {"low": "0"}, {"low": True}],
)
def test_bounds_that_are_none(pair, fields):
    header = {**asdict(pair.exact.claim), **fields}
    refused(0, "low|high|range|header", pair, pack(pair.exact, header))
    accepted(pair, pack(pair.exact, asdict(pair.exact.claim)))


def test_another_seed(pair, cell):
    """Named in the header, asked for, or used for the projections alone."""
    refused(4, "first model", pair, with_claim(pair.exact, seed=FRESH.hex()))
    fresh = Policy(seed=FRESH)
    refused(6, "asked for", pair, pair.exact, policy=fresh)
    lent = forge(pair, pair.exact.proof, Range(cell, cell), seed=FRESH, projected_with=PUBLIC_SEED)
    refused(4, "first model", pair, lent, policy=fresh)
    accepted(pair, with_claim(pair.exact, seed=PUBLIC_SEED.hex()))


# --- what is proven of ---------------------------------------------------------------------------


def test_rows_of_another_model(pair):
    """A true proof that a model is like itself, passed off as one about two."""
    rows, maps = rows_of(pair), integer_maps_of(pair)
    like = Range(1 << 16, 1 << 16)
    proof = circuit_proof(pair, like, [rows[0], rows[0]], [maps[0], maps[0]])
    refused(4, "second model: the projection proof's", pair, forge(pair, proof, like))
    accepted(pair, pair.exact)


def test_a_projection_proof_lent(pair):
    """From another claim about the same pair, from the other model, and told to be the other's."""
    for place in (0, 1):
        lent = list(pair.exact.projections)
        lent[place] = pair.threshold.projections[place]
        which = ("first", "second")[place]
        refused(4, f"{which} model", pair, replace(pair.exact, projections=tuple(lent)))
    turned = replace(pair.exact, projections=swapped(pair.exact.projections))
    refused(4, "first model", pair, turned)
    bounds = pair.exact.claim.bounds
    refused(4, "second model", pair, forge(pair, pair.exact.proof, bounds, models=(0, 0)))
    accepted(pair, forge(pair, pair.exact.proof, bounds, models=(0, 1)))


def test_parts_of_the_proof_exchanged(pair, parts):
    """Points are bound to their places: two of them exchanged, and grafts of another proof."""
    rows = [list(model) for model in parts.rows]
    rows[0][:2] = rows[0][1::-1]
    refused(4, "first model", pair, with_proof(pair.exact, rows=tuple(rows)))
    refused(5, "does not hold", pair, with_proof(pair.exact, maps=swapped(parts.maps)))
    other = columns.parse(pair.threshold.proof)
    refused(5, "does not hold", pair, with_proof(pair.exact, halo2=other.halo2))
    refused(5, "does not hold", pair, with_proof(pair.exact, maps=other.maps))
    accepted(pair, with_proof(pair.exact, rows=parts.rows, maps=parts.maps, halo2=parts.halo2))


# --- the file ------------------------------------------------------------------------------------


def test_trailing_and_missing_bytes(pair, parts):
    data = pack(pair.exact)
    for bad, words in (
        (data + b"\0", "too long"),
        (data[:-1], "too short"),
        (data[:8], "ends inside"),
        (b"HUREFZP\x02" + data[8:], "starts with other bytes"),
        (b"HUREFZS\x01" + data[8:], "version 1"),
    ):
        refused(0, words, pair, bad)
    refused(5, "follow", pair, with_proof(pair.exact, halo2=parts.halo2 + b"\0"))
    refused(5, "does not hold", pair, with_proof(pair.exact, halo2=parts.halo2[:-1]))
    for place in (0, 1):
        projections = list(pair.exact.projections)
        projections[place] += b"\0"
        bad = replace(pair.exact, projections=tuple(projections))
        refused(0, "projection proof has", pair, bad)
    refused(0, "too short", pair, replace(pair.exact, proof=pair.exact.proof[: 32 * 98 - 1]))
    accepted(pair, data)


def test_header_fields(pair):
    header = asdict(pair.exact.claim)
    for fields in ({"image": "0" * 64}, {"seed": "AB" * 32}, {"ezkl": ""}):
        refused(0, "header", pair, pack(pair.exact, {**header, **fields}))
    for name in header:
        lacking = {k: v for k, v in header.items() if k != name}
        refused(0, "lacks", pair, pack(pair.exact, lacking))
    accepted(pair, pair.exact)


def test_points_that_are_none(pair):
    proof = pair.exact.proof
    for bad in (b"\xff" * 32, NOT_ON_THE_CURVE.to_bytes(32, "big")):
        refused(0, "point|curve", pair, replace(pair.exact, proof=bad + proof[32:]))
    accepted(pair, replace(pair.exact, proof=proof[:32] + proof[32:]))


def test_arguments_that_are_wrong(pair, tmp_path):
    """No claim is judged: the caller named something that is no commitment."""
    with pytest.raises(InputError, match="neither a commitment file"):
        judge(pair, pair.exact, expected=(pair.roots[0], str(tmp_path / "none.hzc")))
    accepted(pair, pair.exact)
