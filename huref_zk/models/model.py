"""What every loader gives: named tensors, read one at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.json_file import MAX_TOKENIZER as MAX_TOKENIZER
from huref_zk.models.json_file import read_json as read_json
from huref_zk.models.tokenizer import UNKNOWN, Tokenizer


class Model(ABC):
    """A checkpoint under Hugging Face's tensor names.

    config: config.json's object; source: its name for messages; notes: what its user should know
    of how it was read.
    """

    config: dict
    source: str

    @cached_property
    def notes(self) -> list[str]:
        return []

    def note(self, text: str) -> None:
        """Add to the notes, once."""
        if text not in self.notes:
            self.notes.append(text)

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor. Raises InputError when it is missing."""

    @abstractmethod
    def tensor(self, name: str) -> np.ndarray:
        """A whole tensor as float32. Raises InputError when it is missing."""

    @abstractmethod
    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        """Rows ``ids`` of a matrix as float32, reading little more than those."""

    def stored(self, name: str) -> tuple[str, Iterator[bytes]]:
        """(type, bytes in pieces) of a tensor as the checkpoint has it, little-endian; where that
        is not at hand ("F32", ...) of its float32 values. Raises InputError when it is missing."""
        values = np.ascontiguousarray(self.tensor(name), dtype="<f4")
        return "F32", iter([values.tobytes()])

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

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What is known of the tokenizer. Raises InputError for a malformed one."""
        return UNKNOWN

    def special_ids(self) -> frozenset[int]:
        """Token ids that stand for no text (bos, padding, chat marks ...)."""
        return self.tokenizer.special

    def tokenizer_size(self) -> int | None:
        """How many ids the tokenizer knows, when that is known."""
        return self.tokenizer.size

    def vocabulary(self) -> dict[str, int] | None:
        """Token text -> id of the tokens that stand for text, when the tokenizer is known."""
        return self.tokenizer.vocabulary

    def token_order(self) -> tuple[int, ...] | None:
        """Ids of the tokens that stand for text, in the order in which the tokenizer learnt them
        (the rarest last), when that is known: the same tokens whatever ids they have."""
        return self.tokenizer.order

    def alphabet(self) -> int:
        """How many of the first in token_order the tokenizer was given rather than learnt."""
        return self.tokenizer.alphabet


def runs(ids: np.ndarray) -> list[tuple[int, int]]:
    """Consecutive ids as (start, stop) pairs, in order: [3, 4, 5, 9] -> [(3, 6), (9, 10)]."""
    if len(ids) == 0:
        return []
    cuts = np.flatnonzero(np.diff(ids) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(ids, cuts)]


def single(values: np.ndarray) -> np.ndarray:
    """``values`` as float32. Large ones by several threads, which numpy lets run side by side:
    turning half precision into single takes one core a second for half a billion."""
    if values.dtype == np.float32 or values.size < 1 << 20 or values.ndim == 0:
        return np.asarray(values, dtype=np.float32)
    out = np.empty(values.shape, dtype=np.float32)
    parts = np.array_split(np.arange(len(values)), os.cpu_count() or 1)

    def turn(part: np.ndarray) -> None:
        if len(part):
            out[part[0] : part[-1] + 1] = values[part[0] : part[-1] + 1]

    with ThreadPoolExecutor() as pool:
        list(pool.map(turn, parts))
    return out
