"""Weights driven away from their fingerprint by training.

The model is trained on, with its loss plus a weight times the mean of the three terms'
ICS with the base, which is differentiable: the thief knows how `whole` is made. All may move,
embeddings and output included. After each stretch it is measured like any attacked model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from huref_zk.attacks import Checkpoint, write_checkpoint
from huref_zk.attacks.function import network
from research.derivations.corpus import corpus
from research.derivations.train import Setting, batches, language_loss, optimise
from research.evasion.bench import Bench, tokenizer_of

WEIGHTS = (0.0, 3.0, 30.0, 300.0)
STRETCHES, STEPS = 4, 40
BATCH, CONTEXT, RATE = 16, 96, 1e-3
TOKENS = 512
CHARACTERS = 2_000_000


def drive(bench: Bench, weight: float, keep: Path | None = None) -> Iterator[dict[str, Any]]:
    """Rows after each stretch: tokens trained on, and what ``bench`` measures. The last has
    "last": True. keep: a folder for the models on the way."""
    model = network(bench.original)
    ids = tokenizer_of(bench.original).encode(corpus()[0][:CHARACTERS]).ids
    setting = Setting(steps=STEPS, batch=BATCH, context=CONTEXT, rate=RATE, seed=int(weight))
    draw = batches(np.array(ids), setting)
    ids_seen = bench.own.cores.token_ids
    every = len(ids_seen) // TOKENS
    away = Away(model, torch.from_numpy(ids_seen[::every][:TOKENS].copy()))

    def loss(step: int) -> Tensor:
        plain = language_loss(model, draw())
        return plain if weight == 0 else plain + weight * away.alike(model).abs().mean()

    for stretch in range(STRETCHES):
        model.train()
        optimise(model.parameters(), loss, setting)
        model.eval()
        attacked = checkpoint_of(bench.original, model)
        tokens = (stretch + 1) * STEPS * BATCH * CONTEXT
        row: dict[str, Any] = {"strength": None, "tokens": tokens} | bench.measured(attacked)
        with torch.no_grad():
            row["objective"] = [float(x) for x in away.alike(model)]
        if keep is not None:
            folder = keep / f"driven-{weight:g}-{tokens}"
            folder.parent.mkdir(parents=True, exist_ok=True)
            if not folder.exists():
                write_checkpoint(folder, attacked)
        if stretch == STRETCHES - 1:
            row["last"] = True
        yield row


def checkpoint_of(original: Checkpoint, model: Any) -> Checkpoint:
    """The checkpoint with the weights of the transformers model made from it."""
    state = {n: p.detach().numpy().copy() for n, p in model.state_dict().items()}
    return replace(original, tensors={n: state[n] for n in original.tensors})


class Away:
    """The cosines of a model's maps, of the terms a, b, f over TOKENS tokens, with the base's."""

    def __init__(self, base: Any, ids: Tensor):
        self.ids = ids
        with torch.no_grad():
            maps = self._maps(copy.deepcopy(base))
            square = sum(m @ m.T + m.T @ m for m in (x / x.norm() for x in maps))
            _, patterns = torch.linalg.eigh(square)
            self.strong = patterns[:, -8:]
            self.base = [self._bare(m) for m in maps]

    def alike(self, model: Any) -> Tensor:
        """(3,), differentiable."""
        maps = [self._bare(m) for m in self._maps(model)]
        return torch.stack(
            [(m * o).sum() / (m.norm() * o.norm()) for m, o in zip(maps, self.base, strict=True)]
        )

    def _bare(self, m: Tensor) -> Tensor:
        m = m - self.strong @ (self.strong.T @ m)
        return m - (m @ self.strong) @ self.strong.T

    def _maps(self, model: Any) -> list[Tensor]:
        """X C X^T of the cores as docs/cores.md has them, (n, n) each."""
        x = model.model.embed_tokens.weight[self.ids]
        x = x / x.square().mean(1, keepdim=True).sqrt()
        c = x - x.mean(0)
        total: list[Tensor] = []
        for layer in model.model.layers:
            found = [*_attention(layer, c), _ffn(layer, x)]
            maps = [c @ core @ c.T for core in found]
            scaled = [m / m.norm().sqrt() for m in maps]
            total = [s + t for s, t in zip(scaled, total, strict=True)] if total else scaled
        return total


def _attention(layer: Any, c: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b) of a layer."""
    attention, gain = layer.self_attn, layer.input_layernorm.weight
    hd, d = attention.head_dim, len(gain)
    q, k, v = ((getattr(attention, f"{p}_proj").weight * gain).view(-1, hd, d) for p in "qkv")
    group = len(q) // len(k)
    k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
    o = attention.o_proj.weight.T.view(-1, hd, d)
    written = torch.einsum("nd,hkd,hke->hne", c, v, o)
    whole = written.sum(0)
    w = (written * whole).sum((1, 2)) / whole.norm()
    logits = torch.einsum("nd,hkd,hke,me->hnm", c, q, k, c)
    w = w / (1 + logits.square().mean((1, 2)) / hd).sqrt()
    return torch.einsum("h,hkd,hke->de", w, q, k), torch.einsum("hkd,hke->de", v, o)


def _ffn(layer: Any, x: Tensor) -> Tensor:
    """f of a layer: the mean Jacobian over the rows of x."""
    mlp, gain = layer.mlp, layer.post_attention_layernorm.weight
    gate, up = mlp.gate_proj.weight * gain, mlp.up_proj.weight * gain
    z, u = x @ gate.T, x @ up.T
    s = torch.sigmoid(z)
    act, slope = z * s, s * (1 + z * (1 - s))
    inner = act.mean(0)[:, None] * up + (slope * u).mean(0)[:, None] * gate
    return inner.T @ mlp.down_proj.weight.T
