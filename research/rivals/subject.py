"""A model as the rivals see it: its tensors, its tokens' texts, and a copy that runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import family_for
from huref_zk.models.layers import Layer, dimensions, read_layer
from huref_zk.models.load import EMBEDDED, open_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST = 8500
"""Tokens, those learnt first, that stand for a vocabulary: all of a small one, though as many were
added."""
SPACES = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n"})


class Subject:
    """A model by its reference. runs_as: a Hugging Face folder of the same model, where the
    reference is none (a GGUF file)."""

    def __init__(self, ref: str, runs_as: Path | None = None):
        self.ref = ref
        self.model = open_model(ref)
        self.family = family_for(self.model)
        self.dims = dimensions(self.model, self.family)
        self.folder = runs_as or EMBEDDED.get(ref, Path(ref))

    def layers(self) -> Iterator[Layer]:
        """The layers' weights, one at a time."""
        for i in range(self.dims.layers):
            yield read_layer(self.model, self.family, self.dims, i)

    @cached_property
    def texts(self) -> dict[str, int]:
        """Text -> id of the MOST tokens learnt first, spaces spelled alike in all tokenizers."""
        model = self.model
        vocabulary, order = model.vocabulary(), model.token_order()
        if vocabulary is None:
            return {}
        text_of = {i: text.translate(SPACES) for text, i in vocabulary.items()}
        ids = [i for i in order or sorted(text_of) if i < self.dims.vocab]
        learnt = ids[model.alphabet() :] + ids[: model.alphabet()]
        return {text_of[i]: i for i in reversed(learnt[:MOST]) if i in text_of}

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Rows of the embedding: float64 (n, d)."""
        return self.model.rows(self.family.embedding, ids).astype(np.float64)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """InputError without a tokenizer.json."""
        from tokenizers import Tokenizer

        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise InputError(f"{self.ref} has no {path.name}")
        return Tokenizer.from_file(str(path))

    def running(self):
        """The model in transformers, float32, in evaluation mode. Not kept. InputError for a GGUF
        file without a folder beside it."""
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        if not self.folder.is_dir():
            raise InputError(f"{self.ref} cannot run here: no folder")
        logging.disable_progress_bar()
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()


def common_texts(*texts: dict[str, int]) -> list[np.ndarray]:
    """For each model, the ids of the tokens that all have: int64 (n,) each, in one order."""
    shared = set(texts[0]).intersection(*texts[1:])
    return [np.array([t[text] for text in sorted(shared)], dtype=np.int64) for t in texts]
