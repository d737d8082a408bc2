"""setup, keys list and keys clean; nothing is derived here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from huref_zk.circuit import keys as circuit_keys
from huref_zk.circuit.shape import shape_for
from huref_zk.files.formats import FINGERPRINT, OPENING
from huref_zk.srs.insecure import insecure_sha256, insecure_srs
from tests.support.commands import check_error, json_of, run
from tests.support.small_owner import BITS, small_owner, small_srs, write_owner

VK = "cd" * 32


@pytest.fixture
def derived(monkeypatch):
    """What `derive` was asked for; it makes nothing."""
    asked: list[SimpleNamespace] = []

    def derive(shape, srs, cache, stage=None, verify_only=False):
        asked.append(SimpleNamespace(shape=shape, srs=srs, verify_only=verify_only))
        folder = cache / shape.name
        return SimpleNamespace(folder=folder, record=SimpleNamespace(vk=VK))

    monkeypatch.setattr(circuit_keys, "derive", derive)
    return asked


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A key folder with the test SRS of the embedded family's circuit."""
    folder = tmp_path_factory.mktemp("keys")
    k = shape_for(64).k
    insecure_srs(k, folder / f"kzg{k}.test.srs")
    return folder


def folder_of_keys(cache: Path, name: str, pk: int = 0, record: bool = True) -> Path:
    folder = cache / name
    folder.mkdir(parents=True)
    (folder / "vk").write_bytes(b"v" * 100)
    (folder / "settings.json").write_text("{}")
    if pk:
        (folder / "pk").write_bytes(b"p" * pk)
        (folder / "circuit.ezkl").write_bytes(b"c")
    if record:
        (folder / "record.json").write_text(json.dumps({"circuit": "1", "srs": "2", "vk": VK}))
    return folder


# --- setup ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["64", "demo-base"])
def test_setup_by_size_and_by_model(derived, cache, what):
    data = json_of("setup", what, "--keys", cache)
    (asked,) = derived
    assert asked.shape == shape_for(64) and not asked.verify_only
    assert (data["circuit"], data["vk"]) == (shape_for(64).digest, VK)
    assert data["srs"]["sha256"] == insecure_sha256(shape_for(64).k)
    assert (data["already"], data["proving"], data["test_setup"]) == (False, True, True)
    assert "TEST setup" in run("setup", what, "--keys", cache, expect=0).stdout


def test_setup_for_verifying_only(derived, cache):
    assert json_of("setup", "64", "--verify-only", "--keys", cache)["proving"] is False
    assert derived[0].verify_only


def test_setup_by_file_takes_the_files_srs(derived, cache, tmp_path, monkeypatch):
    """Under the SRS that the commitment names, not the one that we would prove under."""
    owner = small_owner(small_srs(tmp_path))
    folder = write_owner(tmp_path, owner)
    monkeypatch.setattr("huref_zk.proofs.picture.verify.shape_of", lambda commitment: shape_for(64))
    json_of("setup", folder / "commitment.hzc", "--keys", cache)
    assert derived[0].srs.sha256 == owner.descriptor.srs.sha256 == insecure_sha256(BITS)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("0", "positive hidden size"),
        ("999999", "needs a circuit"),
        ("99999999999", "no model has"),
        ("no such model", "there is no model"),
        ("../x.hzp", "there is no model"),
    ],
)
def test_setup_of_nothing(derived, cache, what, words):
    check_error(run("setup", what, "--keys", cache), 2, words)
    assert derived == []


def test_setup_of_files_that_need_no_keys(derived, cache, tmp_path):
    for content, words in (
        (FINGERPRINT.magic, "a saved fingerprint needs no keys"),
        (OPENING.magic, "an opening needs no keys"),
        (b"something", "not a file of this program"),
    ):
        (tmp_path / "x").write_bytes(content + bytes(9))
        told = run("setup", tmp_path / "x", "--keys", cache, expect=2).stderr
        assert words.removeprefix("an ").removeprefix("a ") in told


def test_keys_that_are_there_are_not_derived_again(derived, cache, monkeypatch):
    there = SimpleNamespace(folder=cache / "x", record=SimpleNamespace(vk=VK))
    monkeypatch.setattr(circuit_keys, "find_proving", lambda *_: there)
    assert json_of("setup", "64", "--keys", cache)["already"] is True
    assert derived == []


# --- keys ----------------------------------------------------------------------------------------


