"""What every loader gives: named tensors, read one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from huref_zk.container import load_json, read_bounded
from huref_zk.errors import InputError

MAX_JSON = 1 << 20
MAX_TOKENIZER = 40 << 20  # the largest in use have 33 MB; Python makes up to 24 times that of it
MAX_TENSOR = 1 << 33  # entries; a claimed shape beyond this is refused before anything is read


class Model(ABC):
    """A checkpoint under Hugging Face's tensor names.

    config: config.json's object; source: its name for messages.
    """

    config: dict
    source: str

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor. Raises InputError when it is missing."""

    @abstractmethod
    def tensor(self, name: str) -> np.ndarray:
        """A whole tensor as float32. Raises InputError when it is missing."""

    @abstractmethod
    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        """Rows ``ids`` of a matrix as float32, reading little more than those."""

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        try:
            self.shape(name)
        except InputError:
            return False
        return True

    def running_config(self) -> dict:
        """The config with everything that running the model needs."""
        return dict(self.config)

    def names(self) -> tuple[str, ...]:
        """Names of all tensors, Hugging Face's where they are known. Raises InputError when they
        cannot be listed."""
        raise InputError(f"{self.source}: its tensors cannot be listed")

    def special_ids(self) -> frozenset[int]:
        """Token ids that stand for no text (bos, padding, chat marks ...)."""
        return frozenset()

    def tokenizer_size(self) -> int | None:
        """How many ids the tokenizer knows, when that is known."""
        return None

    def vocabulary(self) -> dict[str, int] | None:
        """Token text -> id of the tokens that stand for text, when the tokenizer is known."""
        return None


def read_json(path: Path, limit: int = MAX_JSON) -> dict:
    """A JSON object of at most ``limit`` bytes. Raises InputError."""
    try:
        value = load_json(read_bounded(path, limit))
    except ValueError:
        raise InputError(f"{path} is not valid JSON") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object")
    return value


def tokenizer_facts(folder: Path) -> tuple[frozenset[int], int | None]:
    """(special ids, number of ids) from a folder's tokenizer.json; (none, None) without one."""
    path = folder / "tokenizer.json"
    if not path.exists():
        return frozenset(), None
    data = read_json(path, MAX_TOKENIZER)
    ids: list[int] = []
    special = []
    added = data.get("added_tokens")
    for token in added if isinstance(added, list) else []:
        if isinstance(token, dict) and type(token.get("id")) is int:
            ids.append(token["id"])
            # Added tokens, special or not, are no product of the tokenizer's training.
            special.append(token["id"])
    inner = data.get("model")
    vocab = inner.get("vocab") if isinstance(inner, dict) else None
    if isinstance(vocab, dict):
        ids += [i for i in vocab.values() if type(i) is int]
    elif isinstance(vocab, list):  # unigram: a list of [piece, score]
        ids.append(len(vocab) - 1)
    return frozenset(special), (max(ids) + 1 if ids else None)


def tokenizer_vocabulary(folder: Path) -> dict[str, int] | None:
    """Token text -> id from a folder's tokenizer.json, without added tokens; None without one."""
    path = folder / "tokenizer.json"
    inner = read_json(path, MAX_TOKENIZER).get("model") if path.exists() else None
    vocab = inner.get("vocab") if isinstance(inner, dict) else None
    if isinstance(vocab, list):  # unigram: a list of [piece, score]
        pieces = (item[0] if isinstance(item, list) and item else None for item in vocab)
        vocab = {piece: i for i, piece in enumerate(pieces)}
    if not isinstance(vocab, dict):
        return None
    special = tokenizer_facts(folder)[0]
    return {
        text: i
        for text, i in vocab.items()
        if isinstance(text, str) and type(i) is int and i >= 0 and i not in special
    }


def runs(ids: np.ndarray) -> list[tuple[int, int]]:
    """Consecutive ids as (start, stop) pairs, in order: [3, 4, 5, 9] -> [(3, 6), (9, 10)]."""
    if len(ids) == 0:
        return []
    cuts = np.flatnonzero(np.diff(ids) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(ids, cuts)]
