"""The cores of single layers, for every entry of the table, against plain formulas in float64.

Attention is written out head by head with d x d matrices. The feed-forward Jacobian is autograd's
of transformers' own module; of a mixture, of its experts, weighted by what its router says.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from huref_zk.invariants.cores import Tokens, layer_cores
from huref_zk.invariants.recipes import POSITIONS, token_rows
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from tests.support.family_models import CASES, HEADS, build, config_of, module_at, tensors_of
from tests.support.random_llm import MemoryModel

IDS = np.arange(20, 52)
LAYER = 1
FFN_NORMS = {
    "gemma2": "pre_feedforward_layernorm",
    "gemma3": "pre_feedforward_layernorm",
    "gemma3_text": "pre_feedforward_layernorm",
    "phi": "input_layernorm",
    "gpt2": "ln_2",
    "gpt_neo": "ln_2",
    "gptj": "ln_1",
    "opt": "final_layer_norm",
    "biogpt": "final_layer_norm",
    "xglm": "final_layer_norm",
    "codegen": "ln_1",
    "ctrl": "layernorm2",
    "mpt": "norm_2",
    "olmo2": None,
    "olmo3": None,
}


@functools.cache
def opened(name: str):
    """(case, transformers model, memory model, family, sizes)."""
    case = CASES[name]
    model = build(case)
    memory = MemoryModel(config_of(case, model), tensors_of(case, model))
    family = family_for(memory)
    return case, model, memory, family, dimensions(memory, family)


def tokens_of(memory, family) -> tuple[Tokens, np.ndarray, np.ndarray]:
    """(tokens, Xc, what a feed-forward block reads), the latter in float64."""
    X, read = token_rows(memory, family, IDS)
    centred = X - X.mean(axis=0)
    return Tokens(centred, read[::2], read), centred.astype(np.float64), read.astype(np.float64)


def norm_of(case, layer):
    """The module of the norm before the feed-forward block, or None."""
    if case.model_type == "falcon":
        name = "ln_mlp" if hasattr(layer, "ln_mlp") else "post_attention_layernorm"
        return getattr(layer, name if hasattr(layer, name) else "input_layernorm")
    if case.model_type == "stablelm" and layer.use_parallel_residual:
        return layer.input_layernorm
    name = FFN_NORMS.get(case.model_type, "post_attention_layernorm")
    return None if name is None else getattr(layer, name)


def blocks_of(case, layer):
    """[(function of rows (S, d), weight of each row (S,) or None)], in torch."""
    import torch

    if case.model_type == "ctrl":
        return [(layer.ffn, lambda x: None)]
    if case.model_type in ("opt", "biogpt", "xglm"):
        return [(lambda x: layer.fc2(layer.activation_fn(layer.fc1(x))), lambda x: None)]
    if case.model_type in ("bloom", "mpt"):
        mlp = getattr(layer, "ffn", None) or layer.mlp
        return [(lambda x: mlp(x[None], torch.zeros_like(x[None]))[0], lambda x: None)]
    if not hasattr(layer.mlp, "experts"):
        return [(lambda x: layer.mlp(x[None])[0], lambda x: None)]
    found = []
    mlp = layer.mlp

    def expert(e):
        def run(x):
            gate, up = (x @ mlp.experts.gate_up_proj[e].T).chunk(2, dim=-1)
            return (mlp.experts.act_fn(gate) * up) @ mlp.experts.down_proj[e].T

        def share(x):
            _, scores, chosen = mlp.gate(x)
            return (scores * (chosen == e)).sum(dim=-1)

        return run, share

    found = [expert(e) for e in range(len(mlp.experts.gate_up_proj))]
    if hasattr(mlp, "shared_expert"):
        found.append((mlp.shared_expert, lambda x: mlp.shared_expert_gate(x)[:, 0].sigmoid()))
    return found


def mean_jacobian(case, layer, read: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """(d, d): d y / d x, transposed, at what the norm makes of each row, averaged over them."""
    import torch

    norm = norm_of(case, layer)
    z = torch.from_numpy(read * gains)
    if getattr(norm, "bias", None) is not None:
        z = z + norm.bias
    total = torch.zeros(z.shape[1], z.shape[1], dtype=torch.float64)
    for run, share in blocks_of(case, layer):
        weights = share(z)
        for k, row in enumerate(z):
            jacobian = torch.autograd.functional.jacobian(
                lambda x, run=run: run(x[None])[0], row.detach()
            )
            total += jacobian.T * (1.0 if weights is None else weights[k])
    return (total.detach().numpy() * gains[:, None]) / len(z)


def sides(case, C: np.ndarray) -> np.ndarray:
    """C as rows of mean zero see it, where the model's norms take means off."""
    if not case.centred:
        return C
    Z = np.eye(len(C)) - 1 / len(C)
    return Z @ C @ Z


