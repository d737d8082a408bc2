"""Keys: cached, complete or not, pinned, shipped, swept."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
from dataclasses import replace

import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.export import SIZES, Place, export_all, read_manifest, remove_others
from huref_zk.circuit.shape import shape_for
from huref_zk.errors import EnvironmentLacks
from huref_zk.native import ezkl
from huref_zk.paths import SHIPPED_KEYS
from huref_zk.srs.insecure import insecure_sha256

SMALL = shape_for(16)


@pytest.fixture
def cache(derived, tmp_path):
    """A cache with verifying keys only, as ``derive(verify_only=True)`` makes them."""
    folder = keys.folder_of(SMALL, derived.srs.sha256, tmp_path)
    shutil.copytree(derived.keys.folder, folder)
    (folder / "pk").unlink()
    (folder / "circuit.ezkl").unlink()
    return tmp_path


@pytest.fixture
def no_ezkl(monkeypatch):
    """Fails when anything is derived."""

    def run(call: str, **arguments: object) -> None:
        raise AssertionError(f"ezkl {call} was run")

    monkeypatch.setattr(ezkl, "run", run)


def test_what_a_key_folder_holds(derived):
    found = {path.name for path in derived.keys.folder.iterdir()}
    assert found == {"circuit.ezkl", "pk", "record.json", "settings.json", "vk"}
    assert derived.keys.folder.parent == derived.cache
    assert json.loads((derived.keys.folder / "record.json").read_text())["unusable"] == 6


def test_keys_are_derived_once(derived, no_ezkl):
    assert keys.derive(SMALL, derived.srs, derived.cache) == derived.keys
    assert keys.find_proving(SMALL, derived.srs.sha256, derived.cache) == derived.keys
    assert keys.derive(SMALL, derived.srs, derived.cache, verify_only=True) == derived.keys


def test_verifying_keys_do_not_prove(derived, cache, no_ezkl):
    found = keys.derive(SMALL, derived.srs, cache, verify_only=True)
    assert found.record == derived.keys.record
    assert keys.find(SMALL, derived.srs.sha256, cache) == found
    assert keys.verifying_keys(SMALL, derived.srs.sha256, cache) == found
    assert keys.find_proving(SMALL, derived.srs.sha256, cache) is None
    with pytest.raises(AssertionError, match="gen_settings was run"):
        keys.derive(SMALL, derived.srs, cache)


def test_a_shape_or_an_srs_that_is_not_there(derived, tmp_path):
    with pytest.raises(EnvironmentLacks, match="huref-zk setup"):
        keys.verifying_keys(SMALL, derived.srs.sha256, tmp_path)
    with pytest.raises(EnvironmentLacks, match="huref-zk setup"):
        keys.verifying_keys(SMALL, "00" * 32, derived.cache)


@pytest.mark.parametrize("name", ["vk", "settings.json"])
def test_a_damaged_folder(derived, cache, name):
    file = keys.folder_of(SMALL, derived.srs.sha256, cache) / name
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(EnvironmentLacks, match="delete that folder"):
        keys.find(SMALL, derived.srs.sha256, cache)


def test_a_folder_without_its_record_counts_for_nothing(derived, cache):
    (keys.folder_of(SMALL, derived.srs.sha256, cache) / "record.json").unlink()
    assert keys.find(SMALL, derived.srs.sha256, cache) is None


@pytest.mark.parametrize(
    "change",
    [
        {"unusable": 0},
        {"unusable": 17},
        {"unusable": 10**9},
        {"unusable": -6},
        {"unusable": "6"},
        {"unusable": 6.0},
        {"unusable": True},
        {"vk": 7},
        {"settings": "AB" * 32},
        {"more": 1},
    ],
)
def test_a_record_that_says_nothing_sensible_counts_for_nothing(derived, cache, change):
    """Or a verifier with a damaged key folder would find fault with the proof."""
    path = keys.folder_of(SMALL, derived.srs.sha256, cache) / "record.json"
    good = path.read_text()
    path.write_text(json.dumps({**json.loads(good), **change}))
    assert keys.find(SMALL, derived.srs.sha256, cache) is None
    with pytest.raises(EnvironmentLacks, match="no verifying key"):
        keys.verifying_keys(SMALL, derived.srs.sha256, cache)
    path.write_text(good)
    assert keys.find(SMALL, derived.srs.sha256, cache).record == derived.keys.record


@pytest.mark.parametrize("text", ["[" * 4000, "[" * 10**5, " " * 5000 + "{}", None])
def test_a_record_that_is_no_small_file_of_flat_json(derived, cache, text):
    path = keys.folder_of(SMALL, derived.srs.sha256, cache) / "record.json"
    good = path.read_text()
    path.unlink()
    if text is None:
        os.mkfifo(path)
    else:
        path.write_text(text)
    assert keys.find(SMALL, derived.srs.sha256, cache) is None
    path.unlink()
    path.write_text(good)
    assert keys.find(SMALL, derived.srs.sha256, cache).record == derived.keys.record


def test_keys_that_are_not_the_pinned_ones(derived, monkeypatch):
    record = derived.keys.record
    this = (record.circuit, record.srs)
    monkeypatch.setattr(keys, "pins", lambda: {this: record})
    assert keys.find(SMALL, derived.srs.sha256, derived.cache) == derived.keys
    monkeypatch.setattr(keys, "pins", lambda: {this: replace(record, vk="00" * 32)})
    with pytest.raises(EnvironmentLacks, match="pinned"):
        keys.find(SMALL, derived.srs.sha256, derived.cache)


def test_an_interrupted_derivation_leaves_nothing(derived, tmp_path, monkeypatch):
    def run(call: str, **arguments: object) -> None:
        (folder,) = tmp_path.glob(f"{keys.BUILDING}*")
        assert (folder / "graph.onnx").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(ezkl, "run", run)
    with pytest.raises(KeyboardInterrupt):
        keys.derive(SMALL, derived.srs, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_derivation_left_is_swept(derived, tmp_path, monkeypatch):
    """A dead process's folder has a lock that nobody holds; a live one's is left alone."""
    dead = tmp_path / f"{keys.BUILDING}1-1-dead"
    dead.mkdir()
    (dead / ".lock").touch()
    with keys.private_folder(keys.BUILDING, parent=tmp_path) as live:
        monkeypatch.setattr(ezkl, "run", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            keys.derive(SMALL, derived.srs, tmp_path)
        assert live.exists() and not dead.exists()


# --- what the package ships -----------------------------------------------------------------------


def test_every_size_is_shipped_and_whole():
    """Settings and key of each, of the digests that are pinned."""
    for hidden in SIZES:
        shape = shape_for(hidden)
        sha256 = insecure_sha256(shape.k)
        assert sha256 is not None
        record = keys.pins()[shape.digest, sha256]
        vk = lzma.decompress(keys.packed_key(shape, sha256).read_bytes())
        assert hashlib.sha256(vk).hexdigest() == record.vk
        settings = keys.shipped_settings(shape).read_bytes()
        assert hashlib.sha256(settings).hexdigest() == record.settings
    packed = list((SHIPPED_KEYS / "verifying").iterdir())
    assert sum(file.stat().st_size for file in packed) < 2 << 20


def test_shipped_keys_unpack_without_ezkl(tmp_path, no_ezkl, monkeypatch):
    shape = shape_for(576)
    sha256 = insecure_sha256(shape.k)
    found = keys.verifying_keys(shape, sha256, tmp_path / "cache")
    assert keys.find(shape, sha256, tmp_path / "cache") == found and not found.pk.exists()
    pin = replace(found.record, vk="00" * 32)
    monkeypatch.setattr(keys, "pins", lambda: {(pin.circuit, pin.srs): pin})
    with pytest.raises(EnvironmentLacks, match="damaged"):
        keys.verifying_keys(shape, sha256, tmp_path / "other")


@pytest.mark.parametrize("hidden", [64, 576, 4096])
def test_shipped_settings_regenerate_byte_for_byte(hidden, tmp_path):
    shape = shape_for(hidden)
    keys.write_settings(shape, tmp_path / "graph.onnx", tmp_path / "settings.json")
    made = (tmp_path / "settings.json").read_bytes()
    assert made == keys.shipped_settings(shape).read_bytes()


def test_an_export_makes_what_a_derivation_makes(derived, tmp_path):
    """Settings, key and pin of a size exported to another place are those of the derived keys."""
    place = Place(tmp_path / "circuits", tmp_path / "keys")
    place.circuits.mkdir()
    (place.keys / "verifying").mkdir(parents=True)
    wanted = [(SMALL, derived.srs)]
    export_all(wanted, place, missing=False)
    (entry,) = read_manifest(place)
    assert entry["kind"] == "test" and entry["vk"] == derived.keys.record.vk
    (packed,) = (place.keys / "verifying").iterdir()
    assert lzma.decompress(packed.read_bytes()) == derived.keys.vk.read_bytes()
    (settings,) = place.circuits.iterdir()
    assert settings.read_bytes() == derived.keys.settings.read_bytes()
    before = {file: file.read_bytes() for file in (packed, settings, place.manifest)}

    # What is there is not made again, and goes when it is no longer wanted.
    packed.write_bytes(b"untouched")
    export_all(wanted, place, missing=True)
    assert packed.read_bytes() == b"untouched"
    packed.write_bytes(before[packed])
    remove_others(place, wanted)
    assert all(file.read_bytes() == data for file, data in before.items())
    remove_others(place, [(shape_for(17), derived.srs)])
    assert not packed.exists() and not settings.exists() and read_manifest(place) == []
