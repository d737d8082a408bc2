"""Independence Tests for Language Models (arXiv 2502.12292): phi_MATCH of gated blocks.

Neurons of one layer are matched with those of the other model's once by their gates' activations
and once by those of up, each by an assignment on correlations. Of independent models the two
matchings have nothing to do with each other; of kindred ones they agree, whatever permutation or
rotation somebody applied. Spearman's correlation of the two gives a p-value; the score is minus
the decimal logarithm of the least one over pairs of layers at the same relative depth, times their
number.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from scipy import stats
from scipy.optimize import linear_sum_assignment

from research.rivals.subject import Subject, common_texts

LAYERS = 8
"""At most so many layers of a model are looked at, evenly spaced."""
READ = 512
"""Tokens, each a text of its own, so that any two tokenizers will do; those of the least hash, so
that two models' are mostly the same."""
FEW = 64
MOST = 1000.0
"""A matching that agrees wholly has a p-value of zero."""


@dataclass(frozen=True)
class Activations:
    """texts: text -> row; depths: of the layers looked at, 0 to 1; gate, up float32 (l, n, F)."""

    texts: dict[str, int]
    depths: np.ndarray
    gate: np.ndarray
    up: np.ndarray


def activations(subject: Subject) -> Activations | None:
    """None of models without a gate, or with experts."""
    import torch

    by_hash = sorted(subject.texts, key=lambda text: crc32(text.encode()))
    words = {text: subject.texts[text] for text in by_hash[:READ]}
    ids = torch.tensor(list(words.values()))[:, None]
    model = subject.running()
    blocks = {n: m for n, m in model.named_modules() if hasattr(m, "gate_proj")}
    blocks = {n: m for n, m in blocks.items() if hasattr(m, "up_proj")}
    if not blocks:
        return None
    chosen = np.unique(np.linspace(0, len(blocks) - 1, min(LAYERS, len(blocks))).astype(int))
    seen: dict[tuple[int, str], np.ndarray] = {}

    def watch(i: int, name: str):
        def hook(module, given, out) -> None:
            seen[i, name] = out.flatten(0, 1).float().numpy()

        return hook

    for i, block in enumerate(blocks.values()):
        if i in chosen:
            block.gate_proj.register_forward_hook(watch(i, "gate"))
            block.up_proj.register_forward_hook(watch(i, "up"))
    with torch.no_grad():
        model.base_model(input_ids=ids)
    gate, up = (np.array([seen[i, name] for i in chosen]) for name in ("gate", "up"))
    depths = chosen / max(1, len(blocks) - 1)
    return Activations({t: n for n, t in enumerate(words)}, depths, gate, up)


def matching(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each of the fewer neurons of (n, F) and (n, G), which of the other's: by correlation."""
    x, y = (m - m.mean(0) for m in (x, y))
    x, y = (m / np.maximum(np.linalg.norm(m, axis=0), 1e-12) for m in (x, y))
    return linear_sum_assignment(-(x.T @ y) if x.shape[1] <= y.shape[1] else -(y.T @ x))[1]


def agreement(gate_a, up_a, gate_b, up_b) -> float:
    """log10 of Spearman's one-sided p-value that the matchings by gate and by up agree."""
    one, two = matching(gate_a, gate_b), matching(up_a, up_b)
    rho, n = float(stats.spearmanr(one, two).statistic), len(one)
    rho = min(rho, 1 - 1e-12)
    t = rho * np.sqrt((n - 2) / (1 - rho**2))
    return float(stats.t.logsf(t, n - 2) / np.log(10))


def score(a: Activations | None, b: Activations | None) -> float | None:
    if a is None or b is None:
        return None
    ids_a, ids_b = common_texts(a.texts, b.texts)
    if len(ids_a) < FEW:
        return None
    pairs = [(i, int(np.abs(b.depths - depth).argmin())) for i, depth in enumerate(a.depths)]
    logs = [
        agreement(a.gate[i][ids_a], a.up[i][ids_a], b.gate[j][ids_b], b.up[j][ids_b])
        for i, j in pairs
    ]
    return float(min(-(min(logs) + np.log10(len(pairs))), MOST))
