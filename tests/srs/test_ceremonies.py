"""Real ceremonies' files are recognised, of any size and form; their forged twins are refused."""

import json
import shutil

import pytest

from huref_zk.errors import InputError
from huref_zk.srs import ceremonies
from huref_zk.srs.ceremonies import NOTE_SUFFIX, listed, noted, recognise
from huref_zk.srs.file import Srs, identify
from huref_zk.srs.importing import fetch_srs, import_srs, list_srs
from huref_zk.srs.insecure import TEST_TAU
from huref_zk.srs.layout import G1_BYTES, G2_BYTES, HEAD_BYTES, sha256_of
from tests.support.ceremonies import ceremony_file, make_known
from tests.support.ptau_files import TAU, g2, raw_srs

K = 7
N = 1 << K


def test_the_list():
    known = {c.name: c for c in ceremonies.ceremonies()}
    assert set(known) == {
        "Hermez",
        "perpetual powers of tau 0071",
        "perpetual powers of tau 0080",
    }
    anchors = [c.tau_g2 for c in known.values()]
    assert len(set(anchors)) == 3 and {len(a) for a in anchors} == {G2_BYTES}
    assert g2(TEST_TAU) not in anchors and g2(1) not in anchors
    digests = [d for c in known.values() for d in c.raw_sha256.values()]
    assert len(set(digests)) == len(digests) and {len(d) for d in digests} == {64}
    assert sorted(known["perpetual powers of tau 0071"].raw_sha256) == list(range(1, 27))
    assert listed(15, known["perpetual powers of tau 0071"].raw_sha256[15]).name.endswith("0071")
    assert listed(14, known["perpetual powers of tau 0071"].raw_sha256[15]) is None


@pytest.mark.parametrize(
    ("name", "ceremony"),
    [
        ("hermez-raw-11.srs", "Hermez"),
        ("ppot_0080_11_raw.srs", "perpetual powers of tau 0080"),
        ("ezkl_kzg1.srs", "perpetual powers of tau 0071"),
    ],
)
def test_raw_files(tmp_path, monkeypatch, name, ceremony):
    """Each is listed; without the list, tau G2 and structure say the same."""
    path = ceremony_file(name)
    found = identify(path)
    assert (found.kind, found.ceremony) == ("ceremony", ceremony)
    bare = tuple(ceremonies.Ceremony(c.name, c.tau_g2, {}) for c in ceremonies.ceremonies())
    monkeypatch.setattr(ceremonies, "ceremonies", lambda: bare)
    imported = import_srs(path, tmp_path)
    assert imported.id.ceremony == ceremony
    assert sha256_of(imported.path) == found.sha256


@pytest.mark.parametrize(
    ("name", "largest", "ceremony"),
    [
        ("powersOfTau28_hez_final_08.ptau", 8, "Hermez"),
        ("ppot_0080_11.ptau", 11, "perpetual powers of tau 0080"),
    ],
)
def test_ptau_files(tmp_path, name, largest, ceremony):
    path = ceremony_file(name)
    for k in (5, largest):
        assert import_srs(path, tmp_path, k).id.ceremony == ceremony
    assert listed(5, sha256_of(tmp_path / "kzg5.srs")) is None
    assert listed(largest, sha256_of(tmp_path / f"kzg{largest}.srs")).name == ceremony


@pytest.fixture(scope="module")
def hermez(tmp_path_factory) -> bytes:
    """The Hermez ceremony's SRS for 2^7, whose digest is not listed."""
    folder = tmp_path_factory.mktemp("hermez")
    imported = import_srs(ceremony_file("powersOfTau28_hez_final_08.ptau"), folder, K)
    assert listed(K, imported.sha256) is None
    return imported.path.read_bytes()


def exchanged(data: bytes, index: int, point: bytes) -> bytes:
    """With another G1 point at this place (powers, then Lagrange points)."""
    start = HEAD_BYTES + G1_BYTES * index
    return data[:start] + point + data[start + G1_BYTES :]


