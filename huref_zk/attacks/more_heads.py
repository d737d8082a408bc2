"""Heads that do nothing, heads in shares, and heads of twice the dimension.

A key-value head comes with all the query heads of its group, so heads are added by groups, and as
many groups as transformers takes: the hidden size must be a multiple of the heads.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint, name_of
from huref_zk.attacks.draft import Draft
from huref_zk.attacks.neurons import junk
from huref_zk.errors import InputError

SCALED_ALIKE = ("default", "linear", "llama3")
"""Kinds of rotary embeddings whose frequencies are functions of theta^(2 j / head_dim)."""


def add_silent_heads(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 10.0
) -> Checkpoint:
    """Heads that attend and read, ``size`` times as loud as the model's, and write nothing."""
    draft = Draft(checkpoint)
    groups = how_many_groups(draft, 1)
    for i in range(draft.sizes.layers):
        for part in "qkvo":
            count = groups * _width(draft, part)
            more = junk(draft, rng, i, part, count, 0.0 if part == "o" else size)
            draft.grow(i, part, more, rng.normal(size=count))
    add_groups(draft, groups)
    return draft.done()


def add_cancelling_heads(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 3.0
) -> Checkpoint:
    """Groups of heads two by two that attend alike, read s V and V / s, and write O / s and -s O:
    what the one writes the other takes back. Exact."""
    draft = Draft(checkpoint)
    groups = how_many_groups(draft, 2)
    for i in range(draft.sizes.layers):
        s = np.exp(rng.normal())
        for part, ratios in (("q", (1, 1)), ("k", (1, 1)), ("v", (s, 1 / s)), ("o", (1 / s, -s))):
            count = groups // 2 * _width(draft, part)
            one = junk(draft, rng, i, part, count, size)
            bias = rng.normal(size=count)
            draft.grow(
                i,
                part,
                np.concatenate([r * one for r in ratios], axis=1 if part == "o" else 0),
                np.concatenate([r * bias for r in ratios]),
            )
    add_groups(draft, groups)
    return draft.done()


def split_heads(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 1.0, share: float = 1.0
) -> Checkpoint:
    """A ``share`` of the groups twice (or as many as transformers takes), the heads of one with
    outputs O + N and of the other with -N, N random and ``size`` times O's: neither's product of
    values and output is like the original's. Exact."""
    draft = Draft(checkpoint)
    s = draft.sizes
    groups = how_many_groups(draft, 1, at_least=round(share * s.kv_heads))
    groups = groups if groups <= s.kv_heads else how_many_groups(draft, s.kv_heads)
    for i in range(s.layers):
        chosen = rng.permutation(s.kv_heads)[:groups]
        for part in "qkvo":
            width = _width(draft, part)
            at = (chosen[:, None] * width + np.arange(width)).ravel()
            if part != "o":
                draft.rows(i, part, lambda w, at: np.concatenate([w, w[at]]), at)
                continue
            noise = junk(draft, rng, i, part, len(at), size)
            o = draft[name_of(i, part)]
            o[:, at] += noise
            draft[name_of(i, part)] = np.concatenate([o, -noise], axis=1)
    add_groups(draft, groups)
    return draft.done()


def widen_heads(checkpoint: Checkpoint, rng: np.random.Generator, size: float = 3.0) -> Checkpoint:
    """Heads of twice the dimension. Of the rotary frequencies theta^(-2 j / 2 n) those with even j
    are the old ones: there the old planes go; in the others queries are ``size`` times random
    against keys of zero, and values against an output of zero. Exact.

    Raises InputError where the frequencies depend on the head's dimension in other ways.
    """
    draft = Draft(checkpoint)
    _check_rope(checkpoint)
    n = draft.sizes.head_dim
    old = 2 * np.arange(n)  # plane (j, j + n / 2) of n becomes (2 j, 2 j + n) of 2 n
    scales = {"q": 2**0.5, "k": 1.0, "v": 1.0, "o": 1.0}
    sizes = {"q": size, "k": 0.0, "v": size, "o": 0.0}
    for i in range(draft.sizes.layers):
        for part, scale in scales.items():
            count = 2 * (draft.sizes.heads if part in "qo" else draft.sizes.kv_heads) * n
            more = junk(draft, rng, i, part, count, sizes[part])
            if part == "o":
                draft.columns(i, part, lambda w, m: _spread(w.T, m.T, old).T, more)
                continue
            bias = name_of(i, part, "bias")
            if bias in draft:
                new = sizes[part] * rng.normal(size=(count, 1))
                draft.edit(bias, lambda b, m, c: c * _spread(b[:, None], m, old)[:, 0], new, scale)
            draft.edit(name_of(i, part), lambda w, m, c: c * _spread(w, m, old), more, scale)
    draft.config["head_dim"] = 2 * n
    return draft.done()


def add_groups(draft: Draft, groups: int) -> None:
    """Have the config say that there are so many key-value heads more, with their queries."""
    s = draft.sizes
    draft.config["head_dim"] = s.head_dim
    draft.config["num_key_value_heads"] = s.kv_heads + groups
    draft.config["num_attention_heads"] = (s.kv_heads + groups) * (s.heads // s.kv_heads)


def how_many_groups(draft: Draft, of: int, at_least: int = 0) -> int:
    """The least number of groups, a multiple of ``of``, that transformers takes: of a llama model
    the hidden size must be a multiple of the heads. InputError."""
    s = draft.sizes
    for groups in range(of, 8 * s.kv_heads + of, of):
        if groups < at_least:
            continue
        if draft.config.get("model_type") != "llama":
            return groups
        if s.hidden % ((s.kv_heads + groups) * (s.heads // s.kv_heads)) == 0:
            return groups
    raise InputError(
        f"a hidden size of {s.hidden} is a multiple of no larger number of heads than {s.heads}"
    )


def _width(draft: Draft, part: str) -> int:
    """Rows of q, k or v, or columns of o, that a group has."""
    s = draft.sizes
    return s.head_dim * (s.heads // s.kv_heads if part in "qo" else 1)


def _spread(w: np.ndarray, more: np.ndarray, old: np.ndarray) -> np.ndarray:
    """w (heads n, d) at the places ``old`` of heads of 2 n, ``more`` (heads 2 n, d) elsewhere."""
    heads = len(w) // len(old)
    out = more.reshape(heads, 2 * len(old), -1).copy()
    out[:, old] = w.reshape(heads, len(old), -1)
    return out.reshape(more.shape)


def _check_rope(checkpoint: Checkpoint) -> None:
    rope = checkpoint.config.get("rope_parameters") or checkpoint.config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in SCALED_ALIKE:
        raise InputError(f"{checkpoint.source}: its rotary embedding is of the kind {kind!r}")
