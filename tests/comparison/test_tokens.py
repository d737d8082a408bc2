"""Tokens are matched by text where both tokenizers are known, else by number."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.comparison.tokens import (
    MISSING,
    TokenList,
    common_tokens,
    group_names,
    ids_in,
    own_tokens,
    slices,
    spelt,
)
from huref_zk.errors import InputError
from huref_zk.models.load import open_model
from tests.support.random_llm import VOCAB, llama


def named(model, texts):
    """``model`` with a tokenizer whose token i is texts[i]."""
    model.vocabulary = lambda: {text: i for i, text in enumerate(texts)}
    return model


WORDS = [f"w{i:03}" for i in range(VOCAB)]


def test_the_same_vocabulary_gives_the_same_ids_of_both():
    a, b = named(llama(0), WORDS), named(llama(1), WORDS)
    c = common_tokens(a, VOCAB, b, VOCAB)
    assert (c.by, c.count, c.sizes) == ("text", VOCAB, (VOCAB,))
    np.testing.assert_array_equal(c.a, c.b)
    assert len(set(c.a.tolist())) == VOCAB


def test_a_renumbered_vocabulary_is_matched_by_text():
    order = np.random.default_rng(0).permutation(VOCAB)
    a, b = named(llama(0), WORDS), named(llama(1), [WORDS[i] for i in order])
    c = common_tokens(a, VOCAB, b, VOCAB)
    assert [WORDS[i] for i in c.a] == [WORDS[order[j]] for j in c.b]
    assert not np.array_equal(c.a, c.b)


def test_the_choice_does_not_depend_on_which_model_is_called_a():
    order = np.random.default_rng(1).permutation(VOCAB)
    a, b = named(llama(0), WORDS), named(llama(1), [WORDS[i] for i in order])
    x, y = common_tokens(a, VOCAB, b, VOCAB), common_tokens(b, VOCAB, a, VOCAB)
    assert x.a.tolist() == y.b.tolist() and x.b.tolist() == y.a.tolist()


def test_without_a_tokenizer_numbers_are_matched_and_special_ids_of_both_left_out():
    a, b = llama(0, special={VOCAB - 1}), llama(1, special={VOCAB - 2})
    c = common_tokens(a, VOCAB, b, VOCAB)
    assert c.by == "number"
    np.testing.assert_array_equal(c.a, np.arange(VOCAB - 2))
    np.testing.assert_array_equal(c.a, c.b)


def test_groups_are_the_first_learnt_and_the_eighths_of_all():
    model = open_model("demo-base")
    tokens = own_tokens(model, 4160)
    assert (
        tokens.names
        == group_names(tokens.sizes)
        == ("common", *(f"eighth {n}" for n in range(1, 9)))
    )
    first = model.alphabet()
    learnt = [*model.token_order()[first:], *model.token_order()[:first]]
    rank = {i: n for n, i in enumerate(learnt)}
    for n, group in enumerate(slices(tokens.sizes)):
        ranks = [rank[i] for i in tokens.ids[group].tolist()]
        assert ranks == sorted(ranks) and len(set(ranks)) == len(ranks) and len(ranks) % 2 == 0
        low, high = (0, 4096) if n == 0 else ((n - 1) * len(learnt) // 8, n * len(learnt) // 8)
        assert low <= ranks[0] < low + 3 and high - 4 < ranks[-1] < high
    # Too few for eighths: one group.
    assert own_tokens(named(llama(0), WORDS), VOCAB).sizes == (VOCAB,)


def test_texts_are_brought_to_one_spelling():
    byte_level = named(llama(0), ["\u0120the", "caf\u00c3\u00a9", "\u010a", "\u00e9"])
    pieces = named(llama(0), ["\u2581the", "caf\u00e9", "\n", "x"])
    assert spelt(byte_level) == {" the": 0, "caf\u00e9": 1, "\n": 2, "\u00e9": 3}
    assert spelt(pieces) == {" the": 0, "caf\u00e9": 1, "\n": 2, "x": 3}
    twice = named(llama(0), ["\u00c3\u00a9", "a", "\u00e9"])  # bytes that are no UTF-8 stay
    assert spelt(twice) == {"\u00e9": 0, "a": 1}


def test_too_few_common_tokens_are_refused():
    a = named(llama(0), WORDS)
    few = named(llama(1), [w if i < 63 else w + "!" for i, w in enumerate(WORDS)])
    enough = named(llama(1), [w if i < 64 else w + "!" for i, w in enumerate(WORDS)])
    with pytest.raises(InputError, match="only 63 tokens are common"):
        common_tokens(a, VOCAB, few, VOCAB)
    assert common_tokens(a, VOCAB, enough, VOCAB).count == 64


def test_a_saved_list_is_found_by_text_and_what_is_not_there_is_missing():
    a = named(llama(0), WORDS)
    tokens = own_tokens(a, VOCAB)
    assert tokens.texts == tuple(WORDS[i] for i in tokens.ids)
    other = [w if i % 10 else w + "!" for i, w in enumerate(reversed(WORDS))]
    ids = ids_in(named(llama(1), other), VOCAB, tokens)
    for text, i in zip(tokens.texts, ids, strict=True):
        assert (text not in other) if i == MISSING else other[i] == text
    assert (ids == MISSING).sum() == VOCAB // 10


def test_a_saved_list_without_texts_is_found_by_number():
    tokens = TokenList(np.arange(90, 240), (150,), None)
    ids = ids_in(llama(0), VOCAB, tokens)
    np.testing.assert_array_equal(ids[:70], np.arange(90, 160))
    assert set(ids[70:]) == {MISSING}
    with pytest.raises(InputError, match="only 20 tokens"):
        ids_in(llama(0), VOCAB, TokenList(np.arange(140, 240), (100,), None))
