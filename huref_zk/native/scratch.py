"""Private folders that do not outlive their process, even one that was killed.

What lies in them (witnesses, rows of a model) must never stay behind in the clear. So they lie in
memory where there is room, they are removed on the way out, also on SIGTERM and SIGHUP, and
whoever makes the next one first sweeps those of processes that could not tidy up.

Whether the owner of a folder still lives is told by a lock on a file in it, which the system drops
when the process ends however it ends. A process number would not do: it means something else in
another container that shares the folder, and after a restart.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

try:
    import fcntl
except ImportError:  # not a Unix: folders of killed processes stay
    fcntl = None  # type: ignore[assignment]

PREFIX = "huref-zk-"
LOCK = ".lock"
_MEMORY_SHARE = 4  # folders in memory take at most this fraction of what is free
_UNLOCKED_AGE = 86400.0  # seconds after which a folder that never got its lock counts as dead


@contextmanager
def private_folder(
    prefix: str = PREFIX, *, room: int = 0, parent: Path | None = None
) -> Iterator[Path]:
    """A new folder that only this user can read, gone when the block ends.

    room: bytes that will be put there; decides between memory and TMPDIR. parent: where to make it
    instead (it must exist). Its name is `prefix`, process number, time in seconds and random
    letters. Folders of this prefix that dead processes of this user left wherever it could lie are
    removed first. In the main thread SIGTERM and SIGHUP, where they would end the process at once,
    become SystemExit meanwhile, so that the folder goes. Something that is to stay, such as a
    finished set of keys, is built in a folder *within* this one and moved out of it.
    """
    places = [parent] if parent else _places()
    for place in places:
        sweep(place, prefix)
    place = next((place for place in places[:-1] if _fits(place, room)), places[-1])
    with _signals_as_exits():
        folder, lock = _make(place, prefix)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def sweep(place: Path, prefix: str = PREFIX) -> list[Path]:
    """Remove the folders `prefix`* in `place` whose process is dead; returns them.

    Looks at this user's own folders only, and leaves alone whatever it cannot lock.
    """
    swept = []
    try:
        candidates = [Path(e.path) for e in os.scandir(place) if e.name.startswith(prefix)]
    except OSError:
        return []
    for folder in candidates:
        try:
            if _is_ours(folder) and _remove_if_dead(folder):
                swept.append(folder)
        except OSError:
            continue
    return swept


def _places() -> list[Path]:
    """Where a folder may lie: in memory as far as there is such a place, TMPDIR last."""
    in_memory = [Path("/dev/shm"), Path(os.environ.get("XDG_RUNTIME_DIR") or "/dev/shm")]
    usable = [p for p in in_memory if p.is_absolute() and os.access(p, os.W_OK | os.X_OK)]
    return [*dict.fromkeys(usable), Path(tempfile.gettempdir())]


def _fits(place: Path, room: int) -> bool:
    try:
        free = min(shutil.disk_usage(place).free, _free_memory())
    except OSError:
        return False
    return free > 0 and room <= free // _MEMORY_SHARE


def _free_memory() -> int:
    """Bytes of memory that can be had without swapping; OSError where that is unknown."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    raise OSError("no MemAvailable")


def _make(place: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and its lock, held."""
    name = f"{prefix}{os.getpid()}-{int(time.time())}-"
    while True:
        folder = Path(tempfile.mkdtemp(dir=place, prefix=name))
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks: nobody else can sweep there either
                return folder, lock
        if (folder / LOCK).exists():
            return folder, lock
        os.close(lock)  # a sweeper was faster than our lock


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and hasattr(os, "getuid") and status.st_uid == os.getuid()


def _remove_if_dead(folder: Path) -> bool:
    if fcntl is None:
        return False
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:  # just made, or its maker died within microseconds
        if time.time() - folder.stat().st_mtime < _UNLOCKED_AGE:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def _signals_as_exits() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit, once, where nobody else handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [
        number
        for number in (getattr(signal, name) for name in names)
        if signal.getsignal(number) is signal.SIG_DFL
    ]

    def leave(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends us at once
        raise SystemExit(128 + number)

    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