def forgeries(hermez: bytes) -> dict[str, tuple[bytes, str]]:
    """name -> (file with the ceremony's tau G2 that is not the ceremony's, words of its refusal)"""
    other = raw_srs(K, TAU)
    return {
        "one power": (exchanged(hermez, 5, other[HEAD_BYTES + 64 * 5 :][:64]), "powers are not"),
        "the last power": (exchanged(hermez, N - 1, other[4 + 64 * 5 :][:64]), "powers are not"),
        "one Lagrange point": (
            exchanged(hermez, N + 3, other[HEAD_BYTES + 64 * (N + 3) :][:64]),
            "Lagrange points do not",
        ),
        "two Lagrange points swapped": (
            exchanged(
                exchanged(hermez, N + 1, hermez[HEAD_BYTES + 64 * (N + 2) :][:64]),
                N + 2,
                hermez[HEAD_BYTES + 64 * (N + 1) :][:64],
            ),
            "Lagrange points do not",
        ),
        "another tau's powers, tau G2 pasted in": (
            other[:-G2_BYTES] + hermez[-G2_BYTES:],
            "powers are not",
        ),
        "all Lagrange points another tau's": (
            hermez[: HEAD_BYTES + 64 * N] + other[HEAD_BYTES + 64 * N : -256] + hermez[-256:],
            "Lagrange points do not",
        ),
    }


@pytest.mark.parametrize(
    "what",
    [
        "one power",
        "the last power",
        "one Lagrange point",
        "two Lagrange points swapped",
        "another tau's powers, tau G2 pasted in",
        "all Lagrange points another tau's",
    ],
)
def test_forged_twins(tmp_path, hermez, what):
    bad, words = forgeries(hermez)[what]
    path, folder = tmp_path / "x.srs", tmp_path / "keys"
    path.write_bytes(bad)
    for attempt in (lambda: identify(path), lambda: import_srs(path, folder)):
        with pytest.raises(InputError, match=f"ceremony Hermez.*{words}"):
            attempt()
    assert not folder.exists() or list(folder.iterdir()) == []
    path.write_bytes(hermez)
    assert import_srs(path, folder).id.ceremony == "Hermez"


def test_another_tau_is_another_file(tmp_path, hermez):
    """With all of its own points it is well formed, and of unknown origin."""
    (tmp_path / "x.srs").write_bytes(raw_srs(K, TAU))
    assert identify(tmp_path / "x.srs").kind == "unknown"
    (tmp_path / "x.srs").write_bytes(hermez)
    assert identify(tmp_path / "x.srs").kind == "ceremony"


def test_generators_are_looked_at(tmp_path, hermez):
    """tau G2 under another generator, and powers that start elsewhere, are no ceremony's."""
    path = tmp_path / "x.srs"
    for bad in (
        hermez[: -2 * G2_BYTES] + g2(2) + hermez[-G2_BYTES:],
        exchanged(hermez, 0, hermez[HEAD_BYTES + 64 :][:64]),
    ):
        path.write_bytes(bad)
        assert identify(path).kind == "unknown"
        with pytest.raises(InputError, match="generator"):
            import_srs(path, tmp_path)


def test_structure_is_checked_once(tmp_path, monkeypatch, hermez):
    calls = []

    def count(path, progress=None):
        calls.append(path)
        return K

    monkeypatch.setattr(ceremonies, "check_structure", count)
    (tmp_path / "x.srs").write_bytes(hermez)
    target = import_srs(tmp_path / "x.srs", tmp_path).path
    assert len(calls) == 1
    assert Srs.open(target).kind == "ceremony" and len(calls) == 1
    # A file that was put there by other means is checked when it is first looked at.
    target.with_name(target.name + NOTE_SUFFIX).unlink()
    for _ in range(2):
        assert [item.id.kind for item in list_srs(tmp_path)] == ["ceremony"]
    assert len(calls) == 2
    # The note is about this digest only.
    target.write_bytes(exchanged(hermez, 5, hermez[HEAD_BYTES:][:64]))
    assert Srs.open(target).kind == "ceremony" and len(calls) == 3


