"""Honest openings pass against the root alone; whatever is changed is refused at its step."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

from huref_zk.commitment.descriptor import Tokens
from huref_zk.commitment.file import make_commitment
from huref_zk.commitment.tree import path, paths
from huref_zk.commitment.witness import Witness
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError, StepFailed
from huref_zk.files.container import pack, unpack
from huref_zk.files.formats import COMMITMENT, OPENING
from huref_zk.proofs.kernel import STEPS, Setup
from huref_zk.proofs.opening.differences import (
    Different,
    Recomputed,
    compare_commitments,
    compare_fields,
    compare_matrices,
    compare_with_model,
    recommit,
)
from huref_zk.proofs.opening.file import (
    Opening,
    parse_opening,
    serialise_opening,
    siblings_needed,
    write_opening,
)
from huref_zk.proofs.opening.prove import open_rows
from huref_zk.proofs.opening.rows import sample_rows
from huref_zk.proofs.opening.verify import Choice, verify_bytes, verify_file
from tests.support.small_owner import small_owner

ROWS = [("E", 0), ("E", 33), ("E", 69), ("C", 5), ("qv1", 0), ("ko1", 3), ("O", 40)]
NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def honest(opening_of) -> Opening:
    return opening_of(ROWS)


@pytest.fixture
def refusal(small, opening_setup):
    """The step at which an opening is refused, with the message; ("", "") if it is not."""

    def judge(opening, root=small.commitment.root_hex, setup=opening_setup, **options):
        data = opening if isinstance(opening, bytes) else serialise_opening(opening)
        try:
            verify_bytes(data, root, setup, **options)
        except StepFailed as e:
            return e.name, str(e)
        return "", ""

    return judge


def test_an_honest_opening(honest, refusal, small):
    assert refusal(honest) == ("", "")
    assert honest.places == ROWS
    np.testing.assert_array_equal(honest.rows[0].values, small.witness.matrices["E"][0])
    core = honest.rows[3].values.reshape(-1)[: 2 * 22].reshape(2, 22)
    np.testing.assert_array_equal(core[:, :6], small.witness.matrices["C"][5, :2])
    assert not core[:, 6:].any()
    assert [len(row.salts) for row in honest.rows] == [16] * 3 + [8] * 4


@pytest.mark.parametrize("rows", [[("E", 64)], [("O", 5)], [("C", i) for i in range(6)], "all"])
def test_any_choice_of_rows(rows, opening_of, refusal, small):
    if rows == "all":
        rows = [(m.name, i) for m in small.descriptor.matrices for i in range(m.rows)]
    assert refusal(opening_of(rows)) == ("", "")


def test_a_public_models_rows(opening_srs, opening_setup):
    owner = small_owner(opening_srs, "last-two", public=True)
    opening = open_rows(owner, [("C0", 0), ("C1", 5), ("E", 1)], opening_srs)
    assert not any(any(row.salts) for row in opening.rows)
    verify_bytes(serialise_opening(opening), owner.commitment.root_hex, opening_setup)


def test_bytes(honest, refusal, opening_of):
    data = serialise_opening(honest)
    again = parse_opening(data)
    assert serialise_opening(again) == data
    assert again.leaves == honest.leaves and again.descriptor == honest.descriptor
    # Rows may be asked for in any order, and twice: the opening is the same.
    assert serialise_opening(opening_of([*ROWS[::-1], ROWS[0]])) == data


def test_a_file(honest, tmp_path, small, opening_setup):
    path, heard = tmp_path / "o.hzo", []
    root = small.commitment.root_hex
    with pytest.raises(InputError, match="missing"):
        verify_file(path, root, opening_setup)
    write_opening(path, honest)
    report = verify_file(path, root, opening_setup, heard=heard.append)
    assert [step.name for step in heard] == [name for name, _ in STEPS["opening"]][:5]
    assert report.facts["rows"][:3] == ["E:0", "E:33", "E:69"] and report.test_setup
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StepFailed) as caught:
        verify_file(path, root, opening_setup)
    assert caught.value.step == 0


# --- tampering -----------------------------------------------------------------------------------


def with_row(opening, index, **changes) -> Opening:
    rows = list(opening.rows)
    rows[index] = replace(rows[index], **changes)
    return replace(opening, rows=tuple(rows))


def with_leaf(opening, index, **changes) -> Opening:
    leaves = list(opening.leaves)
    leaves[index] = replace(leaves[index], **changes)
    return replace(opening, leaves=tuple(leaves))


def bumped(values, place, by=1):
    changed = values.copy()
    changed[place] += by if abs(int(changed[place]) + by) < 1 << 15 else -by
    return changed


def salted(salts, place):
    return tuple((s + (i == place)) % R for i, s in enumerate(salts))


@pytest.mark.parametrize("index", range(len(ROWS)))
@pytest.mark.parametrize("place", [1, -1])
def test_one_integer(index, place, honest, refusal):
    values = honest.rows[index].values
    step, message = refusal(with_row(honest, index, values=bumped(values, place)))
    matrix, number = ROWS[index]
    assert (step, message) == ("rows", f"not what was committed: {matrix}:{number}")
    assert refusal(with_row(honest, index, values=values.copy())) == ("", "")


@pytest.mark.parametrize("index, place", [(0, 0), (0, 15), (3, 0), (5, 7)])
def test_one_salt(index, place, honest, refusal):
    changed = with_row(honest, index, salts=salted(honest.rows[index].salts, place))
    assert refusal(changed)[0] == "rows"


def test_a_place_that_is_always_zero(honest, refusal):
    """Between the blocks of a core's row stand zeros, and nothing else can be shown."""
    values = honest.rows[3].values.copy()
    assert values[6] == 0
    values[6] = 1
    assert refusal(with_row(honest, 3, values=values))[0] == "rows"


