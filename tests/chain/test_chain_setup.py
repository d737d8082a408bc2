"""SRS and keys: a test setup passed off as a ceremony, keys and settings exchanged in the cache."""

from __future__ import annotations

import json
import lzma
import os
import shutil
from dataclasses import asdict, replace

import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.shape import shape_for
from huref_zk.errors import EnvironmentLacks, InputError, StepFailed
from huref_zk.proofs.picture import verify
from huref_zk.proofs.picture.verify import Policy
from huref_zk.srs import file as srs_module
from huref_zk.srs.file import ceremony_file, ceremony_sha256
from huref_zk.srs.insecure import insecure_file as srs_test_file
from tests.support.tampering import ALLOW, accepted, forge, judge, refused, with_descriptor

STRICT = Policy()


@pytest.fixture
def cache(chain, tmp_path):
    """A cache of one's own: the test SRS and the chain's verifying key, nothing else."""
    folder = tmp_path / "cache"
    copy_of = folder / chain.keys.folder.name
    copy_of.mkdir(parents=True)
    for name in ("vk", "settings.json", "record.json"):
        shutil.copy(chain.keys.folder / name, copy_of / name)
    shutil.copy(chain.srs.path, srs_test_file(chain.srs.k, folder))
    return folder


@pytest.fixture(scope="module")
def other_keys(chain):
    """Keys of the circuit that divides by twice as much: the same form, another circuit."""
    shape = replace(chain.prepared.shape, shift=chain.prepared.shape.shift + 1)
    return keys.derive(shape, chain.srs, chain.cache)


def write_record(folder, record):
    (folder / "record.json").write_text(json.dumps(asdict(record)))


def lacks(words, chain, **changes):
    with pytest.raises(EnvironmentLacks, match=words):
        judge(chain, chain.bundle, **changes)


# --- the SRS -------------------------------------------------------------------------------------


def test_a_test_setup_needs_permission(chain):
    refused(2, "TEST setup", chain, chain.bundle, setup=strict(chain))
    accepted(chain, setup=chain.setup)


def ceremonys(chain):
    """A commitment and bundle under the test SRS that say it was the ceremony's."""
    sha256 = ceremony_sha256(chain.srs.k)
    descriptor = {**chain.commitment.descriptor, "srs": {"kind": "ceremony", "sha256": sha256}}
    named = with_descriptor(chain.commitment, descriptor)
    # The prover insists on the commitment's SRS; a cheat calls the one it has by that name.
    srs = replace(chain.srs, id=replace(chain.srs.id, kind="ceremony", sha256=sha256))
    return named, forge(replace(chain, srs=srs), commitment=named)


def test_a_test_setup_passed_off_as_the_ceremonys(chain, cache, monkeypatch):
    sha256 = ceremony_sha256(chain.srs.k)
    header = {**chain.bundle.header, "srs": sha256}
    refused(2, "different SRS", chain, replace(chain.bundle, header=header), setup=strict(chain))
    named, bundle = ceremonys(chain)
    changes = {"expected": named.root_hex, "cache": cache}
    for policy in (STRICT, ALLOW):
        with pytest.raises(EnvironmentLacks, match="needs SRS"):
            judge(chain, bundle, policy=policy, **changes)
    # Under the ceremony's file name, it is recognised by its digest.
    name = ceremony_file(chain.srs.k, cache)
    shutil.copy(chain.srs.path, name)
    for policy in (STRICT, ALLOW):
        with pytest.raises(InputError, match="not the ceremony's"):
            judge(chain, bundle, policy=policy, **changes)
    # Whatever lies there, what says that it is a test setup's is taken for just that.
    refused(2, "TEST setup", chain, chain.bundle, cache=cache, setup=strict(chain))
    accepted(chain, cache=cache)
    name.unlink()
    accepted(chain, cache=cache)
    # The control: were that file's digest the ceremony's, nobody would object.
    monkeypatch.setattr(srs_module, "ceremony_sha256", lambda k: chain.srs.sha256)
    monkeypatch.setattr(srs_module, "test_sha256", lambda k: None)
    os.replace(srs_test_file(chain.srs.k, cache), name)
    srs = {"kind": "ceremony", "sha256": chain.srs.sha256}
    true = with_descriptor(chain.commitment, {**chain.commitment.descriptor, "srs": srs})
    accepted(
        chain,
        forge(chain, commitment=true),
        expected=true.root_hex,
        cache=cache,
        setup=strict(chain),
    )


