"""Which SRS is relied upon: kinds, names, digests, and where the file is looked for."""

import hashlib
import os

import ezkl
import pytest

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.srs.ceremonies import ceremonies, noted
from huref_zk.srs.file import ceremony_file, identify
from huref_zk.srs.importing import list_srs
from huref_zk.srs.insecure import insecure_file, insecure_sha256, insecure_srs
from huref_zk.srs.name import SrsName
from huref_zk.srs.trust import (
    NotTrusted,
    find_by_digest,
    find_srs,
    find_test_srs,
    own_srs,
    trusted_srs,
)
from tests.support.ceremonies import make_known, promote
from tests.support.ptau_files import TAU, g2, raw_srs

K = 4
THEIRS = raw_srs(K)
DIGEST = hashlib.sha256(THEIRS).hexdigest()
PPOT = next(c for c in ceremonies() if c.name.endswith("0071"))


@pytest.fixture
def keys(tmp_path):
    """A key folder with the SRS of our tau as `kzg4.srs`."""
    (tmp_path / "kzg4.srs").write_bytes(THEIRS)
    return tmp_path


@pytest.fixture
def known(monkeypatch):
    """Our tau is a ceremony's."""
    make_known(monkeypatch, g2(TAU))


def test_a_ceremonys(keys, known):
    trust = trusted_srs(SrsName("ceremony", K, DIGEST), keys)
    assert (trust.kind, trust.name, trust.srs.path) == ("ceremony", "made up", keys / "kzg4.srs")
    assert trust.srs.name == SrsName("ceremony", K, DIGEST)


def test_a_ceremonys_by_any_file_name(keys, known):
    (keys / "kzg4.srs").rename(keys / "kzg4.theirs.srs")
    (keys / "kzg4.srs").write_bytes(b"something else")
    (keys / "kzg4.a.srs").write_bytes(raw_srs(K, TAU + 1))
    assert trusted_srs(SrsName("ceremony", K, DIGEST), keys).srs.path.name == "kzg4.theirs.srs"
    (keys / "kzg4.theirs.srs").rename(keys / "kzg44.srs")  # another k's name
    assert find_by_digest(K, DIGEST, keys) is None


def test_kinds_must_be_what_the_file_is(keys, known):
    for kind in ("test", "named"):
        with pytest.raises(NotTrusted, match=f"of kind 'ceremony'.*calls it '{kind}'"):
            trusted_srs(SrsName(kind, K, DIGEST), keys, True, [DIGEST])
    trusted_srs(SrsName("ceremony", K, DIGEST), keys, True, [DIGEST])


def test_an_unknown_one_must_be_named(keys):
    name = SrsName("named", K, DIGEST)
    for trusted in ((), ("0" * 64,)):
        with pytest.raises(NotTrusted, match="nor named with --trust-srs"):
            trusted_srs(name, keys, True, trusted)
    for trusted in ((DIGEST,), ("0" * 64, DIGEST.upper())):
        trust = trusted_srs(name, keys, False, trusted)
        assert (trust.kind, trust.srs.sha256) == ("named", DIGEST)


def test_an_unknown_one_passed_off_as_a_ceremonys(keys):
    name = SrsName("ceremony", K, DIGEST)
    with pytest.raises(NotTrusted, match="no ceremony's"):
        trusted_srs(name, keys)
    with pytest.raises(NotTrusted, match="of kind 'named'"):
        trusted_srs(name, keys, trusted=[DIGEST])
    trusted_srs(SrsName("named", K, DIGEST), keys, trusted=[DIGEST])


def test_the_test_srs(tmp_path):
    name = SrsName("test", K, insecure_sha256(K))
    for trusted in ((), (name.sha256,)):
        with pytest.raises(NotTrusted, match="TEST setup"):
            trusted_srs(name, tmp_path, False, trusted)
    assert list(tmp_path.iterdir()) == []
    trust = trusted_srs(name, tmp_path, True)
    assert (trust.kind, trust.name, trust.srs.kind) == ("test", "TEST setup", "test")
    for kind in ("ceremony", "named"):
        with pytest.raises(NotTrusted, match="of kind 'test'"):
            trusted_srs(SrsName(kind, K, name.sha256), tmp_path, True, [name.sha256])


def test_another_file_is_not_the_test_srs(keys):
    for digest in (DIGEST, "0" * 64):
        with pytest.raises(NotTrusted):
            trusted_srs(SrsName("test", K, digest), keys, True, [digest])


def test_what_is_not_at_hand(tmp_path):
    listed = PPOT.raw_sha256[15]
    with pytest.raises(
        EnvironmentLacks, match=rf"0071 for k=15.*{listed}.*kzg15\*.srs in {tmp_path}"
    ):
        trusted_srs(SrsName("ceremony", 15, listed), tmp_path)
    # Not listed, but it may be a ceremony's: only the file can tell.
    with pytest.raises(EnvironmentLacks, match="srs import"):
        trusted_srs(SrsName("ceremony", K, DIGEST), tmp_path)
    with pytest.raises(EnvironmentLacks, match="srs import"):
        trusted_srs(SrsName("named", K, DIGEST), tmp_path, trusted=[DIGEST])
    # What cannot become true by getting a file is refused.
    with pytest.raises(NotTrusted, match="calls it 'named'"):
        trusted_srs(SrsName("named", 15, listed), tmp_path)
    with pytest.raises(NotTrusted, match="no ceremony's"):
        trusted_srs(SrsName("ceremony", 14, listed), tmp_path)
    with pytest.raises(NotTrusted, match="no ceremony's"):
        trusted_srs(SrsName("named", K, DIGEST), tmp_path)
    with pytest.raises(NotTrusted, match="not the test SRS"):
        trusted_srs(SrsName("test", K, DIGEST), tmp_path, True)


