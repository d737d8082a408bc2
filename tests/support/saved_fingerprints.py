"""Saved fingerprints made by hand: random surveys, no model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from huref_zk.comparison.frames import P, frame_names
from huref_zk.comparison.gram import Gram
from huref_zk.comparison.parameters import PARTS, SIDE, LayerParameters
from huref_zk.comparison.saved import Saved
from huref_zk.comparison.survey import Survey
from huref_zk.comparison.tokens import TokenList
from huref_zk.invariants.encoder import V_LENGTH
from huref_zk.invariants.sketch import PUBLIC_SEED

LAYERS, TOKENS = 3, 64


def random_survey(
    seed: int = 1, layers: int = LAYERS, groups: tuple[int, ...] = (TOKENS,)
) -> Survey:
    """Maps, Gram matrices and parameters of independent random numbers."""
    rng = np.random.default_rng(seed)
    names = frame_names(groups)
    half = rng.standard_normal((2, 3 * layers, 3 * layers))
    half = ((half + half.swapaxes(1, 2)) / 20).reshape(2, layers, 3, layers, 3)
    return Survey(
        maps=rng.standard_normal((layers, 3, len(names), P, P)).astype(np.float32),
        frames=names,
        hidden=8,
        gram=Gram(np.array([half, half], dtype=np.float32)),
        parameters=tuple(
            LayerParameters(
                rng.standard_normal((len(PARTS), SIDE, SIDE)).astype(np.float32),
                ((8, 8),) * len(PARTS),
            )
            for _ in range(layers)
        ),
    )


def random_fingerprint(name: str = "made up", seed: int = 1, **changes) -> Saved:
    """Three layers over 64 tokens; other fields as in ``changes``."""
    rng = np.random.default_rng([seed, 1])
    texts = tuple(f"t{i}" for i in range(TOKENS))
    fields = {
        "name": name,
        "facts": {"architecture": "llama", "hidden_size": 8},
        "seed": PUBLIC_SEED,
        "tokens": TokenList(np.arange(TOKENS), (TOKENS,), texts),
        "survey": random_survey(seed),
        "v": tuple(int(x) for x in rng.integers(-(1 << 40), 1 << 40, V_LENGTH)),
    }
    return Saved(**(fields | changes))


def near(saved: Saved, name: str, noise: float = 0.2, seed: int = 5) -> Saved:
    """Another fingerprint whose maps are those of ``saved`` and some noise."""
    rng = np.random.default_rng(seed)
    maps = saved.survey.maps
    maps = maps + noise * rng.standard_normal(maps.shape).astype(np.float32)
    return replace(saved, name=name, survey=replace(saved.survey, maps=maps))