def test_errors_that_would_cancel(honest, refusal):
    """Rows of one length, one a bit too large, the other too small by as much: both are named."""
    values = [honest.rows[i].values for i in (0, 1)]
    changed = with_row(honest, 0, values=bumped(values[0], 3, 1))
    by = int(values[0][3]) - int(changed.rows[0].values[3])
    changed = with_row(changed, 1, values=bumped(values[1], 3, by))
    step, message = refusal(changed)
    assert step == "rows" and message.endswith("E:0, E:33")


def test_many_wrong_rows_are_not_all_named(opening_of, refusal):
    opening = opening_of([("E", i) for i in range(70)])
    rows = tuple(replace(row, salts=salted(row.salts, 1)) for row in opening.rows)
    step, message = refusal(replace(opening, rows=rows))
    assert step == "rows" and message.endswith("E:7, maybe others")


def test_rows_exchanged(honest, refusal):
    rows = list(honest.rows)
    a, b = rows[0], rows[1]
    rows[0] = replace(a, values=b.values, salts=b.salts)
    rows[1] = replace(b, values=a.values, salts=a.salts)
    assert refusal(replace(honest, rows=tuple(rows)))[0] == "rows"


def test_a_point_of_a_leaf(honest, refusal):
    points = list(honest.leaves[0].points)
    points[5] = bn254.GENERATOR  # of a row that is not opened
    assert refusal(with_leaf(honest, 0, points=tuple(points)))[0] == "commitment"


def test_a_row_with_its_own_point(honest, refusal):
    """A false row together with the point that fits it: the path no longer leads to the root."""
    row = honest.rows[3]
    changed = with_row(honest, 3, values=bumped(row.values, 0), salts=(0,) * 8)
    leaf = next(i for i, leaf in enumerate(honest.leaves) if leaf.place.matrix == "C")
    points = list(honest.leaves[leaf].points)
    points[5] = bn254.add(points[5], bn254.GENERATOR)
    assert refusal(with_leaf(changed, leaf, points=tuple(points)))[0] == "commitment"


@pytest.mark.parametrize("index", [0, -1])
def test_a_sibling(index, honest, refusal):
    siblings = [(s + 1) % R for s in honest.leaves[index].siblings]
    assert siblings
    assert refusal(with_leaf(honest, index, siblings=tuple(siblings)))[0] == "commitment"


@pytest.mark.parametrize(
    "change",
    [
        {"scales": {"E": "64.0"}},
        {"layers": (0, 1)},
        {"model": {"hidden_size": 6, "architecture": "llama"}},
        {"tokens": Tokens(70, "0" * 64, "given")},
    ],
)
def test_another_descriptor(change, honest, refusal):
    changed = replace(honest, descriptor=replace(honest.descriptor, **change))
    assert refusal(changed)[0] == "commitment"


