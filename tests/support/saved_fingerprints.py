"""Saved fingerprints made by hand: random maps, no model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from huref_zk.comparison.saved import Saved
from huref_zk.comparison.tokens import TokenList
from huref_zk.invariants.encoder import V_LENGTH
from huref_zk.invariants.sketch import PUBLIC_SEED

LAYERS, P, TOKENS = 3, 16, 64


def random_fingerprint(name: str = "made up", seed: int = 1, **changes) -> Saved:
    """Three layers over 64 tokens; other fields as in ``changes``."""
    rng = np.random.default_rng(seed)
    fields = {
        "name": name,
        "facts": {"architecture": "llama", "hidden_size": 8},
        "seed": PUBLIC_SEED,
        "tokens": TokenList(np.arange(TOKENS), tuple(f"t{i}" for i in range(TOKENS))),
        "maps": rng.standard_normal((LAYERS, 3, P, P)).astype(np.float32),
        "v": tuple(int(x) for x in rng.integers(-(1 << 40), 1 << 40, V_LENGTH)),
    }
    return Saved(**(fields | changes))


def near(saved: Saved, name: str, noise: float = 0.2, seed: int = 5) -> Saved:
    """Another fingerprint whose maps are those of ``saved`` and some noise."""
    rng = np.random.default_rng(seed)
    maps = saved.maps + noise * rng.standard_normal(saved.maps.shape).astype(np.float32)
    return replace(saved, name=name, maps=maps)