def unit(C: np.ndarray, Xc: np.ndarray) -> np.ndarray:
    return C / np.sqrt(np.square(Xc @ C).mean())


def plain_attention(case, p, Xc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a, b), head by head."""
    d = Xc.shape[1]
    gain, after = (np.broadcast_to(g, d).astype(float) for g in (p.before[0], p.after[0]))
    post = np.ndim(p.after[0]) > 0
    q, k = p.q * gain, p.k * gain
    group = HEADS // len(k)
    if case.qk is not None:
        q, k = (normed(case, w, g, Xc) for w, g in ((q, p.q_gain), (k, p.k_gain)))
    outs = [(p.v[h // group] * gain).T @ p.o[:, h].T for h in range(HEADS)]
    if post:
        scale = np.sqrt(np.square(Xc @ sides(case, sum(outs))).mean())
        outs = [o * after / scale for o in outs]
    outs = [sides(case, o) for o in outs]
    b = sum(outs)
    a = np.zeros((d, d))
    for h in range(HEADS):
        A = sides(case, q[h].T @ k[h // group])
        logits = Xc @ A @ Xc.T / np.sqrt(q.shape[1])
        w = ((Xc @ outs[h]) * (Xc @ b)).sum() / np.linalg.norm(Xc @ b)
        a += w * A / np.sqrt(1 + np.square(logits).mean())
    return a, b


def normed(case, w: np.ndarray, gains: np.ndarray, Xc: np.ndarray) -> np.ndarray:
    if "centred" in case.qk:
        w = w - w.mean(axis=1, keepdims=True)
    seen = np.einsum("sd,hnd->hsn", Xc, w)
    axes = (1, 2) if case.qk != "whole" else (0, 1, 2)
    scale = np.sqrt(np.square(seen).mean(axis=axes, keepdims=True)).reshape(-1, 1, 1)
    return w / scale * gains[:, :, None]


@pytest.mark.parametrize("name", CASES)
def test_the_plain_formulas(name):
    case, model, memory, family, dims = opened(name)
    tokens, Xc, read = tokens_of(memory, family)
    found = layer_cores(memory, family, dims, LAYER, tokens)
    layer = module_at(model, case.layers)[LAYER]
    p = case.parts(layer)
    a, b = plain_attention(case, p, Xc)
    gains = np.broadcast_to(p.before[1], dims.hidden).astype(float)
    mixture = hasattr(getattr(layer, "mlp", None), "experts")  # asked about all of the tokens
    f = sides(case, mean_jacobian(case, layer, read if mixture else read[::2], gains))
    if np.ndim(p.after[1]) > 0:
        f = unit(f, Xc) * p.after[1]
    for term, core, wanted in zip("abf", found, (a, b, f), strict=True):
        error = np.linalg.norm(core - wanted) / np.linalg.norm(wanted)
        assert error < 2e-5, (term, error)
        assert core.dtype == np.float32


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "opt"])
def test_positions_are_part_of_what_a_token_is(name):
    """Constants moved between token and position embeddings change nothing in the model."""
    _, _, memory, family, _ = opened(name)
    X, _ = token_rows(memory, family, IDS)
    moved = {key: w.copy() for key, w in memory.tensors.items()}
    c = np.random.default_rng(3).normal(size=X.shape[1])
    moved[family.embedding] += c
    moved[family.embedding_positions] -= c
    other, _ = token_rows(MemoryModel(memory.config, moved), family, IDS)
    assert np.abs(other - X).max() < 1e-5
    # Control: without its other half it is seen. So are positions that text reaches, and no others.
    half = {**memory.tensors, family.embedding: moved[family.embedding]}
    assert np.abs(token_rows(MemoryModel(memory.config, half), family, IDS)[0] - X).max() > 0.1
    for row, seen in ((0, True), (POSITIONS, False)):
        place = memory.tensors[family.embedding_positions].copy()
        place[family.positions_start + row] += 100 * c
        one = {**memory.tensors, family.embedding_positions: place}
        far = np.abs(token_rows(MemoryModel(memory.config, one), family, IDS)[0] - X).max()
        assert (far > 0.1) == seen
