"""The order in which a tokenizer learnt its tokens, and that ids make no difference to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from huref_zk.comparison.tokens import own_tokens
from huref_zk.models import json_file as readers
from huref_zk.models import load
from huref_zk.models.load import open_model
from huref_zk.models.tokenizer import MAX_ID, by_merges, by_scores, parse_tokenizer
from tests.support.tiny_llama import VOCAB, cores

TEXT = "the model reads what it wrote and writes what it read about a model of models again " * 3


def trained(model, trainer) -> dict:
    """tokenizer.json's object of a tokenizer trained on TEXT."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    return json.loads(tokenizer.to_str())


def bpe() -> dict:
    trainer = trainers.BpeTrainer(vocab_size=50, special_tokens=["<s>"], show_progress=False)
    return trained(models.BPE(), trainer)


def unigram() -> dict:
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    return trained(models.Unigram(), trainer)


def renumbered(data: dict, seed: int = 0) -> tuple[dict, np.ndarray]:
    """(the same tokenizer under other ids, the new id of each old one)."""
    data = json.loads(json.dumps(data))
    inner = data["model"]
    new = np.random.default_rng(seed).permutation(len(inner["vocab"]))
    if isinstance(inner["vocab"], dict):
        inner["vocab"] = {text: int(new[i]) for text, i in inner["vocab"].items()}
    else:
        inner["vocab"] = [inner["vocab"][old] for old in np.argsort(new)]
    for token in data["added_tokens"]:
        token["id"] = int(new[token["id"]])
    return data, new


def as_strings(data: dict) -> dict:
    data = json.loads(json.dumps(data))
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    return data


@pytest.mark.parametrize("data", [bpe, lambda: as_strings(bpe())], ids=["pairs", "strings"])
def test_a_trained_tokenizers_order_is_that_of_its_ids_and_follows_new_ids(data):
    known = parse_tokenizer(data())
    assert known.order == tuple(range(1, 50))  # all but the special one
    changed, new = renumbered(data())
    found = parse_tokenizer(changed)
    assert found.order == tuple(new[list(known.order)])
    assert found.order != tuple(sorted(found.order))  # control: ids alone would not tell it
    assert found.special == {new[0]}


def test_a_trained_unigram_tokenizers_order_is_that_of_its_scores_and_follows_new_ids():
    data = unigram()
    order = parse_tokenizer(data).order
    assert sorted(order) == [*range(1, len(data["model"]["vocab"]))]
    scores = [data["model"]["vocab"][i][1] for i in order]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) < len(scores)  # some pieces differ by text alone
    changed, new = renumbered(data)
    assert parse_tokenizer(changed).order == tuple(new[list(order)])


ABC = {text: i for i, text in enumerate(("abc", "b", "bc", "a", "c", "ab"))}


@pytest.mark.parametrize(
    "merges, order",
    [
        (["b c", "a b", "a bc"], "a b c | bc ab abc"),
        ([["b", "c"], ["a", "b"], ["a", "bc"]], "a b c | bc ab abc"),
        (["a b", "b c", "ab c"], "a b c | ab bc abc"),
        (["a b", ["b", "c"]], "a abc b c | ab bc"),  # a token of no merge is alphabet
        (["ab c", "b c", "a bc", "a b", "a b"], "a b c | abc bc ab"),  # the first merge counts
        (["a b", "#version: 0.2", "x y", "a b c", "ab", "", " ", "a  b"], "a abc b bc c | ab"),
        (["a b", 3, None, [], ["b"], ["b", 3], [["b"], "c"], {}, "b c"], "a abc b c | ab bc"),
        (["a b", ["b", "c", "c"], ["x" * (1 << 20)] * 2, " " * (1 << 20)], "a abc b bc c | ab"),
        (["x y"] * 200_000 + ["b c"], "a ab abc b c | bc"),
    ],
)
def test_merges(merges, order):
    given, learnt = (part.split() for part in order.split("|"))
    assert by_merges(ABC, merges) == (tuple(ABC[text] for text in given + learnt), len(given))


@pytest.mark.parametrize("merges", [None, [], {}, "a b", 3, ["x y"], [3], {"a b": 1}])
def test_merges_that_make_no_token_tell_nothing(merges):
    assert by_merges(ABC, merges) == (None, 0)


def test_right_halves_lose_the_continuing_prefix():
    vocab = {"bc": 0, "##b": 1, "b": 2, "##c": 3}
    data = {"model": {"vocab": vocab, "merges": ["b ##c"], "continuing_subword_prefix": "##"}}
    assert parse_tokenizer(data).order == (1, 3, 2, 0)
    data["model"]["continuing_subword_prefix"] = 3
    assert parse_tokenizer(data).order is None


