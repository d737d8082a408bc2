"""Model Surgery (Wang et al., arXiv 2407.08770): a behaviour edited into a few FFN rows.

A linear probe on hidden states tells texts with a behaviour from texts without. In every edited
layer, the rows of the gate matrix that point most against the probe get a multiple of it added, so
that their neurons, which write against the behaviour, fire where the hidden state shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from research.derivations.train import Progress, clone

RIDGE = 1e-2  # of the mean variance of the hidden states


@torch.no_grad()
def pooled(model: LlamaForCausalLM, texts: Sequence[Tensor]) -> Tensor:
    """Mean hidden state of each text at the output matrix's input: (n, d). texts: int64 (T,)."""
    return torch.stack([model.model(t[None]).last_hidden_state[0].mean(0) for t in texts])


def behaviour_probe(
    model: LlamaForCausalLM, with_it: Sequence[Tensor], without: Sequence[Tensor]
) -> Tensor:
    """Unit vector (d,) along which hidden states of the two kinds differ: ridge regression."""
    states = torch.cat((pooled(model, with_it), pooled(model, without)))
    labels = torch.cat((torch.ones(len(with_it)), -torch.ones(len(without))))
    states = states - states.mean(0)
    gram = states.T @ states
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    probe = torch.linalg.solve(gram, states.T @ (labels - labels.mean()))
    return probe / probe.norm()


@torch.no_grad()
def writes(
    model: LlamaForCausalLM, probe: Tensor, layers: Sequence[int], texts: Sequence[Tensor]
) -> dict[int, Tensor]:
    """layer -> (FFN width,): what a neuron writes along ``probe`` when its gate is open by one:
    its up value, averaged over the tokens of ``texts``, times its down column's part."""
    sums: dict[int, Tensor] = {}

    def watch(i: int) -> Callable:
        def hook(module: nn.Module, given: tuple, out: Tensor) -> None:
            sums[i] = sums.get(i, 0) + out[0].sum(0)

        return hook

    parts = {i: model.model.layers[i].mlp for i in layers}
    hooks = [mlp.up_proj.register_forward_hook(watch(i)) for i, mlp in parts.items()]
    try:
        for text in texts:
            model.model(text[None])
    finally:
        for hook in hooks:
            hook.remove()
    count = sum(len(text) for text in texts)
    return {i: sums[i] / count * (probe @ mlp.down_proj.weight) for i, mlp in parts.items()}


@torch.no_grad()
def operate(
    model: LlamaForCausalLM,
    probe: Tensor,
    texts: Sequence[Tensor],
    layers: Sequence[int],
    rows: int,
    strength: float,
    progress: Progress | None = None,
) -> tuple[LlamaForCausalLM, dict[int, Tensor]]:
    """(edited model, layer -> its edited gate rows).

    In each of ``layers``, of the half of the gate rows with the lowest cosine with ``probe`` (d,),
    the ``rows`` that write most against it on ``texts`` (which show the behaviour) get
    strength * probe, in units of the layer's mean row length, added. The paper takes the lowest
    cosines alone; in models as small as these that does not turn the behaviour down reliably.
    """
    edited = clone(model)
    writing = writes(model, probe, layers, texts)
    touched = {}
    for done, i in enumerate(layers):
        weight = edited.model.layers[i].mlp.gate_proj.weight
        norms = weight.norm(dim=1)
        against = (weight @ probe / norms).topk(len(norms) // 2, largest=False).indices
        chosen = against[writing[i][against].topk(rows, largest=False).indices].sort().values
        weight[chosen] += strength * norms.mean() * probe
        touched[i] = chosen
        if progress is not None:
            progress(done + 1, len(layers))
    return edited, touched
