"""How far a derived model has moved from its base."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

from huref_zk.invariants.recipes import compute_cores
from huref_zk.invariants.sketch import PUBLIC_SEED, sketch
from huref_zk.models.load import open_model


@torch.no_grad()
def parameter_distance(
    base: LlamaForCausalLM, model: LlamaForCausalLM
) -> tuple[float | None, float | None]:
    """(relative change |b - a| / |a|, cosine: PCS of HuRef section 3.2), over all parameters of
    the same name and shape, a of ``base`` and b of ``model``; in double precision. None, None
    without any."""
    dot = first = second = moved = 0.0
    others = dict(model.named_parameters())
    for name, a in base.named_parameters():
        b = others.get(name)
        if b is None or b.shape != a.shape:
            continue
        x, y = a.double().flatten(), b.double().flatten()
        dot += float(x @ y)
        first += float(x @ x)
        second += float(y @ y)
        moved += float((y - x).square().sum())
    if first * second == 0:
        return None, None
    return (moved / first) ** 0.5, dot / (first * second) ** 0.5


def public_sketch(ref: str | Path) -> np.ndarray:
    """The float sketch (6, 16, 16) under the public seed, as ``fingerprint.sketch_of`` gives it,
    without quantising first. Errors as of ``open_model`` and ``compute_cores``."""
    return sketch(compute_cores(open_model(str(ref))), PUBLIC_SEED)
