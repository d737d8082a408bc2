"""Entries of models whose layers are of several kinds: attention here, something else there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from huref_zk.models.families.base import GEMMA, LLAMA, PLAIN_LLAMA, QWEN3, QWEN_EXPERTS, A, M
from huref_zk.models.families.dense import GRANITE
from huref_zk.models.families.family import Family
from huref_zk.models.families.mixtures import LATENT, W123, shared

QWEN3_5 = replace(
    QWEN3,
    name="qwen3_5",
    model_types=("qwen3_5_text",),
    norm_offset=1.0,
    gated_q=True,
    partial=True,
)
QWEN3_NEXT = replace(
    QWEN3_5,
    name="qwen3_next",
    model_types=("qwen3_next", "qwen3_5_moe_text"),
    shared_router=M + "mlp.shared_expert_gate.weight",
    **{**QWEN_EXPERTS, **shared("shared_expert"), "norm_topk": True},
)
_FF: dict[str, Any] = {
    "up": M + "feed_forward.up_proj.weight",
    "gate": M + "feed_forward.gate_proj.weight",
    "down": M + "feed_forward.down_proj.weight",
    "ffn_norm": M + "pre_ff_layernorm.weight",
}
JAMBA = replace(
    PLAIN_LLAMA,
    name="jamba",
    model_types=("jamba",),
    partial=True,
    rotary=False,
    norm_topk=False,
    router=M + "feed_forward.router.weight",
    expert_up=M + "feed_forward.experts.{e}.up_proj.weight",
    expert_gate=M + "feed_forward.experts.{e}.gate_proj.weight",
    expert_down=M + "feed_forward.experts.{e}.down_proj.weight",
    **_FF,
)
_LFM: dict[str, Any] = {
    "o": A + "out_proj.weight",
    "q_norm": A + "q_layernorm.weight",
    "k_norm": A + "k_layernorm.weight",
    "up": M + "feed_forward.w3.weight",
    "gate": M + "feed_forward.w1.weight",
    "down": M + "feed_forward.w2.weight",
    "attention_norm": M + "operator_norm.weight",
    "ffn_norm": M + "ffn_norm.weight",
    "ffn_keys": (),
    "activation_keys": (),
    "partial": True,
}
LFM2 = replace(QWEN3, name="lfm2", model_types=("lfm2",), **_LFM)
NEMOTRON_H = Family(
    name="nemotron_h",
    model_types=("nemotron_h",),
    prefixes=("backbone.", "model.", ""),
    embedding="backbone.embeddings.weight",
    kv_heads_keys=("num_key_value_heads",),
    layers_keys=("num_hidden_layers", "layers_block_type", "hybrid_override_pattern"),
    q="backbone.layers.{i}.mixer.q_proj.weight",
    k="backbone.layers.{i}.mixer.k_proj.weight",
    v="backbone.layers.{i}.mixer.v_proj.weight",
    o="backbone.layers.{i}.mixer.o_proj.weight",
    up="backbone.layers.{i}.mixer.up_proj.weight",
    down="backbone.layers.{i}.mixer.down_proj.weight",
    attention_norm="backbone.layers.{i}.norm.weight",
    ffn_norm="backbone.layers.{i}.norm.weight",
    activation="relu2",
    activation_keys=("mlp_hidden_act",),
    router="backbone.layers.{i}.mixer.gate.weight",
    expert_up="backbone.layers.{i}.mixer.experts.{e}.up_proj.weight",
    expert_down="backbone.layers.{i}.mixer.experts.{e}.down_proj.weight",
    shared_up="backbone.layers.{i}.mixer.shared_experts.up_proj.weight",
    shared_down="backbone.layers.{i}.mixer.shared_experts.down_proj.weight",
    choice_bias="backbone.layers.{i}.mixer.gate.e_score_correction_bias",
    router_scores="sigmoid",
    norm_topk_keys=("norm_topk_prob",),
    groups_keys=("n_group",),
    groups_kept_keys=("topk_group",),
    router_scale_keys=("routed_scaling_factor",),
    experts_keys=("n_routed_experts",),
    partial=True,
    rotary=False,
)
_SPARSE = M + "block_sparse_moe."
KIMI_LINEAR = replace(
    LATENT,
    name="kimi_linear",
    model_types=("kimi_linear",),
    q_a=None,
    q_a_norm=None,
    q_b=None,
    partial=True,
    mixer=A + "A_log",
    rotary=False,
    up=_SPARSE + "up_proj.weight",
    gate=_SPARSE + "gate_proj.weight",
    down=_SPARSE + "down_proj.weight",
    ffn_keys=(),
    shared_up=_SPARSE + "shared_experts.up_proj.weight",
    shared_gate=_SPARSE + "shared_experts.gate_proj.weight",
    shared_down=_SPARSE + "shared_experts.down_proj.weight",
    choice_bias=_SPARSE + "gate.e_score_correction_bias",
    router_scores="sigmoid",
    norm_topk_keys=("norm_topk_prob", "moe_renormalize"),
    top_k_keys=("num_experts_per_tok", "num_experts_per_token"),
    groups_keys=("n_group", "num_expert_group"),
    groups_kept_keys=("topk_group",),
    router_scale_keys=("routed_scaling_factor",),
    **W123,
)
RECURRENT = replace(
    GEMMA,
    name="recurrent_gemma",
    model_types=("recurrent_gemma",),
    q=M + "temporal_block.q_proj.weight",
    k=M + "temporal_block.k_proj.weight",
    v=M + "temporal_block.v_proj.weight",
    o=M + "temporal_block.o_proj.weight",
    up=M + "mlp_block.up_proj.weight",
    gate=M + "mlp_block.gate_proj.weight",
    down=M + "mlp_block.down_proj.weight",
    attention_norm=M + "temporal_pre_norm.weight",
    ffn_norm=M + "channel_pre_norm.weight",
    ffn_bias=True,
    ffn_keys=(),
    partial=True,
)
BAMBA = replace(LLAMA, name="bamba", model_types=("bamba",), partial=True, **_FF)
GRANITE_HYBRID = replace(
    GRANITE,
    name="granitemoehybrid",
    model_types=("granitemoehybrid",),
    up=None,
    gate=None,
    ffn_keys=(),
    router=_SPARSE + "router.layer.weight",
    experts_gate_up=_SPARSE + "input_linear.weight",
    experts_down=_SPARSE + "output_linear.weight",
    shared_gate_up=M + "shared_mlp.input_linear.weight",
    shared_down=M + "shared_mlp.output_linear.weight",
    gate_up=M + "shared_mlp.input_linear.weight",
    down=M + "shared_mlp.output_linear.weight",
    ffn_bias_keys=(),
    partial=True,
)
FALCON_H1 = replace(
    LLAMA,
    name="falcon_h1",
    model_types=("falcon_h1",),
    gate_scale_keys=("mlp_multipliers.0",),
    scale_powers={"key_multiplier": 1, "attention_in_multiplier": 2},
    **{**_FF, "ffn_norm": M + "pre_ff_layernorm.weight"},
)
HYBRIDS: tuple[Family, ...] = (
    QWEN3_5,
    QWEN3_NEXT,
    JAMBA,
    LFM2,
    replace(
        LFM2,
        name="lfm3",
        model_types=("lfm3",),
        attention_post_norm=M + "post_operator_norm.weight",
        ffn_post_norm=M + "post_ffn_norm.weight",
    ),
    replace(
        LFM2,
        name="lfm2_moe",
        model_types=("lfm2_moe",),
        router=M + "feed_forward.gate.weight",
        router_scores="sigmoid",
        choice_bias=M + "feed_forward.expert_bias",
        norm_topk_keys=("norm_topk_prob",),
        router_scale_keys=("routed_scaling_factor",),
        expert_up=M + "feed_forward.experts.{e}.w3.weight",
        expert_gate=M + "feed_forward.experts.{e}.w1.weight",
        expert_down=M + "feed_forward.experts.{e}.w2.weight",
    ),
    NEMOTRON_H,
    KIMI_LINEAR,
    RECURRENT,
    BAMBA,
    GRANITE_HYBRID,
    FALCON_H1,
    replace(
        QWEN3_5,
        name="lara_mini",
        model_types=("lara_mini",),
        **{**QWEN_EXPERTS, **shared("shared_expert")},
    ),
)
