"""Honest openings pass against the root alone; whatever is changed is refused at its step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError, StepFailed
from huref_zk.files.container import canonical_json, pack_container
from huref_zk.proofs.opening.differences import compare_commitments
from huref_zk.proofs.opening.file import (
    MAGIC,
    Opening,
    parse_opening,
    serialise_opening,
    siblings_needed,
    write_opening,
)
from huref_zk.proofs.opening.prove import open_rows
from huref_zk.proofs.opening.rows import sample_rows
from huref_zk.proofs.opening.verify import check_opening, check_opening_file

ROWS = [(0, 0), (0, 33), (0, 69), (1, 5), (2, 0), (2, 3)]
NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def honest(opening_of, small_commitment, opening_cache) -> Opening:
    opening = opening_of(ROWS)
    check_opening(opening, small_commitment.root_hex, opening_cache, True)
    return opening


@pytest.fixture
def refusal(small_commitment, opening_cache):
    """The step at which an opening is refused, with the message; (None, "") if it is not."""

    def judge(opening, root=small_commitment.root_hex, **options):
        try:
            check_opening(opening, root, opening_cache, True, **options)
        except StepFailed as e:
            return e.step, str(e)
        return None, ""

    return judge


def test_an_honest_opening(honest, refusal, small, small_commitment):
    assert refusal(honest) == (None, "")
    assert honest.places == ROWS
    np.testing.assert_array_equal(honest.rows[0].values, small.E[0])
    both = np.concatenate(small.V, axis=1)
    np.testing.assert_array_equal(honest.rows[-1].values, both[3])
    assert [len(row.salts) for row in honest.rows] == [17] * 3 + [8] * 3


@pytest.mark.parametrize("rows", [[(0, 64)], [(2, 5)], [(1, i) for i in range(6)], "all"])
def test_any_choice_of_rows(rows, opening_of, refusal):
    if rows == "all":
        rows = [(0, i) for i in range(70)] + [(m, i) for m in (1, 2) for i in range(6)]
    assert refusal(opening_of(rows)) == (None, "")


def test_bytes(honest, refusal, opening_of):
    data = serialise_opening(honest)
    again = parse_opening(data)
    assert serialise_opening(again) == data
    assert refusal(again) == (None, "")
    assert again.leaves == honest.leaves and again.descriptor == honest.descriptor
    # Rows may be asked for in any order, and twice: the opening is the same.
    assert serialise_opening(opening_of([*ROWS[::-1], ROWS[0]])) == data


def test_a_file(honest, tmp_path, small_commitment, opening_cache):
    path = tmp_path / "o.hzo"
    steps = []
    root = small_commitment.root_hex
    with pytest.raises(InputError, match="is not a file"):
        check_opening_file(path, root, opening_cache, True)
    write_opening(path, honest)
    check_opening_file(path, root, opening_cache, True, None, lambda n, *_: steps.append(n))
    assert steps == [0, 1, 2, 3]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StepFailed) as caught:
        check_opening_file(path, root, opening_cache, True)
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
    changed[place] += by
    return changed


def salted(salts, place):
    return tuple((s + (i == place)) % R for i, s in enumerate(salts))


@pytest.mark.parametrize("index", range(len(ROWS)))
@pytest.mark.parametrize("place", [1, -1])
def test_one_integer(index, place, honest, refusal):
    changed = with_row(honest, index, values=bumped(honest.rows[index].values, place))
    step, message = refusal(changed)
    assert step == 3
    letter, number = "EUV"[ROWS[index][0]], ROWS[index][1]
    assert message.endswith(f": {letter}:{number}")  # that row and no other
    back = with_row(changed, index, values=bumped(changed.rows[index].values, place, -1))
    assert refusal(back) == (None, "")


@pytest.mark.parametrize("index, place", [(0, 0), (0, 16), (3, 0), (5, 7)])
def test_one_salt(index, place, honest, refusal):
    changed = with_row(honest, index, salts=salted(honest.rows[index].salts, place))
    assert refusal(changed)[0] == 3


def test_errors_that_would_cancel(honest, refusal):
    """Rows of one length, one a bit too large, the other too small by as much: both are named."""
    changed = with_row(honest, 0, values=bumped(honest.rows[0].values, 3, 1))
    changed = with_row(changed, 1, values=bumped(honest.rows[1].values, 3, -1))
    step, message = refusal(changed)
    assert step == 3 and message.endswith("E:0, E:33")


def test_rows_exchanged(honest, refusal):
    rows = list(honest.rows)
    a, b = rows[0], rows[1]
    rows[0] = replace(a, values=b.values, salts=b.salts)
    rows[1] = replace(b, values=a.values, salts=a.salts)
    assert refusal(replace(honest, rows=tuple(rows)))[0] == 3


def test_a_point_of_a_leaf(honest, refusal):
    points = list(honest.leaves[0].points)
    points[5] = bn254.GENERATOR  # of a row that is not opened
    assert refusal(with_leaf(honest, 0, points=tuple(points)))[0] == 1


def test_a_row_with_its_own_point(honest, refusal):
    """A false row together with the point that fits it: the path no longer leads to the root."""
    row = honest.rows[3]
    changed = with_row(honest, 3, values=bumped(row.values, 0), salts=(0,) * 8)
    leaf = next(i for i, leaf in enumerate(honest.leaves) if leaf.matrix == 1)
    points = list(honest.leaves[leaf].points)
    points[5] = bn254.add(points[5], bn254.GENERATOR)
    assert refusal(with_leaf(changed, leaf, points=tuple(points)))[0] == 1


@pytest.mark.parametrize("index", [0, -1])
def test_a_sibling(index, honest, refusal):
    siblings = [(s + 1) % R for s in honest.leaves[index].siblings]
    assert siblings
    assert refusal(with_leaf(honest, index, siblings=tuple(siblings)))[0] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"scales": {"E": 9}},
        {"layers": [1, 0]},
        {"model": {"hidden_size": 6, "architecture": "llama"}},
        {"tokens": {"count": 70, "digest": "0" * 64}},
    ],
)
def test_another_descriptor(change, honest, refusal):
    assert refusal(replace(honest, descriptor=honest.descriptor | change))[0] == 1


def test_another_root(honest, refusal, small_commitment):
    other = f"{small_commitment.root ^ 1:064x}"
    assert refusal(honest, root=other)[0] == 1


def test_the_test_setup_must_be_allowed(honest, small_commitment, opening_cache):
    with pytest.raises(StepFailed, match="TEST setup") as caught:
        check_opening(honest, small_commitment.root_hex, opening_cache)
    assert caught.value.step == 2


def test_a_choice_is_demanded(opening_of, small_commitment, refusal):
    def chosen(nonce, count):
        return sample_rows(small_commitment.descriptor, small_commitment.root, nonce, count)

    rows = chosen(NONCE, 12)
    opening = opening_of(rows)
    assert refusal(opening, choice=(NONCE, 12)) == (None, "")
    assert refusal(opening, choice=(NONCE[::-1], 12))[0] == 4
    assert refusal(opening, choice=(NONCE, 13))[0] == 4
    other = next(row for row in chosen(NONCE, 80) if row not in rows)
    more, fewer = opening_of([*rows, other]), opening_of(rows[:-1])
    assert "others besides" in refusal(more, choice=(NONCE, 12))[1]
    assert "missing are" in refusal(fewer, choice=(NONCE, 12))[1]
    assert refusal(fewer) == refusal(more) == (None, "")  # both are true openings


# --- the owner's side ----------------------------------------------------------------------------


def test_a_false_opening_is_never_made(small, small_commitment, opening_srs):
    secret = bytes(range(32))
    assert open_rows(small, secret, small_commitment, ROWS, opening_srs)
    with pytest.raises(InputError, match="not one of this model under this secret"):
        open_rows(small, bytes(32), small_commitment, ROWS, opening_srs)
    E = small.E.copy()
    E[50, 0] += 1  # a row that is not even opened: all salts depend on it
    with pytest.raises(InputError, match="not one of this model under this secret"):
        open_rows(replace(small, E=E), secret, small_commitment, ROWS, opening_srs)
    with pytest.raises(InputError, match="differ in size"):
        open_rows(replace(small, E=small.E[:-2]), secret, small_commitment, ROWS, opening_srs)


@pytest.mark.parametrize("row", [(0, 70), (1, 6), (2, 6)])
def test_rows_that_do_not_exist(row, opening_of):
    assert opening_of([(row[0], row[1] - 1)])
    with pytest.raises(InputError, match="there is no row"):
        opening_of([row])
    with pytest.raises(InputError):
        opening_of([])


def test_what_another_commitment_differs_in(small_commitment):
    assert compare_commitments(small_commitment, small_commitment).same
    d = small_commitment.descriptor
    points = list(small_commitment.U_points)
    points[4] = None
    other = replace(
        small_commitment,
        descriptor=d | {"scales": d["scales"] | {"U0a": 6}, "layers": [0, 2]},
        U_points=tuple(points),
        E_points=small_commitment.E_points[:-1],
    )
    found = compare_commitments(small_commitment, other)
    assert not found.same
    assert found.fields == [
        "layers: committed [0, 1], found [0, 2]",
        "scales.U0a: committed 7, found 6",
    ]
    assert (found.rows, found.total) == ([(0, 69), (1, 4)], 82)


# --- malformed files -----------------------------------------------------------------------------


def rebuilt(opening, sections=None, **header) -> bytes:
    """The opening's bytes with other header fields (None drops one) or other sections."""
    data = serialise_opening(opening)
    length = int.from_bytes(data[8:12], "big")
    rows = {"E": [0, 33, 69], "U": [5], "V": [0, 3]}
    fields = {"format": "huref-zk opening 1", "descriptor": opening.descriptor, "rows": rows}
    assert canonical_json(fields) == data[12 : 12 + length]
    fields = {k: v for k, v in (fields | header).items() if v is not None}
    return pack_container(MAGIC, fields, [data[12 + length :] if sections is None else sections])


