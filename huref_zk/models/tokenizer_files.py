"""A folder's tokenizer, in whichever form it is kept.

tokenizer.json              of the tokenizers library, which the others are passed over for
vocab.json, merges.txt      GPT-2's form
tokenizer.model             SentencePiece's, or lines of tiktoken
*.tiktoken, tiktoken.model  base64 of a token's bytes and its rank on each line
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.files.container import read_bounded
from huref_zk.models.json_file import MAX_TOKENIZER, read_json
from huref_zk.models.sentencepiece import BYTE, NORMAL, parse_pieces
from huref_zk.models.tokenizer import (
    UNKNOWN,
    Tokenizer,
    by_merges,
    by_scores,
    parse_tokenizer,
    vocabulary_of,
)

_NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
    "sep_token",
    "cls_token",
    "mask_token",
)
_USUAL = ("<|endoftext|>", "<s>", "</s>", "<unk>", "<pad>", "<mask>")
# Tokenizers whose ids are not SentencePiece's own.
_SHIFTED = re.compile(r"XGLM|XLMRoberta|Camembert|MBart|NLLB|Nllb|Barthez|M2M100")


def folder_tokenizer(folder: Path) -> Tokenizer:
    """What a folder's tokenizer tells; UNKNOWN without one. InputError for files that are not what
    their names say, or of more than MAX_TOKENIZER bytes."""
    if (folder / "tokenizer.json").exists():
        return parse_tokenizer(read_json(folder / "tokenizer.json", MAX_TOKENIZER))
    if (folder / "vocab.json").exists():
        return _gpt2(folder)
    ranked = [*sorted(folder.glob("*.tiktoken"))[:1], folder / "tiktoken.model"]
    for path in (folder / "tokenizer.model", *ranked):
        if path.exists():
            return _model(folder, path)
    return UNKNOWN


def _gpt2(folder: Path) -> Tokenizer:
    vocab = read_json(folder / "vocab.json", MAX_TOKENIZER)
    special = _special(folder, vocab)
    ids = [i for i in vocab.values() if type(i) is int]
    merges: list[str] = []
    path = folder / "merges.txt"
    if path.exists():
        try:
            lines = read_bounded(path, MAX_TOKENIZER).decode("utf-8").split("\n")
        except UnicodeDecodeError:
            raise InputError(f"{path} is not text in UTF-8") from None
        merges = [line.removesuffix("\r") for line in lines if not line.startswith("#version")]
    vocabulary = vocabulary_of(vocab.items(), special)
    order, alphabet = by_merges(vocabulary, merges)
    return Tokenizer(special, max([*ids, *special], default=-1) + 1, vocabulary, order, alphabet)


def _model(folder: Path, path: Path) -> Tokenizer:
    data = read_bounded(path, MAX_TOKENIZER)
    try:
        if re.match(rb"[A-Za-z0-9+/]+=* \d+\s", data[:200]):
            return _tiktoken(folder, data)
        return _sentencepiece(folder, data)
    except (ValueError, OverflowError) as e:
        raise InputError(f"{path} is no tokenizer ({str(e)[:80]})") from None


def _sentencepiece(folder: Path, data: bytes) -> Tokenizer:
    """Learnt by merging, what is one character is made by no merge, and was given."""
    config = _object(folder / "tokenizer_config.json")
    if _SHIFTED.search(str(config.get("tokenizer_class"))):
        return UNKNOWN
    found = parse_pieces(data)
    texts = [piece.text for piece in found.pieces]
    special = _special(folder, {text: i for i, text in enumerate(texts)})
    special |= {i for i, p in enumerate(found.pieces) if p.kind not in (NORMAL, BYTE)}
    vocabulary = vocabulary_of(zip(texts, range(len(texts)), strict=True), special)
    scores = [
        p.score if p.kind == NORMAL and (len(p.text) > 1 or not found.merges) else np.inf
        for p in found.pieces
    ]
    order, alphabet = by_scores(vocabulary, scores)
    return Tokenizer(special, max([len(texts) - 1, *special]) + 1, vocabulary, order, alphabet)


def _tiktoken(folder: Path, data: bytes) -> Tokenizer:
    """Ranks are ids, and the order of learning. Bytes are written as tokenizer.json has them."""
    ranks: dict[str, int] = {}
    for line in data.split(b"\n"):
        if line.strip():
            token, rank = line.split()
            try:
                text = base64.b64decode(token, validate=True)
            except binascii.Error:
                raise ValueError("a line is no token and rank") from None
            ranks["".join(_letters()[byte] for byte in text)] = int(rank)
    special = _special(folder, ranks)
    vocabulary = vocabulary_of(ranks.items(), special)
    given = sorted(text for text in vocabulary if len(text) == 1)
    learnt = sorted((i, text) for text, i in vocabulary.items() if len(text) > 1)
    order = tuple(dict.fromkeys([*(vocabulary[t] for t in given), *(i for i, _ in learnt)]))
    size = max([*ranks.values(), *special]) + 1
    return Tokenizer(special, size, vocabulary, order, len(given))


def _special(folder: Path, vocab: dict[str, Any]) -> frozenset[int]:
    """Ids of tokens that were added, or that the tokenizer's configs name as standing for no text:
    no product of its training."""
    config = _object(folder / "tokenizer_config.json")
    named = _object(folder / "special_tokens_map.json")
    decoder = config.get("added_tokens_decoder")
    ids: set[Any] = {
        int(i) for i in (decoder if isinstance(decoder, dict) else ()) if i.isdecimal()
    }
    ids |= {i for i in _object(folder / "added_tokens.json").values() if type(i) is int}
    texts = {text for source in (config, named) for text in _named(source)} | set(_USUAL)
    ids |= {i for text in texts if type(i := vocab.get(text)) is int}
    return frozenset(i for i in ids if 0 <= i < 1 << 31)


def _named(source: dict[str, Any]) -> Iterator[str]:
    values = [source.get(key) for key in _NAMED]
    more = source.get("additional_special_tokens")
    for value in [*values, *(more if isinstance(more, list) else [])]:
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            yield text


def _object(path: Path) -> dict[str, Any]:
    return read_json(path, MAX_TOKENIZER) if path.exists() else {}


@cache
def _letters() -> tuple[str, ...]:
    """A printable character for each byte, GPT-2's: itself where it is one, else from U+0100 on."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in plain else next(others)) for byte in range(256))
