"""Calls in child processes: for several cores at once, and as a wall around native code.

ezkl is a native library that holds the interpreter's lock while it works and has been seen to
panic, so what is slow or dangerous runs in fresh Python processes that exchange pickles with us over their own pipes. A child that dies takes nothing with it.
"""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import site
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

from huref_zk.errors import EnvironmentLacks, HurefError

MAX_PROCESSES = 8


def usable_cores() -> int:
    """Cores this process may run on, at most MAX_PROCESSES."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MAX_PROCESSES)
    return min(os.cpu_count() or 1, MAX_PROCESSES)


def run_all(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Any]:
    """``[function(*job) for job in jobs]``, shared among child processes (default: every core).

    `function` must be importable by its module and name; it, its arguments and results are
    pickled. A HurefError raised in a child is raised here; any other failure, a panic or a killed
    child included, becomes EnvironmentLacks. `progress` hears (jobs done, jobs).
    """
    pending: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(jobs)):
        pending.put(index)
    results: list[Any] = [None] * len(jobs)
    finished: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    target = (function.__module__, function.__qualname__)
    children: list[subprocess.Popen[bytes]] = []

    def serve(child: subprocess.Popen[bytes]) -> None:
        try:
            while True:
                try:
                    index = pending.get_nowait()
                except queue.Empty:
                    return
                results[index] = _call(child, (*target, jobs[index]))
                finished.put(None)
        except BaseException as error:
            finished.put(error)

    threads: list[threading.Thread] = []
    # A killed child cannot tidy up, so whatever the children put aside goes with this folder.
    scratch = tempfile.TemporaryDirectory(prefix="huref-zk-", ignore_cleanup_errors=True)
    try:
        for _ in range(min(processes or usable_cores(), len(jobs))):
            children.append(_start(scratch.name))
            threads.append(threading.Thread(target=serve, args=(children[-1],), daemon=True))
            threads[-1].start()
        for done in range(1, len(jobs) + 1):
            error = finished.get()
            if error is not None:
                raise error
            if progress is not None:
                progress(done, len(jobs))
    finally:
        for child in children:
            child.kill()
        for thread in threads:
            thread.join()
        for child in children:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        scratch.cleanup()
    return results


def child_environment(scratch: str) -> dict[str, str]:
    """This process's environment, but ezkl keeps its files in ``scratch``, has no settings and no
    network.

    Otherwise it writes to ~/.ezkl and ~/.svm, EZKL_KEY_FORMAT would change what a key file holds,
    and one call would download a compiler.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("EZKL_")}
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    homes = dict.fromkeys(("HOME", "EZKL_REPO_PATH", "TMPDIR"), scratch)
    return {**ours, **nowhere, **homes, "PYTHONUSERBASE": site.getuserbase()}


def _start(scratch: str) -> subprocess.Popen[bytes]:
    # One thread each: we hand out one child a core.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "huref_zk.native.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**child_environment(scratch), **one, "PYTHONPATH": path},
        )
    except OSError as error:
        raise EnvironmentLacks(f"cannot start a child process: {error}") from error


def _call(child: subprocess.Popen[bytes], job: tuple[str, str, tuple[Any, ...]]) -> Any:
    name = f"{job[0]}.{job[1]}"
    assert child.stdin is not None and child.stdout is not None
    try:
        pickle.dump(job, child.stdin, protocol=pickle.HIGHEST_PROTOCOL)
        child.stdin.flush()
        kind, value = pickle.load(child.stdout)
    except (OSError, EOFError, pickle.UnpicklingError):
        raise EnvironmentLacks(
            f"a child process died in {name}; it may have run out of memory, free some and rerun"
        ) from None
    if kind == "result":
        return value
    if kind == "known":
        raise value
    raise EnvironmentLacks(f"{name} failed in a child process: {value}")


def main() -> None:
    """Serve calls from stdin until it ends."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code prints to stdout; keep the real one for the answers
    while True:
        try:
            module, name, arguments = pickle.load(requests)
        except EOFError:
            return
        answer: tuple[str, Any]
        try:
            function = getattr(importlib.import_module(module), name)
            answer = ("result", function(*arguments))
        except HurefError as error:
            answer = ("known", error)
        except BaseException as error:  # a native panic is no Exception
            answer = ("unknown", f"{type(error).__name__}: {error}"[:300])
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    main()