@pytest.fixture
def full(tmp_path) -> Path:
    """A key folder: whole keys, verifying ones, ones that are not whole, an SRS, others' files."""
    folder_of_keys(tmp_path, "d16-k11-aa-srs-11", pk=3 << 20)
    folder_of_keys(tmp_path, "d32-k11-bb-srs-11")
    folder_of_keys(tmp_path, "d64-k11-cc-srs-11", pk=5, record=False)
    (tmp_path / "kzg11.test.srs").write_bytes(b"srs")
    (tmp_path / "somebody's folder").mkdir()
    (tmp_path / "somebody's folder/file").write_bytes(b"x")
    return tmp_path


def test_keys_are_listed(full):
    data = json_of("keys", "list", "--keys", full)
    told = [(Path(k["folder"]).name, k["whole"], k["proving"], k["vk"]) for k in data["keys"]]
    assert told == [
        ("d16-k11-aa-srs-11", True, True, VK),
        ("d32-k11-bb-srs-11", True, False, VK),
        ("d64-k11-cc-srs-11", False, True, None),
    ]
    lines = run("keys", "list", "--keys", full, expect=0).stdout.splitlines()
    assert [line.split(": ")[1].split(",")[0] for line in lines] == [
        *("proving and verifying", "verifying only", "not whole")
    ]
    assert "3 MB" in lines[0]
    assert "no derived keys" in run("keys", "list", "--keys", full / "none", expect=0).stdout


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ((), ["d16-k11-aa-srs-11", "d32-k11-bb-srs-11"]),
        (("--proving",), ["d16-k11-aa-srs-11", "d32-k11-bb-srs-11"]),
        (("--all",), []),
    ],
)
def test_keys_are_cleaned(full, options, left):
    data = json_of("keys", "clean", *options, "--keys", full)
    assert len(data["removed"]) == {"": 1, "--proving": 2, "--all": 3}["".join(options)]
    folders = sorted(p.name for p in full.iterdir() if p.name.startswith("d"))
    assert folders == left
    assert (full / "kzg11.test.srs").exists() and (full / "somebody's folder/file").exists()
    if left:
        assert (full / left[0] / "pk").exists() == ("--proving" not in options)
        assert (full / left[0] / "vk").exists()
    again = json_of("keys", "clean", *options, "--keys", full)
    assert again == {"removed": [], "bytes": 0}


def test_folders_that_are_not_keys_are_left_alone(full, tmp_path_factory):
    """Whatever files lie in them; with the name of keys they go."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder_of_keys(elsewhere, "target")
    names = ["project", "d16-k11-aa-srs-11.bak", "old d16-k11-aa-srs-11", "D16-k11-aa-srs-11"]
    for name in names:
        folder_of_keys(full, name, pk=1, record=name != "project")
    (full / "d128-k13-aa-srs-11").symlink_to(elsewhere / "target")
    names.append("d128-k13-aa-srs-11")
    told = json_of("keys", "list", "--keys", full)["keys"]
    assert len(told) == 3 and not {Path(k["folder"]).name for k in told} & set(names)
    for options in ((), ("--proving",), ("--all",)):
        removed = json_of("keys", "clean", *options, "--keys", full)["removed"]
        assert removed and not [n for n in names if any(f"/{n}" in path for path in removed)]
    assert sorted(path.name for path in full.iterdir()) == sorted(
        [*names, "kzg11.test.srs", "somebody's folder"]
    )
    assert all((full / name / "settings.json").exists() for name in names)
    (full / "project").rename(full / "pair-d16-d32-k13-aa-srs-11")  # the control
    assert len(json_of("keys", "clean", "--keys", full)["removed"]) == 1


@pytest.mark.parametrize("record", ["[" * 4000, "[" * 10**5, "\xff", None])
def test_records_that_are_none_are_not_whole_keys(tmp_path, record):
    folder = folder_of_keys(tmp_path, "d16-k11-aa-srs-11", record=False)
    if record is None:
        os.mkfifo(folder / "record.json")
    else:
        (folder / "record.json").write_text(record, encoding="latin-1")
    (kept,) = json_of("keys", "list", "--keys", tmp_path)["keys"]
    assert not kept["whole"]
    (folder / "record.json").unlink()
    (folder / "record.json").write_text(json.dumps({"vk": VK}))
    assert json_of("keys", "list", "--keys", tmp_path)["keys"][0]["whole"]


def test_what_a_dead_run_left_is_swept(tmp_path):
    import subprocess
    import sys

    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from huref_zk.native.scratch import private_folder\n"
        "with private_folder('.building-', parent=Path(sys.argv[1])) as folder:\n"
        "    (folder / 'pk').write_bytes(b'p')\n"
        "    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    data = json_of("keys", "clean", "--keys", tmp_path)
    assert data["removed"] == [str(left)] and list(tmp_path.iterdir()) == []
