"""Honest proofs are never refused, and no call into ezkl panics; see honest.py."""

from __future__ import annotations

import pytest

from huref_zk.errors import StepFailed
from huref_zk.proofs.picture.verify import STEPS
from soundness import honest


def all_held(lines: list[dict], count: int) -> None:
    assert [line for line in lines if "error" in line] == []
    assert sorted(line["index"] for line in lines) == list(range(count))
    assert {line["steps"] for line in lines} == {len(STEPS)}
    assert len({line["proof"] for line in lines}) == len({line["root"] for line in lines}) == count


def test_three_honest_proofs(chain, tmp_path):
    first = honest.run(2, tmp_path, cache=chain.cache)
    all_held(first, 2)
    # It goes on where it was interrupted, and a line cut short counts for nothing.
    with open(tmp_path / honest.LOG, "a") as log:
        log.write('{"index": 2, "er')
    lines = honest.run(3, tmp_path, cache=chain.cache)
    all_held(lines, 3)
    assert lines[:2] == first
    assert honest.run(3, tmp_path, cache=chain.cache) == lines


def test_a_failure_is_logged_and_told(chain, tmp_path, monkeypatch):
    """The control: a proof that was refused does not pass for one that held."""

    def refused(*_):
        raise StepFailed(5, "no")

    monkeypatch.setattr(honest, "one_proof", refused)
    (line,) = honest.run(1, tmp_path, cache=chain.cache)
    assert line == {"index": 0, "error": "StepFailed: no"}
    with pytest.raises(AssertionError):
        all_held([line], 1)


@pytest.mark.heavy
def test_two_hundred_honest_proofs():
    """In scratch/soundness, so that an interrupted run goes on; half an hour on two cores."""
    all_held(honest.run(200, honest.FOLDER), 200)
