"""An owner's folder: what is interrupted goes on, and nothing of value is overwritten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from huref_zk.commitment.commit import check_owner, read_owner
from huref_zk.commitment.secret import create_secret, read_secret
from huref_zk.errors import InputError
from huref_zk.proofs import folder as owning
from huref_zk.proofs.folder import Request, check_folder, commit_to_folder
from huref_zk.srs.trust import find_srs
from tests.support.chain import write_model
from tests.support.commands import check_error, run

REQUEST = Request("demo-base", choice={"count": 64})
NAMES = ["commitment.hzc", "secret.key", "witness.hzw"]


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache) -> Path:
    """The folder of a commitment that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished") / "mine"
    commit_to_folder(REQUEST, folder, cache)
    return folder


def interrupted(folder: Path, cache: Path, at: str, request: Request = REQUEST) -> None:
    """Begin a commitment, and stop in the stage ``at``."""

    def stage(what: str, done: int, total: int) -> None:
        if what == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        commit_to_folder(request, folder, cache, stage=stage)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_lies_there_in_the_end(finished, cache):
    assert sorted(path.name for path in finished.iterdir()) == NAMES
    modes = {path.name: path.stat().st_mode & 0o777 for path in finished.iterdir()}
    assert modes["secret.key"] == modes["witness.hzw"] == 0o600
    owner = read_owner(finished)
    check_owner(owner, find_srs(owner.descriptor.srs.k, cache))
    assert owner.descriptor.recipe == "whole" and owner.descriptor.tokens.count == 64
    assert not owner.descriptor.public


def test_a_finished_commitment_is_not_replaced(finished, cache):
    before = contents(finished)
    with pytest.raises(InputError, match=r"finished commitment.*--force"):
        commit_to_folder(REQUEST, finished, cache)
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("at", "left"),
    [
        ("reading the model", ["secret.key"]),
        ("digest of the checkpoint", ["secret.key"]),
        ("committing", ["journal", "secret.key", "witness.hzw"]),
    ],
)
def test_an_interrupted_commitment_goes_on(tmp_path, cache, monkeypatch, at, left):
    folder = tmp_path / "mine"
    interrupted(folder, cache, at)
    assert sorted(path.name for path in folder.iterdir()) == left
    kept = contents(folder)
    (folder / ".witness.hzwab_c1de2").write_bytes(b"half of one")
    if "witness.hzw" in left:
        monkeypatch.setattr(owning, "prepare", None)  # the model is not read again
    commitment = commit_to_folder(REQUEST, folder, cache)
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert contents(folder)["secret.key"] == kept["secret.key"]
    assert contents(folder).get("witness.hzw") == kept.get("witness.hzw", ...) or (
        "witness.hzw" not in left
    )
    owner = read_owner(folder)
    assert owner.commitment == commitment
    check_owner(owner, find_srs(owner.descriptor.srs.k, cache))


def test_blocks_that_are_done_are_not_done_again(tmp_path, cache):
    folder = tmp_path / "mine"
    heard: list[tuple[int, int]] = []

    def stop_after_two(what: str, done: int, total: int) -> None:
        if what == "committing":
            heard.append((done, total))
            if done == 2:
                raise Interrupted

    with pytest.raises(Interrupted):
        commit_to_folder(REQUEST, folder, cache, stage=stop_after_two)
    assert heard[-1][0] == 2 < heard[-1][1]
    heard.clear()
    commit_to_folder(
        REQUEST,
        folder,
        cache,
        stage=lambda what, done, total: heard.append((done, total)) if what == "committing" else 0,
    )
    assert heard[0][0] > 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(REQUEST, model="demo-child"), "model"),
        (replace(REQUEST, choice={"count": 66}), "tokens"),
        (replace(REQUEST, choice={"count": 64, "token_choice": "rare"}), "tokens"),
        (replace(REQUEST, choice={"count": 64, "recipe": "official"}), "recipe"),
        (replace(REQUEST, choice={"count": 64, "layers": (0, 1)}), "layers"),
        (replace(REQUEST, audit_layers=(3,)), "audited layers"),
        (replace(REQUEST, audit_output=True), "audited output"),
    ],
)
def test_another_commitment_is_not_taken_for_the_begun_one(tmp_path, cache, other, words):
    folder = tmp_path / "mine"
    interrupted(folder, cache, "committing")
    before = contents(folder)
    with pytest.raises(InputError, match=f"beginnings of another.*{words}.*--force begins anew"):
        commit_to_folder(other, folder, cache)
    assert contents(folder) == before


