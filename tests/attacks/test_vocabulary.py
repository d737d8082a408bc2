"""Renumbered token ids: text goes in and comes out as before, through other numbers."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer

from huref_zk.attacks import attack, write_checkpoint
from huref_zk.attacks.checkpoint import EMBEDDING, HEAD
from huref_zk.attacks.vocabulary import renumber_vocabulary
from huref_zk.comparison.tokens import common_tokens, own_tokens
from huref_zk.errors import InputError
from huref_zk.invariants.recipes import compute_cores
from huref_zk.invariants.sketch import PUBLIC_SEED, ics, sketch
from huref_zk.models.load import open_model
from huref_zk.models.tokenizer import parse_tokenizer
from tests.support.small_models import WORDS, checkpoint, new_ids

NAME = "vocabulary-renumbering"
TEXTS = (WORDS, "<s>models<extra> write</s>", "def f(x):\n    return x + 1", "é")


def tokenizer(model) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(model.tokenizer))


@pytest.mark.parametrize("name", ["demo-base", "mistral-grouped", "qwen2-grouped-tied"])
def test_the_same_text_becomes_the_renumbered_ids(name):
    before = checkpoint(name)
    after = attack(NAME, before, seed=2)
    new_of = new_ids(before, after)
    assert sorted(new_of) == [*range(before.sizes.vocab)]
    assert (new_of != np.arange(len(new_of))).sum() > 150
    for text in TEXTS:
        old, new = (tokenizer(m).encode(text) for m in (before, after))
        assert old.tokens == new.tokens
        assert new.ids == new_of[old.ids].tolist()
        assert tokenizer(after).decode(new.ids) == tokenizer(before).decode(old.ids)
    for matrix in (EMBEDDING, HEAD):
        if matrix in before.tensors:
            moved = after.tensors[matrix][new_of]
            assert np.array_equal(moved, before.tensors[matrix])


def test_everything_that_is_an_id_follows():
    before = checkpoint("mistral-grouped")
    after = attack(NAME, before, seed=2)
    new_of = new_ids(before, after)
    assert new_of[0] != 0
    assert before.config["bos_token_id"] == 0
    assert after.config["bos_token_id"] == new_of[0]
    assert after.config["eos_token_id"] == new_of[[1, 2]].tolist()
    assert after.config.get("pad_token_id") is None
    assert after.tokenizer["padding"]["pad_id"] == new_of[2]
    assert tokenizer(after).encode("a").ids[0] == new_of[0]  # from the template
    assert after.special == {new_of[i] for i in before.special}
    assert after.vocabulary == {t: new_of[i] for t, i in before.vocabulary.items()}
    added = {t["content"]: t["id"] for t in after.tokenizer["added_tokens"]}
    assert added["<end>"] == new_of[2]


@pytest.mark.parametrize("name, count", [("demo-base", 4096), ("mistral-grouped", 64)])
def test_the_default_fingerprint_is_the_same(name, count, tmp_path):
    """Without matching any tokens, in memory and from files."""
    before = checkpoint(name)
    after = attack(NAME, before, seed=2)
    write_checkpoint(tmp_path / "after", after)
    old = compute_cores(before.model(), tokens=count)
    for model in (after.model(), open_model(str(tmp_path / "after"))):
        new = compute_cores(model, tokens=count)
        assert new.token_ids.tolist() == new_ids(before, after)[old.token_ids].tolist()
        assert new.token_ids.tolist() != old.token_ids.tolist()
        for x, y in zip((old.X, *old.sets), (new.X, *new.sets), strict=True):
            assert np.array_equal(x, y)
        tokens = [own_tokens(m, before.sizes.vocab) for m in (before.model(), model)]
        assert tokens[0].texts == tokens[1].texts
    # Control: where the order of learning is hidden, ids decide, and the rows are others.
    hidden = compute_cores(replace(after, token_order=None).model(), tokens=count)
    assert abs(ics(sketch(old, PUBLIC_SEED), sketch(hidden, PUBLIC_SEED))) < 0.5
    assert ics(sketch(old, PUBLIC_SEED), sketch(new, PUBLIC_SEED)) == pytest.approx(1)


def test_two_renumbered_models_are_compared_over_the_same_tokens():
    before = checkpoint("mistral-grouped")
    after = [attack(NAME, before, seed=seed) for seed in (2, 3)]
    rows = before.sizes.vocab
    ids = common_tokens(before.model(), rows, before.model(), rows).a
    found = common_tokens(after[0].model(), rows, after[1].model(), rows)
    for model, matched in zip(after, (found.a, found.b), strict=True):
        assert matched.tolist() == new_ids(before, model)[ids].tolist()
    # Control: by numbers, other rows belong together.
    hidden = [replace(model, vocabulary=None, token_order=None).model() for model in after]
    other = common_tokens(hidden[0], rows, hidden[1], rows)
    assert (other.by, found.by) == ("number", "text")
    assert other.b.tolist() != found.b.tolist()


def test_ids_outside_the_vocabulary_stay():
    """The tokenizer numbers tokens that were only added to it; padding rows have no token."""
    before = checkpoint("mistral-grouped")
    after = attack(NAME, before, seed=2)
    size = len(before.tokenizer["model"]["vocab"])
    assert tokenizer(after).token_to_id("<extra>") == size
    assert before.sizes.vocab > size + 1
    for matrix in (EMBEDDING, HEAD):
        assert np.array_equal(after.tensors[matrix][size:], before.tensors[matrix][size:])


def test_a_forgotten_row_is_a_wrong_one():
    """Control: with the rows left in place the ids point at other tokens' rows."""
    before = checkpoint("mistral-grouped")
    after = attack(NAME, before, seed=2)
    new_of = new_ids(before, after)
    rows = before.tensors[EMBEDDING]
    assert np.array_equal(after.tensors[EMBEDDING][new_of], rows)
    assert not np.array_equal(rows[new_of], rows)