def test_another_root(honest, refusal, small):
    assert refusal(honest, root=f"{small.commitment.root ^ 1:064x}")[0] == "commitment"


def test_the_test_setup_must_be_allowed(honest, refusal, opening_cache):
    step, message = refusal(honest, setup=Setup(opening_cache))
    assert step == "SRS" and "TEST setup" in message


def test_a_choice_is_demanded(opening_of, small, refusal):
    def chosen(nonce, count):
        return sample_rows(small.descriptor, small.commitment.root, nonce, count)

    rows = chosen(NONCE, 5)
    opening = opening_of(rows)
    assert refusal(opening, choice=Choice(NONCE, 5)) == ("", "")
    assert refusal(opening, choice=Choice(NONCE[::-1], 5))[0] == "choice"
    assert refusal(opening, choice=Choice(NONCE, 6))[0] == "choice"
    other = next(row for row in chosen(NONCE, 6) if row not in rows)
    more, fewer = opening_of([*rows, other]), opening_of(rows[:-1])
    assert "these are more" in refusal(more, choice=Choice(NONCE, 5))[1]
    assert "missing are" in refusal(fewer, choice=Choice(NONCE, 5))[1]
    assert refusal(fewer) == refusal(more) == ("", "")  # both are true openings


# --- against a model -----------------------------------------------------------------------------


def recomputed(owner, change=None, **fields) -> Recomputed:
    """As a judge with the owner's own model finds it; change: edits the matrices."""
    d = owner.descriptor.to_json()
    matrices = {name: matrix.copy() for name, matrix in owner.witness.matrices.items()}
    if change is not None:
        change(matrices)
    return Recomputed({**d, **fields}, matrices, lambda salt: owner.descriptor.checkpoint)


@pytest.fixture(scope="module")
def calm(opening_srs):
    """An owner with small integers, so that a unit more is none too large."""
    owner = small_owner(opening_srs, size=300)
    return owner, open_rows(owner, [("E", 3), ("C", 2), ("C", 4)], opening_srs)


def against(calm, given, setup):
    owner, opening = calm
    data, root = serialise_opening(opening), owner.commitment.root_hex
    return verify_bytes(data, root, setup, recompute=lambda _: given)


def test_rows_of_a_given_model(calm, opening_setup):
    report = against(calm, recomputed(calm[0]), opening_setup)
    assert report.steps[-1].name == "weights"
    assert "3 rows are this model's; 0 of 116 integers of cores" in report.steps[-1].detail


@pytest.mark.parametrize(
    "matrix, place, by, refused",
    [
        ("C", (2, 1, 3), 1, False),  # a unit in a core: another machine's rounding
        ("C", (2, 1, 3), -2, True),
        ("E", (3, 0), 1, True),
        ("E", (4, 0), 9, False),  # not an opened row
    ],
)
def test_what_may_differ(matrix, place, by, refused, calm, opening_setup):
    def change(matrices):
        matrices[matrix][place] += by

    given = recomputed(calm[0], change)
    if not refused:
        report = against(calm, given, opening_setup)
        assert f"{int(matrix == 'C')} of 116" in report.steps[-1].detail
        return
    with pytest.raises(StepFailed, match="1 of 3 opened rows and 0 fields") as caught:
        against(calm, given, opening_setup)
    assert caught.value.name == "weights"
    cause = caught.value.__cause__
    assert isinstance(cause, Different) and cause.rows[0].largest == abs(by)
    assert cause.rows[0].place == (matrix, place[0])


def test_fields_of_another_model(calm, opening_setup):
    for fields, words in (
        ({"layers": [0, 1]}, "layers: committed [0, 1, 2], found [0, 1]"),
        ({"scales": {"E": "64.0"}}, "scales.E: committed 128.0, found 64.0"),
        ({"tokens": {"count": 64, "digest": "0" * 64, "choice": "given"}}, "tokens.digest: "),
    ):
        with pytest.raises(StepFailed) as caught:
            against(calm, recomputed(calm[0], **fields), opening_setup)
        assert caught.value.__cause__.fields[0].startswith(words)


