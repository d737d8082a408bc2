"""Tokenizers without tokenizer.json: the same tokens in the same order as with it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers.utils import sentencepiece_model_pb2_new as proto

from huref_zk.errors import InputError
from huref_zk.models.load import open_model
from huref_zk.models.sentencepiece import parse_pieces
from huref_zk.models.tokenizer import UNKNOWN
from huref_zk.models.tokenizer_files import folder_tokenizer
from tests.support.tiny_llama import VOCAB

TEXT = "the model reads what it wrote and writes what it read about naïve models again \n" * 3


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    """A byte-level BPE tokenizer with two tokens that stand for no text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<mark>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def gpt2(folder: Path, tokenizer: Tokenizer) -> None:
    """vocab.json and merges.txt, and the special tokens by name."""
    tokenizer.model.save(str(folder))
    vocab = json.loads((folder / "vocab.json").read_text())
    assert "<|endoftext|>" not in vocab or vocab["<|endoftext|>"] == 0
    vocab |= {"<|endoftext|>": 0, "<mark>": 1}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    mark = {"content": "<mark>", "special": True}
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": mark}))


def test_gpt2s_files_tell_what_tokenizer_json_tells(tmp_path, trained):
    gpt2(tmp_path, trained)
    found = folder_tokenizer(tmp_path)
    trained.save(str(tmp_path / "tokenizer.json"))
    assert found == folder_tokenizer(tmp_path)
    assert len(found.order) == 300 and found.alphabet == 256
    assert found.special == {0, 1}


def test_renumbering_the_vocabulary_changes_no_order(tmp_path, trained):
    """What it was before: without an order, ids stand for one, and a renumbered model is another's
    child to nobody."""
    gpt2(tmp_path, trained)
    before = folder_tokenizer(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text())
    numbers = np.random.default_rng(1).permutation(len(vocab)).tolist()
    (tmp_path / "vocab.json").write_text(json.dumps({t: numbers[i] for t, i in vocab.items()}))
    after = folder_tokenizer(tmp_path)
    assert after.order != before.order
    assert after.order == tuple(numbers[i] for i in before.order)
    assert after.special == {numbers[0], numbers[1]}


def test_added_tokens_stand_for_no_text(tmp_path, trained):
    gpt2(tmp_path, trained)
    before = folder_tokenizer(tmp_path)
    assert 300 in before.order
    (tmp_path / "added_tokens.json").write_text('{"<tool>": 320}')
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(
            {"added_tokens_decoder": {"300": {"content": "x"}, "odd": 3}, "eos_token": "the"}
        )
    )
    found = folder_tokenizer(tmp_path)
    assert found.size == 321
    assert {320, 300} < found.special
    assert 300 not in found.order and 320 not in found.order


def test_tiktokens_lines_tell_what_tokenizer_json_tells(tmp_path, trained):
    """The same bytes under the same texts, in the order of ranks."""
    letters = {letter: byte for byte, letter in enumerate(byte_letters())}
    state = json.loads(trained.to_str())["model"]
    given = sorted((t for t in state["vocab"] if len(t) == 1), key=letters.get)
    learnt = [t for t in state["vocab"] if len(t) > 1 and not t.startswith("<")]
    learnt.sort(key=state["vocab"].get)
    lines = [
        base64.b64encode(bytes(letters[c] for c in text)) + b" %d\n" % rank
        for rank, text in enumerate(given + learnt)
    ]
    (tmp_path / "some.tiktoken").write_bytes(b"".join(lines))
    found = folder_tokenizer(tmp_path)
    json_too = tmp_path / "json"
    json_too.mkdir()
    trained.save(str(json_too / "tokenizer.json"))
    other = folder_tokenizer(json_too)
    assert found.vocabulary.keys() == other.vocabulary.keys()
    texts, theirs = ({i: t for t, i in x.vocabulary.items()} for x in (found, other))
    assert [texts[i] for i in found.order] == [theirs[i] for i in other.order]
    assert found.alphabet == other.alphabet == 256
    for name in ("tiktoken.model", "tokenizer.model"):  # Kimi's name, and Meta's
        (tmp_path / "some.tiktoken").rename(tmp_path / name)
        assert folder_tokenizer(tmp_path) == found
        (tmp_path / name).rename(tmp_path / "some.tiktoken")


