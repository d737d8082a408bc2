"""The best combination of attacks under a budget: a random climb.

A candidate is a list of attacks with strengths. From the best so far one is added, dropped, or made
stronger or weaker; what costs more than the budget, or is more like the original than the best, is
let go. "Like" is the picture's cosine, the larger of that over the original's tokens and 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from huref_zk.attacks import ATTACKS, Checkpoint
from huref_zk.errors import InputError
from research.evasion.bench import Bench

BUDGETS = (0.05, 0.2)
TRIALS = 16
RANGES: dict[str, tuple[float, float]] = {
    "aimed-noise": (0.01, 0.6),
    "weight-noise": (0.02, 0.6),
    "never-active-neurons": (0.5, 100.0),
    "neuron-merging": (0.02, 0.4),
    "small-blocks": (0.01, 1.0),
    "rows-redrawn": (2, 8),
}
"""Exact attacks are left out: they cost nothing, and move the cores not at all or altogether."""
Steps = list[tuple[str, float]]


def climb(bench: Bench, budget: float, trials: int = TRIALS) -> Iterator[dict[str, Any]]:
    """Rows of what was tried, with "steps" and whether it was "kept"; the last has "last"."""
    rng = np.random.default_rng(round(1000 * budget))
    best: Steps = []
    likest = 1.0
    for trial in range(trials):
        steps = changed(best, rng)
        try:
            row = bench.measured(applied(bench.original, steps))
        except InputError:
            continue
        kept = row["damage"] <= budget and row["cos_v"] < likest
        if kept:
            best, likest = steps, row["cos_v"]
        yield {"strength": None, "steps": steps, "kept": kept, "last": trial == trials - 1} | row


def applied(checkpoint: Checkpoint, steps: Steps) -> Checkpoint:
    """One after the other, each seeded by its place."""
    for place, (name, strength) in enumerate(steps):
        checkpoint = ATTACKS[name].run(checkpoint, np.random.default_rng(place), strength)
    return checkpoint


def changed(steps: Steps, rng: np.random.Generator) -> Steps:
    """One step added, dropped or of another strength."""
    out = list(steps)
    move = rng.random()
    if out and move < 0.15:
        out.pop(rng.integers(len(out)))
    elif out and move < 0.6:
        place = int(rng.integers(len(out)))
        name, strength = out[place]
        out[place] = (name, _fitting(name, strength * float(np.exp(0.5 * rng.normal()))))
    else:
        name = str(rng.choice(list(RANGES)))
        least, most = RANGES[name]
        out.append((name, _fitting(name, float(np.exp(rng.uniform(np.log(least), np.log(most)))))))
    return out


def _fitting(name: str, strength: float) -> float:
    least, most = RANGES[name]
    value = min(max(strength, least), most)
    told = ATTACKS[name].strength
    return float(round(value)) if told is not None and told.whole else value
