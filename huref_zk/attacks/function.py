"""What a checkpoint computes, as transformers runs it. Needs torch and transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.errors import EnvironmentLacks


def network(checkpoint: Checkpoint, double: bool = False) -> Any:
    """The checkpoint as a transformers model, in float32 or in double precision, for inference.

    Raises EnvironmentLacks without torch and transformers.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as e:
        raise EnvironmentLacks(
            f"running a model needs torch and transformers ({e}); install the extra 'train'"
        ) from e
    settings = {k: v for k, v in checkpoint.config.items() if k not in ("model_type", "dtype")}
    settings["tie_word_embeddings"] = checkpoint.tied
    config = AutoConfig.for_model(checkpoint.config["model_type"], **settings)
    kind = torch.float64 if double else torch.float32
    with torch.random.fork_rng():
        found = AutoModelForCausalLM.from_config(config, dtype=kind).eval()
    state = {n: torch.from_numpy(np.array(w)).to(kind) for n, w in checkpoint.tensors.items()}
    found.load_state_dict(state, strict=False)
    unset = {n for n, _ in found.named_parameters()} - state.keys()
    assert not unset, f"transformers wants {sorted(unset)[:3]}, which the checkpoint lacks"
    return found


def logits(checkpoint: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """Logits float32 (n, vocabulary) after each of the token ids int64 (n,), in float32.

    Raises EnvironmentLacks without torch and transformers.
    """
    import torch

    with torch.no_grad():
        out = network(checkpoint)(torch.from_numpy(np.asarray(ids))[None]).logits[0].numpy()
    return np.asarray(out)


def streams(checkpoint: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """What enters each layer on token ids (n,), float64 (layers, n, d). Errors as ``logits``."""
    import torch

    with torch.no_grad():
        said = network(checkpoint, double=True).model(
            torch.from_numpy(np.asarray(ids))[None], output_hidden_states=True
        )
    return np.array([h[0].numpy() for h in said.hidden_states[:-1]])


def ffn_inputs(checkpoint: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """What each feed-forward block reads, behind its norm, on windows of token ids (n, length):
    float32 (layers, n length, d). Errors as ``logits``."""
    import torch

    found = network(checkpoint)
    seen: list[np.ndarray] = []
    for layer in found.model.layers:
        layer.mlp.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].reshape(-1, inputs[0].shape[-1]).numpy())
        )
    with torch.no_grad():
        found(torch.from_numpy(np.asarray(ids)))
    return np.array(seen)
