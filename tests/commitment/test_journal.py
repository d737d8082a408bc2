import os

import pytest

from huref_zk.commitment.journal import LABEL, Journal
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR
from huref_zk.errors import InputError

OURS, THEIRS = b"\1" * LABEL, b"\2" * LABEL
POINTS = [GENERATOR, None, bn254.negate(GENERATOR)]
RECORDS = {("E", 0): POINTS, ("E", 3): POINTS[:1], ("qv12", 1 << 16): POINTS[::-1]}


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path / "new" / "journal", OURS)
    for (name, start), points in RECORDS.items():
        journal.add(name, start, points)
    return journal.path


def test_round_trip(path):
    assert Journal(path, OURS).done == RECORDS
    more = Journal(path, OURS)
    more.add("C", 5, POINTS)
    assert Journal(path, OURS).done == {**RECORDS, ("C", 5): POINTS}
    more.remove()
    assert not path.exists()
    more.remove()  # nothing there is fine too


def test_the_last_word_on_a_block_counts(path):
    Journal(path, OURS).add("E", 0, POINTS[:2])
    assert Journal(path, OURS).done["E", 0] == POINTS[:2]


def test_anothers_journal_is_begun_anew(path):
    assert Journal(path, THEIRS).done == {}
    assert path.read_bytes() == THEIRS
    assert Journal(path, OURS).done == {}  # what it held is gone


@pytest.mark.parametrize("left", range(LABEL))
def test_a_torn_label(path, left):
    path.write_bytes(path.read_bytes()[:left])
    assert Journal(path, OURS).done == {} and path.read_bytes() == OURS


def sizes(path):
    """Where each record ends."""
    ends, at = [], LABEL
    for (name, _), points in RECORDS.items():
        at += 1 + len(name) + 8 + 64 * len(points) + 16
        ends.append(at)
    assert ends[-1] == path.stat().st_size
    return ends


def test_torn_anywhere(path):
    """Cut after any byte: whole records before it count, and the file ends after the last."""
    data, ends = path.read_bytes(), sizes(path)
    for cut in range(LABEL, len(data), 3):
        path.write_bytes(data[:cut])
        kept = sum(end <= cut for end in ends)
        assert list(Journal(path, OURS).done) == list(RECORDS)[:kept]
        assert path.stat().st_size == [LABEL, *ends][kept]


def test_blank_or_flipped_bytes(path):
    """What a disk may hold after a crash: zeros for bytes never written. Zeros are a point, too."""
    data, ends = path.read_bytes(), sizes(path)
    for at in range(LABEL, len(data), 3):
        kept = sum(end <= at for end in ends)
        blank = data[:at] + bytes(len(data) - at)
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        for bad in (blank, flipped):
            path.write_bytes(bad)
            assert list(Journal(path, OURS).done) == list(RECORDS)[:kept]


def test_a_record_after_a_torn_one_goes_where_it_ended(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    Journal(path, OURS).add("C", 0, POINTS)
    assert list(Journal(path, OURS).done) == [*list(RECORDS)[:-1], ("C", 0)]


def test_what_is_far_too_large_is_not_read(path):
    """Terabytes of zeros after the last record: they end the journal, and go."""
    size = path.stat().st_size
    os.truncate(path, 1 << 40)
    assert Journal(path, OURS).done == RECORDS
    assert path.stat().st_size == size


def test_places_that_cannot_be_used(tmp_path, path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        Journal(tmp_path / "file" / "journal", OURS)
    journal = Journal(path, OURS)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="cannot write"):
        journal.add("E", 0, POINTS)
