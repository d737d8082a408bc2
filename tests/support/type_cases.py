"""What is told of each type's tiny model, beside what all have (typed_models.SMALL)."""

from __future__ import annotations

from typing import Any

from tests.support.typed_models import Type

PLAIN_ROPE: dict[str, Any] = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
LINEAR: dict[str, Any] = {"layer_types": ["linear_attention", "full_attention"]}
CONV: dict[str, Any] = {"layer_types": ["conv", "full_attention"]}
MAMBA: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_chunk_size": 2}
NEMOTRON: dict[str, Any] = {"moe_shared_expert_intermediate_size": 12, "mamba_chunk_size": 2}
ONE_SIZE: dict[str, Any] = {
    "hidden_size_per_layer_input": 0,
    "num_kv_shared_layers": 0,
    "global_head_dim": 8,
}
SHARED = ("block_sparse_moe", "shared_mlp")
PLAIN = (
    "cwm exaone iquestcoder ministral ministral3 ernie4_5 smollm3 seed_oss granite granite_swa "
    "cohere cohere2 apertus apertus1p5_text exaone4 nanochat starcoder2 gpt_bigcode "
    "hunyuan_v1_dense vaultgemma nemotron jais2 arcee bitnet hyperclovax gpt-sw3 "
    "modernbert-decoder dots1 solar_open glm4_moe exaone_moe mellum ernie4_5_moe olmoe "
    "flex_olmo hunyuan_v1_moe phimoe minimax_m2 minimax_m3_vl_text granitemoe cohere2_moe "
    "llama4_text aria_text hy_v3 afmoe kolibri1 laguna sarvam_moe"
)
LATENT = Type(drop=("head_dim",), config={"num_key_value_heads": 4})
LATENTS = "deepseek_v3 deepseek_v2 deepseek_v32 glm_moe_dsa glm4_moe_lite sarvam_mla minicpm3 youtu"
TYPES: dict[str, Type] = {
    **{name: Type() for name in PLAIN.split()},
    **dict.fromkeys(LATENTS.split(), LATENT),
    "deepseek_v3, groups": Type(
        drop=("head_dim",),
        config={
            "num_key_value_heads": 4,
            "n_routed_experts": 8,
            "num_local_experts": 8,
            "n_group": 4,
            "topk_group": 2,
        },
    ),
    "deepseek_v2, groups": Type(
        drop=("head_dim",),
        config={
            "num_key_value_heads": 4,
            "n_routed_experts": 8,
            "num_experts": 8,
            "n_group": 4,
            "topk_group": 2,
            "topk_method": "group_limited_greedy",
        },
    ),
    "cohere2_moe, sigmoid": Type(
        config={
            "expert_selection_fn": "sigmoid",
            "norm_topk_prob": True,
            "shared_expert_combination_strategy": "average",
        }
    ),
    "helium": Type(config={"head_dim": 8}),
    "cohere, queries normalised": Type(config={"use_qk_norm": True}),
    "gpt_bigcode, all heads": Type(config={"multi_query": False}),
    "hyperclovax, no norm after": Type(config={"use_post_norm": False}),
    "persimmon": Type(config={"num_key_value_heads": 4}),
    "persimmon, plain": Type(config={"num_key_value_heads": 4, "qk_layernorm": False}),
    "llama4_text, queries as they are": Type(config={"use_qk_norm": False}),
    "gpt_oss": Type(config=PLAIN_ROPE),
    "granitemoeshared": Type(ffn=SHARED),
    "granitemoe_swa": Type(ffn=SHARED),
    # Both multiply what is written by a number of the layer's own.
    "beam": Type(scaled=True),
    "mimo_v2_flash": Type(scaled=True),
    "qwen3_next": Type(config=LINEAR, openers=("q_proj",)),
    "qwen3_5_text": Type(config=LINEAR, openers=("q_proj",)),
    "qwen3_5_moe_text": Type(config=LINEAR, openers=("q_proj",)),
    "lfm2": Type(config=CONV),
    "lfm3": Type(config=CONV),
    "flint": Type(),
    "cohere_compass_text": Type(
        config={
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": dict.fromkeys(
                ("sliding_attention", "full_attention"), PLAIN_ROPE["rope_parameters"]
            ),
        }
    ),
    "lara_mini": Type(config=LINEAR),
    "recurrent_gemma": Type(config={"block_types": ["recurrent", "attention"]}),
    "jamba": Type(
        config={
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
        }
    ),
    "nemotron_h": Type(
        config={"layers_block_type": ["mamba", "attention", "mlp"], **NEMOTRON},
        attention="mixer",
        ffn=(),
    ),
    "nemotron_h, dense": Type(
        config={"layers_block_type": ["attention", "mlp"], **NEMOTRON},
        attention=None,
        ffn=("mixer",),
    ),
    "nemotron_h, experts": Type(
        config={"layers_block_type": ["attention", "moe"], **NEMOTRON},
        attention=None,
        ffn=("mixer",),
    ),
    "kimi_linear": Type(
        config={
            **LINEAR,
            "num_key_value_heads": 4,
            "linear_num_heads": 2,
            "linear_head_dim": 6,
            "first_k_dense_replace": 0,
        }
    ),
    "falcon_h1": Type(
        config={**MAMBA, "mamba_d_ssm": 64},
        silent=("mamba",),
        readers=("model.layers.{i}.mamba.in_proj.weight",),
    ),
    "bamba": Type(config={**MAMBA, "attn_layer_indices": [1]}),
    "granitemoehybrid": Type(config={**LINEAR, **MAMBA}, ffn=SHARED),
    "granitemoehybrid, dense": Type(
        config={**LINEAR, **MAMBA, "num_local_experts": 0}, ffn=("shared_mlp",)
    ),
    "gemma4_text": Type(config=ONE_SIZE),
    "gemma4_text, sliding": Type(config=ONE_SIZE, layer=0),
    "gemma4_text, keys borrowed": Type(
        config={
            **ONE_SIZE,
            "hidden_size_per_layer_input": 6,
            "vocab_size_per_layer_input": 96,
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 2,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
        layer=2,
        attention=None,
        silent=("self_attn", "post_per_layer_input_norm"),
        borrows=True,
    ),
    "gemma4_unified_text": Type(config={"num_kv_shared_layers": 0, "global_head_dim": 8}),
    "lfm2_moe": Type(config={**CONV, "num_dense_layers": 0}),
}

# Models of images (or sound) and text, by the type of their text part.
COMPOSED = {
    "emu3": "emu3_text_model",
    "fuyu": "persimmon",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "got_ocr2": "qwen2",
    "llama4": "llama4_text",
    "moss_transcribe_diarize": "qwen3",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "llava": "llama",
    "mistral3": "mistral",
    "internvl": "qwen2",
    "idefics3": "llama",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen3_vl": "qwen3_vl_text",
    "glm4v": "glm4v_text",
    "kimi_k25": "deepseek_v3",
    "lfm2_vl": "lfm2",
}