def test_a_note_vouches_for_structure_only(tmp_path, hermez):
    """Whoever forges a note still cannot pass off another tau."""
    path = tmp_path / "kzg7.srs"
    note = path.with_name(path.name + NOTE_SUFFIX)
    path.write_bytes(raw_srs(K, TAU))
    ceremonies.remember(path, sha256_of(path))
    assert noted(path, sha256_of(path))
    assert identify(path).kind == "unknown"
    path.write_bytes(hermez)
    for wrong in ("", "[]", "null", "{", json.dumps({"sha256": sha256_of(path)})):
        note.write_text(wrong)
        assert not noted(path, sha256_of(path))
    assert recognise(path, sha256_of(path)).name == "Hermez"


def test_notes_where_nothing_can_be_written(tmp_path, hermez):
    path = tmp_path / "kzg7.srs"
    path.write_bytes(hermez)
    (tmp_path / ("kzg7.srs" + NOTE_SUFFIX)).mkdir()
    assert [item.id.ceremony for item in list_srs(tmp_path)] == ["Hermez"]


def test_a_replaced_file_loses_its_note(tmp_path, hermez, monkeypatch):
    (tmp_path / "a.srs").write_bytes(hermez)
    (tmp_path / "b.srs").write_bytes(raw_srs(K, TAU))
    first = import_srs(tmp_path / "a.srs", tmp_path)
    assert noted(first.path, first.sha256)
    second = import_srs(tmp_path / "b.srs", tmp_path, force=True)
    assert (second.kind, second.path) == ("unknown", first.path)
    assert not first.path.with_name(first.path.name + NOTE_SUFFIX).exists()


def test_beside(tmp_path, hermez):
    (tmp_path / "a.srs").write_bytes(hermez)
    (tmp_path / "b.srs").write_bytes(raw_srs(K, TAU))
    mine = import_srs(tmp_path / "b.srs", tmp_path / "keys")
    theirs = import_srs(tmp_path / "a.srs", tmp_path / "keys", beside=True)
    assert theirs.path.name == f"kzg7.{theirs.sha256[:16]}.srs"
    found = list_srs(tmp_path / "keys")
    assert {item.path for item in found} == {mine.path, theirs.path}
    assert [item.problem for item in found] == [None, None]


def test_fetch_recognises_by_tau(tmp_path, monkeypatch, hermez):
    """A file whose digest nobody listed is kept if it is a ceremony's."""
    sent = tmp_path / "sent"

    def download(address, part, size, progress):
        shutil.copyfile(sent, part)

    monkeypatch.setattr("huref_zk.srs.importing._download", download)
    bad, words = forgeries(hermez)["one Lagrange point"]
    for data, why in ((bad, words), (raw_srs(K, TAU), "no ceremony's that we know")):
        sent.write_bytes(data)
        digest = sha256_of(sent)
        with pytest.raises(InputError, match=f"{digest}.*{why}"):
            fetch_srs(K, "http://localhost/{k}", tmp_path / "keys")
        assert list((tmp_path / "keys").iterdir()) == []
    sent.write_bytes(hermez)
    assert fetch_srs(K, "http://localhost/{k}", tmp_path / "keys").id.ceremony == "Hermez"


def test_beyond_what_is_checked(tmp_path, monkeypatch):
    """Larger files are recognised by a listed digest only."""
    path = tmp_path / "x.srs"
    path.write_bytes(raw_srs(5))
    make_known(monkeypatch, g2(TAU))
    assert identify(path).kind == "ceremony"
    monkeypatch.setattr(ceremonies, "CHECK_MAX_K", 4)
    assert identify(path).kind == "unknown"
    make_known(monkeypatch, g2(TAU), {5: sha256_of(path)})
    assert identify(path).kind == "ceremony"
