"""GGUF files of transformers models, written as llama.cpp's converter writes them.

Its rules are spelled out here once more: names by gguf's map, rows of q and k in pairs, fused
matrices cut, experts in one tensor, one added to some norms.
"""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import quants

LLAMA_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.layers.{i}.self_attn.q_proj.weight": "blk.{i}.attn_q.weight",
    "model.layers.{i}.self_attn.k_proj.weight": "blk.{i}.attn_k.weight",
    "model.layers.{i}.self_attn.v_proj.weight": "blk.{i}.attn_v.weight",
    "model.layers.{i}.self_attn.o_proj.weight": "blk.{i}.attn_output.weight",
    "model.layers.{i}.mlp.up_proj.weight": "blk.{i}.ffn_up.weight",
    "model.layers.{i}.mlp.down_proj.weight": "blk.{i}.ffn_down.weight",
    "model.layers.{i}.mlp.gate_proj.weight": "blk.{i}.ffn_gate.weight",
    "model.layers.{i}.input_layernorm.weight": "blk.{i}.attn_norm.weight",
    "model.layers.{i}.post_attention_layernorm.weight": "blk.{i}.ffn_norm.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
GEMMA3_NAMES = {
    **{theirs: name for theirs, name in LLAMA_NAMES.items() if theirs != "lm_head.weight"},
    "model.layers.{i}.self_attn.q_norm.weight": "blk.{i}.attn_q_norm.weight",
    "model.layers.{i}.self_attn.k_norm.weight": "blk.{i}.attn_k_norm.weight",
    "model.layers.{i}.post_attention_layernorm.weight": "blk.{i}.post_attention_norm.weight",
    "model.layers.{i}.pre_feedforward_layernorm.weight": "blk.{i}.ffn_norm.weight",
    "model.layers.{i}.post_feedforward_layernorm.weight": "blk.{i}.post_ffw_norm.weight",
}
PAIRED = (
    *("llama", "arcee", "ernie4_5", "ernie4_5-moe", "granite", "granitemoe", "mistral3", "olmo"),
    "smollm3",
)
ONE_MORE = ("gemma", "gemma2", "gemma3", "nemotron")
FUSED_BY_HEAD = ("bloom", "gptneox")
FUSED_EXPERTS = (
    *("experts.gate_up_proj", "experts.gate_up_proj_bias", "block_sparse_moe.input_linear.weight"),
)


