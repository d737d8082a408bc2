"""The frames that a model's maps are looked at in: rows that stand for tokens.

    common, eighth 1 ...   embeddings of the groups of tokens.py, as a first norm sees them
    output                 common tokens' rows of the output matrix, times the last norm's gain
    after block            common tokens as the stream has them after the first block: a thief who
                           turns the embeddings, and puts a block in front that turns them back, has
                           left these alone

A thief has to spoil all of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from huref_zk.comparison.opened import OpenModel
from huref_zk.comparison.tokens import MISSING, group_names, slices
from huref_zk.invariants.attention import attention_factors
from huref_zk.invariants.canonical import embed
from huref_zk.invariants.cores import block_answers
from huref_zk.invariants.factors import Tokens
from huref_zk.invariants.recipes import token_rows
from huref_zk.invariants.sketch import PUBLIC_SEED, SIDES, signs
from huref_zk.models.families import Family
from huref_zk.models.layers import gain
from huref_zk.models.model import Model
from huref_zk.models.reading import finite

P = 64
"""Rows of a sketch."""
AFTER, OUTPUT = "after block", "output"
HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
"""Names of output matrices; without any, the embeddings are the output."""
LAST_NORMS = ("norm.weight", "ln_f.weight", "final_layer_norm.weight", "final_layernorm.weight")
"""How the last norm's name ends, after what the embedding's begins with."""
ASKED, ASKED_AFTER = 256, 128
"""How many of the common tokens a layer's Jacobian and head weights are taken over: as they are
embedded, and after the first block."""


@dataclass(frozen=True)
class Frames:
    """A model's tokens as its layers are to be looked at.

    names: F of them; left, right float32 (F, P, d): balanced signs times the rows, centred over the
    tokens; asked: which frames, and what layers' blocks are asked about to be looked at in them:
    common tokens' embeddings, or what the first block makes of them; X, read (n, d): the
    common tokens' embeddings (recipes.token_rows), zero where the model lacks one.
    """

    names: tuple[str, ...]
    left: np.ndarray
    right: np.ndarray
    asked: tuple[tuple[slice, Tokens], ...]
    X: np.ndarray
    read: np.ndarray


def frame_names(sizes: tuple[int, ...]) -> tuple[str, ...]:
    """Of the frames over groups of these sizes."""
    return (*group_names(sizes), OUTPUT, AFTER)


def frames_of(
    opened: OpenModel, ids: np.ndarray, sizes: tuple[int, ...], seed: bytes = PUBLIC_SEED
) -> Frames:
    """ids int64 (N,), sizes: as TokenList has them, MISSING where the model lacks a token.
    InputError for non-finite rows."""
    model, family = opened.model, opened.family
    sides = []
    for n, group in enumerate(slices(sizes)):
        there = ids[group] != MISSING
        present = ids[group][there]
        X, read = token_rows(model, family, present)
        sides.append(_projected(_spread(_centred(X), there), seed))
        if n == 0:
            common = _spread(X, there), _spread(read, there)
            after, output = _after_block(opened, present, X, read), _output(model, family, present)
            last = [_projected(_spread(_centred(x), there), seed) for x in (output, after)]
            asked = [_asked(X, read, ASKED), _asked(after, after, ASKED_AFTER)]
    left, right = (np.array(side) for side in zip(*sides, *last, strict=True))
    parts = slice(0, len(left) - 1), slice(len(left) - 1, len(left))
    asks = tuple(zip(parts, asked, strict=True))
    return Frames(frame_names(sizes), left, right, asks, *common)


def _asked(X: np.ndarray, read: np.ndarray, count: int) -> Tokens:
    """So many of the tokens, evenly spaced."""
    some = np.linspace(0, len(X), min(count, len(X)), endpoint=False).astype(int)
    return Tokens(_centred(X)[some], read[some], read)


def _projected(X: np.ndarray, seed: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Left and right signs times X (n, d): float32 (P, d) each."""
    left, right = (_signs(seed, side, len(X)) @ X for side in SIDES)
    return left, right


@functools.lru_cache(maxsize=32)
def _signs(seed: bytes, side: str, count: int) -> np.ndarray:
    return signs(seed, side, P, count).astype(np.float32)


def _centred(X: np.ndarray) -> np.ndarray:
    if not len(X):
        return X
    return X - X.mean(axis=0, dtype=np.float64).astype(np.float32)


def _spread(X: np.ndarray, there: np.ndarray) -> np.ndarray:
    """X with zero rows for the tokens that are not there."""
    out = np.zeros((len(there), X.shape[1]), dtype=np.float32)
    out[there] = X
    return out


def _normed(x: np.ndarray) -> np.ndarray:
    """Rows with a mean square of one; zero ones stay."""
    square = np.square(x, dtype=np.float64).mean(axis=1, keepdims=True)
    return np.divide(x, np.sqrt(square), out=np.zeros_like(x), where=square > 0, casting="unsafe")


def _after_block(opened: OpenModel, ids: np.ndarray, X: np.ndarray, read: np.ndarray) -> np.ndarray:
    """float32 (n, d): what layer 0 makes of each token alone, normalised."""
    model, family, dims = opened.model, opened.family, opened.dims
    tokens = Tokens(X, read, read)
    x = embed(model, family, ids)
    for r, w in attention_factors(model, family, dims, 0, tokens)[1]:
        x = x + (X @ r.T) @ w
    reads = x if family.ffn_norm is None and not family.layer_norm else _normed(x)
    answers = block_answers(model, family, dims, 0, reads)
    if family.ffn_post_norm is not None:
        answers = _normed(answers) * gain(model, family, dims, family.ffn_post_norm, 0)
    return _normed(x + answers)


def _output(model: Model, family: Family, ids: np.ndarray) -> np.ndarray:
    """float32 (n, d). Not normalised: a constant added to all rows changes no probability, and
    centring takes it off."""
    name = next((n for n in HEADS if model.has(n)), family.embedding)
    rows = finite(model.rows(name, ids), name)
    start = family.embedding.rsplit(".", 2)[0]
    for ending in LAST_NORMS:
        norm = f"{start}.{ending}"
        if model.has(norm) and model.shape(norm) == rows.shape[1:]:
            rows = rows * (finite(model.tensor(norm), norm) + np.float32(family.norm_offset))
    if family.layer_norm:
        rows = rows - rows.mean(axis=1, keepdims=True)
    return rows
