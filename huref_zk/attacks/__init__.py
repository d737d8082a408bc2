"""What a thief may do to a checkpoint: rewrites that keep its function, and noise.

    from huref_zk.attacks import ATTACKS, attack, read_checkpoint, write_checkpoint

    write_checkpoint(folder, attack("ffn-scaling", read_checkpoint("demo-base"), seed=1))

Every attack takes a checkpoint of the LLaMA type (llama, mistral, qwen2; grouped heads, biases,
tied or untied output) and a numpy generator, and returns a new checkpoint. docs/attacks.md has the
maths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from huref_zk.attacks.depth import append_blocks
from huref_zk.attacks.ffn import permute_ffn, scale_ffn
from huref_zk.attacks.gains import absorb_gains, rescale_gains
from huref_zk.attacks.heads import mix_values, permute_heads, turn_queries
from huref_zk.attacks.noise import add_noise
from huref_zk.attacks.residual import (
    flip_signs,
    permute_residual,
    rotate_residual,
    scale_residual,
)
from huref_zk.attacks.vocabulary import renumber_vocabulary
from huref_zk.errors import InputError

__all__ = [
    "ATTACKS",
    "Attack",
    "Checkpoint",
    "Strength",
    "attack",
    "read_checkpoint",
    "write_checkpoint",
]


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
    """function(checkpoint, rng, **{strength.keyword: value}) -> a new checkpoint. exact: the
    function that the model computes stays, up to rounding. strength: None where there is none."""

    name: str
    function: Callable[..., Checkpoint]
    exact: bool
    what: str
    strength: Strength | None = None

    def run(
        self, checkpoint: Checkpoint, rng: np.random.Generator, strength: float | None = None
    ) -> Checkpoint:
        """Apply the attack. Raises InputError as ``settings`` does, and for a checkpoint that the
        attack cannot work on."""
        return self.function(checkpoint, rng, **self.settings(strength))

    def settings(self, strength: float | None) -> dict[str, float]:
        """The function's keyword and its value; ``strength`` None takes the default. InputError
        for a wrong one, or one where there is none."""
        if self.strength is None:
            if strength is not None:
                raise InputError(f"the attack {self.name} has no strength")
            return {}
        value = self.strength.checked(self.strength.default if strength is None else strength)
        return {self.strength.keyword: value}


def everything(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """Every exact attack of the table at its default strength, one after the other."""
    for step in ATTACKS.values():
        if step.exact and step.function is not everything:
            if step.function is renumber_vocabulary and checkpoint.tokenizer is None:
                continue  # a GGUF file
            checkpoint = step.run(checkpoint, rng)
    return checkpoint


def _spread(default: float, what: str, exact_to: float = math.inf) -> Strength:
    return Strength("log_sd", default, 0.0, 3.0, what, exact_to=exact_to)


_TABLE = (
    Attack(
        "residual-permutation",
        permute_residual,
        True,
        "the residual stream's coordinates in another order",
    ),
    Attack(
        "residual-rotation",
        rotate_residual,
        True,
        "the residual stream turned by an orthogonal matrix, the gains moved into the weights",
    ),
    Attack("sign-flips", flip_signs, True, "random signs of the residual stream's coordinates"),
    Attack(
        "global-scale",
        scale_residual,
        True,
        "embeddings, Wo and Wdown times a factor, the norms' eps times its square",
        Strength("factor", 10.0, 1e-3, 1e3, "the factor"),
    ),
    Attack(
        "gain-rescaling",
        rescale_gains,
        True,
        "the norms' gains multiplied at random, the columns behind them divided",
        _spread(1.0, "standard deviation of the factors' logarithms"),
    ),
    Attack("gain-absorption", absorb_gains, True, "the norms' gains moved into the weights"),
    Attack(
        "head-permutation",
        permute_heads,
        True,
        "key-value groups in another order, and the queries within each",
    ),
    Attack(
        "value-mixing",
        mix_values,
        True,
        "an invertible matrix for each key-value group between values and Wo",
        # Beyond that, A and its inverse lose too many digits.
        _spread(0.5, "standard deviation of the logarithms of its singular values", exact_to=1.0),
    ),
    Attack(
        "query-turning",
        turn_queries,
        True,
        "queries and keys turned and scaled, plane by plane, as the rotary embedding allows",
        _spread(0.5, "standard deviation of the scales' logarithms"),
    ),
    Attack("ffn-permutation", permute_ffn, True, "the FFN's neurons in another order"),
    Attack(
        "ffn-scaling",
        scale_ffn,
        True,
        "rows of Wup times random factors and signs, columns of Wdown divided by them",
        _spread(0.5, "standard deviation of the factors' logarithms"),
    ),
    Attack(
        "vocabulary-renumbering",
        renumber_vocabulary,
        True,
        "token ids permuted in embedding, output, tokenizer and config",
    ),
    Attack(
        "appended-blocks",
        append_blocks,
        True,
        "blocks after the last that add nothing to the residual stream",
        Strength("count", 2, 1, 64, "how many blocks", whole=True),
    ),
    Attack("everything", everything, True, "all of the above, one after the other"),
    Attack(
        "weight-noise",
        add_noise,
        False,
        "Gaussian noise on every matrix",
        Strength("relative_sd", 0.1, 0.0, 10.0, "its size over that of the matrix"),
    ),
)
ATTACKS = {entry.name: entry for entry in _TABLE}


def attack(
    name: str, checkpoint: Checkpoint, *, seed: int = 0, strength: float | None = None
) -> Checkpoint:
    """Apply the attack ``name`` with numpy's default generator seeded with ``seed``. InputError for
    an unknown name, a wrong strength, or a checkpoint that the attack cannot work on."""
    if name not in ATTACKS:
        raise InputError(f"there is no attack {name[:40]!r}; known: {', '.join(ATTACKS)}")
    return ATTACKS[name].run(checkpoint, np.random.default_rng(seed), strength)
