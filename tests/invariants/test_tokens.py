"""Which tokens: the first learnt, the last learnt, given ones."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.invariants.tokens import BYTES, choose_tokens
from huref_zk.models.load import open_model
from huref_zk.models.tokenizer import Tokenizer
from tests.support.random_llm import MemoryModel

VOCAB = 700


class Known(MemoryModel):
    """A model with a tokenizer that learnt ``order``, of which the first were its alphabet."""

    def __init__(self, order, alphabet=0, special=(), size=None):
        super().__init__({}, {}, special, size)
        self.tokenizer = Tokenizer(order=tuple(order), alphabet=alphabet)


ORDER = np.random.default_rng(5).permutation(VOCAB).tolist()


def chosen(model, count=64, **options) -> list[int]:
    return choose_tokens(model, VOCAB, count, **options)[0].tolist()


def test_common_ones_are_the_first_learnt_whatever_their_ids():
    assert chosen(Known(ORDER)) == ORDER[:64]
    assert chosen(Known(ORDER, alphabet=100)) == ORDER[100:164]
    assert choose_tokens(Known(ORDER), VOCAB, 64)[0].dtype == np.int64


def test_rare_ones_are_the_last_learnt():
    assert chosen(Known(ORDER, alphabet=100), choice="rare") == ORDER[-64:]


def test_the_alphabet_comes_after_all_that_was_learnt():
    model = Known(ORDER, alphabet=650)
    assert chosen(model) == [*ORDER[650:], *ORDER[636:650][::-1]]
    assert chosen(model, VOCAB) == [*ORDER[650:], *ORDER[:650][::-1]]


def test_ids_beyond_the_embedding_are_left_out():
    order = [*range(VOCAB - 40, VOCAB + 40), *range(40)]
    assert chosen(Known(order)) == [i for i in order if i < VOCAB][:64]
    assert chosen(Known(order), choice="rare") == [i for i in order if i < VOCAB][-64:]


def test_without_an_order_ids_stand_for_it_and_that_is_told():
    """The first are bytes in the tokenizers that have any; special ids and padding do not count."""
    ids, warnings = choose_tokens(MemoryModel({}, {}, {300, 5}, 600), VOCAB, 64)
    regular = [i for i in range(600) if i not in (300, 5)]
    assert ids.tolist() == regular[BYTES : BYTES + 64]
    assert warnings == (
        "the order in which the tokenizer learnt its tokens is not known; ids in order stand for "
        "it",
    )
    assert choose_tokens(Known(ORDER), VOCAB, 64)[1] == ()
    assert chosen(MemoryModel({}, {}, {300, 5}, 600), choice="rare") == regular[-64:]


@pytest.mark.parametrize("choice", ["common", "rare"])
def test_the_number_of_tokens_is_even(choice):
    ids, warnings = choose_tokens(Known(ORDER), VOCAB, 63, choice=choice)
    assert ids.tolist() == (ORDER[:62] if choice == "common" else ORDER[-62:])
    assert warnings == ("62 tokens used; 63 were asked for",)
    assert choose_tokens(Known(ORDER), VOCAB, 62, choice=choice)[1] == ()


def test_a_small_vocabulary_is_used_whole_and_says_so():
    ids, warnings = choose_tokens(Known(ORDER[:131], 30), VOCAB, 4096)
    assert sorted(ids.tolist()) == sorted(set(ORDER[:131]) - {ORDER[0]})
    assert warnings == ("130 tokens used; 4096 were asked for",)


def test_given_ids_keep_their_order():
    ids = [7, 150, 3, *range(40, 101)]
    assert chosen(Known(ORDER), token_ids=ids) == ids
    assert chosen(Known(ORDER), 32, token_ids=ids) == ids[:32]
    assert choose_tokens(MemoryModel({}, {}), VOCAB, 64, token_ids=ids)[1] == ()


@pytest.mark.parametrize(
    "ids", [[*range(40), 5], [*range(39), VOCAB], [-1, *range(39)], [*range(38), 10**30, 5]]
)
def test_given_ids_must_be_distinct_and_known(ids):
    with pytest.raises(InputError, match=f"distinct and lie in 0..{VOCAB - 1}"):
        chosen(Known(ORDER), token_ids=ids)
    chosen(Known(ORDER), token_ids=range(40))


def test_too_few_tokens_are_refused():
    chosen(Known(ORDER), 32)
    with pytest.raises(InputError, match="use at least 32"):
        chosen(Known(ORDER), 31)
    chosen(Known(ORDER), token_ids=range(32))
    with pytest.raises(InputError, match="leaves only 30 usable tokens"):
        chosen(Known(ORDER), token_ids=range(31))
    with pytest.raises(InputError, match="leaves only 30 usable tokens"):
        chosen(Known(ORDER[:31]))
    with pytest.raises(InputError, match="leaves only 0 usable tokens"):
        chosen(MemoryModel({}, {}, size=-4))


def test_another_choice_is_refused():
    with pytest.raises(InputError, match="'even' is no choice of tokens; known: common, rare"):
        chosen(Known(ORDER), choice="even")


def test_the_embedded_models_common_tokens_are_what_they_learnt():
    """All but 256 bytes, which are left for the end; K is 4,096 by default."""
    ids, warnings = choose_tokens(open_model("demo-base"), 4160)
    assert ids.tolist()[:3] == [258, 259, 260]
    assert len(ids) == 4096 and warnings == ()
    assert set(ids.tolist()) == set(range(64, 4160))
