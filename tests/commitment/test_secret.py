"""The secret key's file."""

from __future__ import annotations

import os
import stat

import pytest

from huref_zk.commitment.secret import LENGTH, create_secret, read_secret
from huref_zk.errors import InputError

SECRET = bytes(range(LENGTH))


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_may_read_it(tmp_path, umask):
    path = tmp_path / "new" / "folder" / "secret.key"
    before = os.umask(umask)
    try:
        create_secret(path, SECRET)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert read_secret(path) == SECRET


def test_it_is_never_overwritten_without_force(tmp_path):
    path = tmp_path / "secret.key"
    create_secret(path, SECRET)
    with pytest.raises(InputError, match="exists; a secret key is never overwritten"):
        create_secret(path, bytes(LENGTH))
    assert read_secret(path) == SECRET
    create_secret(path, bytes(LENGTH), force=True)
    assert read_secret(path) == bytes(LENGTH)


def test_force_makes_it_private_again(tmp_path):
    path = tmp_path / "secret.key"
    path.write_bytes(SECRET)
    path.chmod(0o644)
    create_secret(path, SECRET, force=True)
    assert mode(path) == 0o600
    create_secret(tmp_path / "other.key", SECRET, force=True)  # nothing there is fine too
    assert read_secret(tmp_path / "other.key") == SECRET


def test_a_link_is_not_written_through(tmp_path):
    """Neither without force nor with it, whether or not what it points to exists."""
    target, link = tmp_path / "target", tmp_path / "secret.key"
    link.symlink_to(target)
    with pytest.raises(InputError, match="exists"):
        create_secret(link, SECRET)
    assert not target.exists()
    target.write_bytes(b"precious")
    create_secret(link, SECRET, force=True)
    assert target.read_bytes() == b"precious"
    assert read_secret(link) == SECRET
    assert not link.is_symlink()


@pytest.mark.parametrize("size", [0, 1, LENGTH - 1, LENGTH + 1, 2 * LENGTH])
def test_a_wrong_length_is_refused(tmp_path, size):
    path = tmp_path / "secret.key"
    path.write_bytes(bytes(size))
    with pytest.raises(InputError, match=f"has {size} bytes, not {LENGTH}"):
        read_secret(path)
    path.write_bytes(SECRET)
    assert read_secret(path) == SECRET


def test_what_cannot_be_a_key_is_refused(tmp_path):
    path = tmp_path / "secret.key"
    with pytest.raises(InputError, match="cannot read"):
        read_secret(path)
    path.write_bytes(bytes(2000))
    with pytest.raises(InputError, match="larger than"):
        read_secret(path)
    with pytest.raises(InputError, match="not a regular file"):
        read_secret(tmp_path)
    path.write_bytes(SECRET)
    assert read_secret(path) == SECRET


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.key").mkdir()
    for force in (False, True):
        with pytest.raises(InputError):
            create_secret(tmp_path / "file" / "secret.key", SECRET, force)
        with pytest.raises(InputError):
            create_secret(tmp_path / "folder.key", SECRET, force)
    create_secret(tmp_path / "folder.key" / "secret.key", SECRET)
    assert read_secret(tmp_path / "folder.key" / "secret.key") == SECRET
