import dataclasses
import os
import resource
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from huref_zk.commitment.commit import checkpoint_salt
from huref_zk.commitment.descriptor import block_length
from huref_zk.commitment.salts import salt_key
from huref_zk.commitment.witness import (
    LIMIT,
    Witness,
    check_matrices,
    make_witness,
    read_witness,
    write_witness,
)
from huref_zk.errors import InputError
from huref_zk.files.container import pack, unpack
from huref_zk.files.formats import WITNESS
from tests.support.changed_json import changed
from tests.support.small_owner import AUDITED, SECRET, D, K, small_witness

WHICH = ["owner", "rich", "public"]


def same(one: Witness, other: Witness) -> bool:
    return (
        one.descriptor == other.descriptor
        and one.checkpoint_salt == other.checkpoint_salt
        and list(one.matrices) == list(other.matrices)
        and all(np.array_equal(one.matrices[n], other.matrices[n]) for n in one.matrices)
    )


@pytest.mark.parametrize("which", WHICH)
def test_round_trip(which, request, tmp_path):
    witness = request.getfixturevalue(which).witness
    write_witness(tmp_path / "w", witness)
    again = read_witness(tmp_path / "w")
    assert same(again, witness)
    assert all(matrix.dtype == np.int16 for matrix in again.matrices.values())
    write_witness(tmp_path / "again", again)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "w").read_bytes()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_may_read_it(owner, tmp_path, umask):
    path = tmp_path / "folder" / "w"
    before = os.umask(umask)
    try:
        write_witness(path, owner.witness)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        write_witness(path, owner.witness)  # and again where it was opened to others
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["w"]


def test_layout(rich, tmp_path):
    """The integers lie in the file as its head says: one matrix after the other, row by row."""
    write_witness(tmp_path / "w", rich.witness)
    header, (integers, salt) = unpack(WITNESS, (tmp_path / "w").read_bytes())
    assert header == {"descriptor": rich.descriptor.to_json()}
    assert salt == checkpoint_salt(SECRET)
    E, first = rich.witness.matrices["E"], rich.witness.matrices["C0"]
    assert first.shape == (D, 3, D)
    by_hand = [int(x) for x in E.reshape(-1)] + [int(x) for x in first.reshape(-1)]
    expected = b"".join((n & 0xFFFF).to_bytes(2, "little") for n in by_hand)
    assert integers.startswith(expected)


def test_rows_as_they_are_committed(rich):
    e = block_length(D)
    matrix = rich.witness.matrices["C1"]
    rows = rich.witness.values("C1", 2, 5)
    assert rows.shape == (3, 3 * e - 8) and rows.dtype == np.int16
    for term in range(3):
        assert np.array_equal(rows[:, term * e : term * e + D], matrix[2:5, term])
        assert not rows[:, term * e + D : (term + 1) * e].any()
    assert np.array_equal(rich.witness.values("C1"), rich.witness.values("C1", 0, D))
    assert np.array_equal(rich.witness.values("O"), rich.witness.matrices["O"])


def rewritten(path, header=None, integers=None, salt=None):
    """The file at ``path`` with its parts replaced."""
    old, (numbers, was) = unpack(WITNESS, path.read_bytes())
    sections = [numbers if integers is None else integers, was if salt is None else salt]
    path.write_bytes(pack(WITNESS, old if header is None else header, sections))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i, s: {"integers": i[:-2]}, "not those of its descriptor"),
        (lambda i, s: {"integers": i[:-1]}, "not those of its descriptor"),
        (lambda i, s: {"integers": i + b"\0\0"}, "not those of its descriptor"),
        (lambda i, s: {"integers": b""}, "not those of its descriptor"),
        (lambda i, s: {"integers": b"\0\x80" + i[2:]}, "E holds an integer beyond 32767"),
        (lambda i, s: {"integers": i[:-2] + b"\0\x80"}, "C holds an integer beyond 32767"),
        (lambda i, s: {"salt": s[:-1]}, "salt has 31 bytes"),
        (lambda i, s: {"salt": s + b"\0"}, "salt has 33 bytes"),
        (lambda i, s: {"header": {}}, "one field descriptor"),
        (lambda i, s: {"header": {"descriptor": {}}}, "lacks the field"),
        (lambda i, s: {"header": {"descriptor": []}}, "must be an object"),
    ],
)
def test_malformed_parts(owner, tmp_path, change, words):
    path = tmp_path / "w"
    write_witness(path, owner.witness)
    _, (integers, salt) = unpack(WITNESS, path.read_bytes())
    assert same(read_witness(rewritten(path)), owner.witness)  # the control
    rewritten(path, **change(integers, salt))
    with pytest.raises(InputError, match=words):
        read_witness(path)


def test_the_largest_integers_are_read(owner, tmp_path):
    path = tmp_path / "w"
    write_witness(path, owner.witness)
    _, (integers, _) = unpack(WITNESS, path.read_bytes())
    for number in (LIMIT, -LIMIT):
        first = (number & 0xFFFF).to_bytes(2, "little")
        read = read_witness(rewritten(path, integers=first + integers[2:]))
        assert read.matrices["E"][0, 0] == number


@pytest.mark.parametrize(
    ("path", "value"),
    [("tokens.count", K - 2), ("model.hidden_size", D + 2), ("recipe", "official"), ("output", 1)],
)
def test_a_foreign_descriptor(owner, tmp_path, path, value):
    """The integers of one model under the descriptor of a model of another shape."""
    file = tmp_path / "w"
    write_witness(file, owner.witness)
    header = {"descriptor": changed(owner.descriptor.to_json(), path, value)}
    with pytest.raises(InputError, match="not those of its descriptor"):
        read_witness(rewritten(file, header=header))


