"""Sparse upcycling (Komatsuzaki et al., arXiv 2212.05055): a dense model becomes a mixture.

Every expert of a layer begins as a copy of the layer's feed-forward block, and routers begin
anew. Mixtral's weights of the chosen experts sum to one, so at first the function is the dense one.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaForCausalLM, MixtralConfig, MixtralForCausalLM


@torch.no_grad()
def upcycle(
    model: LlamaForCausalLM, experts: int = 4, top_k: int = 2, seed: int = 0
) -> MixtralForCausalLM:
    """The untrained mixture, of the same function as ``model`` whatever its routers say."""
    c: Any = model.config
    config = MixtralConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.hidden_size,
        intermediate_size=c.intermediate_size,
        num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads,
        num_key_value_heads=c.num_key_value_heads,
        head_dim=c.head_dim,
        max_position_embeddings=c.max_position_embeddings,
        rms_norm_eps=c.rms_norm_eps,
        rope_parameters=c.rope_parameters,
        tie_word_embeddings=c.tie_word_embeddings,
        bos_token_id=c.bos_token_id,
        eos_token_id=c.eos_token_id,
        num_local_experts=experts,
        num_experts_per_tok=top_k,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mixture = MixtralForCausalLM(config).float().eval()
    dense = dict(model.named_parameters())
    for name, weight in mixture.named_parameters():
        if name in dense:
            weight.copy_(dense[name])
    for layer, source in zip(mixture.model.layers, model.model.layers, strict=True):
        made: Any = layer.mlp.experts
        block: Any = source.mlp
        made.gate_up_proj.copy_(torch.cat((block.gate_proj.weight, block.up_proj.weight)))
        made.down_proj.copy_(block.down_proj.weight)
    return mixture
