"""Which embedding rows of two models belong together, and in which groups they are looked at.

By the tokens' texts, brought to one spelling, else by their numbers: a thief may renumber the
vocabulary, extend it or cut it. The common tokens stand in the order in which the tokenizers learnt
them, and are cut into

    common      of the FIRST learnt first, up to COMMON evenly spaced ones
    eighth 1-8  of each eighth of all, up to EIGHTH evenly spaced ones

so that whoever re-draws some rows of the embedding is still known by the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.tokens import BYTES, TOKENS
from huref_zk.models.model import Model

FIRST = TOKENS
COMMON = 2048
EIGHTHS = 8
EIGHTH = 1024
MIN_COMMON = 64
"""Tokens that two models must have in common; and of which an eighth must consist to be one."""
MISSING = -1


@dataclass(frozen=True)
class TokenList:
    """ids int64 (N,), of one model, group after group; sizes: how many tokens each group has, even
    numbers: common, and the eighths where there are enough tokens for them; texts: N strings, or
    None where the tokenizer is unknown."""

    ids: np.ndarray
    sizes: tuple[int, ...]
    texts: tuple[str, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the groups."""
        return group_names(self.sizes)


@dataclass(frozen=True)
class Common:
    """a, b int64 (N,): the ids that two models have for the same tokens; sizes: see TokenList; by:
    "text" or "number"; count: how many tokens both have in all."""

    a: np.ndarray
    b: np.ndarray
    sizes: tuple[int, ...]
    by: str
    count: int


def group_names(sizes: Sequence[int]) -> tuple[str, ...]:
    """common, eighth 1, ..., eighth 8."""
    return ("common", *(f"eighth {n + 1}" for n in range(len(sizes) - 1)))


def slices(sizes: Sequence[int]) -> list[slice]:
    """Where each group stands."""
    ends = np.cumsum(sizes)
    return [slice(int(end) - size, int(end)) for size, end in zip(sizes, ends, strict=True)]


def own_tokens(model: Model, vocab: int) -> TokenList:
    """The tokens that a saved fingerprint is made over. InputError for too few."""
    order = _order(model, vocab)
    if len(order) < MIN_COMMON:
        raise InputError(f"{model.source} has only {len(order)} usable tokens; {MIN_COMMON} needed")
    places, sizes = _groups(len(order))
    ids = np.array(order, dtype=np.int64)[places]
    return TokenList(ids, sizes, _texts(model, ids))


def ids_in(model: Model, vocab: int, tokens: TokenList) -> np.ndarray:
    """The ids, int64 (N,), that ``model`` has for the tokens of another; MISSING where it has none.

    By text where both texts are known, else the same numbers. InputError when fewer than MIN_COMMON
    of those learnt first are found.
    """
    known = spelt(model)
    if known is None or tokens.texts is None:
        ids = np.where(tokens.ids < vocab, tokens.ids, MISSING)
    else:
        ids = np.array([known.get(text, MISSING) for text in tokens.texts], dtype=np.int64)
        ids[ids >= vocab] = MISSING
    _enough(int((ids[: tokens.sizes[0]] != MISSING).sum()), model)
    return ids


def common_tokens(a: Model, vocab_a: int, b: Model, vocab_b: int) -> Common:
    """The tokens of both, first learnt first.

    With both vocabularies known, those come first whose ranks in the two orders of learning add up
    lowest, so that the choice depends neither on numbering nor on which model is called a.
    InputError when fewer than MIN_COMMON are common.
    """
    texts_a, texts_b = spelt(a), spelt(b)
    if texts_a is None or texts_b is None:
        in_b = set(_order(b, vocab_b))
        both = [(i, i) for i in _order(a, vocab_a) if i in in_b]
        by = "number"
    else:
        rank_a, rank_b = _ranks(a, vocab_a), _ranks(b, vocab_b)
        ranked = [
            (rank_a(texts_a[text]) + rank_b(texts_b[text]), text)  # ties are broken by the text
            for text in texts_a.keys() & texts_b.keys()
            if texts_a[text] < vocab_a and texts_b[text] < vocab_b
        ]
        both = [(texts_a[text], texts_b[text]) for _, text in sorted(ranked)]
        by = "text"
    _enough(len(both), b)
    places, sizes = _groups(len(both))
    pairs = np.array(both, dtype=np.int64)[places]
    return Common(pairs[:, 0], pairs[:, 1], sizes, by, len(both))


def _groups(count: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """(places int64 (N,) in the order of learning, sizes) of the groups of ``count`` tokens."""
    spans = [(0, min(count, FIRST), COMMON)]
    if count >= EIGHTHS * MIN_COMMON:
        ends = [n * count // EIGHTHS for n in range(EIGHTHS + 1)]
        spans += [(start, stop, EIGHTH) for start, stop in itertools.pairwise(ends)]
    parts = []
    for start, stop, most in spans:
        size = min(stop - start, most) // 2 * 2
        parts.append(start + (np.arange(size) * (stop - start)) // size)
    return np.concatenate(parts), tuple(len(part) for part in parts)


def _order(model: Model, vocab: int) -> list[int]:
    """Ids that stand for text, first learnt first, the alphabet that the tokenizer was given last:
    many of its characters hardly occur. Ids in order, where that is not known."""
    order = model.token_order()
    if order is not None:
        first = model.alphabet()
        ids: Sequence[int] = (*order[first:], *order[:first])
    else:
        special = model.special_ids()
        size = min(vocab, model.tokenizer_size() or vocab)
        ids = [i for i in (*range(BYTES, size), *range(min(BYTES, size))) if i not in special]
    return [i for i in ids if i < vocab]


def _ranks(model: Model, vocab: int) -> Callable[[int], float]:
    """From a token's id to its rank in 0..1, see _order; 1 for one that is not in it."""
    order = _order(model, vocab)
    rank = {i: n / len(order) for n, i in enumerate(order)}
    return lambda i: rank.get(i, 1.0)


def spelt(model: Model) -> dict[str, int] | None:
    """Text -> id of the tokens that stand for text, None where they are not known.

    Tokenizers write them differently: a space is "\u2581" in some, and in byte-level ones every
    byte is a character of its own, a space "\u0120". Bytes that are no UTF-8 stay as they are
    written. Of two tokens of one text the one with the lower id counts.
    """
    vocabulary = model.vocabulary()
    if vocabulary is None:
        return None
    pieces = any(text.startswith("\u2581") for text in vocabulary)
    spell = _pieces if pieces else _bytes
    out: dict[str, int] = {}
    for text, i in sorted(vocabulary.items(), key=lambda item: item[1]):
        out.setdefault(spell(text), i)
    return out


def _pieces(text: str) -> str:
    return text.replace("\u2581", " ")


def _bytes(text: str) -> str:
    try:
        return bytes(_BYTES[c] for c in text).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return text


def _byte_of() -> dict[str, int]:
    """Byte-level tokenizers' characters: a printable byte is itself, the others follow U+00FF."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


_BYTES = _byte_of()


def _texts(model: Model, ids: np.ndarray) -> tuple[str, ...] | None:
    vocabulary = spelt(model)
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