def test_files_that_are_not_witnesses(owner, tmp_path):
    path = tmp_path / "w"
    write_witness(path, owner.witness)
    good = path.read_bytes()
    header = unpack(WITNESS, good)[0]
    for data, words in [
        (b"", "other bytes"),
        (good[:-1], "too short"),
        (good[: len(good) // 2], "too short"),
        (good + b"\0", "too long"),
        (b"HUREFZC" + good[7:], "other bytes"),
        (good[:7] + b"\1" + good[8:], "of version 1"),
        (pack(WITNESS, {**header, "more": 1}, [b"", b""]), "one field descriptor"),
    ]:
        path.write_bytes(data)
        with pytest.raises(InputError, match=words):
            read_witness(path)
    with pytest.raises(InputError, match="cannot read"):
        read_witness(tmp_path / "missing")
    path.write_bytes(good)
    assert same(read_witness(path), owner.witness)


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
@pytest.mark.parametrize("what", ["longer", "larger section", "no witness", "no header"])
def test_a_huge_file_is_not_read(owner, tmp_path, what):
    """A stranger's folder must not fill a judge's memory: what is too large is seen beforehand."""
    path = tmp_path / "w"
    write_witness(path, owner.witness)
    good = path.read_bytes()
    place = 12 + int.from_bytes(good[8:12], "big")
    data = {
        "longer": good,
        "larger section": good[:place] + (1 << 32).to_bytes(8, "big") + good[place + 8 :],
        "no witness": b"x" * 100,
        "no header": good[:12],
    }[what]
    path.write_bytes(data)
    os.truncate(path, 7 << 30)  # of zeros, which take no room
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + (1 << 30), limits[1]))
    try:
        with pytest.raises(InputError, match=r"is larger than|not JSON"):
            read_witness(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    path.write_bytes(good)
    assert same(read_witness(path), owner.witness)


# --- making one ----------------------------------------------------------------------------------


def test_matrices_must_be_those_of_the_descriptor(owner, rich):
    def check(witness, **changes):
        check_matrices(witness.descriptor, {**witness.matrices, **changes})

    good = owner.witness.matrices
    check(owner.witness)  # the control
    check(rich.witness)
    with pytest.raises(InputError, match="not those of the descriptor"):
        check(owner.witness, C1=good["C"])
    with pytest.raises(InputError, match="not those of the descriptor"):
        check_matrices(owner.descriptor, {"E": good["E"]})
    with pytest.raises(InputError, match="not those of the descriptor"):  # the order counts
        check_matrices(owner.descriptor, {"C": good["C"], "E": good["E"]})
    with pytest.raises(InputError, match="E is int32"):
        check(owner.witness, E=good["E"].astype(np.int32))
    with pytest.raises(InputError, match=r"E is int16 \(62, 6\)"):
        check(owner.witness, E=good["E"][:-2])
    with pytest.raises(InputError, match="C is int16"):
        check(owner.witness, C=np.ascontiguousarray(good["C"].swapaxes(1, 2)).reshape(D, D, 3))
    low = good["E"].copy()
    low[K - 1, D - 1] = -LIMIT - 1
    with pytest.raises(InputError, match="E holds an integer beyond"):
        check(owner.witness, E=low)


def test_writing_checks_too(owner, tmp_path):
    bad = dataclasses.replace(owner.witness, matrices={"E": owner.witness.matrices["E"]})
    with pytest.raises(InputError, match="not those of the descriptor"):
        write_witness(tmp_path / "w", bad)
    assert not (tmp_path / "w").exists()


def test_a_witness_from_prepared_cores(srs, rich):
    """Cores come as (3, d, d), term by term, and are kept by rows; the rest follows from them."""
    rng = np.random.default_rng(9)
    core = rng.integers(-9, 9, (3, D, D)).astype(np.int16)
    E = rng.integers(-9, 9, (K, D)).astype(np.int16)
    facts = {
        "recipe": "whole",
        "model": {"hidden_size": D},
        "layers": (0, 1),
        "tokens": {"count": K, "digest": "0" * 64, "choice": "common"},
        "scales": {"E": "128.0", "Ca": "3.5"},
    }
    witness = make_witness(facts, E, [core], srs, b"\7" * 32, bytes(32))
    assert np.array_equal(witness.matrices["C"], core.swapaxes(0, 1))
    described = witness.descriptor
    assert (described.srs.kind, described.srs.k, described.srs.sha256) == ("test", 8, srs.sha256)
    assert described.checkpoint == "07" * 32 and not described.output and not described.public
    assert small_witness(srs, "last-two", audited=AUDITED, output=True).descriptor.output
    for name, value in [("hidden_size", D + 1), ("hidden_size", 0)]:
        bad = {**facts, "model": {name: value}}
        with pytest.raises(InputError):
            make_witness(bad, E, [core], srs, bytes(32), bytes(32))
    with pytest.raises(InputError, match="even"):
        odd = {**facts, "tokens": {**facts["tokens"], "count": K - 1}}
        make_witness(odd, E[1:], [core], srs, bytes(32), bytes(32))
    with pytest.raises(InputError, match="not those of the descriptor"):
        make_witness(facts, E, [core], srs, bytes(32), bytes(32), {"up0": E})


def test_who_has_a_key(owner, public):
    assert public.witness.key(None) is None and public.witness.key(SECRET) is None
    key = owner.witness.key(SECRET)
    assert key == salt_key(SECRET, owner.witness.matrices, owner.descriptor.to_bytes())
    with pytest.raises(InputError, match="has a secret"):
        owner.witness.key(None)
    assert checkpoint_salt(None) == bytes(32)
    assert len({checkpoint_salt(SECRET), checkpoint_salt(bytes(32)), bytes(32)}) == 3
