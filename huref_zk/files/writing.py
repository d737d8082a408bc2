"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from huref_zk.errors import EnvironmentLacks, HurefError, InputError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def write_atomically(path: str | os.PathLike[str], data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` to a temporary file beside ``path``, then move it there.

    InputError where that is not allowed or possible, EnvironmentLacks where there is no room.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix="." + target.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, mode)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | os.PathLike[str], error: OSError) -> HurefError:
    """What to raise for a file that could not be written: EnvironmentLacks where there is no room,
    InputError where it is not allowed or possible."""
    kind = EnvironmentLacks if error.errno in _NO_ROOM else InputError
    return kind(f"cannot write {path}: {error.strerror}")


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write all ``files`` or, as far as the system lets us, none: one that is new goes again when a
    later one cannot be written. Raises as write_atomically."""
    made: list[Path] = []
    try:
        for path, data in files.items():
            new = not path.exists()
            write_atomically(path, data)
            if new:
                made.append(path)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