def with_tokenizer(**changes):
    model = checkpoint("mistral-grouped")
    data = copy.deepcopy(model.tokenizer)
    data.update(changes)
    return replace(model, tokenizer=data)


def renumbered(model):
    return renumber_vocabulary(model, np.random.default_rng(2))


def test_unigram_pieces_change_places():
    pieces = [["<unk>", 0.0], *([chr(97 + i), -float(i) - 1] for i in range(26))]
    before = with_tokenizer(
        model={"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False},
        added_tokens=[],
        pre_tokenizer=None,
        post_processor=None,
        padding=None,
    )
    after = renumbered(before)
    new = after.tokenizer["model"]
    assert new["vocab"] != pieces
    assert sorted(new["vocab"]) == sorted(pieces)
    assert new["vocab"][new["unk_id"]] == pieces[0]
    for text in ("abcz", "a?b"):
        old, found = (tokenizer(m).encode(text).ids for m in (before, after))
        assert [new["vocab"][i] for i in found] == [pieces[i] for i in old]
        rows = [m.tensors[EMBEDDING][i] for m, i in ((before, old), (after, found))]
        assert np.array_equal(*rows)
    orders = [parse_tokenizer(m.tokenizer).order for m in (before, after)]
    assert [pieces[i] for i in orders[0]] == [new["vocab"][i] for i in orders[1]] == pieces


@pytest.mark.parametrize(
    "processor",
    [
        {"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]},
        {
            "type": "Sequence",
            "processors": [
                {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
                | {"use_regex": True},
                {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]}
                | {"trim_offsets": True, "add_prefix_space": False},
            ],
        },
    ],
)
def test_other_post_processors(processor):
    before = with_tokenizer(post_processor=processor)
    after = renumbered(before)
    new_of = new_ids(before, after)
    old, new = (tokenizer(m).encode(WORDS).ids for m in (before, after))
    assert old[0] == 0
    assert new == new_of[old].tolist()


def test_without_a_tokenizer_it_is_refused():
    model = replace(checkpoint("mistral-grouped"), tokenizer=None)
    with pytest.raises(InputError, match=r"no tokenizer\.json to renumber; give a Hugging Face"):
        renumbered(model)
    renumbered(checkpoint("mistral-grouped"))
    attack("everything", model)  # does without


@pytest.mark.parametrize("vocab", [{}, {"a": 0, "b": 0}, {"a": -1}, {"a": 10**6}, {"a": "0"}, None])
def test_malformed_vocabularies_are_refused(vocab):
    with pytest.raises(InputError, match="not distinct rows of the 232 of the embedding"):
        renumbered(with_tokenizer(model={"type": "BPE", "merges": [], "vocab": vocab}))
    renumbered(with_tokenizer(model={"type": "BPE", "merges": [], "vocab": {"a": 0, "b": 1}}))
