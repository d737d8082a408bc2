"""Which embedding rows of two models belong together: by the tokens' texts, else by their numbers.

HuRef compares models over the same rare tokens. A thief may renumber the vocabulary, extend it or
cut it, so numbers alone will not do where the tokenizers are at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.tokens import TOKENS, choose_tokens
from huref_zk.models.model import Model

MIN_COMMON = 64
MISSING = -1


@dataclass(frozen=True)
class TokenList:
    """ids: int64 (K,), of one model; texts: K strings, or None where the tokenizer is unknown."""

    ids: np.ndarray
    texts: tuple[str, ...] | None


def own_tokens(model: Model, vocab: int, count: int = TOKENS, choice: str = "rare") -> TokenList:
    """The tokens that a saved fingerprint is made over, or by another choice of them
    (invariants/tokens.py)."""
    ids, _ = choose_tokens(model, vocab, count, choice=choice)
    return TokenList(ids, _texts(model, ids))


def ids_in(model: Model, vocab: int, tokens: TokenList) -> np.ndarray:
    """The ids, int64 (K,), that ``model`` has for the tokens of another; MISSING where it has none.

    By text where both texts are known, else the same numbers. InputError when fewer than MIN_COMMON
    are found.
    """
    known = model.vocabulary()
    if known is None or tokens.texts is None:
        ids = np.where(tokens.ids < vocab, tokens.ids, MISSING)
    else:
        ids = np.array([known.get(text, MISSING) for text in tokens.texts], dtype=np.int64)
        ids[ids >= vocab] = MISSING
    _enough(int((ids != MISSING).sum()), model)
    return ids


def common_tokens(
    a: Model, vocab_a: int, b: Model, vocab_b: int, count: int = TOKENS
) -> tuple[np.ndarray, np.ndarray, str]:
    """(ids in a, ids in b, "text" or "number"): up to ``count`` tokens of both, the rarest, even.

    Rare: high ids, as merges come last; with both vocabularies known, those whose ranks in the
    order of learning add up highest, so that the choice depends neither on numbering nor on which
    model is called a. InputError when fewer than MIN_COMMON are common.
    """
    texts_a, texts_b = a.vocabulary(), b.vocabulary()
    if texts_a is None or texts_b is None:
        sizes = [min(m.tokenizer_size() or v, v) for m, v in ((a, vocab_a), (b, vocab_b))]
        special = a.special_ids() | b.special_ids()
        same = [i for i in range(min(sizes) - 1, -1, -1) if i not in special][:count]
        _enough(len(same), b)
        ids = np.array(same[: len(same) // 2 * 2][::-1], dtype=np.int64)
        return ids, ids, "number"
    both = [
        text
        for text in texts_a.keys() & texts_b.keys()
        if texts_a[text] < vocab_a and texts_b[text] < vocab_b
    ]
    _enough(len(both), b)
    rank_a, rank_b = _ranks(a, vocab_a), _ranks(b, vocab_b)
    # Ties are broken by the text, the same from either side.
    both.sort(key=lambda text: (-(rank_a(texts_a[text]) + rank_b(texts_b[text])), text))
    chosen = both[: min(count, len(both)) // 2 * 2]
    pairs = np.array(sorted((texts_a[t], texts_b[t]) for t in chosen), dtype=np.int64)
    return pairs[:, 0], pairs[:, 1], "text"


def _ranks(model: Model, vocab: int) -> Callable[[int], float]:
    """From a token's id to its rank in 0..1: by the order of learning if known, else by id."""
    order = model.token_order()
    if order is None:
        return lambda i: i / vocab
    rank = {i: n / len(order) for n, i in enumerate(order)}
    return rank.__getitem__


def _texts(model: Model, ids: np.ndarray) -> tuple[str, ...] | None:
    vocabulary = model.vocabulary()
    if vocabulary is None:
        return None
    text_of = {i: text for text, i in vocabulary.items()}
    return tuple(text_of.get(int(i), "") for i in ids)


def _enough(found: int, model: Model) -> None:
    if found < MIN_COMMON:
        raise InputError(
            f"only {found} tokens are common to both models (the other is {model.source}); "
            f"at least {MIN_COMMON} are needed to compare"
        )
