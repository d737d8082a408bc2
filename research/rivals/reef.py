"""REEF (arXiv 2410.14273): linear CKA of what two models make of the same texts.

The representation of a text is the hidden state of its last token, of a layer at the same relative
depth as the paper's 18th of 32.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from research.rivals.kernels import linear_cka
from research.rivals.subject import Subject

TEXTS, LENGTH, TOKENS = 128, 120, 12
"""How many texts, of how many characters, of which the model reads so many tokens."""
DEPTH = 18 / 32


@cache
def texts() -> tuple[str, ...]:
    """Pieces of the text that the embedded models were not trained on, evenly spaced."""
    from research.derivations.corpus import corpus

    text = corpus()[1]
    return tuple(
        text[s : s + LENGTH] for s in np.linspace(0, len(text) - LENGTH, TEXTS).astype(int)
    )


def representations(subject: Subject) -> np.ndarray:
    """float32 (TEXTS, d)."""
    import torch

    encoded = [subject.tokenizer.encode(text).ids[:TOKENS] for text in texts()]
    model = subject.running()
    layer = max(1, round(DEPTH * subject.dims.layers))
    out = []
    with torch.no_grad():
        for ids in _by_length(encoded):
            states = model.base_model(
                input_ids=torch.tensor([encoded[i] for i in ids]), output_hidden_states=True
            ).hidden_states[layer]
            out += list(zip(ids, states[:, -1].float().numpy(), strict=True))
    return np.array([state for _, state in sorted(out, key=lambda pair: pair[0])])


def _by_length(encoded: list[list[int]]) -> list[list[int]]:
    """Numbers of texts of the same length, in batches of 16 at most: no padding is needed."""
    groups: dict[int, list[int]] = {}
    for i, ids in enumerate(encoded):
        groups.setdefault(len(ids), []).append(i)
    return [g[n : n + 16] for g in groups.values() for n in range(0, len(g), 16)]


def score(a: np.ndarray, b: np.ndarray) -> float:
    return linear_cka(a.astype(np.float64), b.astype(np.float64))