def test_force_keeps_the_secret(tmp_path, cache, finished):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in contents(finished).items():
        (folder / name).write_bytes(data)
    secret = read_secret(folder / "secret.key")
    other = replace(REQUEST, model="demo-child")
    made = commit_to_folder(other, folder, cache, force=True)
    assert read_secret(folder / "secret.key") == secret
    assert made.root_hex != read_owner(finished).commitment.root_hex
    again = commit_to_folder(REQUEST, folder, cache, force=True)
    assert again == read_owner(finished).commitment  # same model, secret and SRS


def test_a_public_model_has_no_secret_and_one_root(tmp_path, cache):
    public = replace(REQUEST, public=True)
    roots = {commit_to_folder(public, tmp_path / name, cache).root for name in "ab"}
    assert len(roots) == 1
    assert not (tmp_path / "a/secret.key").exists()
    owner = read_owner(tmp_path / "a")
    assert owner.secret is None and owner.descriptor.public
    secret = {commit_to_folder(REQUEST, tmp_path / name, cache).root for name in "cd"}
    assert len(secret) == 2  # the control
    with pytest.raises(InputError, match="holds a secret key, and a public model has none"):
        commit_to_folder(public, tmp_path / "c", cache, force=True)


def test_audited_matrices_are_committed_besides(tmp_path, cache):
    asked = replace(REQUEST, audit_layers=(2,), audit_output=True)
    commit_to_folder(asked, tmp_path / "mine", cache)
    owner = read_owner(tmp_path / "mine")
    names = [matrix.name for matrix in owner.descriptor.matrices]
    assert names == ["E", "C", "qv2", "ko2", "up2", "gate2", "down2", "O"]
    check_owner(owner, find_srs(owner.descriptor.srs.k, cache))


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/secret.key").symlink_to(tmp_path / "file")
    (tmp_path / "taken/witness.hzw").mkdir(parents=True)
    for name, words in (
        ("file", "is not a folder"),
        ("file/below", "not a writable folder"),
        ("linked", "secret.key is not a regular file"),
        ("taken", "witness.hzw is not a regular file"),
    ):
        with pytest.raises(InputError, match=words):
            check_folder(tmp_path / name, force=True)
    check_folder(tmp_path / "new/folder")
    assert not (tmp_path / "new").exists()
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(InputError, match="not a writable folder"):
            check_folder(tmp_path / "closed/mine")


def test_a_model_that_is_not_there_leaves_no_folder(tmp_path, cache):
    with pytest.raises(InputError, match="there is no model"):
        commit_to_folder(Request("no such model"), tmp_path / "mine", cache)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_are_one_too_many(tmp_path, cache):
    folder = tmp_path / "mine"
    refused = []

    def while_one_works(what: str, done: int, total: int) -> None:
        if what in ("reading the model", "committing") and what not in refused:
            refused.append(what)
            before = contents(folder)
            for force in ((), ("--force",)):
                check_error(
                    run("commit", "demo-base", "--out", folder, "--keys", cache, *force),
                    *(2, f"another 'commit' is at work in {folder}"),
                )
            assert contents(folder) == before
            run("commit", "demo-base", "--out", tmp_path / what, "--keys", cache, "--count", 64)

    commit_to_folder(REQUEST, folder, cache, stage=while_one_works)
    assert refused == ["reading the model", "committing"]
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    check_owner(read_owner(folder), find_srs(read_owner(folder).descriptor.srs.k, cache))
    commit_to_folder(REQUEST, folder, cache, force=True)  # and it is free again


