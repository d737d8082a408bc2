"""A child process that nothing but its own installation can lead astray.

Native code is run in children, as it has been seen to panic and may be fed a stranger's file. A
child starts in isolated mode, so neither the current folder nor PYTHONPATH has a say in what it
imports: a bundle may come with an `ezkl.py` beside it. It finds the interpreter's own packages,
the user's where this process has them too, and this very package. It sits in a private folder, has
no settings of Python or ezkl, no network, and dies with us. What it answers is read by codec.py.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import signal
import site
import subprocess
import sys
import threading
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

import huref_zk
from huref_zk import errors
from huref_zk.native import codec
from huref_zk.native.scratch import private_folder

GIB = 1 << 30
MAX_ANSWER = 1 << 30
"""The longest answer that is read, in bytes."""

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(huref_zk.__file__)))
# The folder of this package (or the zip file it is in) leads the path just long enough to make
# sure that child and parent run the same code, and comes last thereafter.
_BOOTSTRAP = """
import sys
root, parent, user, memory = sys.argv[1:]
sys.path.insert(0, root)
import huref_zk
sys.path.append(sys.path.pop(0))
from huref_zk.native import child
child.main(int(parent), user, int(memory))
"""
_KNOWN: dict[str, type[errors.HurefError]] = {
    kind.__name__: kind for kind in (errors.InputError, errors.EnvironmentLacks, errors.NotValid)
}


class Child:
    """A child process; leaving its ``with`` block kills it.

    threads: how many native libraries may start, 0 for their own choice. memory: limit on the
    address space in bytes, 0 for none; a lower one that holds already (ulimit -v) stays.
    EnvironmentLacks where no child can be started, or its memory not be limited.
    """

    def __init__(self, *, threads: int = 0, memory: int = 0):
        self.limit = _address_space(memory)
        self._folder = private_folder()
        self.folder = self._folder.__enter__()
        self._timed_out = False
        try:
            self._log = open(self.folder / "log", "w+b", buffering=0)  # noqa: SIM115
            self._process = self._start(threads)
        except OSError as error:
            self._folder.__exit__(None, None, None)
            raise errors.EnvironmentLacks(f"cannot start a child process: {error}") from error

    def _start(self, threads: int) -> subprocess.Popen[bytes]:
        user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
        flags = ["-I", "-B"] if sys.flags.dont_write_bytecode else ["-I"]
        words = [_ROOT, str(os.getpid()), user if os.path.isabs(user) else "", str(self.limit)]
        return subprocess.Popen(
            [sys.executable, *flags, "-c", _BOOTSTRAP, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(self.folder, threads),
            cwd=self.folder,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._log):
                assert pipe is not None
                try:
                    pipe.close()
                except OSError:  # half a request that nobody will read
                    continue
        finally:
            self._folder.__exit__(None, None, None)

    def kill(self) -> None:
        """End it now; a call in progress, in another thread, raises EnvironmentLacks."""
        self._process.kill()

    def call(
        self,
        module: str,
        name: str,
        arguments: tuple[Any, ...],
        timeout: float | None = None,
        what: str = "",
    ) -> Any:
        """``module.name(*arguments)`` in the child; timeout in seconds; `what`: its name in errors.

        The arguments are pickled; relative Paths in them become absolute, as the child is in
        another folder. The result must be plain (codec.py). InputError, EnvironmentLacks and
        NotValid raised there are raised here; all else that may happen, a child that dies, does
        not end in time or answers nonsense included, is EnvironmentLacks.
        """
        what = what or f"{module}.{name}"
        timer = threading.Timer(timeout, self._time_out) if timeout is not None else None
        if timer:
            timer.start()
        try:
            return self._result(what, self._exchange(_pickled((module, name, arguments))))
        except (OSError, EOFError):
            if self._timed_out:
                raise errors.EnvironmentLacks(f"{what} did not end within {timeout:g} s") from None
            raise errors.EnvironmentLacks(self._death(what)) from None
        except codec.Malformed as error:
            raise errors.EnvironmentLacks(f"{what}: its process answered nonsense") from error
        finally:
            if timer:
                timer.cancel()

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _exchange(self, request: bytes) -> Any:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None
        requests.write(len(request).to_bytes(8, "little"))
        requests.write(request)
        requests.flush()
        header = answers.read(8)
        length = int.from_bytes(header, "little")
        if len(header) == 8 and length > MAX_ANSWER:
            raise codec.Malformed("too long")
        data = answers.read(length)
        if len(header) < 8 or len(data) < length:
            raise EOFError
        return codec.decode(data)

    def _result(self, what: str, answer: Any) -> Any:
        if type(answer) is not tuple:
            raise codec.Malformed("no answer")
        match answer:
            case ("result", value):
                return value
            case ("known" | "fault" as kind, list() as names, str() as text):
                pass
            case _:
                raise codec.Malformed("no answer")
        text = printable(text)
        known = [_KNOWN[name] for name in names if type(name) is str and name in _KNOWN]
        if kind == "known" and known:
            raise known[0](text)
        fault = printable(str(names[0])) if names else "error"
        if fault == "MemoryError" or lacks_resources(text):
            text += f"; it ran out of memory{self.limit_words()}"
        raise errors.EnvironmentLacks(f"{what} failed in its process: {fault}: {text[:400]}")

    def _death(self, what: str) -> str:
        code = self._process.wait()
        try:
            how = signal.Signals(-code).name if code < 0 else f"exit {code}"
        except ValueError:
            how = f"signal {-code}"
        last = self._last_words()
        return (
            f"the process of {what} died ({how}{': ' + last if last else ''}); "
            f"most likely it ran out of memory{self.limit_words()}"
        )

    def limit_words(self) -> str:
        """What to add to an error about memory."""
        return f"; it is limited to {self.limit / GIB:.3g} GiB of it" if self.limit else ""

    def _last_words(self) -> str:
        self._log.seek(max(0, os.fstat(self._log.fileno()).st_size - 2000))
        lines = self._log.read(2000).decode(errors="replace").strip().splitlines()
        telling = [line for line in lines if lacks_resources(line)] or lines[-1:]
        return printable(telling[0])[:200] if telling else ""


def environment(folder: Path, threads: int = 0) -> dict[str, str]:
    """This process's environment for a child in `folder`: homes and temporary files lie there, no
    setting of Python or ezkl is passed on, and there is no network.

    Otherwise ezkl writes to ~/.ezkl and ~/.svm, EZKL_KEY_FORMAT would change what a key file holds,
    and one call would download a compiler.
    """
    barred = ("PYTHON", "EZKL_", "XDG_")
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(barred) and name.upper() != "NO_PROXY"
    }
    proxies = [f"{scheme}_proxy" for scheme in ("http", "https", "all")]
    nowhere = dict.fromkeys([*proxies, *map(str.upper, proxies)], "http://127.0.0.1:9")
    homes = dict.fromkeys(("HOME", "EZKL_REPO_PATH", "TMPDIR"), str(folder))
    counted = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS") if threads else ()
    return {**ours, **nowhere, **homes, **dict.fromkeys(counted, str(threads))}


def lacks_resources(text: str) -> bool:
    """Whether an error speaks of memory, threads, files or room on a disk that could not be had."""
    signs = ("memory allocation", "cannot allocate", "out of memory", "failed to map segment")
    numbers = (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOSPC)
    native = ("threadpoolbuilderror", *(f"os error {number})" for number in numbers))
    return any(sign in text.lower() for sign in signs + native)


def printable(text: str) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _address_space(wanted: int) -> int:
    """The limit that a child gets: `wanted` bytes, or less where less is allowed already."""
    try:
        import resource
    except ImportError as error:
        if wanted:
            raise errors.EnvironmentLacks(
                f"this Python cannot limit what a child process takes ({error})"
            ) from error
        return 0
    present = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (*present, wanted) if limit not in (resource.RLIM_INFINITY, 0)]
    return min(limits, default=0)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, PurePath) and not value.is_absolute():
            return (type(value), (os.path.abspath(value),))
        return NotImplemented


def _pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()