@pytest.mark.parametrize(
    "header",
    [
        {"format": "huref-zk opening 2"},
        {"format": None},
        {"descriptor": None},
        {"descriptor": []},
        {"descriptor": {}},
        {"rows": None},
        {"rows": []},
        {"rows": {"E": [0, 33, 69], "U": [5]}},
        {"rows": {"E": [33, 0, 69], "U": [5], "V": [0, 3]}},
        {"rows": {"E": [0, 0, 69], "U": [5], "V": [0, 3]}},
        {"rows": {"E": [0, 33, 70], "U": [5], "V": [0, 3]}},
        {"rows": {"E": [-1, 33, 69], "U": [5], "V": [0, 3]}},
        {"rows": {"E": ["0", 33, 69], "U": [5], "V": [0, 3]}},
        {"rows": {"E": [], "U": [], "V": []}},
        {"rows": {"E": [0, 33, 69], "U": [5], "V": 3}},
        {"rows": {"E": list(range(5000)), "U": [], "V": []}},
        {"more": 1},
    ],
)
def test_a_malformed_header(header, honest):
    parse_opening(rebuilt(honest))
    with pytest.raises(InputError):
        parse_opening(rebuilt(honest, **header))


def test_malformed_sections(honest):
    data = serialise_opening(honest)
    length = int.from_bytes(data[8:12], "big")
    body = data[12 + length :]
    parse_opening(rebuilt(honest, body))
    assert body[:4] == b"\x7f\xff\x80\x01"  # 32767, -32767: the extremes are fine
    lowest = body[:2] + b"\x80\x00" + body[4:]
    with pytest.raises(InputError, match="beyond 32767"):
        parse_opening(rebuilt(honest, lowest))
    large = body[:12] + R.to_bytes(32, "big") + body[44:]
    with pytest.raises(InputError, match="canonical field element"):
        parse_opening(rebuilt(honest, large))
    start = 3 * (12 + 17 * 32) + 3 * (36 + 8 * 32)  # the first leaf's first point
    for point in (b"\xff" * 32, b"\x40" + b"\x01" * 31, (bn254.Q + 1).to_bytes(32, "big")):
        with pytest.raises(InputError, match="compressed point"):
            parse_opening(rebuilt(honest, body[:start] + point + body[start + 32 :]))
    with pytest.raises(InputError, match="canonical field element"):
        parse_opening(rebuilt(honest, body[:-32] + b"\xff" * 32))
    for wrong in (body[:-1], body + b"\0", body[:-32], b""):
        with pytest.raises(InputError, match=r"too short|too long"):
            parse_opening(rebuilt(honest, wrong))


def test_other_files(honest, small_commitment):
    data = serialise_opening(honest)
    for wrong in (b"", b"HUREFZKC" + data[8:], data[:10], data[:200]):
        with pytest.raises(InputError):
            parse_opening(wrong)


def test_siblings_are_as_many_as_the_path_has():
    from huref_zk.commitment.tree import path, paths

    for count in (1, 2, 3, 5, 8, 11):
        leaves = list(range(count))
        everything = paths(leaves, leaves)
        for i in range(count):
            assert everything[i] == path(leaves, i)
            assert siblings_needed(i, count) == len(everything[i])
