"""Canonical form: every architecture becomes embeddings E and bilinear pairs (U, V).

Each invariant map of HuRef (section 4.2) is written X U V^T X^T with X the embeddings of rare
tokens:

    a: U = (Wq G)^T, V = (Wk G)^T        G = diag(gain of the norm before)
    b: U = (Wv G)^T, V = Wo
    f: U = (Wup G)^T, V = Wdown

with weights as nn.Linear stores them, (out, in). Keys and values of grouped heads are repeated
head by head, as Hugging Face's repeat_kv does. Folding the gains makes the form blind to how a
checkpoint splits scale between norms and weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from huref_zk.errors import InputError
from huref_zk.families import Family, family_of
from huref_zk.load.model import Model

LAYERS = 2
TOKENS = 4096
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Canonical:
    """E float32 (K, d); U, V: per layer float32 (d, H_a + H_b + H_f), terms side by side;
    widths (H_a, H_b, H_f); layer_ids; token_ids int64 (K,); facts: integers and strings for the
    descriptor (architecture, hidden_size, heads, kv_heads, head_dim, ffn, layers_total,
    vocab_size); warnings: what a user should know about how the form was chosen."""

    E: np.ndarray
    U: tuple[np.ndarray, ...]
    V: tuple[np.ndarray, ...]
    widths: tuple[int, int, int]
    layer_ids: tuple[int, ...]
    token_ids: np.ndarray
    facts: dict
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Dimensions:
    """A model's sizes: d, heads, kv heads, head dimension, FFN width, layers, vocabulary."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    layers: int
    vocab: int


def canonicalise(
    model: Model,
    *,
    layer_ids: Sequence[int] | None = None,
    tokens: int = TOKENS,
    token_ids: Sequence[int] | None = None,
    fold_norms: bool = True,
    progress: Progress | None = None,
) -> Canonical:
    """The canonical form of ``model``; only E and the chosen layers are read.

    layer_ids: default the last two whose output is not zero. tokens: K when token_ids is not given:
    the vocabulary's last K regular ids. fold_norms=False gives the paper's plain terms.
    Raises InputError for unknown architectures, missing or misshapen tensors, non-finite weights.
    """
    family = family_of(model.config)
    dims = dimensions(model, family)
    ids, warnings = choose_tokens(model, dims.vocab, tokens, token_ids)
    steps = LAYERS + 1
    E = embed(model, family, ids)
    _report(progress, 1, steps)
    pairs, chosen = [], []
    candidates = range(dims.layers - 1, -1, -1) if layer_ids is None else _checked(layer_ids, dims)
    for i in candidates:
        pair = _layer(model, family, dims, i, fold_norms)
        if layer_ids is None and not (np.any(pair[1][:, _b(dims)]) or np.any(pair[1][:, _f(dims)])):
            continue  # a block that adds nothing must not hide the ones below it
        chosen.append(i)
        pairs.append(pair)
        _report(progress, 1 + len(pairs), steps)
        if len(pairs) == LAYERS:
            break
    if len(pairs) < LAYERS:
        raise InputError(f"{model.source} has fewer than {LAYERS} layers that are not zero")
    order = np.argsort(chosen)
    width = dims.heads * dims.head_dim
    return Canonical(
        E=E,
        U=tuple(pairs[j][0] for j in order),
        V=tuple(pairs[j][1] for j in order),
        widths=(width, width, dims.ffn),
        layer_ids=tuple(chosen[j] for j in order),
        token_ids=ids,
        facts={
            "architecture": family.name,
            "hidden_size": dims.hidden,
            "heads": dims.heads,
            "kv_heads": dims.kv_heads,
            "head_dim": dims.head_dim,
            "ffn": dims.ffn,
            "layers_total": dims.layers,
            "vocab_size": dims.vocab,
        },
        warnings=warnings,
    )


