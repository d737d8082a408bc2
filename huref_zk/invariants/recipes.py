"""Recipes: how a model becomes the rows E of its tokens and cores C, d x d each.

    whole      three cores, sums over all layers of what each block does (cores.py), without the
               strongest directions (directions.py). The default.
    last-two   the plain terms of HuRef (section 4.2) of two layers, norms folded in
               (canonical.py), without the strongest directions: two sets of three cores.
    official   the terms of HuRef's own program for two layers: no norm folded in, a gated block's
               term from gate times up entry by entry, embeddings as they are.

An invariant map is X C X^T. Whatever a model's architecture, cores of one hidden size are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.canonical import embed, layer_pair
from huref_zk.invariants.cores import SUBSET, TERMS, Tokens, layer_cores, size_of
from huref_zk.invariants.directions import how_many, without_strongest
from huref_zk.invariants.tokens import TOKENS, choose_tokens
from huref_zk.models.families import Family, family_for
from huref_zk.models.feed_forward import ffn_blocks, read_block
from huref_zk.models.layers import dimensions, per_head, read_attention_grouped
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, finite

RECIPES = ("whole", "last-two", "official")
PAIR = 2
"""Layers of the recipes that are about two."""
POSITIONS = 64
"""Positions whose mean embedding stands for where a token is, in models that add one."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Cores:
    """X float32 (K, d): the tokens' rows, under whole and last-two with a mean square of one (and
    a mean of zero where the model's norms take it off). sets: one array float32 (3, d, d) of the
    terms a, b, f, or two, of the earlier and the later layer. layer_ids: the layers they are about,
    in order. token_ids int64 (K,). token_choice: "common", "rare" or "given". facts: integers and
    strings for the descriptor. warnings: what a user should know about how this was made."""

    recipe: str
    X: np.ndarray
    sets: tuple[np.ndarray, ...]
    layer_ids: tuple[int, ...]
    token_ids: np.ndarray
    token_choice: str
    facts: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())


def compute_cores(
    model: Model,
    *,
    family: Family | None = None,
    recipe: str = "whole",
    layers: Sequence[int] | None = None,
    tokens: int = TOKENS,
    token_ids: Sequence[int] | None = None,
    token_choice: str = "common",
    progress: Progress | None = None,
) -> Cores:
    """The cores of ``model`` by a recipe; one layer is held at a time.

    family: how to read the model, default the table's entry for its config. layers: default all
    (whole), or the last two whose output is not zero. tokens: K; token_ids, token_choice: see
    tokens.py. progress hears (done, total) layers. Raises InputError for an unknown recipe or
    architecture, missing or misshapen tensors, non-finite weights, layers and tokens that are not
    there.
    """
    if recipe not in RECIPES:
        raise InputError(f"{recipe!r} is no recipe; known: {', '.join(RECIPES)}")
    family = family_for(model) if family is None else family
    dims = dimensions(model, family)
    ids, warnings = choose_tokens(
        model, dims.vocab, tokens, choice=token_choice, token_ids=token_ids
    )
    chosen = _chosen(recipe, layers, dims, model)
    if recipe == "official":
        X = finite(model.rows(family.embedding, ids), family.embedding)
        sets, order = _pair(recipe, model, family, dims, chosen, layers is not None, progress)
    else:
        X, read = token_rows(model, family, ids)
        if recipe == "whole":
            sets, order = _whole(model, family, dims, X, read, chosen, progress)
        else:
            sets, order = _pair(recipe, model, family, dims, chosen, layers is not None, progress)
        count = how_many(dims.hidden, len(ids))
        flat = without_strongest(X, [c for cores in sets for c in cores], count)
        sets = [np.array(flat[n : n + len(TERMS)]) for n in range(0, len(flat), len(TERMS))]
    return Cores(
        recipe=recipe,
        X=X,
        sets=tuple(cores.astype(np.float32) for cores in sets),
        layer_ids=order,
        token_ids=ids,
        token_choice=token_choice if token_ids is None else "given",
        facts=facts_of_model(family, dims),
        warnings=(*model.notes, *warnings),
    )


def facts_of_model(family: Family, dims: Dimensions) -> dict[str, Any]:
    """What a descriptor tells of a model's architecture."""
    return {
        "architecture": family.name,
        "hidden_size": dims.hidden,
        "heads": dims.heads,
        "kv_heads": dims.kv_heads,
        "head_dim": dims.head_dim,
        "ffn": dims.ffn,
        "layers_total": dims.layers,
        "vocab_size": dims.vocab,
    }


