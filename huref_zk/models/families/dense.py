"""Entries of models with one feed-forward block a layer and heads of queries, keys and values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from huref_zk.models.families.base import (
    GEMMA,
    GEMMA3,
    GPT2,
    GPT_NEOX,
    GPTJ,
    LLAMA,
    OPT,
    PHI,
    PLAIN_LLAMA,
    QWEN3,
    A,
    M,
)
from huref_zk.models.families.family import Family

FC: dict[str, Any] = {"gate": None, "up": M + "mlp.up_proj.weight"}
CLASSIC: dict[str, Any] = {"layer_norm": True, "norm_bias": True}
QK: dict[str, Any] = {"q_norm": A + "q_norm.weight", "k_norm": A + "k_norm.weight"}

GRANITE = replace(
    LLAMA,
    name="granite",
    model_types=("granite", "granite_swa"),
    scale_keys=("attention_multiplier",),
)
COHERE = replace(
    PLAIN_LLAMA,
    name="cohere",
    model_types=("cohere", "cohere2", "cohere_compass_text"),
    layer_norm=True,
    ffn_norm=M + "input_layernorm.weight",
)
COHERE_QK = replace(COHERE, when={"use_qk_norm": True}, qk_norm="head", qk_layer_norm=True, **QK)
APERTUS = replace(
    QWEN3,
    name="apertus",
    model_types=("apertus", "apertus1p5_text"),
    attention_norm=M + "attention_layernorm.weight",
    ffn_norm=M + "feedforward_layernorm.weight",
    activation="xielu",
    activation_tensors=M + "mlp.act_fn.",
    **FC,
)
EXAONE4 = replace(
    QWEN3,
    name="exaone4",
    model_types=("exaone4",),
    attention_norm=None,
    ffn_norm=None,
    attention_post_norm=M + "post_attention_layernorm.weight",
    ffn_post_norm=M + "post_feedforward_layernorm.weight",
)
NANOCHAT = replace(
    PLAIN_LLAMA,
    name="nanochat",
    model_types=("nanochat",),
    attention_norm=None,
    ffn_norm=None,
    bare_norms=True,
    qk_norm="head",
    gate=None,
    up=M + "mlp.fc1.weight",
    down=M + "mlp.fc2.weight",
)
STARCODER2 = replace(
    PLAIN_LLAMA,
    name="starcoder2",
    model_types=("starcoder2",),
    gate=None,
    up=M + "mlp.c_fc.weight",
    down=M + "mlp.c_proj.weight",
    ffn_bias=True,
    ffn_bias_keys=("use_bias",),
    **CLASSIC,
)
BIGCODE = replace(
    GPT2,
    name="gpt_bigcode",
    model_types=("gpt_bigcode",),
    transposed=False,
    multi_query=True,
    activation="gelu_pytorch_tanh",
)
BIGCODE_MHA = replace(
    BIGCODE, when={"multi_query": False}, multi_query=False, qkv_layout="per_head"
)
HUNYUAN = replace(
    QWEN3,
    name="hunyuan_v1",
    model_types=("hunyuan_v1_dense",),
    q_norm=A + "query_layernorm.weight",
    k_norm=A + "key_layernorm.weight",
)
VAULTGEMMA = replace(
    GEMMA,
    name="vaultgemma",
    model_types=("vaultgemma",),
    ffn_norm=M + "pre_feedforward_layernorm.weight",
    scale_root_keys=("query_pre_attn_scalar",),
)
PERSIMMON = replace(
    PHI,
    name="persimmon",
    model_types=("persimmon",),
    q=None,
    k=None,
    v=None,
    kv_heads_keys=(),
    qkv=A + "query_key_value.weight",
    qkv_layout="per_head",
    up=M + "mlp.dense_h_to_4h.weight",
    down=M + "mlp.dense_4h_to_h.weight",
    ffn_norm=M + "post_attention_layernorm.weight",
    activation="relu2",
)
PERSIMMON_QK = replace(
    PERSIMMON,
    when={"qk_layernorm": True},
    qk_norm="head",
    qk_layer_norm=True,
    q_norm=A + "q_layernorm.weight",
    k_norm=A + "k_layernorm.weight",
)


def _opt(start: str, **more: Any) -> dict[str, Any]:
    """Names of OPT's kind under another prefix."""
    layer = start + "layers.{i}."
    return {
        "prefixes": (start, ""),
        "embedding": start + "embed_tokens.weight",
        "q": layer + "self_attn.q_proj.weight",
        "k": layer + "self_attn.k_proj.weight",
        "v": layer + "self_attn.v_proj.weight",
        "o": layer + "self_attn.out_proj.weight",
        "up": layer + "fc1.weight",
        "down": layer + "fc2.weight",
        "attention_norm": layer + "self_attn_layer_norm.weight",
        "ffn_norm": layer + "final_layer_norm.weight",
        "activation": "gelu",
        "ffn_bias_keys": (),
        **more,
    }


