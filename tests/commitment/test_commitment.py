import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest

from huref_zk.commitment import file as commitment
from huref_zk.commitment import tree as merkle
from huref_zk.commitment.file import (
    MAGIC,
    Commitment,
    check_descriptor,
    commit,
    leaf_hashes,
    parse_commitment,
    read_commitment,
    serialise,
    token_digest,
    write_commitment,
)
from huref_zk.commitment.salts import E_SALTS, SALTS, blinds, row_salts, salt_key
from huref_zk.curve import bn254
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json, pack_container

SECRET = bytes(range(32))
K, D, WIDTHS, LAYERS = 64, 5, [2, 3, 4], [7, 9]


@dataclass(frozen=True)
class Arrays:
    """What commit() reads of a quantised model."""

    E: np.ndarray
    U: tuple
    V: tuple


def arrays(seed=1):
    rng = np.random.default_rng(seed)

    def draw(rows, columns):
        return rng.integers(-300, 300, (rows, columns)).astype(np.int32)

    width = sum(WIDTHS)
    return Arrays(draw(K, D), (draw(D, width), draw(D, width)), (draw(D, width), draw(D, width)))


FACTS = {
    "model": {"hidden_size": D, "architecture": "tiny"},
    "layers": LAYERS,
    "widths": WIDTHS,
    "tokens": {"count": K, "digest": token_digest(range(K))},
    "scales": {"E": 8, "U0a": 10},
}


@pytest.fixture(scope="module")
def committed(srs) -> Commitment:
    return commit(arrays(), FACTS, SECRET, srs, 1)


def changed(descriptor, path, value):
    result = copy.deepcopy(descriptor)
    target = result
    *parents, last = path.split(".")
    for name in parents:
        target = target[name]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return result


def test_points_are_the_salted_rows(committed, srs):
    q = arrays()
    matrices = (q.E, np.concatenate(q.U, axis=1), np.concatenate(q.V, axis=1))
    key = salt_key(SECRET, matrices)
    generators = srs.lagrange(0, 2 * sum(WIDTHS) + SALTS)
    groups = (committed.E_points, committed.U_points, committed.V_points)
    for index, (matrix, points) in enumerate(zip(matrices, groups, strict=True)):
        salts = row_salts(key, index, len(matrix))
        assert len(points) == len(matrix)
        for row in (0, len(matrix) - 1):
            entries = [int(v) for v in matrix[row]] + salts[row]
            assert bn254.msm(generators[: len(entries)], entries) == points[row]


def test_root_is_the_tree_over_the_file(committed):
    data = serialise(committed)
    body = data[12 + int.from_bytes(data[8:12], "big") :]
    counts = [K, D, D]
    leaves, position = [], 0
    for matrix, first, count in merkle.leaf_ranges(counts):
        leaves.append(merkle.leaf(matrix, first, body[position : position + 32 * count]))
        position += 32 * count
    assert position == len(body) and leaves == leaf_hashes(committed)
    descriptor = canonical_json(committed.descriptor)
    assert committed.root == merkle.root(leaves, descriptor)
    assert committed.root_hex == f"{committed.root:064x}"
    siblings = merkle.path(leaves, 1)
    assert merkle.check_path(leaves[1], 1, len(leaves), siblings, descriptor) == committed.root


def test_file_round_trip(committed, tmp_path):
    path = tmp_path / "c.hzc"
    write_commitment(path, committed)
    assert read_commitment(path) == committed
    assert path.read_bytes() == serialise(committed)
    assert (committed.hidden, committed.length) == (D, 2 * sum(WIDTHS))


def test_same_inputs_same_commitment_whatever_the_processes(committed, srs):
    heard = []
    again = commit(arrays(), FACTS, SECRET, srs, 2, lambda done, total: heard.append((done, total)))
    assert again == committed
    assert heard == [(n, heard[-1][1]) for n in range(1, heard[-1][1] + 1)]


def test_every_salt_changes_with_secret_and_with_weights(committed, srs):
    """Same row, other secret, or the same secret and one weight changed elsewhere."""
    other_secret = commit(arrays(), FACTS, bytes(32), srs, 1)
    q = arrays()
    q.V[1][D - 1, 0] += 1
    other_weight = commit(q, FACTS, SECRET, srs, 1)
    for other in (other_secret, other_weight):
        mine = committed.E_points + committed.U_points + committed.V_points
        theirs = other.E_points + other.U_points + other.V_points
        assert not set(mine) & set(theirs)
        assert other.root != committed.root


def test_salts_are_distinct_field_elements():
    key = salt_key(SECRET, (np.zeros((4, 2)), np.zeros((2, 3)), np.zeros((2, 3))))
    drawn = [row_salts(key, index, 4) for index in range(3)]
    assert {len(row) for row in drawn[0]} == {E_SALTS}
    assert {len(row) for row in drawn[1] + drawn[2]} == {SALTS}
    values = [value for matrix in drawn for row in matrix for value in row]
    assert len(set(values)) == len(values) and all(0 <= v < bn254.R for v in values)
    assert min(values) > 1 << 200  # full size: a short salt would be a mistake
    places = list(range(E_SALTS))
    assert places[:1] + places[blinds(0)] + places[blinds(1)] == places
    with pytest.raises(InputError, match="32 bytes"):
        salt_key(b"short", (np.zeros((1, 1)),) * 3)


