"""The table of attacks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from huref_zk.attacks.adapter import adapt_embeddings, hide_ends
from huref_zk.attacks.aimed import aim_noise
from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.attacks.depth import (
    append_blocks,
    insert_blocks,
    scale_up,
    split_blocks,
    spread_neurons,
)
from huref_zk.attacks.disguise import hide_sides, turn_gates
from huref_zk.attacks.entry import Attack, Strength
from huref_zk.attacks.ffn import permute_ffn, scale_ffn
from huref_zk.attacks.gains import absorb_gains, rescale_gains
from huref_zk.attacks.heads import mix_values, permute_heads, turn_queries
from huref_zk.attacks.marked import add_sink_heads, mark_stream
from huref_zk.attacks.mixture import add_experts
from huref_zk.attacks.more_heads import (
    add_cancelling_heads,
    add_silent_heads,
    split_heads,
    widen_heads,
)
from huref_zk.attacks.neurons import (
    add_cancelling_neurons,
    add_dead_neurons,
    add_zero_gates,
    merge_neurons,
    split_neurons,
)
from huref_zk.attacks.never_active import add_never_active
from huref_zk.attacks.noise import add_noise
from huref_zk.attacks.residual import (
    flip_signs,
    permute_residual,
    rotate_residual,
    scale_residual,
)
from huref_zk.attacks.tokens import (
    cut_tokenizer,
    extend_tokenizer,
    redraw_rows,
    relearn_tokenizer,
)
from huref_zk.attacks.vocabulary import renumber_vocabulary
from huref_zk.attacks.wide import widen
from huref_zk.errors import InputError


def everything(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """Every exact attack of the table that the fingerprint sees through, one after the other, in
    its light version."""
    return _all_of(checkpoint, rng, lambda entry: entry.exact and entry.limit is None)


def blinding(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """Every exact attack of the table, those included that get past the fingerprint."""
    return _all_of(checkpoint, rng, lambda entry: entry.exact)


def vanish(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """A marked stream, then both ends hidden: the most that is known to cost nothing. Exact on
    texts that begin with the first token."""
    return hide_ends(mark_stream(checkpoint, rng), rng)


APART = (everything, blinding, vanish, add_sink_heads, mark_stream, hide_ends)
"""What is no step of a combination. Marks are heard by neurons and heads so loud that rounding
leaves no room for other attacks beside them, and the adapter hides as much."""


def _all_of(
    checkpoint: Checkpoint, rng: np.random.Generator, wanted: Callable[[Attack], bool]
) -> Checkpoint:
    """Those that cannot work on it (no tokenizer, biases where a mixture has none) are left out."""
    for entry in ATTACKS.values():
        if not wanted(entry) or entry.function in APART:
            continue
        try:
            checkpoint = entry.function(checkpoint, rng, **{**entry.settings(None), **entry.light})
        except InputError:
            continue
    return checkpoint


def _spread(default: float, what: str, exact_to: float = math.inf) -> Strength:
    return Strength("log_sd", default, 0.0, 3.0, what, exact_to=exact_to)


def _size(default: float, most: float = 100.0, exact_to: float = math.inf) -> Strength:
    what = "size of what is added beside the model's own"
    return Strength("size", default, 0.0, most, what, exact_to=exact_to)


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
        "gate-turning",
        turn_gates,
        True,
        "every neuron as five of other gates, by act(z) - act(-z) = z",
        Strength("tilt", 1.0, 0.1, 10.0, "how far the four new gates lean to the neuron's up"),
        light={"share": 0.1},
    ),
    Attack(
        "neuron-hiding",
        hide_sides,
        True,
        "every neuron as three of its gate, none with its up and its down both",
        _size(3.0, exact_to=5.0),
        light={"size": 0.5, "share": 0.1},
    ),
    Attack(
        "neuron-splitting",
        split_neurons,
        True,
        "every neuron twice, with shares of its output of any sign",
        Strength("sd", 3.0, 0.0, 100.0, "standard deviation of the shares"),
        light={"sd": 1.0, "share": 0.25},
    ),
    Attack(
        "zero-gate-neurons",
        add_zero_gates,
        True,
        "neurons added whose gate row is zero, so that they answer nothing",
        _size(10.0, 1e6),
    ),
    Attack(
        "dead-neurons",
        add_dead_neurons,
        True,
        "neurons added that read and write nothing",
        _size(10.0, 1e6),
    ),
    Attack(
        "cancelling-neurons",
        add_cancelling_neurons,
        True,
        "pairs of neurons added, of which one takes back what the other writes",
        _size(3.0, exact_to=5.0),
        light={"size": 1.0},
    ),
    Attack(
        "silent-heads",
        add_silent_heads,
        True,
        "heads added that attend and read, and write nothing",
        _size(10.0, 1e6),
    ),
    Attack(
        "cancelling-heads",
        add_cancelling_heads,
        True,
        "pairs of heads added, of which one takes back what the other writes",
        _size(3.0, exact_to=5.0),
        light={"size": 1.0},
    ),
    Attack(
        "head-splitting",
        split_heads,
        True,
        "every head as two that attend alike, their outputs random but for the sum",
        _size(1.0),
        light={"share": 0.0},
    ),
    Attack(
        "head-widening",
        widen_heads,
        True,
        "heads of twice the dimension, the new planes idle",
        _size(3.0),
    ),
    Attack(
        "appended-blocks",
        append_blocks,
        True,
        "blocks after the last that add nothing to the residual stream",
        Strength("count", 2, 1, 64, "how many blocks", whole=True),
    ),
    Attack(
        "block-splitting",
        split_blocks,
        True,
        "every block as two, one with its attention and one with its FFN",
        _size(3.0),
    ),
    Attack(
        "vocabulary-renumbering",
        renumber_vocabulary,
        True,
        "token ids permuted in embedding, output, tokenizer and config",
    ),
    Attack(
        "tokenizer-extension",
        extend_tokenizer,
        True,
        "tokens added that no text has and that the tokenizer says it learnt first",
        Strength("count", 4096, 2, 1 << 17, "how many", whole=True),
        limit="the default choice of tokens; the same tokens, found by text, are as they were",
    ),
    Attack(
        "embedding-adapter",
        adapt_embeddings,
        True,
        "embeddings in coordinates of their own, which a first block turns into the old ones",
        _spread(
            0.3,
            "standard deviation of the logarithms of the mixing matrix's singular values",
            exact_to=1.0,
        ),
        limit="everything that is asked of bare embeddings",
    ),
    Attack(
        "residual-widening",
        widen,
        True,
        "a quarter more dimensions of the stream, which everything reads and nothing writes",
        _size(10.0, 1e6),
    ),
    Attack(
        "hidden-ends",
        hide_ends,
        True,
        "adapters in front, and one behind that turns the stream for another output matrix",
        Strength("blocks", 2, 1, 8, "how many in front", whole=True),
        limit="everything that is asked of rows of the embedding or of the output",
    ),
    Attack(
        "sink-heads",
        add_sink_heads,
        True,
        "heads added that in any text attend to its first token alone, where their value is zero",
        _size(3.0, 1e2, exact_to=5.0),
        limit="terms a and b: on bare embeddings the heads speak",
    ),
    Attack(
        "marked-stream",
        mark_stream,
        True,
        "neurons and heads added that a mark in the stream shuts on any text",
        _size(300.0, 1e3, exact_to=300.0),
        limit="every term: on bare embeddings the added parts speak",
    ),
    Attack(
        "unrouted-experts",
        add_experts,
        True,
        "the model as a mixture of its FFN, twice, and of junk that its router never chooses",
        Strength("junk", 2, 1, 62, "how many experts of junk", whole=True),
        limit="term f, by a hundredth: of a mixture it is over all tokens, else over 512",
    ),
    Attack(
        "everything",
        everything,
        True,
        "all exact ones above that the fingerprint sees through, one after the other",
    ),
    Attack(
        "blinding",
        blinding,
        True,
        "all exact ones above",
        limit="everything that is asked of bare embeddings",
    ),
    Attack(
        "vanishing",
        vanish,
        True,
        "a marked stream, then hidden ends: the most that is known to cost nothing",
        limit="everything that is asked of bare embeddings, and what needs no tokens",
    ),
    Attack(
        "weight-noise",
        add_noise,
        False,
        "Gaussian noise on every matrix",
        Strength("relative_sd", 0.1, 0.0, 10.0, "its size over that of the matrix"),
        nats=0.011,
    ),
    Attack(
        "aimed-noise",
        aim_noise,
        False,
        "noise shaped to the public sketch, on what writes and on the keys",
        Strength("relative_sd", 0.03, 0.0, 10.0, "its size over that of the matrix"),
        nats=0.001,
    ),
    Attack(
        "never-active-neurons",
        add_never_active,
        False,
        "neurons added whose gates a text never opens, though bare embeddings do",
        _size(10.0, 1e3),
        limit="term f, once they are loud enough",
        nats=0.465,
    ),
    Attack(
        "neuron-merging",
        merge_neurons,
        False,
        "the neurons with the likest gates merged two by two",
        Strength("share", 0.05, 0.0, 0.5, "how many of them go"),
        nats=0.039,
    ),
    Attack(
        "small-blocks",
        insert_blocks,
        False,
        "a random block after every second one, whose output is small",
        _size(0.05),
        nats=0.0,
    ),
    Attack(
        "neuron-spreading",
        spread_neurons,
        False,
        "every FFN over two blocks, half of its neurons in each",
        nats=0.28,
    ),
    Attack(
        "depth-up-scaling",
        scale_up,
        False,
        "the middle blocks twice",
        Strength("share", 0.5, 0.0, 1.0, "how many of the blocks"),
        nats=0.074,
    ),
    Attack(
        "rows-redrawn",
        redraw_rows,
        False,
        "embeddings of some eighths of the vocabulary drawn anew, the output untied and kept",
        Strength("first", 8, 1, 8, "from which eighth on; 1 is the commonest", whole=True),
        nats=0.03,
    ),
    Attack(
        "tokenizer-cut",
        cut_tokenizer,
        False,
        "the merges learnt last forgotten",
        Strength("share", 0.25, 0.0, 0.95, "how many of them"),
        nats=0.308,
    ),
    Attack(
        "tokenizer-transplant",
        relearn_tokenizer,
        False,
        "a tokenizer learnt anew, each row the mean of those of its old pieces",
        Strength("share", 0.5, 0.05, 2.0, "size of the vocabulary beside the old"),
        nats=2.136,
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
