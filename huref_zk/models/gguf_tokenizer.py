"""The tokenizer that a GGUF file brings along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from huref_zk.models.tokenizer import Tokenizer, by_merges, by_scores, vocabulary_of

TEXT_TOKENS = (1, 6)
"""gguf's TokenType of tokens that stand for text: NORMAL and BYTE."""


def gguf_tokenizer(field: Callable[[str], Any]) -> Tokenizer:
    """From the header's keys, which ``field`` gives. Its order: by the merges if the file has them,
    else by the scores, as llama.cpp merges by those; then tokens of one character, which are made
    by no merge, come first."""

    def array(key: str, kind: type) -> list:
        """Empty when it is missing, or its entries are of another type."""
        values = field(f"tokenizer.ggml.{key}")
        fits = isinstance(values, list) and all(isinstance(value, kind) for value in values)
        return values if fits else []

    texts = array("tokens", str)
    kinds = array("token_type", int)
    special = frozenset(i for i, kind in enumerate(kinds) if kind not in TEXT_TOKENS)
    if not texts:
        return Tokenizer(special)
    vocabulary = vocabulary_of(zip(texts, range(len(texts)), strict=True), special)
    scored = [
        score if len(text) > 1 else np.inf
        for text, score in zip(texts, array("scores", float), strict=False)
    ]
    order, alphabet = by_merges(vocabulary, array("merges", str))
    if order is None:
        order, alphabet = by_scores(vocabulary, scored)
    return Tokenizer(special, len(texts), vocabulary, order, alphabet)
