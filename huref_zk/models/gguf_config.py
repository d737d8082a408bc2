"""The config of a GGUF file's model, under the keys that its family reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import Family, family_of
from huref_zk.models.gguf_architectures import ARCHITECTURES, Architecture
from huref_zk.models.gguf_reader import Header

# A family's fields of config keys -> the key in the header, behind the architecture's name.
_SIZES = {
    "hidden_keys": "embedding_length",
    "heads_keys": "attention.head_count",
    "kv_heads_keys": "attention.head_count_kv",
    "head_dim_keys": "attention.key_length",
    "value_dim_keys": "attention.value_length",
    "ffn_keys": "feed_forward_length",
    "layers_keys": "block_count",
    "experts_keys": "expert_count",
    "top_k_keys": "expert_used_count",
    "groups_keys": "expert_group_count",
    "groups_kept_keys": "expert_group_used_count",
    "norm_topk_keys": "expert_weights_norm",
    "router_scale_keys": "expert_weights_scale",
    "scale_keys": "attention.scale",
}
_NEEDED = ("hidden_keys", "heads_keys", "layers_keys")


def known(name: Any, source: str) -> Architecture:
    """What is known of an architecture. InputError for another."""
    from huref_zk.models.families import FAMILIES

    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else "None"
    types = {t for f in FAMILIES for t in f.model_types}
    if text not in ARCHITECTURES or ARCHITECTURES[text].model_type not in types:
        count = sum(kept.model_type in types for kept in ARCHITECTURES.values())
        raise InputError(
            f"{source}: GGUF architecture {text[:40]!r} is not supported; `huref-zk models` lists "
            f"the types, of which {count} are read as GGUF (docs/checkpoints.md)"
        )
    return ARCHITECTURES[text]


def config_of(source: str, header: Header) -> tuple[dict[str, Any], Family]:
    """(config, the entry that it fits). InputError for missing or senseless sizes."""
    name = header.fields["general.architecture"].decode()
    kept = known(name.encode(), source)

    def says(key: str) -> Any:
        return header.fields.get(f"{name}.{key}")

    model_type = kept.model_type
    if kept.mixture and says("expert_count"):
        model_type = kept.mixture
    config: dict[str, Any] = {"model_type": model_type, **kept.says}
    config |= _variant(name, header.tensors, says)
    family = family_of(config)
    for field, key in _SIZES.items():
        keys = getattr(family, field, ())
        if not keys:
            continue
        value = _one(says(key), source, f"{name}.{key}")
        if field in _NEEDED and type(value) is not int:
            raise InputError(f"{source}: the key {name}.{key} is missing or no integer")
        if value is not None:
            config[keys[0]] = value
    further = says("nextn_predict_layers")
    if type(further) is int and further:
        config[family.layers_keys[0]] -= further
        config["num_nextn_predict_layers"] = further
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None:
        raise InputError(f"{source}: tensor {family.embedding} is missing")
    if embedding.shape:
        config[family.vocab_keys[0]] = embedding.shape[0]
    config["tie_word_embeddings"] = "output.weight" not in header.tensors
    return config, family


def _variant(name: str, tensors: Mapping[str, Any], says: Any) -> dict[str, Any]:
    """What tells the variants of one model_type apart, as far as the tensors show it."""
    found: dict[str, Any] = {}
    if "blk.0.attn_q_norm.weight" in tensors:
        found |= {"qk_layernorm": True, "use_qk_norm": True}
    parallel = says("use_parallel_residual")
    if type(parallel) is bool:
        found["use_parallel_residual"] = parallel
    if name == "stablelm":  # whose parallel blocks have one norm
        found["use_parallel_residual"] = "blk.0.ffn_norm.weight" not in tensors
    if name == "falcon":
        one = says("attention.head_count_kv") == 1
        grouped = not one and says("attention.head_count_kv") != says("attention.head_count")
        found |= {"multi_query": one, "parallel_attn": one, "new_decoder_architecture": grouped}
        if grouped and "blk.0.attn_norm_2.weight" not in tensors:
            found["num_ln_in_parallel_attn"] = 1
    return found


def _one(value: Any, source: str, key: str) -> Any:
    """A number as it is; of one for each layer, the largest, as layers that have fewer heads or
    none are seen by their tensors."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
        if len(value) == 0 or len(value) > 1 << 16:
            raise InputError(f"{source}: the key {key} lists {len(value)} numbers")
        return int(value.max())
    if type(value) in (int, float, bool):
        return value
    return None