def test_a_ceremonys_digest_of_another_size(chain):
    """A digest is known for its own k only."""
    sha256 = ceremony_sha256(chain.srs.k + 1)
    descriptor = {**chain.commitment.descriptor, "srs": {"kind": "ceremony", "sha256": sha256}}
    other = with_descriptor(chain.commitment, descriptor)
    srs = replace(chain.srs, id=replace(chain.srs.id, sha256=sha256))
    bundle = forge(replace(chain, srs=srs), commitment=other)
    refused(2, "no ceremony's", chain, bundle, expected=other.root_hex)
    accepted(chain)


def test_a_damaged_srs(chain, cache):
    path = srs_test_file(chain.srs.k, cache)
    data = path.read_bytes()
    for bad in (data[:-1] + bytes([data[-1] ^ 1]), data[:100], b"", data + b"\0"):
        path.write_bytes(bad)
        with pytest.raises(InputError):
            judge(chain, chain.bundle, cache=cache)
    path.write_bytes(data)
    accepted(chain, cache=cache)


# --- keys and settings ---------------------------------------------------------------------------


def test_no_keys(chain, cache):
    folder = cache / chain.keys.folder.name
    away = cache / "elsewhere"
    folder.rename(away)
    lacks("no verifying key", chain, cache=cache)
    away.rename(folder)
    accepted(chain, cache=cache)


@pytest.mark.parametrize("name", ["vk", "settings.json"])
def test_key_files_damaged_or_missing(chain, cache, name):
    path = cache / chain.keys.folder.name / name
    data = path.read_bytes()
    for bad in (data[:-1] + bytes([data[-1] ^ 1]), data[:100], b"", None):
        path.unlink()
        if bad is not None:
            path.write_bytes(bad)
        lacks("damaged", chain, cache=cache)
        path.write_bytes(data)
    accepted(chain, cache=cache)


def exchange(chain, cache, name, data):
    """Put other bytes into a key file, and their digest into the record."""
    folder = cache / chain.keys.folder.name
    (folder / name).write_bytes(data)
    field = {"vk": "vk", "settings.json": "settings"}[name]
    digest = keys._sha256(folder / name)
    write_record(folder, replace(chain.keys.record, **{field: digest}))