def test_scales_of_cores_may_differ_in_their_last_digits(small):
    d = replace(small.descriptor, scales={"E": "128.0", "C0a": "775044.8031488806"})
    given = recomputed(small)
    for scale, same in (("775044.8031488801", True), ("775045.9", False)):
        given.fields["scales"].update({"E": "128.0", "C0a": scale})
        assert (compare_fields(d, given) == []) is same
    del given.fields["scales"]["C0a"]
    assert compare_fields(d, given) == ["scales.C0a: committed 775044.8031488806, found nothing"]


def test_matrices_of_another_size(calm, opening_setup):
    given = recomputed(calm[0])
    given.matrices["E"] = given.matrices["E"][:-2]
    with pytest.raises(StepFailed, match="not of this model: E is"):
        against(calm, given, opening_setup)


def test_a_witness_against_a_model(calm):
    owner, _ = calm
    assert not any(m.different for m in compare_matrices(owner.witness, recomputed(owner)))

    def change(matrices):
        matrices["C"][0, 0, :3] += 1
        matrices["E"][5, 1] += 2

    of_e, of_c = compare_matrices(owner.witness, recomputed(owner, change))
    assert (of_e.different, of_e.largest, of_e.allowed) == (1, 2, 0)
    assert (of_c.different, of_c.largest, of_c.allowed) == (3, 1, 1)
    assert of_c.share == 3 / 108 and "3 of 108 integers differ" in str(of_c)
    compared = compare_with_model(owner.witness, lambda _: recomputed(owner))
    assert compared.same
    for given in (
        recomputed(owner, change),
        recomputed(owner, layers=[0]),
        replace(recomputed(owner), digest=lambda salt: salt.hex()),
        recomputed(owner, lambda matrices: matrices.update(E=matrices["E"][:-2])),
    ):
        assert not compare_with_model(owner.witness, lambda _, given=given: given).same


# --- the owner's side ----------------------------------------------------------------------------


def changed_witness(owner, matrix):
    matrices = dict(owner.witness.matrices)
    matrices[matrix] = bumped(matrices[matrix], (5, 0)) if matrix != "C" else matrices[matrix] // 2
    return replace(owner, witness=Witness(owner.descriptor, matrices, bytes(32)))


def test_a_false_opening_is_never_made(small, opening_srs):
    assert open_rows(small, ROWS, opening_srs)
    for other in (
        replace(small, secret=bytes(32)),
        changed_witness(small, "E"),  # a row that is not even opened: all salts depend on it
        changed_witness(small, "C"),
    ):
        with pytest.raises(InputError, match="do not belong together"):
            open_rows(other, ROWS, opening_srs)


def test_rows_that_are_no_small_integers(small, opening_srs, refusal):
    """Points that somebody chose, as a prover does who aims at a picture under a known seed: rows
    beside them can be opened, they cannot, and any choice that meets one is refused."""
    points = dict(small.commitment.points)
    points["C"] = (*points["C"][:2], bn254.multiply(bn254.GENERATOR, 12345), *points["C"][3:])
    made = make_commitment(small.descriptor, points, 1)
    odd = replace(small, commitment=made)
    assert refusal(open_rows(odd, [("C", 1)], opening_srs), root=made.root_hex) == ("", "")
    with pytest.raises(InputError, match="do not belong together"):
        open_rows(odd, [("C", 1), ("C", 2)], opening_srs)
    with patch("huref_zk.proofs.opening.prove.wrong_rows", lambda *_: []):
        opening = open_rows(odd, [("C", 1), ("C", 2)], opening_srs)
    assert refusal(opening, root=made.root_hex) == ("rows", "not what was committed: C:2")


@pytest.mark.parametrize("row", [("E", 70), ("C", 6), ("down1", 6), ("E", -1), ("U", 0)])
def test_rows_that_do_not_exist(row, opening_of):
    assert opening_of([("C", 5)])
    with pytest.raises(InputError, match=r"there is no row|has no matrix"):
        opening_of([row])
    with pytest.raises(InputError):
        opening_of([])


def test_recommit(small, opening_srs):
    result = recommit(small, opening_srs)
    assert result.same and result.total == 176
    other = recommit(replace(small, secret=bytes(32)), opening_srs)
    assert not other.same and len(other.rows) == other.total == 176
    assert len(recommit(changed_witness(small, "O"), opening_srs).rows) == 176


