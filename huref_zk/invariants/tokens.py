"""Which tokens a model is asked about.

    common   those that the tokenizer learnt first (default): whoever re-draws their rows of the
             embedding breaks the model
    rare     those that it learnt last, as HuRef has it: training moves them less, but nobody
             misses them either
    given    by a list of ids

Tokens are chosen by the order in which the tokenizer learnt them, so that numbering them anew
changes nothing. Only those that stand for text count; the alphabet that it was given (bytes, single
characters, many of which hardly occur) comes after all that it learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.model import Model

TOKENS = 4096
MIN_TOKENS = 32
BYTES = 256
CHOICES = ("common", "rare", "given")


def choose_tokens(
    model: Model,
    vocab: int,
    count: int = TOKENS,
    *,
    choice: str = "common",
    token_ids: Sequence[int] | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(ids int64 (K,), warnings): K = ``count`` or as many as there are, an even number.

    In the order of learning, first learnt first; given ones as they are given, the first ``count``.
    Raises InputError for fewer than MIN_TOKENS, and for ids that are not distinct rows of the
    ``vocab`` of the embedding.
    """
    if count < MIN_TOKENS:
        raise InputError(f"{count} tokens are too few; use at least {MIN_TOKENS}")
    warnings = []
    if token_ids is not None:
        chosen = [int(i) for i in token_ids][:count]
        if len(set(chosen)) != len(chosen) or not all(0 <= i < vocab for i in chosen):
            raise InputError(f"token ids must be distinct and lie in 0..{vocab - 1}")
    elif choice in ("common", "rare"):
        learnt, alphabet, known = _order(model, vocab)
        if not known:
            warnings.append(
                "the order in which the tokenizer learnt its tokens is not known; ids in order "
                "stand for it"
            )
        if choice == "rare":
            chosen = (alphabet + learnt)[-count:]
        else:
            chosen = (learnt + alphabet[::-1])[:count]
    else:
        raise InputError(f"{choice!r} is no choice of tokens; known: common, rare")
    even = len(chosen) // 2 * 2
    chosen = chosen[-even:] if choice == "rare" and token_ids is None else chosen[:even]
    if len(chosen) < MIN_TOKENS:
        raise InputError(
            f"{model.source} leaves only {len(chosen)} usable tokens; at least {MIN_TOKENS} are "
            "needed"
        )
    if len(chosen) < count:
        warnings.append(f"{len(chosen)} tokens used; {count} were asked for")
    return np.array(chosen, dtype=np.int64), tuple(warnings)


def _order(model: Model, vocab: int) -> tuple[list[int], list[int], bool]:
    """(learnt, alphabet, known): ids below ``vocab``, first learnt first.

    Where the order is not known, regular ids: below the tokenizer's size (padding rows of the
    embedding are left out) and not among the special ids that it declares; the first BYTES, which
    are the bytes in tokenizers that have them, pass for the alphabet.
    """
    order = model.token_order()
    if order is not None:
        first = model.alphabet()
        parts = order[first:], order[:first]
    else:
        special = model.special_ids()
        size = min(vocab, model.tokenizer_size() or vocab)
        ids = tuple(i for i in range(size) if i not in special)
        parts = ids[BYTES:], ids[:BYTES]
    learnt, alphabet = ([i for i in part if i < vocab] for part in parts)
    return learnt, alphabet, order is not None