def test_a_forgery_at_hand_is_no_ceremonys(keys, known):
    bad = THEIRS[: 4 + 64 * 5] + THEIRS[4 + 64 : 68 + 64] + THEIRS[4 + 64 * 6 :]
    (keys / "kzg4.srs").write_bytes(bad)
    name = SrsName("ceremony", K, hashlib.sha256(bad).hexdigest())
    with pytest.raises(InputError, match="ceremony made up, but the file is not"):
        trusted_srs(name, keys)
    (keys / "kzg4.srs").write_bytes(THEIRS)
    trusted_srs(SrsName("ceremony", K, DIGEST), keys)


def test_owners_need_no_convincing(keys, tmp_path):
    assert own_srs(SrsName("named", K, DIGEST), keys).sha256 == DIGEST
    test = SrsName("test", K, insecure_sha256(K))
    assert own_srs(test, tmp_path).kind == "test"
    with pytest.raises(EnvironmentLacks, match="0" * 64):
        own_srs(SrsName("named", K, "0" * 64), keys)


# --- what is proved under ------------------------------------------------------------------------


def test_find_srs(tmp_path, monkeypatch):
    with pytest.raises(EnvironmentLacks, match="no SRS for k=4"):
        find_srs(4, tmp_path)
    made = find_srs(4, tmp_path, make_test=True)
    assert (made.kind, made.k) == ("test", 4)
    assert find_srs(4, tmp_path) == made
    # The test SRS does not become a ceremony's by its file name, nor by being named.
    (tmp_path / "kzg4.srs").write_bytes(made.path.read_bytes())
    with pytest.raises(InputError, match="not a ceremony's"):
        find_srs(4, tmp_path, trusted=[made.sha256])
    (tmp_path / "kzg4.srs").write_bytes(THEIRS)
    with pytest.raises(InputError, match=f"--trust-srs {DIGEST}"):
        find_srs(4, tmp_path)
    with pytest.raises(InputError, match="not a known ceremony's"):
        find_srs(4, tmp_path, trusted=["0" * 64])
    found = find_srs(4, tmp_path, trusted=[DIGEST.upper()])
    assert (found.kind, found.sha256, found.name.kind) == ("unknown", DIGEST, "named")
    make_known(monkeypatch, g2(TAU))
    assert find_srs(4, tmp_path).id.ceremony == "made up"


def test_the_test_srs_is_found_beside_a_ceremonys(tmp_path):
    with pytest.raises(EnvironmentLacks, match="no SRS for k=4"):
        find_test_srs(4, tmp_path)
    made = find_test_srs(4, tmp_path, make=True)
    (tmp_path / "kzg4.srs").write_bytes(b"whatever lies here")
    assert find_test_srs(4, tmp_path) == made
    with pytest.raises(InputError):
        find_srs(4, tmp_path)


def test_a_stranger_in_the_test_place(tmp_path):
    ezkl.gen_srs(str(insecure_file(4, tmp_path)), 4)
    with pytest.raises(InputError, match="not the test SRS"):
        find_srs(4, tmp_path)
    insecure_srs(3, insecure_file(4, tmp_path))
    with pytest.raises(InputError, match="not the test SRS"):
        find_srs(4, tmp_path)


def test_an_srs_of_another_size_in_its_place(tmp_path, known):
    ceremony_file(5, tmp_path).write_bytes(THEIRS)
    assert identify(ceremony_file(5, tmp_path)).kind == "ceremony"
    with pytest.raises(InputError, match="not a ceremony's for k=5"):
        find_srs(5, tmp_path)


def test_a_promoted_test_srs(tmp_path, monkeypatch):
    """What other tests use to see a ceremony's SRS accepted."""
    made = find_test_srs(K, tmp_path, make=True)
    with pytest.raises(NotTrusted):
        trusted_srs(SrsName("ceremony", K, made.sha256), tmp_path)
    promote(monkeypatch, made)
    made.path.rename(ceremony_file(K, tmp_path))
    assert trusted_srs(SrsName("ceremony", K, made.sha256), tmp_path).name == "made up"
    assert find_srs(K, tmp_path).kind == "ceremony"


def test_pipes_in_the_key_folder_stop_nobody(keys, known):
    """Files beside an SRS under names that an SRS or its note could have."""
    for name in ("kzg4.a.srs", "kzg4.test.srs", "kzg4.srs.recognised", "kzg5.srs"):
        os.mkfifo(keys / name)
    trust = trusted_srs(SrsName("ceremony", K, DIGEST), keys)
    assert (trust.kind, trust.srs.path) == ("ceremony", keys / "kzg4.srs")
    for k in (K, K + 1):
        with pytest.raises(InputError, match="not a regular file"):
            find_test_srs(K, keys) if k == K else find_srs(k, keys)
    problems = {item.path.name: item.problem for item in list_srs(keys)}
    assert problems["kzg4.srs"] is None
    assert all("not a regular file" in p for n, p in problems.items() if n != "kzg4.srs")


@pytest.mark.parametrize("note", ["[" * 4000, "[" * 10**5, "\xff", '{"sha256": 1}'])
def test_a_note_that_is_none_is_passed_over(keys, known, note):
    (keys / "kzg4.srs.recognised").write_text(note, encoding="latin-1")
    assert not noted(keys / "kzg4.srs", DIGEST)
    assert find_srs(K, keys).kind == "ceremony"
    assert noted(keys / "kzg4.srs", DIGEST)  # a good one, in its place
