import os

import numpy as np
import pytest

from huref_zk.errors import EnvironmentLacks, InputError, NotValid
from huref_zk.native.workers import run_all, usable_cores
from tests.native import jobs


def test_results_keep_their_order():
    heard = []
    many = [(n,) for n in range(20)]
    assert run_all(jobs.square, many, 2, lambda *x: heard.append(x)) == [n * n for n in range(20)]
    assert heard == [(n, 20) for n in range(1, 21)]
    assert run_all(jobs.square, [], 2) == []


def test_results_are_heard_as_they_come():
    """Each with its job's number, so that what is done is kept when a later job fails."""
    heard = {}
    many = [(n,) for n in range(6)]
    run_all(jobs.square, many, 2, collected=heard.__setitem__)
    assert heard == {n: n * n for n in range(6)}
    heard.clear()
    with pytest.raises(EnvironmentLacks):
        run_all(jobs.square, [(3,), (None,)], 1, collected=heard.__setitem__)
    assert heard == {0: 9}


def test_children_are_others_and_as_many_as_asked():
    pids = set(run_all(jobs.pid, [(n,) for n in range(8)], 2))
    assert len(pids) == 2 and os.getpid() not in pids
    assert usable_cores() >= 1


def test_plain_results():
    (result,) = run_all(jobs.array, [(2, 3)])
    assert (result["a"] == np.arange(6).reshape(2, 3)).all() and result["a"].dtype == np.int16
    assert result[3] == (None, 2**300)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (jobs.refuse, InputError, "^3 is not  wanted$"),
        (jobs.refuse_a_step, NotValid, "not this step"),
        (jobs.die, EnvironmentLacks, r"died \(exit 9"),
        (jobs.surprise, EnvironmentLacks, "KeyboardInterrupt: out of the blue"),
        (jobs.not_plain, EnvironmentLacks, "object is not a plain value"),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_failures(function, error, words, processes):
    assert run_all(function, [(n,) for n in range(3)], processes) == [0, 1, 2]  # the control
    with pytest.raises(error, match=words):
        run_all(function, [(n,) for n in range(6)], processes)


def test_what_a_child_prints_does_no_harm():
    assert run_all(jobs.noisy, [(n,) for n in range(5)], 1) == list(range(5))
