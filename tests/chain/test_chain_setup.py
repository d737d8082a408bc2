"""SRS and keys: a test setup passed off as a ceremony's, keys and settings exchanged."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from dataclasses import asdict, replace

import pytest

from huref_zk.circuit import halo2, keys
from huref_zk.circuit.keys import Keys
from huref_zk.errors import EnvironmentLacks
from huref_zk.invariants.encoder import CONDITIONS
from huref_zk.proofs.kernel import Setup
from huref_zk.srs import file, trust
from huref_zk.srs.ceremonies import ceremonies
from huref_zk.srs.file import ceremony_file
from huref_zk.srs.insecure import insecure_file
from tests.support.ceremonies import promote
from tests.support.tampering import accepted, forge, judge, refused, with_descriptor

KEY_FILES = ("vk", "settings.json", "record.json")


@pytest.fixture
def cache(chain, tmp_path):
    """A key folder of one's own: the test SRS and the chain's verifying key, nothing else."""
    folder = tmp_path / "cache"
    copy_of = folder / chain.keys.folder.name
    copy_of.mkdir(parents=True)
    for name in KEY_FILES:
        shutil.copy(chain.keys.folder / name, copy_of / name)
    shutil.copy(chain.srs.path, insecure_file(chain.srs.k, folder))
    return folder


@pytest.fixture
def allowing(cache):
    return {"setup": Setup(cache, allow_test=True)}


@pytest.fixture(scope="module")
def other_keys(chain):
    """Keys of the circuit that divides by twice as much: the same form, another circuit."""
    shape = replace(chain.prepared.shape, shift=chain.prepared.shape.shift + 1)
    return keys.derive(shape, chain.srs, chain.cache, verify_only=True)


def write_record(folder, record):
    (folder / "record.json").write_text(json.dumps(asdict(record)))


def lacks(words, chain, **changes):
    with pytest.raises(EnvironmentLacks, match=words):
        judge(chain, chain.bundle, **changes)


def called(chain, **changes):
    """(root, honest bundle) of the chain's commitment, its SRS called something else."""
    descriptor = chain.commitment.descriptor
    other = with_descriptor(chain.commitment, srs=replace(descriptor.srs, **changes))
    bundle = forge(chain, owner=replace(chain.owner, commitment=other))
    return other.root_hex, bundle


# --- the SRS -------------------------------------------------------------------------------------


def test_a_test_setup_needs_permission(chain):
    """To name its digest as trusted is no permission."""
    for named in ((), (chain.srs.sha256,)):
        refused(2, "TEST setup", chain, chain.bundle, setup=Setup(chain.cache, named))
    accepted(chain, setup=chain.setup)


def test_a_test_setup_passed_off_as_a_ceremonys(chain, cache, allowing, monkeypatch):
    root, bundle = called(chain, kind="ceremony")
    for setup in (Setup(cache), Setup(cache, allow_test=True)):
        refused(2, "calls it 'ceremony'", chain, bundle, setup=setup, expected=root)
    # Under a ceremony's file name it is still recognised by its digest.
    path = insecure_file(chain.srs.k, cache)
    path.rename(ceremony_file(chain.srs.k, cache))
    refused(2, "calls it 'ceremony'", chain, bundle, setup=Setup(cache), expected=root)
    refused(2, "TEST setup", chain, chain.bundle, setup=Setup(cache))
    accepted(chain, **allowing)
    # The control: were its tau a ceremony's, nobody would object.
    promote(monkeypatch, chain.srs)
    accepted(chain, bundle, setup=Setup(cache), expected=root)
    refused(2, "calls it 'test'", chain, chain.bundle, setup=Setup(cache))


def test_a_ceremonys_digest_over_the_test_setup(chain, cache, allowing):
    """The file it belongs to is not at hand, whatever lies under its name."""
    k = chain.srs.k
    (sha256, *_) = [c.raw_sha256[k] for c in ceremonies() if k in c.raw_sha256]
    root, bundle = called(chain, kind="ceremony", sha256=sha256)
    shutil.copy(chain.srs.path, ceremony_file(k, cache))
    for setup in (Setup(cache), Setup(cache, allow_test=True)):
        with pytest.raises(EnvironmentLacks, match="needs the SRS of the ceremony"):
            judge(chain, bundle, setup=setup, expected=root)
    accepted(chain, **allowing)


