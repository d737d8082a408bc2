"""What runs inside a child process (see process.py): serves calls until its standard input ends.

A request is a pickle (module, name, arguments) from our parent, which we trust. An answer is plain
values only (codec.py), because the parent does not trust us once a stranger's file went through
native code here: ("result", value), ("known", class, message) for an error of our own, or
("fault", class, message) for any other. Both are preceded by their length, 8 bytes little-endian.
"""

from __future__ import annotations

import os
import site
import sys

# Nothing else is imported before sys.path is complete, and numpy only by those who need it.


def main(parent: int, user_site: str, memory: int) -> None:
    """Serve requests from stdin, answers to what stdout was at the start.

    parent: the process to die with; user_site: the user's site-packages, "" for none; memory: limit
    on the address space in bytes, 0 for none.
    """
    _die_with(parent)
    if user_site:
        _add_user_site(user_site)
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code prints to stdout; keep the real one for the answers
    _limit(memory)
    while header := requests.read(8):
        request = requests.read(int.from_bytes(header, "little"))
        answer = _answer(request)
        answers.write(len(answer).to_bytes(8, "little") + answer)
        answers.flush()


def _answer(request: bytes) -> bytes:
    import importlib
    import pickle

    from huref_zk.errors import HurefError
    from huref_zk.native import codec

    try:
        module, name, arguments = pickle.loads(request)
        function = getattr(importlib.import_module(module), name)
        return codec.encode(("result", function(*arguments)))
    except BaseException as error:  # a native panic is no Exception
        names = [kind.__name__ for kind in type(error).__mro__]
        kind = "known" if isinstance(error, HurefError) else "fault"
        text = str(error).encode(errors="replace").decode()
        return codec.encode((kind, names, text[:2000]))


def _die_with(parent: int) -> None:
    """End when the parent does, in whatever way it ends; interrupts are the parent's to handle."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    else:
        import threading

        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if _orphaned(parent):  # it died before we could ask to be told
        os._exit(1)


def _watch(parent: int) -> None:
    """As good as it gets elsewhere: native code that holds the interpreter's lock is not ended."""
    import time

    while not _orphaned(parent):
        time.sleep(1)
    os._exit(1)


def _orphaned(parent: int) -> bool:
    return hasattr(os, "getppid") and os.getppid() != parent


def _add_user_site(folder: str) -> None:
    """Put the user's site-packages where an ordinary start puts it: before the others."""
    before = sys.path[:] = [entry for entry in sys.path if entry != folder]
    site.addsitedir(folder)
    added = [entry for entry in sys.path if entry not in before]
    others = site.getsitepackages()
    first = next((i for i, entry in enumerate(before) if entry in others), len(before))
    sys.path[:] = before[:first] + added + before[first:]


def _limit(memory: int) -> None:
    """Limit the address space, unless a lower limit holds already, and never leave a core file."""
    try:
        import resource
    except ImportError:
        return  # the parent asked for no limit, or it would not have started us
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory and sys.platform != "darwin":  # which has no such limit
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
