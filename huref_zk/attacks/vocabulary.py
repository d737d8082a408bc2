"""Token ids renumbered: embedding rows, output rows, tokenizer and config together."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from huref_zk.attacks.checkpoint import EMBEDDING, HEAD, Checkpoint
from huref_zk.attacks.draft import Draft
from huref_zk.errors import InputError


def renumber_vocabulary(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """The ids of the tokenizer's vocabulary permuted at random: rows of the embedding and the
    output, tokenizer.json, and the config's bos, eos and padding ids. From text to text nothing
    changes. Exact, tied or not.

    Ids outside the vocabulary (padding rows, tokens that were only added to the tokenizer, which it
    numbers by itself) stay. Raises InputError without a tokenizer.json (GGUF files have none), or
    for one whose ids are not distinct rows of the embedding.
    """
    if checkpoint.tokenizer is None:
        raise InputError(
            f"{checkpoint.source} has no tokenizer.json to renumber; give a Hugging Face folder"
        )
    ids = np.sort(vocabulary_ids(checkpoint))
    new_of = dict(zip(ids.tolist(), rng.permutation(ids).tolist(), strict=True))
    draft = Draft(checkpoint)
    old_of = np.arange(draft.sizes.vocab)  # the row that each new row comes from
    for old, new in new_of.items():
        old_of[new] = old
    for name in (EMBEDDING, HEAD):
        if name in draft:
            draft.edit(name, lambda w: w[old_of])
    for key, value in draft.config.items():
        if key.endswith("_token_id"):
            draft.config[key] = _renumbered(value, new_of)
    known, order = checkpoint.vocabulary, checkpoint.token_order
    return draft.done(
        tokenizer=_renumbered_tokenizer(checkpoint.tokenizer, new_of),
        special=frozenset(new_of.get(i, i) for i in checkpoint.special),
        vocabulary=None if known is None else {t: new_of.get(i, i) for t, i in known.items()},
        token_order=None if order is None else tuple(new_of.get(i, i) for i in order),
    )


def vocabulary_ids(checkpoint: Checkpoint) -> np.ndarray:
    """The ids that the tokenizer's model gives out, int64, in the file's order. InputError."""
    model = (checkpoint.tokenizer or {}).get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocab, list):  # unigram: a list of [piece, score], ids are positions
        found: list[Any] = list(range(len(vocab)))
    else:
        found = list(vocab.values()) if isinstance(vocab, dict) else []
    rows = checkpoint.sizes.vocab
    good = all(type(i) is int and 0 <= i < rows for i in found)
    if not found or not good or len(set(found)) != len(found):
        raise InputError(
            f"{checkpoint.source}: the ids in tokenizer.json are not distinct rows of the "
            f"{rows} of the embedding"
        )
    return np.array(found, dtype=np.int64)


def _renumbered(value: Any, new_of: dict[int, int]) -> Any:
    """An id, a list of ids or None, under the new numbers."""
    if isinstance(value, list):
        return [_renumbered(v, new_of) for v in value]
    return new_of.get(value, value) if type(value) is int else value


def _renumbered_tokenizer(tokenizer: dict, new_of: dict[int, int]) -> dict:
    """tokenizer.json under the new numbers, everything in it that is an id."""
    out = copy.deepcopy(tokenizer)
    model = out["model"]
    if isinstance(model["vocab"], list):
        pieces = model["vocab"]
        model["vocab"] = [None] * len(pieces)
        for old, piece in enumerate(pieces):
            model["vocab"][new_of[old]] = piece
        model["unk_id"] = _renumbered(model.get("unk_id"), new_of)
    else:
        pairs = [(text, new_of[i]) for text, i in model["vocab"].items()]
        model["vocab"] = dict(sorted(pairs, key=lambda pair: pair[1]))
    for token in out.get("added_tokens") or ():
        token["id"] = _renumbered(token.get("id"), new_of)
    if out.get("added_tokens"):
        out["added_tokens"].sort(key=lambda token: token["id"])
    if out.get("padding"):
        out["padding"]["pad_id"] = _renumbered(out["padding"].get("pad_id"), new_of)
    if out.get("post_processor"):
        _renumber_processor(out["post_processor"], new_of)
    return out


def _renumber_processor(processor: dict, new_of: dict[int, int]) -> None:
    """In place. Templates name their tokens' ids; BERT's and RoBERTa's have pairs [text, id]."""
    for inner in processor.get("processors") or ():
        _renumber_processor(inner, new_of)
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = _renumbered(token["ids"], new_of)
    for key in ("sep", "cls"):
        if isinstance(processor.get(key), list):
            processor[key] = _renumbered(processor[key], new_of)