def byte_letters() -> list[str]:
    """The library's own letter for each byte."""
    tokenizer = Tokenizer(models.BPE(vocab={}, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    out = [tokenizer.pre_tokenizer.pre_tokenize_str(chr(b))[0][0] for b in range(128)]
    for byte in range(128, 256):  # as second bytes, and as first ones of what UTF-8 has
        text = bytes([0xC3, byte]).decode() if byte < 0xC0 else None
        if text is not None:
            out.append(tokenizer.pre_tokenizer.pre_tokenize_str(text)[0][0][1])
    left = sorted(set(ByteLevel.alphabet()) - set(out), key=ord)
    return out + left  # bytes from 0xC0 on stand for themselves


def pieces(kind: int, items) -> bytes:
    """A SentencePiece model by protobuf's own library."""
    model = proto.ModelProto()
    for text, score, type_ in items:
        model.pieces.add(piece=text, score=score, type=type_)
    model.trainer_spec.model_type = kind
    model.normalizer_spec.name = "identity"
    return model.SerializeToString()


ITEMS = [
    ("<unk>", 0.0, 2),
    ("<s>", 0.0, 3),
    *((f"<0x{b:02X}>", 0.0, 6) for b in range(256)),
    ("▁t", 0.0, 1),
    ("er", -1.0, 1),
    ("▁the", -2.0, 1),
    ("[tool]", 0.0, 4),
    ("▁", -3.0, 1),
    ("t", -4.0, 1),
    ("é", -5.0, 1),
]


def test_sentencepiece_by_merges(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(pieces(2, ITEMS))
    found = folder_tokenizer(tmp_path)
    assert found.special == {0, 1, 261}
    assert found.vocabulary["▁the"] == 260
    assert found.order[-3:] == (258, 259, 260)
    assert found.alphabet == len(found.order) - 3 == 256 + 3
    assert found.size == len(ITEMS)


def test_sentencepiece_by_unigram(tmp_path):
    """Single characters have scores of their own."""
    (tmp_path / "tokenizer.model").write_bytes(pieces(1, ITEMS))
    found = folder_tokenizer(tmp_path)
    assert found.order[256:] == (258, 259, 260, 262, 263, 264)
    assert found.alphabet == 256


def test_pieces_are_those_that_protobuf_reads():
    data = pieces(2, ITEMS)
    theirs = proto.ModelProto.FromString(data)
    ours = parse_pieces(data)
    assert ours.merges
    assert [(p.text, p.score, p.kind) for p in ours.pieces] == [
        (p.piece, p.score, p.type) for p in theirs.pieces
    ]


def test_tokenizers_whose_ids_are_not_sentencepieces(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(pieces(1, ITEMS))
    assert folder_tokenizer(tmp_path) != UNKNOWN
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XGLMTokenizer"}')
    assert folder_tokenizer(tmp_path) == UNKNOWN


@pytest.mark.parametrize(
    "name, data",
    [
        ("tokenizer.model", b""),
        ("tokenizer.model", b"\x0a\xff\xff\xff\xff\x0f"),
        ("tokenizer.model", b"\x0a" * 100),
        ("tokenizer.model", b"\xff" * 100),
        ("tokenizer.model", b"\x0a\x03\x0a\x01\xff"),
        ("tokenizer.model", b"QUI= 1\nno"),
        ("tokenizer.model", b"QUI= 1\n!!!! 2\n"),
        ("tokenizer.model", b"QUI= " + b"9" * 5000 + b"\n"),
        ("tiktoken.model", b"random"),
        ("vocab.json", b"["),
        ("vocab.json", b"[]"),
        ("merges.txt", b"\xff\xfe"),
    ],
)
def test_files_that_are_no_tokenizers(tmp_path, name, data):
    if name == "merges.txt":
        (tmp_path / "vocab.json").write_text("{}")
        folder_tokenizer(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=name) as caught:
        folder_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_sentencepiece_models_raise_nothing_else(tmp_path):
    data, rng = bytearray(pieces(2, ITEMS)), np.random.default_rng(4)
    path, told = tmp_path / "tokenizer.model", 0
    for _ in range(300):
        damaged = bytearray(data[: rng.integers(1, len(data))])
        for _ in range(int(rng.integers(0, 4))):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            folder_tokenizer(tmp_path)
        except InputError:
            told += 1
    assert told > 0


def test_a_model_uses_its_folders_tokenizer(folder):
    assert open_model(str(folder)).vocabulary() is None
    vocab = {"<s>": 0, **{"x" * n: n for n in range(1, VOCAB)}}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    merges = ["#version: 0.2", *(f"{'x' * n} x" for n in range(1, VOCAB - 1))]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n")
    model = open_model(str(folder))
    assert model.token_order() == tuple(range(1, VOCAB))
    assert model.special_ids() == {0}