def dimensions(model: Model, family: Family) -> Dimensions:
    """Sizes from the config, checked against the embedding's shape. Raises InputError."""
    config = model.config

    def number(key: str, default: int | None = None) -> int:
        value = config.get(key)
        value = default if value is None else value
        if type(value) is not int or not 0 < value < 1 << 24:
            raise InputError(
                f"{model.source}: config says {key} = {value!r}; a positive number is needed"
            )
        return value

    hidden, heads = number("hidden_size"), number("num_attention_heads")
    kv_heads = number(family.kv_heads_key, heads) if family.kv_heads_key else heads
    if heads % kv_heads:
        raise InputError(f"{model.source}: {heads} heads do not divide into {kv_heads} kv heads")
    dims = Dimensions(
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=number("head_dim", hidden // heads),
        ffn=number(family.ffn_key),
        layers=number("num_hidden_layers"),
        vocab=number("vocab_size"),
    )
    expect(model, family.embedding, (dims.vocab, dims.hidden))
    return dims


def choose_tokens(
    model: Model, vocab: int, tokens: int, token_ids: Sequence[int] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(ids int64 (K,), warnings): the given ids' first ``tokens``, or the last regular ones.

    Regular: below the tokenizer's size (padding rows of the embedding are left out) and not among
    the special ids that the tokenizer declares. K is made even, because balanced sketches need it.
    """
    if tokens < 32:
        raise InputError(f"{tokens} tokens are too few; use at least 32")
    warnings = []
    if token_ids is None:
        special = model.special_ids()
        size = min(vocab, model.tokenizer_size() or vocab)
        rarest = [i for i in range(size - 1, -1, -1) if i not in special][:tokens]
    else:
        rarest = [int(i) for i in token_ids][:tokens]
        if len(set(rarest)) != len(rarest) or not all(0 <= i < vocab for i in rarest):
            raise InputError(f"token ids must be distinct and lie in 0..{vocab - 1}")
    chosen = rarest[: len(rarest) // 2 * 2]
    if token_ids is None:
        chosen.reverse()  # ascending ids
    if len(chosen) < 32:
        raise InputError(
            f"{model.source} leaves only {len(chosen)} usable tokens; at least 32 are needed"
        )
    if len(chosen) < tokens:
        warnings.append(f"{len(chosen)} tokens used; {tokens} were asked for")
    return np.array(chosen, dtype=np.int64), tuple(warnings)


def _layer(
    model: Model, family: Family, dims: Dimensions, i: int, fold: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(U, V) of one layer, each float32 (d, H_a + H_b + H_f)."""
    d, width, kv_width = dims.hidden, dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim

    def weight(template: str, shape: tuple[int, ...]) -> np.ndarray:
        name = template.format(i=i)
        expect(model, name, shape)
        return finite(model.tensor(name), name)

    def gain(template: str) -> np.ndarray:
        if not fold:
            return np.ones(d, dtype=np.float32)
        return weight(template, (d,)) + np.float32(family.norm_offset)

    def per_head(w: np.ndarray) -> np.ndarray:  # (kv_heads * head_dim, d) -> (heads * head_dim, d)
        grouped = w.reshape(dims.kv_heads, dims.head_dim, d)
        return np.repeat(grouped, dims.heads // dims.kv_heads, axis=0).reshape(width, d)

    def folded(template: str, rows: int, gains: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # a product that overflows is refused as infinite
            product = weight(template, (rows, d)) * gains
        return finite(product, f"{template.format(i=i)} times the gain of its norm")

    g, h = gain(family.attention_norm), gain(family.ffn_norm)
    q = folded(family.q, width, g)
    k = per_head(folded(family.k, kv_width, g))
    v = per_head(folded(family.v, kv_width, g))
    o = weight(family.o, (d, width))
    up = folded(family.up, dims.ffn, h)
    down = weight(family.down, (d, dims.ffn))
    return np.concatenate([q.T, v.T, up.T], axis=1), np.concatenate([k.T, o, down], axis=1)


def layer_pair(
    model: Model, family: Family, dims: Dimensions, i: int, fold: bool = True
) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]]:
    """(U, V, widths) of layer i: float32 (d, sum of widths) each, terms a, b, f side by side."""
    width = dims.heads * dims.head_dim
    return *_layer(model, family, dims, i, fold), (width, width, dims.ffn)


def embed(model: Model, family: Family, ids: np.ndarray) -> np.ndarray:
    """E: the embedding rows of ``ids``, float32 (K, d). InputError for non-finite ones."""
    return finite(model.rows(family.embedding, ids), family.embedding)


def _b(dims: Dimensions) -> slice:
    width = dims.heads * dims.head_dim
    return slice(width, 2 * width)


def _f(dims: Dimensions) -> slice:
    return slice(2 * dims.heads * dims.head_dim, None)


def _checked(layer_ids: Sequence[int], dims: Dimensions) -> list[int]:
    ids = [int(i) for i in layer_ids]
    if len(ids) != LAYERS or len(set(ids)) != LAYERS or not all(0 <= i < dims.layers for i in ids):
        raise InputError(f"choose {LAYERS} different layers from 0..{dims.layers - 1}, not {ids}")
    return ids


def expect(model: Model, name: str, shape: tuple[int, ...]) -> None:
    found = model.shape(name)
    if tuple(found) != tuple(shape):
        raise InputError(f"{model.source}: {name} has shape {found}, its config implies {shape}")


def finite(values: np.ndarray, name: str) -> np.ndarray:
    if not math.isfinite(float(np.abs(values).sum(dtype=np.float64))):
        raise InputError(f"{name} holds NaN or infinite weights")
    return values


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
