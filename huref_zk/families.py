"""One table of model families: where each keeps its tensors, and how to read them.

To add a family, add an entry. Names are those of Hugging Face's checkpoints (GGUF files are
translated to them by load/gguf_file.py). ``{i}`` stands for the layer's number.
"""

from __future__ import annotations

from dataclasses import dataclass

from huref_zk.errors import InputError
from huref_zk.load.model import Model


@dataclass(frozen=True)
class Family:
    """One entry of the table.

    model_types: config.json's ``model_type`` values it serves. Tensor templates as named; weights
    are stored (out, in) as nn.Linear keeps them. norm_offset: 0 when the norm multiplies by gamma,
    1 when it multiplies by 1 + gamma. hidden, heads, kv_heads, ffn, layers: config keys.
    """

    name: str
    model_types: tuple[str, ...]
    embedding: str
    q: str
    k: str
    v: str
    o: str
    up: str
    down: str
    attention_norm: str
    ffn_norm: str
    gate: str | None = None
    norm_offset: float = 0.0
    ffn_key: str = "intermediate_size"
    kv_heads_key: str | None = "num_key_value_heads"


_LLAMA = "model.layers.{i}."
_OPT = "model.decoder.layers.{i}."

FAMILIES = (
    Family(
        name="llama",
        model_types=("llama", "mistral"),
        embedding="model.embed_tokens.weight",
        q=_LLAMA + "self_attn.q_proj.weight",
        k=_LLAMA + "self_attn.k_proj.weight",
        v=_LLAMA + "self_attn.v_proj.weight",
        o=_LLAMA + "self_attn.o_proj.weight",
        up=_LLAMA + "mlp.up_proj.weight",
        down=_LLAMA + "mlp.down_proj.weight",
        gate=_LLAMA + "mlp.gate_proj.weight",
        attention_norm=_LLAMA + "input_layernorm.weight",
        ffn_norm=_LLAMA + "post_attention_layernorm.weight",
    ),
    Family(
        name="opt",
        model_types=("opt",),
        embedding="model.decoder.embed_tokens.weight",
        q=_OPT + "self_attn.q_proj.weight",
        k=_OPT + "self_attn.k_proj.weight",
        v=_OPT + "self_attn.v_proj.weight",
        o=_OPT + "self_attn.out_proj.weight",
        up=_OPT + "fc1.weight",
        down=_OPT + "fc2.weight",
        attention_norm=_OPT + "self_attn_layer_norm.weight",
        ffn_norm=_OPT + "final_layer_norm.weight",
        ffn_key="ffn_dim",
        kv_heads_key=None,
    ),
)


def family_of(config: dict) -> Family:
    """The entry for a config's ``model_type``. InputError, naming what is known, if none."""
    model_type = config.get("model_type")
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = ", ".join(t for f in FAMILIES for t in f.model_types)
    raise InputError(f"architecture {str(model_type)[:40]!r} is not supported; known are: {known}")


def family_for(model: Model) -> Family:
    """The entry that reads ``model``. InputError when there is none."""
    return family_of(model.config)