def test_a_second_text_of_an_id_hides_no_rare_token():
    assert by_merges({"!": 2, "a": 0, "b": 1, "ab": 2}, ["a b"]) == ((0, 1, 2), 2)


def test_scores():
    vocab = {"a": 3, "b": 2, "c": 1, "d": 0}
    assert by_scores(vocab, [-1.0, -2, -3.0, -4.0])[0] == (0, 1, 2, 3)
    assert by_scores(vocab, [-4, -2.0, -2.0, -1.0])[0] == (3, 2, 1, 0)  # b and c by text
    odd = [float("nan"), float("inf"), "x", True, None, 10**400]
    for score in odd:
        assert by_scores(vocab, [-1.0, -2.0, score, -4.0])[0] == (2, 0, 1, 3)
    assert by_scores(vocab, [-1.0, -2.0])[0] == (3, 2, 0, 1)  # too few
    for scores in ([-1.0] * 4, odd[:4], []):
        assert by_scores(vocab, scores) == (None, 0)


def test_what_else_a_tokenizer_may_hold():
    """Odd entries tell nothing; the rest stays what it is."""
    vocab = {"a": 0, "b": 1, "ab": 2, "x": -1, "y": "3", "z": True, "w": MAX_ID, "v": 10**400}
    found = parse_tokenizer({"model": {"vocab": vocab, "merges": ["a b"]}})
    assert (found.order, found.vocabulary) == ((0, 1, 2), {"a": 0, "b": 1, "ab": 2})
    pieces = [["a", -1.0], 3, [], [["a"], -1.0], [{}, 2], ["b"], ["c", -2.0], ["d", -1.5, 0]]
    found = parse_tokenizer({"model": {"vocab": pieces}})
    assert (found.order, found.vocabulary, found.size) == ((0, 6), {"a": 0, "c": 6}, 8)
    for vocab in ({}, [], None, 3, "abc"):
        assert parse_tokenizer({"model": {"vocab": vocab, "merges": ["a b"]}}).order is None


# --- through the loader -----------------------------------------------------------------------


def chain(ids: list[int]) -> dict:
    """A tokenizer that learnt x, xx, xxx ... with the given ids, one after the other."""
    vocab = {"x" * (n + 1): i for n, i in enumerate(ids)}
    merges = [["x" * n, "x"] for n in range(1, len(ids))]
    return {"added_tokens": [], "model": {"type": "BPE", "vocab": vocab, "merges": merges}}


def write(folder, data: dict) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(data))


def test_the_rarest_tokens_are_the_last_learnt(folder):
    ids = np.random.default_rng(1).permutation(VOCAB).tolist()
    write(folder, chain(ids))
    form = cores(folder, "official")
    assert form.token_ids.tolist() == ids[-64:]
    assert np.array_equal(
        form.X, open_model(str(folder)).tensor("model.embed_tokens.weight")[ids][-64:]
    )


def test_ids_beyond_the_embedding_are_left_out(folder):
    ids = [*range(VOCAB - 40, VOCAB + 40), *range(40)]
    write(folder, chain(ids))
    assert cores(folder).token_ids.tolist() == [i for i in ids if i < VOCAB][-64:]


@pytest.mark.parametrize(
    "change",
    [{"merges": []}, {"merges": ["no such"]}, {"merges": None}, {"type": "WordPiece", "merges": 3}],
)
def test_without_an_order_ids_are_taken(folder, change):
    data = chain(np.random.default_rng(1).permutation(VOCAB).tolist())
    write(folder, data)
    assert cores(folder).token_ids.tolist() != [*range(VOCAB - 64, VOCAB)]
    data["model"].update(change)
    write(folder, data)
    assert cores(folder).token_ids.tolist() == [*range(VOCAB - 64, VOCAB)]


def test_the_file_is_read_once(folder, monkeypatch):
    write(folder, chain([*range(VOCAB)]))
    read, plain = [], readers.read_bounded
    monkeypatch.setattr(
        readers, "read_bounded", lambda path, limit: read.append(path.name) or plain(path, limit)
    )
    model = open_model(str(folder))
    assert own_tokens(model, VOCAB).texts is not None
    assert model.vocabulary()["x" * VOCAB] == VOCAB - 1
    assert (model.special_ids(), model.tokenizer_size()) == (frozenset(), VOCAB)
    assert read == ["config.json", "tokenizer.json"]


@pytest.mark.parametrize("name", load.EMBEDDED)
def test_the_embedded_models_are_numbered_as_they_learnt(name):
    """So that their fingerprints are the same by rank as by id. Bytes are what they were given."""
    model = open_model(name)
    assert model.token_order() == tuple(range(2, 4160))
    assert model.alphabet() == 256
