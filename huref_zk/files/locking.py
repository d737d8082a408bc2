"""One writer at a time in a folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huref_zk.errors import InputError

try:
    import fcntl
except ImportError:  # not a Unix: nothing is locked
    fcntl = None  # type: ignore[assignment]

_TAKEN = (errno.EACCES, errno.EAGAIN)


@contextmanager
def locked(folder: Path, taken: str) -> Iterator[None]:
    """Hold ``folder``, which exists, for the length of the block. InputError, saying ``taken``,
    while somebody else does.

    The lock is the system's, on the folder itself: no file tells of it, and it goes with the
    process that holds it, however that ends. On a file system without locks nobody is kept out.
    """
    if fcntl is None:
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError as error:
        raise InputError(f"cannot open {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                raise InputError(taken) from error
        yield
    finally:
        os.close(handle)