def test_what_another_commitment_differs_in(small):
    points = dict(small.commitment.points)
    points["C"] = (*points["C"][:4], None, points["C"][5])
    other = replace(small.commitment, points=points)
    found = compare_commitments(small.commitment, other)
    assert (found.rows, found.total, found.same) == ([("C", 4)], 176, False)


# --- malformed files -----------------------------------------------------------------------------


def rebuilt(opening, index=None, section=b"", **header) -> bytes:
    """The opening's bytes with other header fields (None drops one), or another section."""
    fields, sections = unpack(OPENING, serialise_opening(opening))
    fields = {k: v for k, v in (fields | header).items() if v is not None}
    parts = list(sections)
    if index is not None:
        parts[index] = section
    return pack(OPENING, fields, parts)


@pytest.mark.parametrize(
    "header", [{"recipe": None}, {"recipe": "own"}, {"more": 1}, {"layers": []}, {"srs": {}}]
)
def test_a_malformed_header(header, honest):
    parse_opening(rebuilt(honest))
    with pytest.raises(InputError):
        parse_opening(rebuilt(honest, **header))


def place(matrix, row):
    return matrix.to_bytes(2, "big") + row.to_bytes(4, "big")


@pytest.mark.parametrize(
    "change",
    [
        lambda p: b"",
        lambda p: p[:-1],
        lambda p: p[:-6],
        lambda p: p + place(6, 41),
        lambda p: p[6:12] + p[:6] + p[12:],  # out of order
        lambda p: p[:6] + p[:6] + p[12:],  # twice
        lambda p: place(7, 0) + p[6:],
        lambda p: p[:-6] + place(6, 70),
        lambda p: place(0, 0) * (1 << 15),
    ],
)
def test_malformed_places(change, honest):
    _, (places, _, _) = unpack(OPENING, serialise_opening(honest))
    parse_opening(rebuilt(honest, 0, places))
    with pytest.raises(InputError):
        parse_opening(rebuilt(honest, 0, change(places)))


def test_malformed_rows(honest):
    _, (_, rows, _) = unpack(OPENING, serialise_opening(honest))
    for wrong, words in (
        (b"\x80\x00" + rows[2:], "beyond 32767"),
        (rows[:12] + R.to_bytes(32, "big") + rows[44:], "canonical field element"),
        (rows[:-1], "rows have"),
        (rows + b"\0", "rows have"),
        (b"", "rows have"),
    ):
        with pytest.raises(InputError, match=words):
            parse_opening(rebuilt(honest, 1, wrong))
    parse_opening(rebuilt(honest, 1, b"\x80\x01" + rows[2:]))  # -32767 is fine


def test_malformed_leaves(honest):
    _, (_, _, leaves) = unpack(OPENING, serialise_opening(honest))
    for point in (b"\xff" * 32, b"\x40" + b"\x01" * 31, (bn254.Q + 1).to_bytes(32, "big")):
        with pytest.raises(InputError, match="compressed point"):
            parse_opening(rebuilt(honest, 2, point + leaves[32:]))
    with pytest.raises(InputError, match="canonical field element"):
        parse_opening(rebuilt(honest, 2, leaves[:-32] + b"\xff" * 32))
    for wrong in (leaves[:-1], leaves + b"\0", leaves[:-32], b""):
        with pytest.raises(InputError, match="leaves have"):
            parse_opening(rebuilt(honest, 2, wrong))


def test_other_files(honest):
    data = serialise_opening(honest)
    for wrong in (b"", COMMITMENT.magic + data[8:], data[:10], data[:200], data[:-1], data + b"0"):
        with pytest.raises(InputError):
            parse_opening(wrong)
    assert json.loads(data[12 : 12 + int.from_bytes(data[8:12], "big")])["recipe"] == "whole"


def test_siblings_are_as_many_as_the_path_has():
    for count in (1, 2, 3, 5, 8, 11):
        leaves = list(range(count))
        everything = paths(leaves, leaves)
        for i in range(count):
            assert everything[i] == path(leaves, i)
            assert siblings_needed(i, count) == len(everything[i])
