"""A tiny model of every decoder type that transformers has and the table knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.support.black_box import Place, register

VOCAB, HIDDEN, LAYERS = 96, 32, 2
# Under whatever name a config has them; what it does not know is left out.
SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model"), HIDDEN),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), LAYERS),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "dff", "dim_ff"), 40),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("shared_expert_intermediate_size", "shared_intermediate_size"), 20),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 64),
    **dict.fromkeys(("num_shared_experts", "n_shared_experts"), 1),
    "vocab_size": VOCAB,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "moe_intermediate_size": 12,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 0,
    "q_lora_rank": 16,
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 6,
    "v_head_dim": 5,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 6,
    "mamba_num_heads": 6,
    "mamba_n_heads": 6,
    "mamba_head_dim": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 4,
    "ssm_state_size": 4,
    "n_groups": 1,
    "mamba_n_groups": 1,
    "index_n_heads": 2,
    "index_head_dim": 8,
    "index_topk": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_dropout": 0.0,
}
ATTENTION = ("self_attn", "attn", "attention", "self_attention", "temporal_block", "mixer")
FFN = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "moe", "mlp_block")
EPS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps")
EPS += ("rms_norm_epsilon", "layernorm_epsilon")


@dataclass(frozen=True)
class Type:
    """What is told of a type: changes to SMALL; layers: path to its list of layers; layer: the one
    that is looked at; attention, ffn: names of its modules there; openers: modules inside of
    attention whose answer counts without being differentiated; layer_norm: its norms take the mean
    off; rotates: whether a rotation of the residual stream keeps its function; drop: what of SMALL
    it does not get; scaled: what a block writes is multiplied by a number before it is added;
    silent: further modules of the layer that write; readers: further tensors that read behind the
    norm before attention; borrows: the layer's keys are another layer's; terms: those that the
    model has."""

    config: Mapping[str, Any] = field(default_factory=dict)
    layers: str = ""
    layer: int = 1
    attention: str | None = ""
    ffn: tuple[str, ...] | None = None
    openers: tuple[str, ...] = ()
    rotates: bool = True
    drop: tuple[str, ...] = ()
    scaled: bool = False
    silent: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    borrows: bool = False
    terms: tuple[int, ...] = (0, 1, 2)


def small_config(model_type: str, case: Type) -> dict[str, Any]:
    """What of SMALL a type's config knows, and what its case changes."""
    from transformers import AutoConfig

    plain = AutoConfig.for_model(model_type)
    known = {**plain.to_dict(), **getattr(plain, "attribute_map", {})}
    small = {k: v for k, v in SMALL.items() if k in known and k not in case.drop}
    return {**small, "tie_word_embeddings": False, **case.config}


def make_config(model_type: str, case: Type):
    from transformers import AutoConfig

    small = small_config(model_type, case)
    config = AutoConfig.for_model(model_type, **small)
    for part in (config, getattr(config, "text_config", None)):
        for eps in EPS:
            if hasattr(part, eps):
                setattr(part, eps, 1e-12)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    return config


def build(model_type: str, case: Type, seed: int = 0) -> nn.Module:
    """In float64, with random weights that float32 holds exactly."""
    from transformers import AutoModelForCausalLM

    register()
    model = AutoModelForCausalLM.from_config(make_config(model_type, case)).eval()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, p in [*model.named_parameters(), *model.named_buffers()]:
            last = name.split(".")[-1]
            if last in ("A_log", "dt_bias", "D", "alpha_p", "alpha_n", "beta", "eps", "inv_freq"):
                continue
            if last == "e_score_correction_bias" or last == "expert_bias":
                values = rng.normal(size=p.shape) * 0.3
            elif p.dtype != torch.float32 or (name in dict(model.named_buffers())):
                continue
            elif p.ndim == 1 and "bias" not in last:
                values = rng.uniform(0.5, 1.5, p.shape)
            elif p.ndim == 1 or last.endswith("bias"):
                values = rng.normal(size=p.shape) * 0.2
            elif p.shape[0] == VOCAB:
                values = rng.normal(size=p.shape)
            else:
                values = rng.normal(size=p.shape) * 0.8 / np.sqrt(p.shape[-1])
            p.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))
    return model.double()


def at(module, path: str):
    for part in path.split(".") if path else ():
        module = module[int(part)] if part.isdigit() else getattr(module, part)
    return module


def layers_of(model: nn.Module, case: Type) -> nn.ModuleList:
    """The longest list of layers, unless the case says where it is."""
    if case.layers:
        return at(model, case.layers)
    for name, module in model.named_modules():
        listed = isinstance(module, nn.ModuleList) and name.split(".")[-1] in ("layers", "h")
        if listed and "vision" not in name and "audio" not in name:
            return module
    raise AssertionError("no layers")


def place_of(model: nn.Module, case: Type) -> Place:
    layer = layers_of(model, case)[case.layer]

    def first(names):
        return next((getattr(layer, n) for n in names if hasattr(layer, n)), None)

    attention = (
        first(ATTENTION) if case.attention == "" else case.attention and at(layer, case.attention)
    )
    ffn = [first(FFN)] if case.ffn is None else [at(layer, n) for n in case.ffn]
    return Place(
        model,
        layer,
        attention or None,
        [m for m in ffn if m is not None],
        [at(attention, n) for n in case.openers],
        [at(layer, n) for n in case.silent],
    )


def saved(model: nn.Module, folder: Path) -> dict[str, np.ndarray]:
    """The checkpoint that transformers writes, and its tensors."""
    from safetensors.numpy import load_file

    implementation = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    model.float().save_pretrained(folder)
    model.double()
    model.config._attn_implementation = implementation
    return load_file(folder / "model.safetensors")


def config_of(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def composed(model_type: str, text_type: str) -> tuple[dict, dict[str, np.ndarray]]:
    """(config, tensors of all but images and sound, random) of a model with a text part; the rest
    is as large as its config says by itself, and is never made."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    from tests.support.type_cases import TYPES

    text = {**small_config(text_type, TYPES.get(text_type, Type())), "model_type": text_type}
    more = {"vocabulary_map": {"<image>": 5}} if model_type == "emu3" else {}
    config = AutoConfig.for_model(model_type, text_config=text, **more)
    make: Any = AutoModelForImageTextToText
    if type(config) not in make._model_mapping:
        make = AutoModelForCausalLM
    with torch.device("meta"):
        model = make.from_config(config)
    rng, tensors = np.random.default_rng(0), {}
    for name, p in model.state_dict().items():
        if not any(
            w in name for w in ("vision", "visual", "audio", "vq", "projector", "connector")
        ):
            values = rng.normal(size=tuple(p.shape)) if p.numel() < 1 << 20 else np.zeros(p.shape)
            tensors[name] = values.astype(np.float32)
    return json.loads(config.to_json_string(use_diff=False)), tensors