def token_rows(model: Model, family: Family, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(X, read), float32 (K, d): the tokens as the first block's norm sees them, without its gain,
    and as a first block reads them: the same, or as they are where no norm stands before it.

    Where positions have embeddings, the mean of the first POSITIONS is added. Raises InputError for
    non-finite rows.
    """
    rows = embed(model, family, ids).astype(np.float64)
    if family.embedding_positions is not None:
        start = family.positions_start
        stop = min(start + POSITIONS, model.shape(family.embedding_positions)[0])
        positions = model.rows(family.embedding_positions, np.arange(start, stop))
        place = finite(positions, family.embedding_positions).mean(axis=0, dtype=np.float64)
        rows += place - place.mean() if family.layer_norm else place
    square = np.square(rows).mean(axis=1, keepdims=True)
    X = np.divide(rows, np.sqrt(square), out=np.zeros_like(rows), where=square > 0)
    normed = family.layer_norm or family.bare_norms or family.ffn_norm is not None
    return X.astype(np.float32), (X if normed else rows).astype(np.float32)


def _whole(
    model: Model,
    family: Family,
    dims: Dimensions,
    X: np.ndarray,
    read: np.ndarray,
    layers: Sequence[int],
    progress: Progress | None,
) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """One set: the sum over layers, each core divided by the square root of its size."""
    some = np.linspace(0, len(X), min(SUBSET, len(X)), endpoint=False).astype(int)
    centre = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    tokens = Tokens(X[some] - centre, read[some], read)
    total = np.zeros((len(TERMS), dims.hidden, dims.hidden))
    for done, i in enumerate(layers):
        for term, core in enumerate(layer_cores(model, family, dims, i, tokens)):
            size = size_of(core, tokens)
            if size > 0:
                total[term] += core * np.float32(1 / np.sqrt(size))
        if progress is not None:
            progress(done + 1, len(layers))
    return [total], tuple(layers)


def _pair(
    recipe: str,
    model: Model,
    family: Family,
    dims: Dimensions,
    candidates: Sequence[int],
    asked: bool,
    progress: Progress | None,
) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Two sets, of the first two candidates whose blocks are not zero (all, if asked for)."""
    found: dict[int, np.ndarray] = {}
    make = official_cores if recipe == "official" else plain_cores
    for i in candidates:
        cores = np.array(list(make(model, family, dims, i)))
        if not asked and not cores[1:].any():
            continue  # a block that adds nothing must not hide the ones below it
        found[i] = cores
        if progress is not None:
            progress(len(found), PAIR)
        if len(found) == PAIR:
            break
    if len(found) < PAIR:
        raise InputError(f"{model.source} has fewer than {PAIR} layers that are not zero")
    order = tuple(sorted(found))
    return [found[i] for i in order], order


def plain_cores(model: Model, family: Family, dims: Dimensions, i: int) -> Iterator[np.ndarray]:
    """U V^T of the terms a, b, f of layer i (canonical.layer_pair), float32 (d, d)."""
    U, V, widths = layer_pair(model, family, dims, i)
    start = 0
    for width in widths:
        yield U[:, start : start + width] @ V[:, start : start + width].T
        start += width


def official_cores(model: Model, family: Family, dims: Dimensions, i: int) -> Iterator[np.ndarray]:
    """The terms a, b, f of layer i as HuRef's program has them, float32 (d, d)."""
    q, k, v, o = read_attention_grouped(model, family, dims, i)
    yield q.T @ per_head(k, dims)
    yield per_head(v, dims).T @ o.T
    f = np.zeros((dims.hidden, dims.hidden), dtype=np.float32)
    for block in ffn_blocks(model, family, dims, i):
        up, gate, down = read_block(model, family, dims, block, gate=True)
        f += (up if gate is None else gate * up).T @ down.T
    yield f


def _chosen(recipe: str, layers: Sequence[int] | None, dims: Dimensions, model: Model) -> list[int]:
    """The layers to look at, in the order in which to look."""
    if layers is None:
        every = list(range(dims.layers))
        return every if recipe == "whole" else every[::-1]
    ids = sorted({int(i) for i in layers})
    wanted = len(ids) > 0 if recipe == "whole" else len(ids) == PAIR
    if not wanted or len(ids) != len(layers) or not all(0 <= i < dims.layers for i in ids):
        how = "different layers" if recipe == "whole" else "two different layers"
        raise InputError(f"choose {how} from 0..{dims.layers - 1}, not {list(layers)}")
    return ids