def test_a_dead_process_keeps_nobody_out(tmp_path, cache):
    folder = tmp_path / "mine"
    script = f"""
import sys, time
from pathlib import Path
from huref_zk.proofs.folder import Request, commit_to_folder
def stage(what, done, total):
    if what == "committing":
        print("there", flush=True)
        time.sleep(600)
commit_to_folder(Request("demo-base", choice={{"count": 64}}), Path({str(folder)!r}),
                 Path({str(cache)!r}), stage=stage)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"there\n"
        with pytest.raises(InputError, match="another 'commit' is at work"):
            commit_to_folder(REQUEST, folder, cache)
        other.send_signal(signal.SIGKILL)
    secret = read_secret(folder / "secret.key")
    commit_to_folder(REQUEST, folder, cache)
    assert read_secret(folder / "secret.key") == secret
    assert sorted(path.name for path in folder.iterdir()) == NAMES


def test_force_loses_nothing_before_there_is_something_new(tmp_path, cache, finished):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in contents(finished).items():
        (folder / name).write_bytes(data)
    other = replace(REQUEST, model="demo-child")
    for bad, words in (
        (replace(other, choice={"count": 64, "layers": (99,)}), "layer"),
        (replace(other, choice={"tokens": tmp_path / "missing"}), "missing"),
        (replace(other, audit_layers=(99,)), "layers 0 to"),
    ):
        with pytest.raises(InputError, match=words):
            commit_to_folder(bad, folder, cache, force=True)
        assert contents(folder) == contents(finished)
    made = commit_to_folder(other, folder, cache, force=True)  # the control
    assert made.root_hex != read_owner(finished).commitment.root_hex


def test_only_halves_of_files_are_swept(tmp_path, cache):
    folder = tmp_path / "mine"
    interrupted(folder, cache, "committing")
    secret = read_secret(folder / "secret.key")
    kept = [".secret.key.backup", ".secret.keyold_copy", ".witness.hzw.bak", ".commitment.hzc-2"]
    for name in kept:
        (folder / name).write_bytes(secret)
    (folder / ".witness.hzwabcdefgh.d").mkdir()
    os.link(folder / "secret.key", folder / ".secret.keyabcdefgh")  # killed before it tidied up
    (folder / ".witness.hzwabcdefgh").write_bytes(b"half of one")
    (folder / ".commitment.hzcabcdefgh").write_bytes(b"half of one")
    commit_to_folder(REQUEST, folder, cache)
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([*kept, ".witness.hzwabcdefgh.d", *NAMES])
    assert all((folder / name).read_bytes() == secret for name in kept)


def test_a_secret_is_whole_or_not_there(tmp_path, monkeypatch):
    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "mine/secret.key"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(InputError, match="cannot write"):
            create_secret(path, bytes(32))
    assert list(path.parent.iterdir()) == []
    with monkeypatch.context() as patched:  # where files have one name only
        patched.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no links")))
        create_secret(path, bytes(32))
        with pytest.raises(InputError, match="never overwritten"):
            create_secret(path, bytes(range(32)))
    assert read_secret(path) == bytes(32)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_models_own_folder_gets_no_secret(tmp_path, cache):
    model = tmp_path / "model"
    write_model(model, 1)
    before = contents(model)
    request = Request(str(model), choice={"count": 64})
    for place in (model, tmp_path / "model/../model"):
        with pytest.raises(InputError, match="is the model's own folder"):
            commit_to_folder(request, place, cache)
    assert contents(model) == before
    commit_to_folder(request, tmp_path / "mine", cache)  # the control
