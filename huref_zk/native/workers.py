"""One function over many arguments, shared among child processes, one a core.

ezkl holds the interpreter's lock while it works, so threads would not do.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from huref_zk.native.process import Child

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
    collected: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    """``[function(*job) for job in jobs]``, shared among child processes (default: every core).

    `function` must be importable by its module and name; its arguments are pickled (files: as
    Paths, never as relative strings), its results must be plain values (see codec.py). The first
    error of a job is raised: InputError, EnvironmentLacks or NotValid as it was, any other,
    a panic or a killed child included, as EnvironmentLacks. `progress` hears (jobs done, jobs),
    `collected` a job's number and result as soon as it is done, both in the calling thread.
    """
    pending: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(jobs)):
        pending.put(index)
    results: list[Any] = [None] * len(jobs)
    finished: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()

    def serve(child: Child) -> None:
        try:
            while True:
                try:
                    index = pending.get_nowait()
                except queue.Empty:
                    return
                results[index] = child.call(function.__module__, function.__qualname__, jobs[index])
                finished.put(index)
        except BaseException as error:
            finished.put(error)

    with ExitStack() as stack:
        count = min(processes or usable_cores(), len(jobs))
        children = [stack.enter_context(Child(threads=1)) for _ in range(count)]
        threads = [threading.Thread(target=serve, args=(c,), daemon=True) for c in children]
        stack.callback(_stop, children, threads)
        for thread in threads:
            thread.start()
        for done in range(1, len(jobs) + 1):
            outcome = finished.get()
            if isinstance(outcome, BaseException):
                raise outcome
            if collected is not None:
                collected(outcome, results[outcome])
            if progress is not None:
                progress(done, len(jobs))
    return results


def _stop(children: Sequence[Child], threads: Sequence[threading.Thread]) -> None:
    for child in children:
        child.kill()
    for thread in threads:
        if thread.ident is not None:
            thread.join()
