"""What else a thief may add to a LLaMA-type checkpoint without changing what it computes.

Each takes (checkpoint, rng, strength) and returns a new checkpoint; ``strength`` is how large the
junk is beside the model's own weights. Exact but for ``small_blocks``.
"""

from __future__ import annotations

import copy

import numpy as np

from huref_zk.attacks.checkpoint import EMBEDDING, FINAL_NORM, HEAD, PARTS, Checkpoint, name_of

Rng = np.random.Generator


class Copy:
    """A working copy of a checkpoint; ``at`` and ``put`` are about a layer's weights."""

    def __init__(self, checkpoint: Checkpoint):
        self.of = checkpoint
        self.sizes = checkpoint.sizes
        self.config = copy.deepcopy(checkpoint.config)
        self.tensors = dict(checkpoint.tensors)

    def at(self, i: int, part: str) -> np.ndarray:
        return self.tensors[name_of(i, part)].astype(np.float64)

    def put(self, i: int, part: str, values: np.ndarray) -> None:
        self.tensors[name_of(i, part)] = values.astype(np.float32)

    def has_bias(self, i: int, part: str) -> bool:
        return name_of(i, part, "bias") in self.tensors

    def bias(self, i: int, part: str, values: np.ndarray) -> None:
        """Further entries of a bias, where there is one."""
        name = name_of(i, part, "bias")
        if name in self.tensors:
            old = self.tensors[name]
            self.tensors[name] = np.concatenate([old, values]).astype(np.float32)

    def done(self) -> Checkpoint:
        c = self.of
        return Checkpoint(
            config=self.config,
            tensors=self.tensors,
            tokenizer=c.tokenizer,
            special=c.special,
            tokenizer_size=c.tokenizer_size,
            vocabulary=c.vocabulary,
            token_order=c.token_order,
            alphabet=c.alphabet,
        )


def zero_gates(checkpoint: Checkpoint, rng: Rng, strength: float = 10.0, count: int = 32):
    """Neurons whose gate row is zero, so that they answer act(0) = 0."""
    work, s = Copy(checkpoint), checkpoint.sizes
    for i in range(s.layers):
        up, gate, down = (work.at(i, part) for part in ("up", "gate", "down"))
        junk = strength * up.std() * rng.normal(size=(count, s.hidden))
        out = strength * down.std() * rng.normal(size=(s.hidden, count))
        work.put(i, "up", np.concatenate([up, junk]))
        work.put(i, "gate", np.concatenate([gate, np.zeros((count, s.hidden))]))
        work.put(i, "down", np.concatenate([down, out], axis=1))
        work.bias(i, "up", rng.normal(size=count))
        work.bias(i, "gate", np.zeros(count))
    work.config["intermediate_size"] = s.ffn + count
    return work.done()


def dead_ends(checkpoint: Checkpoint, rng: Rng, strength: float = 10.0, count: int = 32):
    """Neurons that read a lot and write nothing."""
    work, s = Copy(checkpoint), checkpoint.sizes
    for i in range(s.layers):
        for part in ("up", "gate"):
            w = work.at(i, part)
            junk = strength * w.std() * rng.normal(size=(count, s.hidden))
            work.put(i, part, np.concatenate([w, junk]))
            work.bias(i, part, rng.normal(size=count))
        down = work.at(i, "down")
        work.put(i, "down", np.concatenate([down, np.zeros((s.hidden, count))], axis=1))
    work.config["intermediate_size"] = s.ffn + count
    return work.done()


def split_neurons(checkpoint: Checkpoint, rng: Rng, strength: float = 3.0):
    """Every other neuron twice, its output shared out with weights s and 1 - s of any sign."""
    work, s = Copy(checkpoint), checkpoint.sizes
    twice = np.arange(0, s.ffn, 2)
    for i in range(s.layers):
        for part in ("up", "gate"):
            w = work.at(i, part)
            work.put(i, part, np.concatenate([w, w[twice]]))
            if work.has_bias(i, part):
                work.bias(i, part, work.tensors[name_of(i, part, "bias")][twice])
        down = work.at(i, "down")
        share = strength * rng.normal(size=len(twice))
        rest = down[:, twice] * (1 - share)
        down[:, twice] *= share
        work.put(i, "down", np.concatenate([down, rest], axis=1))
    work.config["intermediate_size"] = s.ffn + len(twice)
    return work.done()


def _twice_the_heads(work: Copy, i: int, rng: Rng, strength: float, out: np.ndarray) -> None:
    """As many heads again, in as many groups, that all read the same junk; out (d, heads hd)."""
    s = work.sizes
    for part, count in (("q", s.heads), ("k", s.kv_heads), ("v", s.kv_heads)):
        w = work.at(i, part)
        junk = strength * w.std() * rng.normal(size=(s.head_dim, s.hidden))
        work.put(i, part, np.concatenate([w] + [junk] * count))
        work.bias(i, part, np.tile(rng.normal(size=s.head_dim), count))
    work.put(i, "o", np.concatenate([work.at(i, "o"), out], axis=1))


