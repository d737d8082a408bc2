"""Weights rounded to few bits, group by group, and turned back into floats."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from huref_zk.errors import InputError
from research.derivations.sparse import linear_layers
from research.derivations.train import Progress, clone


def round_groups(weight: Tensor, bits: int, group: int) -> Tensor:
    """``weight`` (out, in) with at most 2^bits values in every run of ``group`` inputs.

    Round to nearest between a group's least and greatest value, the baseline of GPTQ (arXiv
    2210.17323). InputError when ``in`` is no multiple of ``group``.
    """
    if weight.shape[1] % group:
        raise InputError(f"{weight.shape[1]} inputs do not divide into groups of {group}")
    parts = weight.view(weight.shape[0], -1, group)
    least = parts.amin(2, keepdim=True)
    step = (parts.amax(2, keepdim=True) - least) / (2**bits - 1)
    step = torch.where(step > 0, step, torch.ones_like(step))
    return (((parts - least) / step).round() * step + least).view_as(weight)


@torch.no_grad()
def quantise_weights(
    model: LlamaForCausalLM, bits: int, group: int, progress: Progress | None = None
) -> LlamaForCausalLM:
    """Every matrix of every layer rounded to ``bits``; embeddings and output matrix stay."""
    rounded = clone(model)
    layers = linear_layers(rounded)
    for done, layer in enumerate(layers.values()):
        layer.weight.copy_(round_groups(layer.weight, bits, group))
        if progress is not None:
            progress(done + 1, len(layers))
    return rounded
