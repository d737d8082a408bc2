"""What a tokenizer tells of its tokens: which stand for text, and in which order it learnt them.

Ids are mere names: whoever renumbers them in the weights and the tokenizer together changes
nothing. The order of learning is what a tokenizer works by, and it puts rare tokens last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_ID = 1 << 31
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


@dataclass(frozen=True)
class Tokenizer:
    """special: ids that stand for no text (bos, padding, chat marks ...). size: how many ids there
    are. vocabulary: text -> id of the tokens that stand for text. order: the ids of those, each
    once, in the order in which the tokenizer learnt them. None for what is not known. alphabet: how
    many of the first in that order it was given rather than learnt: bytes, single characters."""

    special: frozenset[int] = frozenset()
    size: int | None = None
    vocabulary: dict[str, int] | None = None
    order: tuple[int, ...] | None = None
    alphabet: int = 0


UNKNOWN = Tokenizer()


def parse_tokenizer(data: dict) -> Tokenizer:
    """From the object in a tokenizer.json, which may be anything: what is malformed tells nothing.

    The order is known for BPE and Unigram tokenizers; others' files do not tell it.
    """
    added, inner = data.get("added_tokens"), data.get("model")
    # Added tokens, special or not, are no product of the tokenizer's training.
    special = frozenset(
        token["id"]
        for token in (added if isinstance(added, list) else ())
        if isinstance(token, dict) and type(token.get("id")) is int
    )
    inner = inner if isinstance(inner, dict) else {}
    vocab = inner.get("vocab")
    ids = list(special)
    vocabulary: dict[str, int] | None = None
    order: tuple[int, ...] | None = None
    alphabet = 0
    if isinstance(vocab, dict):
        ids += [i for i in vocab.values() if type(i) is int]
        vocabulary = vocabulary_of(vocab.items(), special)
        prefix = inner.get("continuing_subword_prefix")
        order, alphabet = by_merges(
            vocabulary, inner.get("merges"), prefix if isinstance(prefix, str) else ""
        )
    elif isinstance(vocab, list):  # Unigram: a list of [piece, score], ids are positions
        ids.append(len(vocab) - 1)
        items = [
            item if isinstance(item, list) and len(item) == 2 else (None, None) for item in vocab
        ]
        vocabulary = vocabulary_of(((piece, i) for i, (piece, _) in enumerate(items)), special)
        order, alphabet = by_scores(vocabulary, [score for _, score in items])
    return Tokenizer(special, max(ids) + 1 if ids else None, vocabulary, order, alphabet)


def vocabulary_of(items, special: frozenset[int]) -> dict[str, int]:
    """Those of the (text, id) that are a text and an id, without special ones."""
    return {
        text: i
        for text, i in items
        if isinstance(text, str) and type(i) is int and 0 <= i < MAX_ID and i not in special
    }


def by_merges(
    vocabulary: dict[str, int], merges: Any, prefix: str = ""
) -> tuple[tuple[int, ...] | None, int]:
    """(order, alphabet) of a BPE vocabulary: first the tokens that no merge makes (the alphabet),
    by text, then the others, by the first merge that makes each.

    merges: "left right" or [left, right] each, the right without ``prefix`` if it has that. Entries
    that are neither, and those that make no token of the vocabulary, are passed over. (None, 0)
    when no merge makes a token, or ``merges`` is no list.
    """
    alphabet, made = dict(vocabulary), []
    for merge in merges if isinstance(merges, list) else ():
        pair = merge.split(" ", 2) if isinstance(merge, str) else merge
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair):
            token = alphabet.pop(pair[0] + pair[1].removeprefix(prefix), None)
            if token is not None:
                made.append(token)
    if not made:
        return None, 0
    order = _once([alphabet[text] for text in sorted(alphabet)] + made)
    return order, len(order) - len(set(made))


def by_scores(
    vocabulary: dict[str, int], scores: Sequence[Any]
) -> tuple[tuple[int, ...] | None, int]:
    """(order, alphabet) by score (the likelier first), equals by text; scores[id] belongs to a
    token.

    Bytes (``<0x0A>``) and tokens without a finite score come first. (None, 0) when the scores tell
    no two tokens apart.
    """
    texts = sorted(vocabulary)
    ids = [vocabulary[text] for text in texts]
    known = np.array(
        [
            _finite(scores[i]) if i < len(scores) and not _BYTE.fullmatch(text) else np.inf
            for text, i in zip(texts, ids, strict=True)
        ]
    )
    if len(np.unique(known[known < np.inf])) < 2:
        return None, 0
    order = _once([ids[n] for n in np.argsort(-known, kind="stable")])
    learnt = {i for i, score in zip(ids, known, strict=True) if score < np.inf}
    return order, len(order) - len(learnt)


def _finite(score: Any) -> float:
    """A score as it is; infinity for what is none, or no finite number."""
    return float(score) if type(score) in (int, float) and abs(score) < 1e300 else np.inf


def _once(ids: list[int]) -> tuple[int, ...]:
    """Each id once, where it comes last: two texts of one id hide no rare token among the first."""
    return tuple(dict.fromkeys(reversed(ids)))[::-1]
