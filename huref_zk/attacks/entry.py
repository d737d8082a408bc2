"""An attack as the table has it: a function, its one parameter, and what is known of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from huref_zk.attacks.checkpoint import MIXTURES, Checkpoint
from huref_zk.errors import InputError


@dataclass(frozen=True)
class Strength:
    """An attack's one parameter: the function's keyword, its default and range, and what it is.
    exact_to: up to where float32 holds an exact attack's result to 1e-4 of the logits' spread."""

    keyword: str
    default: float
    least: float
    most: float
    what: str
    whole: bool = False
    exact_to: float = math.inf

    def checked(self, value: float) -> float:
        """``value`` as the function takes it. InputError outside the range."""
        if not math.isfinite(value) or not self.least <= value <= self.most:
            raise InputError(
                f"{self.keyword} may lie in {self.least:g} .. {self.most:g}, not be {value:g}"
            )
        if self.whole and value != int(value):
            raise InputError(f"{self.keyword} must be a whole number, not {value:g}")
        return int(value) if self.whole else value


@dataclass(frozen=True)
class Attack:
    """function(checkpoint, rng, **{strength.keyword: value}) -> a new checkpoint.

    exact: the function that the model computes stays, up to rounding. strength: None where there is
    none. limit: what of the fingerprint does not survive it, None where every term of ``whole``
    does. nats: what it costs demo-base at its default strength, in nats a token of held-out text
    (docs/evasion.md); 0 for exact ones. light: other keywords, for a version that grows the model
    less.
    """

    name: str
    function: Callable[..., Checkpoint]
    exact: bool
    what: str
    strength: Strength | None = None
    limit: str | None = None
    nats: float = 0.0
    light: Mapping[str, float] = field(default_factory=dict)

    def run(
        self, checkpoint: Checkpoint, rng: np.random.Generator, strength: float | None = None
    ) -> Checkpoint:
        """Apply the attack. Raises InputError as ``settings`` does, and for a checkpoint that the
        attack cannot work on."""
        settings = self.settings(strength)
        if checkpoint.config.get("model_type") in MIXTURES:
            raise InputError(f"{checkpoint.source}: attacks work on dense models")
        return self.function(checkpoint, rng, **settings)

    def settings(self, strength: float | None) -> dict[str, float]:
        """The function's keyword and its value; ``strength`` None takes the default. InputError
        for a wrong one, or one where there is none."""
        if self.strength is None:
            if strength is not None:
                raise InputError(f"the attack {self.name} has no strength")
            return {}
        value = self.strength.checked(self.strength.default if strength is None else strength)
        return {self.strength.keyword: value}