def test_verifying_key_altered_with_its_record(chain, cache):
    """Nothing pins this shape's key; the proof does not verify under another one."""
    data = chain.keys.vk.read_bytes()
    # Commitments to the fixed columns come first; of the selectors after them a verifier makes no
    # use, so there a changed bit is caught by the record's digest alone.
    places = range(0, 8000, 1111)
    for place in places:
        bad = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        exchange(chain, cache, "vk", bad)
        refused(5, "does not verify", chain, chain.bundle, cache=cache)
    for bad in (data[: len(data) // 2], b"", data[:40] + bytes(len(data) - 40)):
        exchange(chain, cache, "vk", bad)
        refused(5, "does not verify", chain, chain.bundle, cache=cache)
    exchange(chain, cache, "vk", data)
    accepted(chain, cache=cache)


def test_settings_altered_with_their_record(chain, cache):
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
        refused(5, "does not verify", chain, chain.bundle, cache=cache)
    for bad in (b"", b"{}", b"[" * 100000):
        exchange(chain, cache, "settings.json", bad)
        refused(5, "does not verify", chain, chain.bundle, cache=cache)
    exchange(chain, cache, "settings.json", text.encode())
    accepted(chain, cache=cache)


def test_record_altered(chain, cache):
    folder = cache / chain.keys.folder.name
    record = chain.keys.record
    for unusable in (record.unusable - 1, record.unusable + 1):
        write_record(folder, replace(record, unusable=unusable))
        refused(4, "equation", chain, chain.bundle, cache=cache)
    for other in ({"circuit": "0" * 64}, {"srs": "0" * 64}):
        write_record(folder, replace(record, **other))
        lacks("no verifying key", chain, cache=cache)
    for text in ("", "[]", "{}", '{"vk": 1}'):
        (folder / "record.json").write_text(text)
        lacks("no verifying key", chain, cache=cache)
    write_record(folder, record)
    accepted(chain, cache=cache)


def test_key_of_another_circuit(chain, cache, other_keys):
    """Its folder in place of ours; its key and settings under our record's name."""
    folder = cache / chain.keys.folder.name
    own = {name: (folder / name).read_bytes() for name in ("vk", "settings.json", "record.json")}
    for name in own:
        shutil.copy(other_keys.folder / name, folder / name)
    lacks("no verifying key", chain, cache=cache)
    write_record(folder, replace(other_keys.record, circuit=chain.keys.record.circuit))
    refused(5, "does not verify", chain, chain.bundle, cache=cache)
    for name, data in own.items():
        (folder / name).write_bytes(data)
    accepted(chain, cache=cache)


def test_another_circuit_named_in_the_bundle(chain, other_keys):
    """Both keys are at hand; the descriptor decides which one counts."""
    bundle = forge(chain, header={"circuit": other_keys.record.circuit})
    refused(3, "another circuit", chain, bundle)
    assert shape_for((16, 16, 16), 64, 16) == chain.prepared.shape
    accepted(chain)


# --- pinned keys ---------------------------------------------------------------------------------


@pytest.fixture
def shipped(chain, tmp_path, monkeypatch):
    """As if the package shipped the chain's key: pinned, packed, its settings beside it."""
    record = chain.keys.record
    packed = tmp_path / "packed.vk.xz"
    packed.write_bytes(lzma.compress(chain.keys.vk.read_bytes(), preset=0))
    circuits = tmp_path / "circuits" / chain.prepared.shape.name
    circuits.mkdir(parents=True)
    shutil.copy(chain.keys.settings, circuits / "settings.json")
    monkeypatch.setattr(keys, "pins", lambda: {(record.circuit, record.srs): record})
    monkeypatch.setattr(keys, "packed_key", lambda shape: packed)
    monkeypatch.setattr(keys, "SHIPPED_CIRCUITS", circuits.parent)
    return packed


def test_a_pinned_key_cannot_be_exchanged(chain, cache, shipped, other_keys):
    folder = cache / chain.keys.folder.name
    shutil.copy(other_keys.vk, folder / "vk")
    write_record(folder, replace(chain.keys.record, vk=other_keys.record.vk))
    lacks("differ from the pinned", chain, cache=cache)
    # With another circuit's record, or none, the folder counts for nothing and is made anew.
    for record in (other_keys.record, None):
        shutil.copy(other_keys.vk, folder / "vk")
        (folder / "record.json").unlink()
        if record is not None:
            write_record(folder, record)
        accepted(chain, cache=cache)
        assert keys._sha256(folder / "vk") == chain.keys.record.vk
    shutil.rmtree(folder)
    accepted(chain, cache=cache)


def test_a_damaged_packed_key(chain, cache, shipped, other_keys):
    shutil.rmtree(cache / chain.keys.folder.name)
    data = shipped.read_bytes()
    wrong = lzma.compress(other_keys.vk.read_bytes(), preset=0)
    for bad in (wrong, b"", data[:-20], b"no xz" + data):
        shipped.write_bytes(bad)
        lacks("damaged", chain, cache=cache)
    shipped.write_bytes(data)
    accepted(chain, cache=cache)


def test_an_srs_of_unknown_origin_needs_to_be_named(chain, monkeypatch, tmp_path):
    """A file that is neither the ceremony's nor the test one: refused, until the caller names its
    digest; naming another's does not help, and no name makes the test SRS acceptable."""
    path = ceremony_file(4, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(srs_module, "TEST_TAU", 12345)
        srs_module.test_srs(4, path)
    digest = srs_module.Srs.open(path).sha256
    facts = {"domain_k": 4, "srs": {"kind": "unknown", "sha256": digest}}
    commitment = replace(chain.commitment, descriptor={**chain.commitment.descriptor, **facts})
    for named in ((), ("0" * 64,)):
        with pytest.raises(StepFailed, match="nor named with --trust-srs") as refused_by:
            verify.trusted_srs(commitment, digest, Policy(trusted_srs=named), tmp_path)
        assert refused_by.value.step == 2
    for named in ((digest,), (digest.upper(),)):
        policy = Policy(trusted_srs=named)
        assert verify.trusted_srs(commitment, digest, policy, tmp_path).sha256 == digest
    tests_own = chain.srs.sha256
    with pytest.raises(StepFailed, match="TEST setup"):
        verify.trusted_srs(
            chain.commitment, tests_own, Policy(trusted_srs=(tests_own,)), chain.cache
        )
