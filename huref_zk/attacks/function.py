"""What a checkpoint computes, as transformers runs it. Needs torch and transformers."""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.errors import EnvironmentLacks


def logits(checkpoint: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """Logits float32 (n, vocabulary) after each of the token ids int64 (n,), in float32.

    Raises EnvironmentLacks without torch and transformers.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as e:
        raise EnvironmentLacks(
            f"running a model needs torch and transformers ({e}); pip install 'huref-zk[train]'"
        ) from e
    settings = {k: v for k, v in checkpoint.config.items() if k not in ("model_type", "dtype")}
    settings["tie_word_embeddings"] = checkpoint.tied
    config = AutoConfig.for_model(checkpoint.config["model_type"], **settings)
    with torch.random.fork_rng():
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    state = {
        n: torch.tensor(np.ascontiguousarray(w, np.float32)) for n, w in checkpoint.tensors.items()
    }
    network.load_state_dict(state, strict=False)
    unset = {n for n, _ in network.named_parameters()} - state.keys()
    assert not unset, f"transformers wants {sorted(unset)[:3]}, which the checkpoint lacks"
    with torch.no_grad():
        return network(torch.from_numpy(np.asarray(ids))[None]).logits[0].numpy()
