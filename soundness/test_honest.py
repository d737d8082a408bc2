"""Honest proofs are never refused, and no call into ezkl panics; see honest.py."""

from __future__ import annotations

import pytest

from huref_zk.errors import StepFailed
from huref_zk.invariants.encoder import load_encoder, norms
from huref_zk.invariants.quantise import integer_maps
from huref_zk.proofs.kernel import STEPS
from soundness import honest
from tests.support.chain import HIDDEN


def all_held(lines: list[dict], count: int) -> None:
    assert [line for line in lines if "error" in line] == []
    assert sorted(line["index"] for line in lines) == list(range(count))
    assert {line["steps"] for line in lines} == {len(STEPS["picture"])}
    assert len({line["proof"] for line in lines}) == len({line["root"] for line in lines}) == count


@pytest.mark.parametrize("seed", [honest.PUBLIC_SEED, b"\3" * 32], ids=["public", "fresh"])
def test_norms_met_on_purpose(chain, seed):
    q, shift = chain.prepared.quantised, chain.prepared.shape.shift
    met = honest.meeting(q, seed, shift, honest.BAD)
    found = norms(load_encoder(), integer_maps(met, seed), shift)
    assert tuple(found[:3]) == honest.BAD
    assert tuple(norms(load_encoder(), integer_maps(q, seed), shift)[:3]) != honest.BAD


@pytest.mark.heavy
def test_an_honest_proof_at_bad_norms(chain, tmp_path):
    line = honest.one_proof(4, HIDDEN, chain.cache, chain.generator_file, chain.generator)
    assert (line["steps"], line["bad"]) == (len(STEPS["picture"]), True)


@pytest.mark.heavy
def test_three_honest_proofs(chain, tmp_path):
    first = honest.run(2, tmp_path, HIDDEN, cache=chain.cache)
    all_held(first, 2)
    # It goes on where it was interrupted, and a line cut short counts for nothing.
    with open(honest.log_file(tmp_path, HIDDEN), "a") as log:
        log.write('{"index": 2, "er')
    lines = honest.run(3, tmp_path, HIDDEN, cache=chain.cache)
    all_held(lines, 3)
    assert lines[:2] == first
    assert honest.run(3, tmp_path, HIDDEN, cache=chain.cache) == lines


def test_a_failure_is_logged_and_told(chain, tmp_path, monkeypatch):
    """The control: a proof that was refused does not pass for one that held."""

    def refused(*_):
        raise StepFailed(5, "no", "proof")

    monkeypatch.setattr(honest, "one_proof", refused)
    (line,) = honest.run(1, tmp_path, HIDDEN, cache=chain.cache)
    assert line == {"index": 0, "error": "StepFailed: no"}
    with pytest.raises(AssertionError):
        all_held([line], 1)


@pytest.mark.heavy
@pytest.mark.parametrize(("hidden", "count"), [(honest.DEMO, 200), (576, 20)])
def test_many_honest_proofs(hidden, count):
    """In scratch/soundness, so that an interrupted run goes on; an hour on two cores."""
    all_held(honest.run(count, honest.FOLDER, hidden), count)
