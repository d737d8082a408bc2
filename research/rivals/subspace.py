"""A Fingerprint for Large Language Models (arXiv 2407.01235): which space a model's logits span.

Logits are the output matrix times a vector of d numbers, so all of a model's logits lie in a space
of d dimensions, one more for a shift of all. Asked is how much of a suspect's logits lies in the
victim's space: their mean over prompts is taken off, as all models of a language share that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from research.rivals.reef import TOKENS, _by_length, texts
from research.rivals.subject import Subject, common_texts

PROMPTS = 64
FEW = 2
"""Common tokens must be so many times the dimensions: else every vector is in the space."""


@dataclass(frozen=True)
class Outputs:
    """texts: text -> column; head float32 (n, d): the output matrix's rows; logits float32
    (PROMPTS, n)."""

    texts: dict[str, int]
    head: np.ndarray
    logits: np.ndarray


def outputs(subject: Subject) -> Outputs:
    import torch

    ids = np.array(list(subject.texts.values()), dtype=np.int64)
    encoded = [subject.tokenizer.encode(text).ids[:TOKENS] for text in texts()[:PROMPTS]]
    model = subject.running()
    head = model.get_output_embeddings().weight.detach().numpy()[ids].copy()
    out = []
    with torch.no_grad():
        for group in _by_length(encoded):
            batch = torch.tensor([encoded[i] for i in group])
            logits = model(input_ids=batch, logits_to_keep=1).logits[:, -1]
            out.append(logits.float().numpy()[:, ids])
    return Outputs({t: n for n, t in enumerate(subject.texts)}, head, np.concatenate(out))


def score(victim: Outputs, suspect: Outputs) -> float | None:
    """The share of the suspect's logits that lies in the victim's space, 0 to 1."""
    mine, theirs = common_texts(victim.texts, suspect.texts)
    if len(mine) < FEW * victim.head.shape[1]:
        return None
    space = np.column_stack((victim.head[mine], np.ones(len(mine)))).astype(np.float64)
    basis, _ = np.linalg.qr(space)
    logits = suspect.logits[:, theirs].astype(np.float64)
    logits = logits - logits.mean(0)
    return float(np.square(logits @ basis).sum() / np.square(logits).sum())
