import os
import stat

import pytest

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.files.writing import write_atomically


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_made_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "f"
    write_atomically(path, b"1")
    write_atomically(str(path), b"22")
    assert path.read_bytes() == b"22" and mode(path) == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["f"]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes(tmp_path, umask):
    path = tmp_path / "f"
    before = os.umask(umask)
    try:
        write_atomically(path, b"1", mode=0o600)
    finally:
        os.umask(before)
    assert mode(path) == 0o600


def test_it_is_never_open_to_others_meanwhile(tmp_path, monkeypatch):
    """A secret file has its mode before it has its name."""
    seen = []
    honest = os.replace

    def replace(source, target):
        seen.append(stat.S_IMODE(os.stat(source).st_mode))
        honest(source, target)

    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "f", b"1", mode=0o600)
    assert seen == [0o600]


@pytest.mark.parametrize("call", ["replace", "chmod"])
@pytest.mark.parametrize(("number", "kind"), [(28, EnvironmentLacks), (13, InputError)])
def test_all_or_nothing(tmp_path, monkeypatch, call, number, kind):
    """A full disk says nothing about what the user asked for; a forbidden place does."""
    path = tmp_path / "f"
    write_atomically(path, b"old")

    def fail(*args):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(kind, match=f"cannot write {path}: {os.strerror(number)}"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_interrupted_it_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "f", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_replaced_not_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert target.read_bytes() == b"precious" and link.read_bytes() == b"new"


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "f", tmp_path / "folder"):
        with pytest.raises(InputError, match="cannot write"):
            write_atomically(path, b"")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
