"""A dense model as a mixture most of whose experts are never routed to.

The router's rows are r, -r and s r with |s| < 1, of which the largest product with any x is |r x|:
x goes to the first or the second expert, which are both the old feed-forward block, and with one
expert a token its weight is 1. The other experts may be anything.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from huref_zk.attacks.checkpoint import DEFAULT_EPS, Checkpoint, expert_name, name_of
from huref_zk.attacks.draft import Draft
from huref_zk.attacks.neurons import typical
from huref_zk.errors import InputError

ALIGNED = 8
"""The width is made a multiple of this, as torch's products of grouped matrices want it."""
ROPE_KEYS = ("rope_parameters", "rope_scaling", "rope_theta")
KEPT = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "hidden_act", "max_position_embeddings", "tie_word_embeddings",
    "bos_token_id", "eos_token_id", "pad_token_id", "initializer_range",
)  # fmt: skip


def add_experts(
    checkpoint: Checkpoint, rng: np.random.Generator, junk: int = 2, size: float = 3.0
) -> Checkpoint:
    """``junk`` random experts in every layer, ``size`` times as loud as the old block. Exact.

    The result is of the type mixtral, which has no biases: InputError for a model with some.
    """
    biases = [n for n in checkpoint.tensors if n.endswith(".bias")]
    if biases:
        raise InputError(f"{checkpoint.source}: a mixtral model has no bias such as {biases[0]}")
    old, s = checkpoint.config, checkpoint.sizes
    if (old.get("hidden_act") or "silu") != "silu":
        raise InputError(f"{checkpoint.source}: mixtral models here have the activation silu")
    draft = Draft(checkpoint)
    tensors = {n: w for n, w in checkpoint.tensors.items() if ".mlp." not in n}
    for i in range(s.layers):
        gate, up, down = (draft[name_of(i, part)] for part in ("gate", "up", "down"))
        gate, up = (np.pad(w, ((0, -s.ffn % ALIGNED), (0, 0))) for w in (gate, up))
        down = np.pad(down, ((0, 0), (0, -s.ffn % ALIGNED)))

        def stacked(w: np.ndarray) -> np.ndarray:
            more = [size * typical(w) * rng.normal(size=w.shape) for _ in range(junk)]
            return np.stack([w, w, *more]).astype(np.float32)

        row = rng.normal(size=s.hidden)
        shares = [1.0, -1.0, *rng.uniform(-0.9, 0.9, size=junk)]
        tensors[expert_name(i, "gate_up")] = np.concatenate([stacked(gate), stacked(up)], axis=1)
        tensors[expert_name(i, "down")] = stacked(down)
        tensors[expert_name(i, "router")] = np.outer(shares, row).astype(np.float32)
    eps = old.get("rms_norm_eps")
    rope = {key: old[key] for key in ROPE_KEYS if old.get(key) is not None}
    config = {key: old[key] for key in KEPT if key in old} | (rope or {"rope_theta": 10000.0})
    sliding = old.get("sliding_window", 4096) if old["model_type"] == "mistral" else None
    config |= {
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "head_dim": s.head_dim,
        "num_key_value_heads": s.kv_heads,
        "rms_norm_eps": DEFAULT_EPS if eps is None else eps,
        "sliding_window": sliding,
        "intermediate_size": s.ffn + -s.ffn % ALIGNED,
        "num_local_experts": junk + 2,
        "num_experts_per_tok": 1,
    }
    return replace(checkpoint, config=config, tensors=tensors)
