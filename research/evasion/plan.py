"""Which attacks are measured, at which strengths."""

from __future__ import annotations

from dataclasses import dataclass

from huref_zk.attacks import ATTACKS

SMALL, LARGE = "demo-base", "SmolLM2-135M"

STRENGTHS: dict[str, tuple[float, ...]] = {
    "weight-noise": (0.03, 0.1, 0.2, 0.3, 0.5, 1.0),
    "aimed-noise": (0.01, 0.03, 0.1, 0.2, 0.4),
    "never-active-neurons": (1.0, 10.0, 100.0),
    "neuron-merging": (0.05, 0.2, 0.4),
    "small-blocks": (0.02, 0.05, 0.2, 0.5, 1.0),
    "depth-up-scaling": (0.25, 0.5, 1.0),
    "rows-redrawn": (8, 7, 5, 3, 2, 1),
    "tokenizer-cut": (0.25, 0.5, 0.9),
    "tokenizer-transplant": (0.25, 0.5),
}
ON_THE_LARGE: tuple[tuple[str, float | None], ...] = (
    ("rows-redrawn", 8),
    ("weight-noise", 0.1),
    ("never-active-neurons", 10.0),
    ("aimed-noise", 0.1),
    ("small-blocks", 0.05),
    ("embedding-adapter", None),
    ("weight-noise", 0.2),
    ("neuron-merging", 0.05),
    ("tokenizer-cut", 0.25),
    ("tokenizer-transplant", 0.5),
    ("rows-redrawn", 5),
    ("marked-stream", None),
    ("depth-up-scaling", 0.5),
    ("neuron-spreading", None),
    ("weight-noise", 0.3),
    ("tokenizer-extension", None),
    ("rows-redrawn", 2),
)
"""On the large model, the likeliest to get away first."""


@dataclass(frozen=True)
class Job:
    """One attack at one strength (None: its default, or it has none) on one model."""

    model: str
    attack: str
    strength: float | None

    @property
    def key(self) -> tuple[str, str, float | None]:
        return (self.model, self.attack, self.strength)


def jobs() -> list[Job]:
    """All, the small model's first."""
    found = []
    for name, entry in ATTACKS.items():
        for strength in STRENGTHS.get(name, (None,)) if not entry.exact else (None,):
            found.append(Job(SMALL, name, strength))
    return found + [Job(LARGE, name, strength) for name, strength in ON_THE_LARGE]
