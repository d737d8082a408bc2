"""Entries of the first families, which many others are changes of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from huref_zk.models.families.family import Family

M = "model.layers.{i}."
A = M + "self_attn."
MODEL = (
    "model.",
    "",
    "language_model.model.",
    "model.language_model.",
    "model.text_model.",
    "language_model.",
    "thinker.model.",
    "backbone.",
)
"""How the names begin: as models of text have them, then as those of images and text do."""

LLAMA = Family(
    name="llama",
    model_types=("llama", "internlm3", "iquestcoder", "cwm", "emu3_text_model"),
    prefixes=MODEL,
    embedding="model.embed_tokens.weight",
    q=A + "q_proj.weight",
    k=A + "k_proj.weight",
    v=A + "v_proj.weight",
    o=A + "o_proj.weight",
    up=M + "mlp.up_proj.weight",
    gate=M + "mlp.gate_proj.weight",
    down=M + "mlp.down_proj.weight",
    attention_norm=M + "input_layernorm.weight",
    ffn_norm=M + "post_attention_layernorm.weight",
    kv_heads_keys=("num_key_value_heads",),
    ffn_keys=("intermediate_size",),
    ffn_bias_keys=("mlp_bias",),
)
PLAIN_LLAMA = replace(
    LLAMA, model_types=("mistral", "internlm", "ministral", "ministral3"), ffn_bias_keys=()
)

QWEN3 = replace(
    PLAIN_LLAMA,
    name="qwen3",
    model_types=("qwen3", "qwen3_vl_text"),
    qk_norm="head",
    q_norm=A + "q_norm.weight",
    k_norm=A + "k_norm.weight",
)

GEMMA = replace(
    PLAIN_LLAMA,
    name="gemma",
    model_types=("gemma",),
    norm_offset=1.0,
    # Its first configs say "gelu" under hidden_act, which was never meant.
    activation="gelu_pytorch_tanh",
    activation_keys=("hidden_activation",),
)
GEMMA2 = replace(
    GEMMA,
    name="gemma2",
    model_types=("gemma2",),
    attention_post_norm=M + "post_attention_layernorm.weight",
    ffn_norm=M + "pre_feedforward_layernorm.weight",
    ffn_post_norm=M + "post_feedforward_layernorm.weight",
)
GEMMA3 = replace(
    GEMMA2,
    name="gemma3",
    model_types=("gemma3", "gemma3_text"),
    qk_norm="head",
    q_norm=A + "q_norm.weight",
    k_norm=A + "k_norm.weight",
    defaults={
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
    },
)

_H = "transformer.h.{i}."
_TRANSFORMER = ("transformer.", "")

QWEN = Family(
    name="qwen",
    model_types=("qwen",),
    prefixes=_TRANSFORMER,
    embedding="transformer.wte.weight",
    qkv=_H + "attn.c_attn.weight",
    o=_H + "attn.c_proj.weight",
    up=_H + "mlp.w1.weight",
    gate=_H + "mlp.w2.weight",
    down=_H + "mlp.c_proj.weight",
    attention_norm=_H + "ln_1.weight",
    ffn_norm=_H + "ln_2.weight",
    activation_keys=(),
)

PHI = Family(
    name="phi",
    model_types=("phi",),
    prefixes=MODEL,
    embedding="model.embed_tokens.weight",
    q=A + "q_proj.weight",
    k=A + "k_proj.weight",
    v=A + "v_proj.weight",
    o=A + "dense.weight",
    up=M + "mlp.fc1.weight",
    down=M + "mlp.fc2.weight",
    attention_norm=M + "input_layernorm.weight",
    ffn_norm=M + "input_layernorm.weight",
    kv_heads_keys=("num_key_value_heads",),
    ffn_keys=("intermediate_size",),
    layer_norm=True,
    norm_bias=True,
    activation="gelu_new",
    ffn_bias=True,
)

PHI3 = replace(
    PLAIN_LLAMA,
    name="phi3",
    model_types=("phi3",),
    q=None,
    k=None,
    v=None,
    qkv=A + "qkv_proj.weight",
    up=None,
    gate=None,
    gate_up=M + "mlp.gate_up_proj.weight",
)

GPT2 = Family(
    name="gpt2",
    model_types=("gpt2", "gpt-sw3"),
    prefixes=_TRANSFORMER,
    embedding="transformer.wte.weight",
    transposed=True,
    qkv=_H + "attn.c_attn.weight",
    o=_H + "attn.c_proj.weight",
    up=_H + "mlp.c_fc.weight",
    down=_H + "mlp.c_proj.weight",
    attention_norm=_H + "ln_1.weight",
    ffn_norm=_H + "ln_2.weight",
    layer_norm=True,
    norm_bias=True,
    activation="gelu_new",
    activation_keys=("activation_function",),
    ffn_bias=True,
    embedding_positions="transformer.wpe.weight",
    rotary=False,
)

GPT_NEO = Family(
    name="gpt_neo",
    model_types=("gpt_neo",),
    prefixes=_TRANSFORMER,
    embedding="transformer.wte.weight",
    q=_H + "attn.attention.q_proj.weight",
    k=_H + "attn.attention.k_proj.weight",
    v=_H + "attn.attention.v_proj.weight",
    o=_H + "attn.attention.out_proj.weight",
    up=_H + "mlp.c_fc.weight",
    down=_H + "mlp.c_proj.weight",
    attention_norm=_H + "ln_1.weight",
    ffn_norm=_H + "ln_2.weight",
    layer_norm=True,
    norm_bias=True,
    activation="gelu_new",
    activation_keys=("activation_function",),
    ffn_bias=True,
    embedding_positions="transformer.wpe.weight",
    rotary=False,
)

GPTJ = Family(
    name="gptj",
    model_types=("gptj",),
    prefixes=_TRANSFORMER,
    embedding="transformer.wte.weight",
    q=_H + "attn.q_proj.weight",
    k=_H + "attn.k_proj.weight",
    v=_H + "attn.v_proj.weight",
    o=_H + "attn.out_proj.weight",
    up=_H + "mlp.fc_in.weight",
    down=_H + "mlp.fc_out.weight",
    attention_norm=_H + "ln_1.weight",
    ffn_norm=_H + "ln_1.weight",
    layer_norm=True,
    norm_bias=True,
    activation="gelu_new",
    activation_keys=("activation_function",),
    ffn_bias=True,
)

_NEOX = "gpt_neox.layers.{i}."
GPT_NEOX = Family(
    name="gpt_neox",
    model_types=("gpt_neox",),
    prefixes=("gpt_neox.", ""),
    embedding="gpt_neox.embed_in.weight",
    qkv=_NEOX + "attention.query_key_value.weight",
    qkv_layout="per_head",
    o=_NEOX + "attention.dense.weight",
    up=_NEOX + "mlp.dense_h_to_4h.weight",
    down=_NEOX + "mlp.dense_4h_to_h.weight",
    attention_norm=_NEOX + "input_layernorm.weight",
    ffn_norm=_NEOX + "post_attention_layernorm.weight",
    layer_norm=True,
    norm_bias=True,
    activation="gelu",
    activation_keys=("hidden_act",),
    ffn_bias=True,
)

BLOOM = Family(
    name="bloom",
    model_types=("bloom",),
    prefixes=_TRANSFORMER,
    embedding="transformer.word_embeddings.weight",
    embedding_norm="transformer.word_embeddings_layernorm.weight",
    qkv=_H + "self_attention.query_key_value.weight",
    qkv_layout="per_head",
    o=_H + "self_attention.dense.weight",
    up=_H + "mlp.dense_h_to_4h.weight",
    down=_H + "mlp.dense_4h_to_h.weight",
    attention_norm=_H + "input_layernorm.weight",
    ffn_norm=_H + "post_attention_layernorm.weight",
    layer_norm=True,
    norm_bias=True,
    activation="gelu_new",
    activation_keys=(),
    ffn_bias=True,
    rotary=False,
)
_AFTER = "its residual stream is normalised in place, so no pair of weights makes an invariant map"

_OPT = "model.decoder.layers.{i}."
OPT = Family(
    name="opt",
    model_types=("opt",),
    prefixes=("model.decoder.", "decoder."),
    embedding="model.decoder.embed_tokens.weight",
    q=_OPT + "self_attn.q_proj.weight",
    k=_OPT + "self_attn.k_proj.weight",
    v=_OPT + "self_attn.v_proj.weight",
    o=_OPT + "self_attn.out_proj.weight",
    up=_OPT + "fc1.weight",
    down=_OPT + "fc2.weight",
    attention_norm=_OPT + "self_attn_layer_norm.weight",
    ffn_norm=_OPT + "final_layer_norm.weight",
    ffn_keys=("ffn_dim",),
    layer_norm=True,
    norm_bias=True,
    activation="relu",
    activation_keys=("activation_function",),
    ffn_bias=True,
    ffn_bias_keys=("enable_bias",),
    embedding_positions="model.decoder.embed_positions.weight",
    positions_start=2,
    rotary=False,
)

# One norm for both blocks, or one each; heads fused one by one (rw), all sharing a key and value
# head (7b), or in groups that do (40b, 180b: two norms; falcon2: one).
FALCON = replace(
    BLOOM,
    name="falcon",
    model_types=("falcon",),
    when={"new_decoder_architecture": False, "multi_query": False, "parallel_attn": False},
    embedding_norm=None,
    activation="gelu",
    activation_keys=("activation",),
    ffn_bias=False,
    ffn_bias_keys=("bias",),
    rotary=True,  # unless its config says alibi
)
FALCON_7B = replace(
    FALCON,
    when={"new_decoder_architecture": False, "multi_query": True, "parallel_attn": True},
    multi_query=True,
    qkv_layout="grouped",
    ffn_norm=_H + "input_layernorm.weight",
)
FALCON_GROUPED = replace(
    FALCON,
    when={"new_decoder_architecture": True},
    qkv_layout="grouped",
    kv_heads_keys=("num_kv_heads", "n_head_kv"),
    attention_norm=_H + "ln_attn.weight",
    ffn_norm=_H + "ln_mlp.weight",
)
FALCON_ONE_NORM = replace(
    FALCON_GROUPED,
    when={"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1},
    attention_norm=_H + "input_layernorm.weight",
    ffn_norm=_H + "input_layernorm.weight",
)

# Configs of 2023 have another model_type, and no word of new_decoder_architecture.
FALCON_2023 = (
    replace(FALCON_GROUPED, model_types=("RefinedWeb",), when={}),
    replace(
        FALCON_7B,
        model_types=("RefinedWebModel",),
        when={"multi_query": True, "parallel_attn": True},
    ),
    replace(
        FALCON,
        model_types=("RefinedWebModel",),
        when={"multi_query": False, "parallel_attn": False},
    ),
)

_MPT = "transformer.blocks.{i}."
MPT = Family(
    name="mpt",
    model_types=("mpt",),
    prefixes=_TRANSFORMER,
    embedding="transformer.wte.weight",
    qkv=_MPT + "attn.Wqkv.weight",
    o=_MPT + "attn.out_proj.weight",
    up=_MPT + "ffn.up_proj.weight",
    down=_MPT + "ffn.down_proj.weight",
    attention_norm=_MPT + "norm_1.weight",
    ffn_norm=_MPT + "norm_2.weight",
    layer_norm=True,
    activation="gelu",
    activation_keys=(),
    rotary=False,
)

STABLELM = replace(
    PLAIN_LLAMA, name="stablelm", model_types=("stablelm",), layer_norm=True, norm_bias=True
)
_PARALLEL: dict[str, Any] = {"ffn_norm": M + "input_layernorm.weight"}
_QK_HEADS: dict[str, Any] = {
    "qk_norm": "head",
    "qk_layer_norm": True,
    "q_norm": A + "q_layernorm.norms.{h}.weight",
    "k_norm": A + "k_layernorm.norms.{h}.weight",
}

OLMO = replace(
    PLAIN_LLAMA,
    name="olmo",
    model_types=("olmo",),
    attention_norm=None,
    ffn_norm=None,
    layer_norm=True,
)
OLMO2 = replace(
    PLAIN_LLAMA,
    name="olmo2",
    model_types=("olmo2", "olmo3"),
    attention_norm=None,
    ffn_norm=None,
    attention_post_norm=M + "post_attention_layernorm.weight",
    ffn_post_norm=M + "post_feedforward_layernorm.weight",
    qk_norm="whole",
    q_norm=A + "q_norm.weight",
    k_norm=A + "k_norm.weight",
)

INTERNLM2 = Family(
    name="internlm2",
    model_types=("internlm2",),
    prefixes=("model.", ""),
    embedding="model.tok_embeddings.weight",
    qkv=M + "attention.wqkv.weight",
    qkv_layout="grouped",
    o=M + "attention.wo.weight",
    up=M + "feed_forward.w3.weight",
    gate=M + "feed_forward.w1.weight",
    down=M + "feed_forward.w2.weight",
    attention_norm=M + "attention_norm.weight",
    ffn_norm=M + "ffn_norm.weight",
    kv_heads_keys=("num_key_value_heads",),
    ffn_keys=("intermediate_size",),
)

BAICHUAN = replace(
    PLAIN_LLAMA,
    name="baichuan",
    model_types=("baichuan",),
    q=None,
    k=None,
    v=None,
    qkv=A + "W_pack.weight",
    kv_heads_keys=(),
)

_GLM = "transformer.encoder.layers.{i}."
CHATGLM = Family(
    name="chatglm",
    model_types=("chatglm",),
    when={"multi_query_attention": True},
    prefixes=_TRANSFORMER,
    embedding="transformer.embedding.word_embeddings.weight",
    qkv=_GLM + "self_attention.query_key_value.weight",
    o=_GLM + "self_attention.dense.weight",
    gate_up=_GLM + "mlp.dense_h_to_4h.weight",
    down=_GLM + "mlp.dense_4h_to_h.weight",
    attention_norm=_GLM + "input_layernorm.weight",
    ffn_norm=_GLM + "post_attention_layernorm.weight",
    kv_heads_keys=("multi_query_group_num",),
    ffn_keys=("ffn_hidden_size",),
    activation_keys=(),
)

GLM = replace(
    PLAIN_LLAMA,
    name="glm",
    model_types=("glm",),
    up=None,
    gate=None,
    gate_up=M + "mlp.gate_up_proj.weight",
)
GLM4 = replace(
    GLM,
    name="glm4",
    model_types=("glm4", "glm4v_text"),
    attention_post_norm=M + "post_self_attn_layernorm.weight",
    ffn_post_norm=M + "post_mlp_layernorm.weight",
)

MIXTRAL = replace(
    PLAIN_LLAMA,
    name="mixtral",
    model_types=("mixtral",),
    defaults={"num_experts_per_tok": 2},
    up=None,
    gate=None,
    down=None,
    ffn_keys=(),
    router=M + "block_sparse_moe.gate.weight",
    fused_router=M + "mlp.gate.weight",
    expert_up=M + "block_sparse_moe.experts.{e}.w3.weight",
    expert_gate=M + "block_sparse_moe.experts.{e}.w1.weight",
    expert_down=M + "block_sparse_moe.experts.{e}.w2.weight",
    experts_gate_up=M + "mlp.experts.gate_up_proj",
    experts_down=M + "mlp.experts.down_proj",
)
QWEN_EXPERTS: dict[str, Any] = {
    "ffn_keys": (),
    "router": M + "mlp.gate.weight",
    "norm_topk": False,
    "norm_topk_keys": ("norm_topk_prob",),
    "expert_up": M + "mlp.experts.{e}.up_proj.weight",
    "expert_gate": M + "mlp.experts.{e}.gate_proj.weight",
    "expert_down": M + "mlp.experts.{e}.down_proj.weight",
    "experts_gate_up": M + "mlp.experts.gate_up_proj",
    "experts_down": M + "mlp.experts.down_proj",
}
QWEN2_MOE = replace(
    PLAIN_LLAMA,
    name="qwen2_moe",
    model_types=("qwen2_moe",),
    defaults={"num_experts_per_tok": 4},
    shared_up=M + "mlp.shared_expert.up_proj.weight",
    shared_gate=M + "mlp.shared_expert.gate_proj.weight",
    shared_down=M + "mlp.shared_expert.down_proj.weight",
    shared_router=M + "mlp.shared_expert_gate.weight",
    **QWEN_EXPERTS,
)

_COMMON: tuple[Family, ...] = (
    LLAMA,
    PLAIN_LLAMA,
    OPT,
    QWEN,
    replace(
        PLAIN_LLAMA,
        name="qwen2",
        model_types=("qwen2", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"),
    ),
    QWEN3,
    GEMMA,
    GEMMA2,
    GEMMA3,
    PHI,
    PHI3,
    GPT2,
    GPT_NEO,
    GPTJ,
    GPT_NEOX,
    BLOOM,
    FALCON_ONE_NORM,
    FALCON_GROUPED,
    FALCON_7B,
    FALCON,
    *FALCON_2023,
    MPT,
    STABLELM,
    OLMO,
    OLMO2,
    INTERNLM2,
    BAICHUAN,
    CHATGLM,
    GLM,
    GLM4,
    MIXTRAL,
    QWEN2_MOE,
    replace(
        QWEN3,
        name="qwen3_moe",
        model_types=("qwen3_moe",),
        defaults={"num_experts_per_tok": 8},
        **QWEN_EXPERTS,
    ),
)
# Variants that must be asked for before the entries above.
FIRST: tuple[Family, ...] = (
    replace(OPT, when={"do_layer_norm_before": False}, refused=_AFTER),
    replace(BLOOM, when={"apply_residual_connection_post_layernorm": True}, refused=_AFTER),
    replace(MPT, when={"attn_config.qk_ln": True}, refused="it normalises queries and keys"),
    replace(
        PHI,
        when={"qk_layernorm": True},
        qk_norm="head",
        qk_layer_norm=True,
        q_norm=A + "q_layernorm.weight",
        k_norm=A + "k_layernorm.weight",
    ),
    replace(
        STABLELM,
        when={"use_parallel_residual": True, "qk_layernorm": True},
        **_PARALLEL,
        **_QK_HEADS,
    ),
    replace(STABLELM, when={"use_parallel_residual": True}, **_PARALLEL),
    replace(STABLELM, when={"qk_layernorm": True}, **_QK_HEADS),
    *_COMMON,
)