def test_a_ceremonys_digest_of_another_size(chain, cache, allowing):
    """A digest is known for its own k only."""
    k = chain.srs.k
    (sha256, *_) = [c.raw_sha256[k + 1] for c in ceremonies() if k + 1 in c.raw_sha256]
    root, bundle = called(chain, kind="ceremony", sha256=sha256)
    refused(2, "no ceremony's", chain, bundle, expected=root, **allowing)
    accepted(chain, **allowing)


def test_an_srs_of_unknown_origin_needs_to_be_named(chain, cache, monkeypatch):
    """A file that is neither a ceremony's nor the test one: refused until the caller names its
    digest; to name another does not help."""
    for module in (file, trust):
        monkeypatch.setattr(module, "insecure_sha256", lambda k: None)
    root, bundle = called(chain, kind="named")
    for named in ((), ("0" * 64,)):
        setup = Setup(cache, named, allow_test=True)
        refused(2, "nor named with --trust-srs", chain, bundle, setup=setup, expected=root)
    sha256 = chain.srs.sha256
    for named in ((sha256,), ("0" * 64, sha256.upper())):
        accepted(chain, bundle, setup=Setup(cache, named), expected=root)
    root, bundle = called(chain, kind="ceremony")
    setup = Setup(cache, (sha256,))
    refused(2, "calls it 'ceremony'", chain, bundle, setup=setup, expected=root)


def test_a_damaged_srs(chain, cache, allowing):
    path = insecure_file(chain.srs.k, cache)
    data = path.read_bytes()
    for bad in (data[:-1] + bytes([data[-1] ^ 1]), data[:100], b"", data + b"\0"):
        path.write_bytes(bad)
        lacks("not the test SRS|not an SRS file", chain, **allowing)
    path.write_bytes(data)
    accepted(chain, **allowing)


# --- keys and settings ---------------------------------------------------------------------------


def test_no_keys(chain, cache, allowing):
    folder = cache / chain.keys.folder.name
    away = cache / "elsewhere"
    folder.rename(away)
    lacks("no verifying key", chain, **allowing)
    away.rename(folder)
    accepted(chain, **allowing)


@pytest.mark.parametrize("name", ["vk", "settings.json"])
def test_key_files_damaged_or_missing(chain, cache, allowing, name):
    path = cache / chain.keys.folder.name / name
    data = path.read_bytes()
    for bad in (data[:-1] + bytes([data[-1] ^ 1]), data[:100], b"", None):
        path.unlink()
        if bad is not None:
            path.write_bytes(bad)
        lacks("damaged", chain, **allowing)
        path.write_bytes(data)
    accepted(chain, **allowing)


def exchange(chain, cache, name, data):
    """Put other bytes into a key file, and their digest into the record."""
    folder = cache / chain.keys.folder.name
    (folder / name).write_bytes(data)
    field = {"vk": "vk", "settings.json": "settings"}[name]
    digest = hashlib.sha256(data).hexdigest()
    write_record(folder, replace(chain.keys.record, **{field: digest}))