BIOGPT = replace(
    OPT,
    name="biogpt",
    model_types=("biogpt",),
    ffn_keys=("intermediate_size",),
    activation_keys=("hidden_act",),
    **_opt("biogpt.", embedding_positions="biogpt.embed_positions.weight"),
)
XGLM = replace(
    OPT,
    name="xglm",
    model_types=("xglm",),
    heads_keys=("attention_heads",),
    **_opt("model.", embedding_positions=None, positions_start=0),
)
NEMOTRON = replace(
    LLAMA,
    name="nemotron",
    model_types=("nemotron",),
    norm_offset=1.0,
    activation="relu2",
    **FC,
    **CLASSIC,
)
JAIS2 = replace(LLAMA, name="jais2", model_types=("jais2",), activation="relu2", **FC, **CLASSIC)
ARCEE = replace(LLAMA, name="arcee", model_types=("arcee",), activation="relu2", **FC)
BITNET = replace(
    PLAIN_LLAMA,
    name="bitnet",
    model_types=("bitnet",),
    value_norm="whole",
    value_gain=A + "attn_sub_norm.weight",
    ffn_sub_norm=M + "mlp.ffn_sub_norm.weight",
    activation="relu2",
)
_JAPANESE = "gpt_neox_japanese."
NEOX_JAPANESE = replace(
    GPT_NEOX,
    name="gpt_neox_japanese",
    model_types=("gpt_neox_japanese",),
    prefixes=(_JAPANESE, ""),
    ffn_bias=False,
    **{
        name: getattr(GPT_NEOX, name).replace("gpt_neox.", _JAPANESE)
        for name in ("embedding", "qkv", "o", "up", "down", "attention_norm", "ffn_norm")
    },
)
CODEGEN = replace(
    GPTJ,
    name="codegen",
    model_types=("codegen",),
    q=None,
    k=None,
    v=None,
    qkv="transformer.h.{i}.attn.qkv_proj.weight",
    qkv_layout="quarters",
)
_CTRL = "transformer.h.{i}."
CTRL = Family(
    name="ctrl",
    model_types=("ctrl",),
    prefixes=("transformer.", ""),
    embedding="transformer.w.weight",
    q=_CTRL + "multi_head_attention.Wq.weight",
    k=_CTRL + "multi_head_attention.Wk.weight",
    v=_CTRL + "multi_head_attention.Wv.weight",
    o=_CTRL + "multi_head_attention.dense.weight",
    up=_CTRL + "ffn.0.weight",
    down=_CTRL + "ffn.2.weight",
    attention_norm=_CTRL + "layernorm1.weight",
    ffn_norm=_CTRL + "layernorm2.weight",
    activation="relu",
    activation_keys=(),
    ffn_bias=True,
    rotary=False,
    **CLASSIC,
)
MODERNBERT = replace(
    PLAIN_LLAMA,
    name="modernbert-decoder",
    model_types=("modernbert-decoder",),
    kv_heads_keys=(),
    embedding="model.embeddings.tok_embeddings.weight",
    embedding_norm="model.embeddings.norm.weight",
    q=M + "attn.q_proj.weight",
    k=M + "attn.k_proj.weight",
    v=M + "attn.v_proj.weight",
    o=M + "attn.Wo.weight",
    up=None,
    gate=None,
    gate_up=M + "mlp.Wi.weight",
    down=M + "mlp.Wo.weight",
    attention_norm=M + "attn_norm.weight",
    ffn_norm=M + "mlp_norm.weight",
    layer_norm=True,
    activation="gelu",
    activation_keys=("hidden_activation",),
    ffn_bias_keys=("mlp_bias",),
    partial=True,
)
HYPERCLOVAX = replace(
    LLAMA,
    name="hyperclovax",
    model_types=("hyperclovax",),
    scale_keys=("attention_multiplier",),
)
HYPERCLOVAX_POST = replace(
    HYPERCLOVAX,
    when={"use_post_norm": True},
    attention_post_norm=M + "post_norm1.weight",
    ffn_post_norm=M + "post_norm2.weight",
)
GATE: dict[str, Any] = {"attention_gate": A + "gate_proj.weight"}
BEAM = replace(
    GEMMA3,
    name="beam",
    model_types=("beam",),
    norm_offset=0.0,
    activation="silu",
    activation_keys=("hidden_act",),
    defaults={},
    attention_gate_bias=A + "gate_bias",
    **GATE,
)
AFMOE_NORMS: dict[str, Any] = {
    "attention_post_norm": M + "post_attention_layernorm.weight",
    "ffn_norm": M + "pre_mlp_layernorm.weight",
    "ffn_post_norm": M + "post_mlp_layernorm.weight",
}

_EXAONE = "transformer.h.{i}."
EXAONE = replace(
    LLAMA,
    name="exaone",
    model_types=("exaone",),
    prefixes=("transformer.",),
    embedding="transformer.wte.weight",
    q=_EXAONE + "attn.attention.q_proj.weight",
    k=_EXAONE + "attn.attention.k_proj.weight",
    v=_EXAONE + "attn.attention.v_proj.weight",
    o=_EXAONE + "attn.attention.out_proj.weight",
    up=_EXAONE + "mlp.c_fc_1.weight",
    gate=_EXAONE + "mlp.c_fc_0.weight",
    down=_EXAONE + "mlp.c_proj.weight",
    attention_norm=_EXAONE + "ln_1.weight",
    ffn_norm=_EXAONE + "ln_2.weight",
    activation_keys=("activation_function", "hidden_act"),
)

DENSE: tuple[Family, ...] = (
    EXAONE,
    replace(LLAMA, name="ernie4_5", model_types=("ernie4_5",), ffn_bias_keys=("use_bias",)),
    replace(LLAMA, name="smollm3", model_types=("smollm3",)),
    replace(LLAMA, name="seed_oss", model_types=("seed_oss",)),
    replace(LLAMA, name="helium", model_types=("helium",)),
    GRANITE,
    COHERE_QK,
    COHERE,
    APERTUS,
    EXAONE4,
    NANOCHAT,
    STARCODER2,
    BIGCODE_MHA,
    BIGCODE,
    HUNYUAN,
    VAULTGEMMA,
    PERSIMMON_QK,
    PERSIMMON,
    BIOGPT,
    XGLM,
    NEMOTRON,
    JAIS2,
    ARCEE,
    BITNET,
    NEOX_JAPANESE,
    CODEGEN,
    CTRL,
    MODERNBERT,
    HYPERCLOVAX_POST,
    HYPERCLOVAX,
    BEAM,
)
