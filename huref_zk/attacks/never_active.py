"""Neurons whose gates no text opens, though bare embeddings do.

The thief looks at what each block reads on a text, and at what it would read on bare embeddings, as
a fingerprint asks it, and puts a plane between the two: on the text's side gates are shut, on the
other open. What such neurons write is nothing to the model and everything to the fingerprint.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import EMBEDDING, Checkpoint, name_of
from huref_zk.attacks.draft import Draft
from huref_zk.attacks.function import ffn_inputs
from huref_zk.attacks.neurons import how_many, junk
from huref_zk.attacks.texts import windows

WINDOWS, LENGTH = 16, 96
EMBEDDINGS = 2048
SHUT = 12.0
"""How deep below zero the gates are on a typical token of the text."""
RIDGE = 1e-2


def add_never_active(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 10.0
) -> Checkpoint:
    """Such neurons in all blocks but the first, which does read bare embeddings. They read and
    write ``size`` times as loud as the model's. Not exact: other texts open a gate now and then.

    Raises EnvironmentLacks without torch, transformers and a tokenizer.
    """
    text = ffn_inputs(checkpoint, windows(checkpoint, WINDOWS, LENGTH))
    draft = Draft(checkpoint)
    count = how_many(draft.sizes.ffn)
    rows = draft[EMBEDDING]
    bare = rows[rng.choice(len(rows), min(EMBEDDINGS, len(rows)), replace=False)]
    bare /= np.sqrt(np.square(bare).mean(axis=1, keepdims=True)) + 1e-12
    for i in range(draft.sizes.layers):
        asked = bare * draft[name_of(i, "ffn_norm")]
        plane = between(asked, text[i].astype(np.float64))
        loud = 0.0 if i == 0 else size
        gate = SHUT * plane * rng.uniform(1, 2, size=(count, 1))
        draft.grow(i, "gate", gate)
        draft.grow(i, "up", junk(draft, rng, i, "up", count, loud))
        draft.grow(i, "down", junk(draft, rng, i, "down", count, loud))
    draft.config["intermediate_size"] += count
    return draft.done()


def between(asked: np.ndarray, text: np.ndarray) -> np.ndarray:
    """A row w (d,) with w x near -1 on the text's x (n, d) and well above on those asked about
    (m, d): ridge regression, then raised to the text's highest values."""
    x = np.concatenate([text, asked])
    y = np.concatenate([np.full(len(text), -1.0), np.full(len(asked), 1.0)])
    weight = np.concatenate(
        [np.full(len(text), 1 / len(text)), np.full(len(asked), 1 / len(asked))]
    )
    gram = (x.T * weight) @ x
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, (x.T * weight) @ y))
