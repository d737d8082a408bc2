"""Tokens are matched by text where both tokenizers are known, else by number."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.comparison.tokens import MISSING, TokenList, common_tokens, ids_in, own_tokens
from huref_zk.errors import InputError
from tests.support.random_llm import VOCAB, llama


def named(model, texts):
    """``model`` with a tokenizer whose token i is texts[i]."""
    model.vocabulary = lambda: {text: i for i, text in enumerate(texts)}
    return model


WORDS = [f"w{i:03}" for i in range(VOCAB)]


def test_the_same_vocabulary_gives_the_last_ids_of_both():
    a, b = named(llama(0), WORDS), named(llama(1), WORDS)
    x, y, by = common_tokens(a, VOCAB, b, VOCAB, 64)
    assert by == "text"
    np.testing.assert_array_equal(x, np.arange(VOCAB - 64, VOCAB))
    np.testing.assert_array_equal(x, y)


def test_a_renumbered_vocabulary_is_matched_by_text():
    order = np.random.default_rng(0).permutation(VOCAB)
    a, b = named(llama(0), WORDS), named(llama(1), [WORDS[i] for i in order])
    x, y, _ = common_tokens(a, VOCAB, b, VOCAB, 64)
    assert [WORDS[i] for i in x] == [WORDS[order[j]] for j in y]
    assert not np.array_equal(x, y)


def test_the_choice_does_not_depend_on_which_model_is_called_a():
    order = np.random.default_rng(1).permutation(VOCAB)
    a, b = named(llama(0), WORDS), named(llama(1), [WORDS[i] for i in order])
    x, y, _ = common_tokens(a, VOCAB, b, VOCAB, 64)
    v, u, _ = common_tokens(b, VOCAB, a, VOCAB, 64)
    assert {(int(i), int(j)) for i, j in zip(x, y, strict=True)} == {
        (int(i), int(j)) for i, j in zip(u, v, strict=True)
    }


def test_without_a_tokenizer_numbers_are_matched_and_special_ids_of_both_left_out():
    a, b = llama(0, special={VOCAB - 1}), llama(1, special={VOCAB - 2})
    x, y, by = common_tokens(a, VOCAB, b, VOCAB, 64)
    assert by == "number"
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(x, np.arange(VOCAB - 66, VOCAB - 2))


def test_too_few_common_tokens_are_refused():
    a = named(llama(0), WORDS)
    few = named(llama(1), [w if i < 63 else w + "!" for i, w in enumerate(WORDS)])
    enough = named(llama(1), [w if i < 64 else w + "!" for i, w in enumerate(WORDS)])
    with pytest.raises(InputError, match="only 63 tokens are common"):
        common_tokens(a, VOCAB, few, VOCAB)
    assert len(common_tokens(a, VOCAB, enough, VOCAB)[0]) == 64


def test_a_saved_list_is_found_by_text_and_what_is_not_there_is_missing():
    a = named(llama(0), WORDS)
    tokens = own_tokens(a, VOCAB, 100)
    assert tokens.texts == tuple(WORDS[-100:])
    other = [w if i % 10 else w + "!" for i, w in enumerate(reversed(WORDS))]
    ids = ids_in(named(llama(1), other), VOCAB, tokens)
    for text, i in zip(tokens.texts, ids, strict=True):
        assert (text not in other) if i == MISSING else other[i] == text
    assert (ids == MISSING).sum() == 10


def test_a_saved_list_without_texts_is_found_by_number():
    tokens = TokenList(np.arange(90, 240), None)
    ids = ids_in(llama(0), VOCAB, tokens)
    np.testing.assert_array_equal(ids[:70], np.arange(90, 160))
    assert set(ids[70:]) == {MISSING}
    with pytest.raises(InputError, match="only 20 tokens"):
        ids_in(llama(0), VOCAB, TokenList(np.arange(140, 240), None))