def interleaved(w: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's row order: within each head, row j of the first half, then row j of the second,
    for j = 0, 1, 2 ..."""
    size = len(w) // heads
    order = []
    for head in range(heads):
        for j in range(size // 2):
            order += [head * size + j, head * size + size // 2 + j]
    return w[order]


def converted(arch: str, config: dict, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint's tensors under GGUF's names, as llama.cpp has them."""
    numbers = {text: number for number, text in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(numbers[arch], layers_of(config))
    heads = config.get("num_attention_heads") or config.get("n_head")
    kv = config.get("num_key_value_heads") or heads
    out: dict[str, np.ndarray] = {}
    stacks: dict[str, dict[int, np.ndarray]] = {}
    for name, w in tensors.items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        if arch in PAIRED and name.endswith(("q_proj.weight", "q_proj.bias")):
            w = interleaved(w, heads)
        if arch in PAIRED and name.endswith(("k_proj.weight", "k_proj.bias")):
            w = interleaved(w, kv)
        if arch in ONE_MORE and name.endswith("norm.weight"):
            w = w + np.float32(1)
        if arch == "gpt2" and re.search(r"(c_attn|c_proj|c_fc)\.weight$", name):
            w = w.T
        if arch in FUSED_BY_HEAD and "query_key_value" in name:
            w = np.concatenate(list(w.reshape(heads, 3, -1, *w.shape[1:]).swapaxes(0, 1)))
            w = w.reshape(-1, *w.shape[2:])
        if arch == "falcon" and "query_key_value" in name:
            w = falcon_fused(w, config)
        single = re.fullmatch(r"(.*experts)\.(\d+)\.(.*)", name)
        layered = re.fullmatch(r"(.*_layernorm)\.norms\.(\d+)(\.weight)", name)
        if single or layered:
            stem, n, rest = (single or layered).groups()
            joined = f"{stem}.{rest}" if single else stem + rest
            stacks.setdefault(joined, {})[int(n)] = w
        elif name.endswith(FUSED_EXPERTS):
            stem = re.sub(r"(experts\.gate_up_proj|input_linear\.weight)(_bias)?$", "", name)
            stem += "experts." if "block_sparse_moe" not in stem else ""
            stem = stem.replace("block_sparse_moe.", "mlp.experts.")
            for half, part in zip(halves(arch, w), ("gate_proj", "up_proj"), strict=True):
                end = "bias" if name.endswith("_bias") else "weight"
                out |= mapped(names, f"{stem}{part}.{end}", half)
        elif name.endswith("experts.down_proj_bias"):
            out |= mapped(names, name.removesuffix("_bias") + ".bias", w)
        else:
            if arch == "gpt-oss" and name.endswith("experts.down_proj"):
                w = w.swapaxes(1, 2)
            out |= mapped(names, name, w)
    for name, parts in stacks.items():
        out |= mapped(names, name, np.stack([parts[n] for n in range(len(parts))]))
    return {n: np.ascontiguousarray(w, dtype=np.float32) for n, w in out.items()}


def halves(arch: str, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gate and up (experts, F, d) of experts that have both in one."""
    if arch == "gpt-oss":  # (experts, d, 2 F), columns of the two taking turns
        w = w.swapaxes(1, 2) if w.ndim == 3 else w
        return w[:, 0::2], w[:, 1::2]
    half = w.shape[1] // 2
    return w[:, :half], w[:, half:]


def falcon_fused(w: np.ndarray, config: dict) -> np.ndarray:
    heads = config["num_attention_heads"]
    if config.get("new_decoder_architecture"):
        kv = config["num_kv_heads"]
    else:
        kv = 1 if config.get("multi_query") else heads
    parts = w.reshape(kv, heads // kv + 2, -1, *w.shape[1:])
    return np.concatenate([p.reshape(-1, *w.shape[1:]) for p in np.split(parts, [-2, -1], axis=1)])


def mapped(names, name: str, w: np.ndarray) -> dict[str, np.ndarray]:
    if name.endswith("e_score_correction_bias"):
        name = name.removesuffix("_bias") + ".bias"
    if not name.endswith((".weight", ".bias")):
        name += ".weight"
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:  # as the converter of BLOOM does
        found = names.get_name(name.removeprefix("transformer."), try_suffixes=(".weight", ".bias"))
    return {} if found is None else {found: w}


def layers_of(config: dict) -> int:
    return config.get("num_hidden_layers") or config.get("n_layer") or config["n_layers"]


def header_of(config: dict) -> dict[str, object]:
    """What the header says of a config, behind the architecture's name."""

    def first(*keys):
        return next((config[k] for k in keys if config.get(k) is not None), None)

    heads = first("num_attention_heads", "n_head", "n_heads")
    says = {
        "block_count": layers_of(config),
        "embedding_length": first("hidden_size", "n_embd", "d_model"),
        "feed_forward_length": first("intermediate_size", "n_inner", "ffn_hidden_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": first("num_key_value_heads", "num_kv_heads") or heads,
        "attention.key_length": config.get("head_dim"),
        "expert_count": first(
            "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"
        ),
        "expert_used_count": first("num_experts_per_tok", "moe_topk", "moe_k"),
        "expert_weights_norm": config.get("norm_topk_prob"),
        "expert_weights_scale": config.get("routed_scaling_factor"),
        "expert_group_count": config.get("n_group"),
        "expert_group_used_count": config.get("topk_group"),
    }
    if config["model_type"] == "granite" or config["model_type"] == "granitemoe":
        says["attention.scale"] = config["attention_multiplier"]
    if config["model_type"] == "falcon" and not config["new_decoder_architecture"]:
        says["attention.head_count_kv"] = 1 if config["multi_query"] else heads
    return {k: v for k, v in says.items() if v is not None}


def write_gguf(
    path: Path,
    arch: str,
    says: dict[str, object],
    tensors: dict[str, np.ndarray],
    kind: Kind = Kind.F32,
    *,
    texts: list[str] | None = None,
    types: list[int] | None = None,
    tokenizer: dict | None = None,
    more: dict | None = None,
) -> Path:
    """A GGUF file, its matrices quantised as ``kind``. tokenizer: arrays under tokenizer.ggml;
    more: keys under their full names."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in {**{f"{arch}.{k}": v for k, v in says.items()}, **(more or {})}.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_uint32(key, value)
    if texts is not None:
        writer.add_token_list(texts)
        writer.add_token_types(types or [1] * len(texts))
    for key, values in (tokenizer or {}).items():
        writer.add_array(f"tokenizer.ggml.{key}", values)
    for name, values in tensors.items():
        if values.dtype != np.float32 or values.ndim == 1 or kind == Kind.F32:
            writer.add_tensor(name, np.ascontiguousarray(values))
        else:
            writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
