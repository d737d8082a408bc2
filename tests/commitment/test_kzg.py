import random

import numpy as np
import pytest

from huref_zk.commitment import kzg
from huref_zk.commitment.journal import Journal
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError


def rows(seed, count, width, tail, size=kzg.MAX_ENTRY):
    rng = np.random.default_rng(seed)
    values = rng.integers(-size, size + 1, (count, width)).astype(np.int32)
    chance = random.Random(seed)
    return values, [[chance.randrange(R) for _ in range(tail)] for _ in range(count)]


def matrix(values, tails, name="M"):
    return kzg.Rows(
        name, len(values), lambda _, i, j: values[i:j], lambda _, rows: [tails[i] for i in rows]
    )


def commit_rows(srs, values, tails, processes, progress=None):
    return kzg.commit_rows(srs, [matrix(values, tails)], processes, progress)["M"]


def by_definition(srs, values, tails):
    length = values.shape[1] + len(tails[0])
    points = srs.lagrange(0, length)
    return [
        bn254.msm(points, [int(v) for v in value] + tail)
        for value, tail in zip(values, tails, strict=True)
    ]


@pytest.mark.parametrize(
    ("width", "tail", "size"), [(1, 1, 1), (122, 8, 300), (230, 10, kzg.MAX_ENTRY), (5, 1, 0)]
)
def test_rows_against_the_definition(srs, width, tail, size):
    values, tails = rows(width, 5, width, tail, size)
    heard = []
    made = commit_rows(srs, values, tails, 1, lambda done, total: heard.append((done, total)))
    assert made == by_definition(srs, values, tails)
    assert heard[-1][0] == heard[-1][1] == len(heard)


def test_extreme_entries_and_reduced_tails(srs):
    values = np.array([[kzg.MAX_ENTRY, -kzg.MAX_ENTRY, 0], [0, 0, 0]], dtype=np.int16)
    tails = [[0, R - 1], [R, -1]]
    assert commit_rows(srs, values, tails, 1) == by_definition(srs, values, tails)


def test_rows_of_zeros_without_salts_are_infinity(srs):
    assert commit_rows(srs, np.zeros((3, 4), np.int16), [[0, 0]] * 3, 1) == [None] * 3


def test_a_row_that_fills_the_domain(srs):
    """240 of 256 rows: the last slice of the SRS ends beyond it."""
    values, tails = rows(3, 2, 239, 1)
    assert commit_rows(srs, values, tails, 1) == by_definition(srs, values, tails)
    values, tails = rows(3, 2, 240, 1)
    with pytest.raises(InputError, match="does not fit"):
        commit_rows(srs, values, tails, 1)


def test_commitments_add_up(srs):
    values, tails = rows(4, 3, 20, 4, 100)
    a, b, c = commit_rows(srs, values, tails, 1)
    total = [[sum(column) for column in zip(*tails, strict=True)]]
    (together,) = commit_rows(srs, values.sum(axis=0, keepdims=True), total, 1)
    assert bn254.sum_groups([[a, b, c]]) == [together]


def test_several_matrices_at_once(srs):
    first, second = rows(8, 9, 4, 1), rows(9, 2, 30, 3)
    made = kzg.commit_rows(srs, [matrix(*first, "one"), matrix(*second, "two")], 2)
    assert made == {"one": by_definition(srs, *first), "two": by_definition(srs, *second)}
    assert list(made) == ["one", "two"]


def test_they_leave_no_files(srs, tmp_path, monkeypatch):
    """Salted rows of a model lie in a folder of their own, in memory or under TMPDIR."""
    from huref_zk.native import scratch

    monkeypatch.setattr(scratch, "_places", lambda: [tmp_path])
    values, tails = rows(8, 9, 4, 1)
    seen = []
    commit_rows(srs, values, tails, 1, lambda done, total: seen.append(list(tmp_path.iterdir())))
    assert any(seen) and list(tmp_path.iterdir()) == []


def test_processes_do_not_matter(srs):
    values, tails = rows(5, 40, 30, 2, 100)
    assert commit_rows(srs, values, tails, 1) == commit_rows(srs, values, tails, 2)


def test_refusals(srs):
    values, tails = rows(6, 2, 3, 1, 5)
    assert len(commit_rows(srs, values, tails, 1)) == 2  # the control
    for bad in (kzg.MAX_ENTRY + 1, -kzg.MAX_ENTRY - 1):
        values[1, 2] = bad
        with pytest.raises(InputError, match="beyond 32767"):
            commit_rows(srs, values, tails, 1)
    lowest = np.full((1, 3), -(1 << 15), np.int16)  # whose magnitude 16 bits do not hold
    with pytest.raises(InputError, match="beyond 32767"):
        commit_rows(srs, lowest, tails[:1], 1)


def test_points_in_a_journal_are_taken_up(srs, tmp_path):
    """And those of a block of another size are not."""
    values, tails = rows(7, 8, 3, 1, 9)
    honest = by_definition(srs, values, tails)
    size = 2
    journal = Journal(tmp_path / "journal", bytes(32))
    journal.add("M", 0, [bn254.GENERATOR] * size)  # not the right ones, so as to tell
    journal.add("M", size, [bn254.GENERATOR] * (size + 1))
    again = Journal(journal.path, bytes(32))
    made = kzg.commit_rows(srs, [matrix(values, tails)], 1, None, again)["M"]
    assert made == [bn254.GENERATOR] * size + honest[size:]


def test_ezkl_adds_the_blank(srs, tmp_path):
    """ezkl's own commitment in the whole domain is ours plus the Lagrange points it reserves."""
    stretches = kzg._Stretches(srs, tmp_path, 3, 1)
    values, tails = rows(7, 1, 3, 1, 9)
    felts = [(int(v) % R).to_bytes(32, "little").hex() for v in [*values[0], *tails[0]]]
    (theirs,) = stretches.commit(felts, srs.path)
    (ours,) = commit_rows(srs, values, tails, 1)
    counts = [n for n in range(1, 17) if bn254.add(ours, kzg.blank(srs, n)) == theirs]
    assert len(counts) == 1