def _doubled(work: Copy) -> Checkpoint:
    s = work.sizes
    work.config["num_attention_heads"] = 2 * s.heads
    work.config["num_key_value_heads"] = 2 * s.kv_heads
    work.config["head_dim"] = s.head_dim
    return work.done()


def silent_heads(checkpoint: Checkpoint, rng: Rng, strength: float = 10.0):
    """Heads that attend and read a lot, and write nothing."""
    work, s = Copy(checkpoint), checkpoint.sizes
    for i in range(s.layers):
        nothing = np.zeros((s.hidden, s.heads * s.head_dim))
        _twice_the_heads(work, i, rng, strength, nothing)
    return _doubled(work)


def cancelling_heads(checkpoint: Checkpoint, rng: Rng, strength: float = 10.0):
    """Heads that attend alike and write a lot, which cancels."""
    work, s = Copy(checkpoint), checkpoint.sizes
    for i in range(s.layers):
        out = strength * work.at(i, "o").std() * rng.normal(size=(s.hidden, s.head_dim))
        weights = rng.normal(size=s.heads)
        weights -= weights.mean()
        _twice_the_heads(work, i, rng, strength, np.concatenate([w * out for w in weights], axis=1))
    return _doubled(work)


def split_heads(checkpoint: Checkpoint, rng: Rng, strength: float = 3.0):
    """Every head twice, its output shared out with weights s and 1 - s of any sign."""
    work, s = Copy(checkpoint), checkpoint.sizes
    for i in range(s.layers):
        for part in ("q", "k", "v"):
            w = work.at(i, part)
            if work.has_bias(i, part):
                work.bias(i, part, work.tensors[name_of(i, part, "bias")])
            work.put(i, part, np.concatenate([w, w]))
        o = work.at(i, "o")
        share = np.repeat(1 + strength * rng.normal(size=s.heads), s.head_dim)
        work.put(i, "o", np.concatenate([o * share, o * (1 - share)], axis=1))
    return _doubled(work)


def widened(checkpoint: Checkpoint, rng: Rng, strength: float = 10.0, share: float = 0.25):
    """A wider residual stream: nothing is ever written to the further dimensions, and everything
    reads them."""
    work, s = Copy(checkpoint), checkpoint.sizes
    more = s.heads * int(np.ceil(s.hidden * share / s.heads))
    wide = s.hidden + more
    ratio = np.sqrt(s.hidden / wide)  # the norms' mean is over more entries
    for name in (EMBEDDING, HEAD):
        if name in work.tensors:
            w = work.tensors[name].astype(np.float64)
            junk = strength * w.std() * rng.normal(size=(len(w), more)) * (name == HEAD)
            work.tensors[name] = np.concatenate([w, junk], axis=1).astype(np.float32)
    norms = [FINAL_NORM]
    for i in range(s.layers):
        norms += [name_of(i, norm) for norm in ("attention_norm", "ffn_norm")]
        for part in PARTS:
            if part in ("o", "down"):
                w = work.at(i, part)
                work.put(i, part, np.concatenate([w, np.zeros((more, w.shape[1]))]))
                work.bias(i, part, np.zeros(more))
            elif "norm" not in part:
                w = work.at(i, part)
                junk = strength * w.std() * rng.normal(size=(len(w), more))
                work.put(i, part, np.concatenate([w, junk], axis=1))
    for name in norms:
        gains = work.tensors[name].astype(np.float64) * ratio
        junk = strength * rng.normal(size=more)
        work.tensors[name] = np.concatenate([gains, junk]).astype(np.float32)
    work.config["hidden_size"] = wide
    work.config["head_dim"] = s.head_dim
    work.config["rms_norm_eps"] = work.config.get("rms_norm_eps", 1e-6) * ratio**2
    return work.done()


def small_blocks(checkpoint: Checkpoint, rng: Rng, strength: float = 0.05, count: int = 2):
    """Blocks of random weights after the last, whose output is small. Not exact."""
    work, s = Copy(checkpoint), checkpoint.sizes
    for k in range(count):
        source = int(rng.integers(s.layers))
        for part in PARTS:
            w = work.at(source, part)
            if "norm" not in part:
                w = w.std() * rng.normal(size=w.shape) * (strength if part in ("o", "down") else 1)
            work.put(s.layers + k, part, w)
            if work.has_bias(source, part):
                name = name_of(source, part, "bias")
                work.tensors[name_of(s.layers + k, part, "bias")] = work.tensors[name]
    work.config["num_hidden_layers"] = s.layers + count
    kinds = work.config.get("layer_types")
    if isinstance(kinds, list):
        work.config["layer_types"] = kinds + kinds[-1:] * count
    return work.done()


HIDING = {
    "neurons with a zero gate": zero_gates,
    "neurons that write nothing": dead_ends,
    "neurons split": split_neurons,
    "silent heads": silent_heads,
    "heads that cancel": cancelling_heads,
    "heads split": split_heads,
    "a wider residual stream": widened,
}
"""Exact ones."""