def test_verifying_key_altered_with_its_record(chain, cache, allowing):
    """Nothing pins this shape's key; the proof does not hold under another one."""
    data = chain.keys.vk.read_bytes()
    folder = cache / chain.keys.folder.name
    outputs = [*chain.bundle.v, CONDITIONS]
    # Commitments to the fixed columns come first; of the selectors after them a verifier makes no
    # use, so there a changed bit is caught by the record's digest alone.
    for place in range(0, 4000, 1111):
        bad = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        exchange(chain, cache, "vk", bad)
        refused(5, "does not hold", chain, chain.bundle, **allowing)
        # Were the record's digest not hashed into the proof, the key itself would not fit it.
        altered = Keys(folder, chain.keys.record)
        assert "not verify" in halo2.check(chain.bundle.proof, outputs, altered, chain.srs)
    for bad in (data[: len(data) // 2], b"", data[:40] + bytes(len(data) - 40)):
        exchange(chain, cache, "vk", bad)
        refused(5, "does not hold", chain, chain.bundle, **allowing)
    exchange(chain, cache, "vk", data)
    assert halo2.check(chain.bundle.proof, outputs, chain.keys, chain.srs) is None
    accepted(chain, **allowing)


def test_settings_altered_with_their_record(chain, cache, allowing):
    """Those that lay the circuit out; ezkl's verifier does not look at the others."""
    text = chain.keys.settings.read_text()
    honest = json.loads(text)
    arguments = honest["run_args"]
    for settings in (
        {**honest, "run_args": {**arguments, "logrows": arguments["logrows"] + 1}},
        {**honest, "run_args": {**arguments, "num_inner_cols": 1}},
        {**honest, "required_range_checks": honest["required_range_checks"][1:]},
    ):
        exchange(chain, cache, "settings.json", json.dumps(settings).encode())
        refused(5, "does not hold", chain, chain.bundle, **allowing)
    for bad in (b"", b"{}", b"[" * 100000):
        exchange(chain, cache, "settings.json", bad)
        refused(5, "does not hold", chain, chain.bundle, **allowing)
    exchange(chain, cache, "settings.json", text.encode())
    accepted(chain, **allowing)


def test_record_altered(chain, cache, allowing):
    folder = cache / chain.keys.folder.name
    record = chain.keys.record
    for unusable in (record.unusable - 1, record.unusable + 1):
        write_record(folder, replace(record, unusable=unusable))
        refused(4, "equation", chain, chain.bundle, **allowing)
    for other in ({"circuit": "0" * 64}, {"srs": "0" * 64}):
        write_record(folder, replace(record, **other))
        lacks("no verifying key", chain, **allowing)
    for text in ("", "[]", "{}", '{"vk": 1}'):
        (folder / "record.json").write_text(text)
        lacks("no verifying key", chain, **allowing)
    write_record(folder, record)
    accepted(chain, **allowing)


def test_key_of_another_circuit(chain, cache, allowing, other_keys):
    """Its folder in place of ours; its key and settings under our record's name."""
    folder = cache / chain.keys.folder.name
    own = {name: (folder / name).read_bytes() for name in KEY_FILES}
    for name in KEY_FILES:
        shutil.copy(other_keys.folder / name, folder / name)
    lacks("no verifying key", chain, **allowing)
    write_record(folder, replace(other_keys.record, circuit=chain.keys.record.circuit))
    refused(5, "does not hold", chain, chain.bundle, **allowing)
    for name, data in own.items():
        (folder / name).write_bytes(data)
    accepted(chain, **allowing)


def test_another_circuit_named_in_the_bundle(chain, other_keys):
    """Both keys are at hand; the hidden size decides which one counts."""
    bundle = forge(chain, claim={"circuit": other_keys.record.circuit})
    refused(3, "another circuit", chain, bundle)
    accepted(chain)


# --- pinned keys ---------------------------------------------------------------------------------


@pytest.fixture
def shipped(chain, tmp_path, monkeypatch):
    """As if the package shipped the chain's key: pinned, packed, its settings beside it."""
    record = chain.keys.record
    packed = tmp_path / "packed.vk.xz"
    packed.write_bytes(lzma.compress(chain.keys.vk.read_bytes(), preset=0))
    settings = tmp_path / "settings.json"
    shutil.copy(chain.keys.settings, settings)
    monkeypatch.setattr(keys, "pins", lambda: {(record.circuit, record.srs): record})
    monkeypatch.setattr(keys, "packed_key", lambda shape, srs_sha256: packed)
    monkeypatch.setattr(keys, "shipped_settings", lambda shape: settings)
    return packed


def test_a_pinned_key_cannot_be_exchanged(chain, cache, allowing, shipped, other_keys):
    folder = cache / chain.keys.folder.name
    shutil.copy(other_keys.vk, folder / "vk")
    write_record(folder, replace(chain.keys.record, vk=other_keys.record.vk))
    lacks("differ from the pinned", chain, **allowing)
    # With another circuit's record, or none, the folder counts for nothing and is made anew.
    for record in (other_keys.record, None):
        shutil.copy(other_keys.vk, folder / "vk")
        (folder / "record.json").unlink()
        if record is not None:
            write_record(folder, record)
        accepted(chain, **allowing)
        assert (folder / "vk").read_bytes() == chain.keys.vk.read_bytes()
    shutil.rmtree(folder)
    accepted(chain, **allowing)


def test_a_damaged_packed_key(chain, cache, allowing, shipped, other_keys):
    shutil.rmtree(cache / chain.keys.folder.name)
    data = shipped.read_bytes()
    wrong = lzma.compress(other_keys.vk.read_bytes(), preset=0)
    for bad in (wrong, b"", data[:-20], b"no xz" + data):
        shipped.write_bytes(bad)
        lacks("damaged", chain, **allowing)
    shipped.write_bytes(data)
    accepted(chain, **allowing)
