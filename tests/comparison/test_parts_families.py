"""Parts of every family of the table, with and without gates, norms, biases, experts: all found
after every rewriting that keeps what the model computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from tests.support.family_models import CASES, TOKENS, build, config_of, tensors_of
from tests.support.family_rewrites import REWRITES, Weights, fits
from tests.support.franken import matched
from tests.support.random_llm import MemoryModel

Change = Callable[[Weights, np.random.Generator, bool], None]


def noisy(weights: Weights, rng: np.random.Generator, broken: bool) -> None:
    for name, w in weights.tensors.items():
        if w.ndim >= 2:
            weights.tensors[name] = (w + w.std() * rng.normal(size=w.shape)).astype(w.dtype)


@pytest.mark.parametrize("name", CASES)
def test_rewriting_leaves_every_part_as_it_is(name: str):
    case = CASES[name]
    model = build(case)
    config, tensors = config_of(case, model), tensors_of(case, model)
    base = MemoryModel(config, tensors)
    family = family_for(base)
    dims = dimensions(base, family)
    rewrites = [f for n, f in REWRITES.items() if fits(n, family, case.alibi, case.pinned)]

    def changed(changes: list[Change]) -> MemoryModel:
        copy = {n: w.copy() for n, w in tensors.items()}
        weights = Weights(copy, family, dims, MemoryModel(config, copy))
        for change in changes:
            change(weights, np.random.default_rng(5), False)
        return MemoryModel(config, weights.tensors)

    parts = matched(base, changed(rewrites), TOKENS)
    for kind in (parts.neurons, parts.heads):
        assert kind.a.share() == kind.b.share() == 1
        assert kind.scores().min() > 0.995
    moved = matched(base, changed([noisy]), TOKENS)  # the control
    assert moved.neurons.median() < 0.9 and moved.heads.median() < 0.9
