"""Tiny LLaMA models, and texts that they can learn."""

from __future__ import annotations

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

VOCAB = 48


def tiny(layers: int = 2, seed: int = 0, **changes) -> LlamaForCausalLM:
    sizes = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        **changes,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**sizes)).eval()


def chain(seed: int, length: int = 4000, low: int = 2, high: int = VOCAB) -> np.ndarray:
    """Token ids that a model can learn: each is mostly the one before plus 1, within low..high."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(length) < 0.8, 1, rng.integers(0, high - low, length))
    return (low + np.cumsum(steps) % (high - low)).astype(np.int32)
