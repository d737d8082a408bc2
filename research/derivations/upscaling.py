"""SOLAR's depth up-scaling (Kim et al., arXiv 2312.15166): a model stacked on itself."""

from __future__ import annotations

import numpy as np
from transformers import LlamaForCausalLM

from huref_zk.errors import InputError
from research.derivations.finetune import continued
from research.derivations.layers import stack
from research.derivations.train import Progress, Setting


def depth_order(layers: int, cut: int) -> list[int]:
    """The layers of two copies of which the first loses its last ``cut`` and the second its first.

    InputError unless 0 < cut < layers.
    """
    if not 0 < cut < layers:
        raise InputError(f"{cut} layers cannot be cut from each of two copies of {layers}")
    return [*range(layers - cut), *range(cut, layers)]


def upscale(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    cut: int,
    progress: Progress | None = None,
) -> LlamaForCausalLM:
    """Stack by ``depth_order`` (the paper: 32 layers, cut 8), then continue pretraining."""
    made = stack(model, depth_order(model.config.num_hidden_layers, cut))
    return continued(made, ids, setting, progress)
