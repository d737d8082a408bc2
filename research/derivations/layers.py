"""CRaSh (Zhang et al., arXiv 2310.15477): layers clustered by likeness, dropped or shared.

As in offsite tuning, a few layers at either end are kept apart as adapters and trained; the layers
between are compressed: neighbours whose outputs look alike form a cluster, of which the middle
layer is kept, and (shared) used in the place of the others as well.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from huref_zk.errors import InputError
from research.derivations.corpus import windows
from research.derivations.train import (
    Progress,
    Setting,
    batches,
    language_loss,
    optimise,
)


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of (n, d) and (n, e), 0 to 1 (arXiv 1905.00414)."""
    x, y = x - x.mean(0), y - y.mean(0)
    both = (x.T @ y).square().sum()
    return float(both / ((x.T @ x).norm() * (y.T @ y).norm()))


@torch.no_grad()
def layer_outputs(model: LlamaForCausalLM, batch: Tensor) -> list[Tensor]:
    """The hidden states after each layer, (B T, d) each, for int64 (B, T)."""
    states: list[Tensor] = []

    def keep(module: nn.Module, given: tuple, out: Tensor | tuple) -> None:
        states.append((out if isinstance(out, Tensor) else out[0]).flatten(0, 1))

    hooks = [layer.register_forward_hook(keep) for layer in model.model.layers]
    try:
        model(input_ids=batch)
    finally:
        for hook in hooks:
            hook.remove()
    return states


def cluster(likeness: Sequence[float], count: int) -> list[range]:
    """Runs of neighbours, ``count`` of them; likeness[i]: of neighbours i and i + 1.

    The least alike neighbours are parted.
    """
    n = len(likeness) + 1
    if not 1 <= count <= n:
        raise InputError(f"{n} layers cannot make {count} clusters")
    cuts = sorted(int(i) + 1 for i in np.argsort(likeness, kind="stable")[: count - 1])
    return [range(a, b) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]


def stack(model: LlamaForCausalLM, order: Sequence[int]) -> LlamaForCausalLM:
    """A model of copies of ``model``'s layers, in this order; a layer may come repeatedly."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = len(order)
    with torch.no_grad(), torch.random.fork_rng():
        made = LlamaForCausalLM(config).eval()
        source = model.state_dict()
        target = made.state_dict()
        for name, weight in target.items():
            parts = name.split(".")
            if parts[:2] == ["model", "layers"]:
                parts[2] = str(order[int(parts[2])])
            weight.copy_(source[".".join(parts)])
    return made


def crash(
    model: LlamaForCausalLM,
    ids: np.ndarray,
    setting: Setting,
    *,
    adapters: int,
    clusters: int,
    share: bool,
    progress: Progress | None = None,
) -> tuple[LlamaForCausalLM, list[int]]:
    """(the compressed model with its adapters trained on ``ids``, the layers it is stacked from).

    adapters: layers kept at either end; clusters: of the layers between; share: each cluster's
    middle layer stands in for all of it (the depth stays), else the others are dropped.
    InputError when the numbers do not fit the depth.
    """
    depth = model.config.num_hidden_layers
    if adapters < 0 or depth - 2 * adapters < 1:
        raise InputError(f"{depth} layers do not leave any between {adapters} at either end")
    rng = np.random.default_rng(setting.seed)
    batch = torch.from_numpy(windows(ids, rng, setting.batch, setting.context))
    states = layer_outputs(model, batch)[adapters : depth - adapters]
    likeness = [linear_cka(x, y) for x, y in itertools.pairwise(states)]
    middle = []
    for run in cluster(likeness, clusters):
        stays = adapters + run[len(run) // 2]
        middle += [stays] * (len(run) if share else 1)
    order = [*range(adapters), *middle, *range(depth - adapters, depth)]
    made = stack(model, order)
    if adapters and setting.steps:
        ends = [*made.model.layers[:adapters], *made.model.layers[-adapters:]]
        trained = [p for layer in ends for p in layer.parameters()]
        made.requires_grad_(False)
        for p in trained:
            p.requires_grad_(True)
        draw = batches(ids, setting)
        optimise(trained, lambda step: language_loss(made, draw()), setting, progress)
        made.requires_grad_(True)
    return made, order
