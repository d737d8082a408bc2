"""What the tests of children have them do."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from huref_zk.errors import InputError, StepFailed
from huref_zk.native.scratch import private_folder


def square(n):
    return n * n


def refuse(n):
    if n == 3:
        raise InputError(f"{n} is not\n wanted")
    return n


def refuse_a_step(n):
    if n == 3:
        raise _step_failed()
    return n


def _step_failed():
    error = StepFailed.__new__(StepFailed)
    Exception.__init__(error, "not this step")
    return error


def die(n):
    if n == 3:
        os._exit(9)
    return n


def surprise(n):
    if n == 3:
        raise KeyboardInterrupt("out of the blue")
    return n


def not_plain(n):
    return object() if n == 3 else n


def noisy(n):
    os.write(1, b"text that must not end up among the answers\n")
    print("more of it")
    return n


def pid(_):
    time.sleep(0.05)
    return os.getpid()


def surroundings():
    """(sys.path, environment, current folder, where some modules come from)."""
    import json

    import ezkl

    import huref_zk

    found = {m.__name__: m.__file__ for m in (json, ezkl, np, huref_zk)}
    return list(sys.path), dict(os.environ), os.getcwd(), found


def path_of(path):
    return str(path)


def array(rows, columns):
    return {
        "a": np.arange(rows * columns, dtype=np.int16).reshape(rows, columns),
        3: (None, 2**300),
    }


def take(megabytes):
    return len(bytearray(megabytes << 20))


def sleep(seconds):
    time.sleep(seconds)


def sleep_where(file, seconds):
    """Leaves its process number in `file` and a witness in a private folder, and stays there."""
    with private_folder() as folder:
        (folder / "witness").write_text("secret")
        Path(file).write_text(f"{os.getpid()}\n{folder}")
        time.sleep(seconds)
