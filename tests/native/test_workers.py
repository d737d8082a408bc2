import os
import time

import pytest

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.native.workers import run_all, usable_cores


def square(n):
    return n * n


def refuse(n):
    if n == 3:
        raise InputError(f"{n} is not wanted")
    return n


def die(n):
    if n == 3:
        os._exit(9)
    return n


def surprise(n):
    if n == 3:
        raise KeyboardInterrupt("out of the blue")
    return n


def noisy(n):
    os.write(1, b"text that must not end up among the answers\n")
    print("more of it")
    return n


def pid(_):
    time.sleep(0.05)
    return os.getpid()


def test_results_keep_their_order():
    heard = []
    jobs = [(n,) for n in range(20)]
    assert run_all(square, jobs, 2, lambda *x: heard.append(x)) == [n * n for n in range(20)]
    assert heard == [(n, 20) for n in range(1, 21)]
    assert run_all(square, [], 2) == []


def test_children_are_others_and_as_many_as_asked():
    pids = set(run_all(pid, [(n,) for n in range(8)], 2))
    assert len(pids) == 2 and os.getpid() not in pids
    assert usable_cores() >= 1


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (refuse, InputError, "3 is not wanted"),
        (die, EnvironmentLacks, "died"),
        (surprise, EnvironmentLacks, "KeyboardInterrupt"),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_failures(function, error, words, processes):
    assert run_all(function, [(n,) for n in range(3)], processes) == [0, 1, 2]  # the control
    with pytest.raises(error, match=words):
        run_all(function, [(n,) for n in range(6)], processes)


def test_what_a_child_prints_does_no_harm():
    assert run_all(noisy, [(n,) for n in range(5)], 1) == list(range(5))