def test_facts_must_fit_the_matrices(srs):
    for path, value in [
        ("model.hidden_size", D + 1),
        ("layers", [7]),
        ("widths", [2, 3, 5]),
        ("tokens.count", K - 2),
    ]:
        with pytest.raises(InputError, match="a matrix is"):
            commit(arrays(), changed(FACTS, path, value), SECRET, srs, 1)


def test_every_point_is_bound(committed):
    """Exchanging any two different points, or negating one, gives another root."""
    data = serialise(committed)
    start = len(data) - 32 * (K + 2 * D)
    assert parse_commitment(data).root == committed.root  # the control
    for row in (0, 31, 32, K - 1, K, K + D, K + 2 * D - 1):
        at = start + 32 * row
        negated = data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :]
        assert parse_commitment(negated).root != committed.root
        other = start + 32 * ((row + 1) % (K + 2 * D))
        swapped = bytearray(data)
        swapped[at : at + 32], swapped[other : other + 32] = (
            data[other : other + 32],
            data[at : at + 32],
        )
        assert parse_commitment(bytes(swapped)).root != committed.root


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.architecture", "other"),
        ("model.extra", 1),
        ("layers", [7, 8]),
        ("layers", [9, 7]),
        ("widths", [3, 2, 4]),
        ("tokens.digest", "0" * 64),
        ("scales.E", 9),
        ("domain_k", 9),
        ("srs.kind", "ceremony"),
        ("srs.sha256", "0" * 64),
        ("ezkl", "23.0.6"),
    ],
)
def test_every_descriptor_field_is_bound(committed, path, value):
    """Another well-formed descriptor over the same points is another root."""
    body = serialise(committed)[-32 * (K + 2 * D) :]
    same = pack_container(MAGIC, committed.descriptor, [body])
    other = pack_container(MAGIC, changed(committed.descriptor, path, value), [body])
    assert parse_commitment(same).root == committed.root  # the control
    assert parse_commitment(other).root != committed.root


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        *[(name, None, f"lacks the field '{name}'") for name in sorted(commitment._FIELDS)],
        ("extra", 1, "unknown field 'extra'"),
        ("format", "huref-zk commitment 2", "reads 'huref-zk commitment 1'"),
        ("format", 1, "reads"),
        ("model", [], "model must be an object"),
        ("model.hidden_size", None, "hidden_size must be an integer"),
        ("model.hidden_size", 0, "from 1 to"),
        ("model.hidden_size", 1 << 40, "from 1 to"),
        ("model.hidden_size", "5", "from 1 to"),
        ("model.note", "x" * 201, "200 characters"),
        ("model.note", [], "200 characters"),
        ("layers", [], "list of 1 to"),
        ("layers", [7, 7], "that differ"),
        ("layers", [-1, 7], "from 0 to"),
        ("layers", list(range(65)), "list of 1 to"),
        ("layers", "7,9", "list of 1 to"),
        ("widths", [2, 3], "three widths"),
        ("widths", [2, 3, 0], "from 1 to"),
        ("widths", [2, 3, 1 << 21], "from 1 to"),
        ("tokens", 5, "tokens must be an object"),
        ("tokens.count", None, "lacks the field 'count'"),
        ("tokens.count", 63, "even"),
        ("tokens.count", 1 << 30, "from 2 to"),
        ("tokens.digest", "g" * 64, "hex digits"),
        ("tokens.digest", "A" * 64, "hex digits"),
        ("tokens.more", 1, "at most 2 fields"),
        ("scales.E", "8", "scales.E must be"),
        ("scales", {str(i): 1 for i in range(1000)}, "at most 385 fields"),
        ("salts", 7, "salts must be"),
        ("domain_k", 0, "from 1 to"),
        ("domain_k", 64, "from 1 to"),
        ("domain_k", 5, "does not fit the domain"),
        ("srs.kind", "mine", "srs.kind"),
        ("srs.sha256", "00", "hex digits"),
        ("srs.extra", 1, "at most 2 fields"),
        ("ezkl", "", "must be a version"),
        ("ezkl", 23, "must be a version"),
    ],
)
def test_malformed_descriptors(committed, path, value, words):
    assert check_descriptor(committed.descriptor) == (K, D, D)  # the control
    bad = changed(committed.descriptor, path, value)
    with pytest.raises(InputError, match=words):
        check_descriptor(bad)
    with pytest.raises(InputError, match=words):
        parse_commitment(pack_container(MAGIC, bad, [serialise(committed)[-32 * (K + 2 * D) :]]))


def test_malformed_files(committed, tmp_path):
    good = serialise(committed)
    bad_point = good[:-32] + b"\x3f" * 32
    for data, words in [
        (b"", "other bytes"),
        (b"HUREFZKP" + good[8:], "no HUREFZKC file"),
        (good[:-1], "too short"),
        (good + b"\0", "too long"),
        (good[:-32], "too short"),
        (bad_point, "not below the field order"),
    ]:
        with pytest.raises(InputError, match=words):
            parse_commitment(data)
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(InputError, match=words):
            read_commitment(tmp_path / "bad")
    many = changed(committed.descriptor, "tokens.count", commitment.MAX_ROWS - 2)
    with pytest.raises(InputError, match="implies more than"):
        parse_commitment(pack_container(MAGIC, many, []))
    with pytest.raises(InputError, match="at most"):
        parse_commitment(good + bytes(10_000_000))


def test_commitment_is_frozen(committed):
    with pytest.raises(AttributeError):
        committed.root = 0
    assert replace(committed, root=1) != committed
