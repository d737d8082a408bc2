"""The owner's 32-byte secret: all salts and masks of a commitment and its proofs derive from it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from huref_zk.errors import InputError
from huref_zk.files.container import read_bounded
from huref_zk.files.writing import write_atomically

LENGTH = 32


def create_secret(path: Path, secret: bytes, force: bool = False) -> None:
    """Write ``secret`` to ``path`` with mode 0600, whole or not at all, and through to the disk:
    without it a commitment is worth nothing to its owner. InputError if the file exists, unless
    ``force``, or cannot be written."""
    if force:  # the old one stays until the new one is whole
        write_atomically(path, secret, mode=0o600)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(f"cannot make the folder {path.parent}: {e.strerror}") from e
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
        try:
            _fill(handle, secret)
            _name(temporary, path, secret)
        finally:
            os.unlink(temporary)
    except FileExistsError:
        raise InputError(
            f"{path} exists; a secret key is never overwritten without --force"
        ) from None
    except OSError as e:
        raise InputError(f"cannot write {path}: {e.strerror}") from e


def _fill(handle: int, secret: bytes) -> None:
    with os.fdopen(handle, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())


def _name(temporary: str, path: Path, secret: bytes) -> None:
    """Give the finished file its name. FileExistsError where there is one of it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without second names
        _fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), secret)


def read_secret(path: Path) -> bytes:
    """The 32 bytes in ``path``. Raises InputError."""
    secret = read_bounded(path, 1024)
    if len(secret) != LENGTH:
        raise InputError(f"{path} is no secret key: it has {len(secret)} bytes, not {LENGTH}")
    return secret
