"""The fields of an entry: where a model's tensors stand and how they are to be read, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

ACTIVATIONS = (
    "gelu",
    "gelu_10",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_pytorch_tanh",
    "linear",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
    "xielu",
)
"""Names of transformers' ACT2FN, made by invariants/activations.py."""
LAYOUTS = ("stacked", "per_head", "grouped", "quarters")
QK_NORMS = ("head", "whole")
SCORES = ("softmax", "sigmoid", "sparsemixer")
GROUPS = ("best", "two_best")
GATES = ("sigmoid", "softplus")


@dataclass(frozen=True)
class Family:
    """One entry. Every value is a string, a number, a truth value, or a list or object of such.

    Choice. model_types: config.json's ``model_type`` values it serves; when: what further keys of
    the config must say ("a.b" looks inside a); the first entry that fits is taken. refused: why
    models that fit this entry have no canonical form.

    Sizes. hidden_keys, heads_keys ...: config keys, of which the first present counts; without
    ffn_keys the width is read off the tensors; without kv_heads_keys there are as many as heads;
    multi_query: one for all. value_dim_keys: of a head's values where they are not as long as its
    queries. rope_dim_keys, nope_dim_keys: the parts of a head's queries that are turned by RoPE and
    that are not, where they stand apart. defaults: what the config may leave out. The config of a
    text part inside the config is looked at first. sizes_vary: heads and their dimension differ
    from layer to layer, and are read off q_norm and the weights.

    Tensors. In each name ``{i}`` stands for the layer, ``{e}`` for the expert, ``{h}`` for the
    head. prefixes: the first is how all the names here begin, the others are what may stand in its
    place. transposed: weights are stored (in, out) as Conv1D does, not (out, in) as nn.Linear.
    Either q, k, v or qkv; qkv_layout: "stacked" (all of q, of k, of v), "per_head" (q, k, v of a
    head, then the next head), "grouped" (the queries of a kv head, its key, its value, then the
    next), "quarters" (q, v, k of a quarter of the heads, then the next quarter). Or by latents:
    q_a, q_a_norm and q_b in place of q; kv_a, whose first rows, normalised by kv_a_norm, kv_b makes
    keys and values of, head by head, and whose last are the keys' part that RoPE turns, the same
    for all heads. shared_kv: the config's key that says how many of the last layers take keys and
    values of the last layer of their kind before. partial: a layer may lack attention or a
    feed-forward block, and what it lacks counts nothing; mixer: a tensor whose presence says that
    no attention stands in that layer.

    Either up (and gate) or gate_up, gate first. expert_*: the same for one expert of a mixture,
    experts_*: for all in one tensor of three axes; shared_*: for the expert that all tokens use.
    experts_transposed: those of three axes are (expert, in, out); experts_interleaved: rows of gate
    and up take turns; experts_bias: what reads has biases beside it. A layer without experts is
    read as a dense one.

    Routing. router, and fused_router beside experts_*: (experts, d), what chooses top_k of them.
    router_scores: what is made of its logits, "softmax" over all, "sigmoid" of each, or
    "sparsemixer" (two, each by a softmax over those near the largest left); router_bias: logits
    have a bias beside the weight; choice_bias: a tensor (experts,) added to the scores when
    choosing alone; choice_on_logits: to the logits. groups_keys, groups_kept_keys: experts come in
    groups, of which some are kept by their "best" score or the sum of their "two_best"
    (group_score). norm_topk: the chosen ones' weights are made to sum to one; router_scale_keys: a
    factor for them; scaled_input: the weight multiplies what the expert reads, not what it writes.
    idle_experts_keys: how many more the router may choose that hand the token back. shared_router:
    (1, d), whose sigmoid weighs the shared expert. share_key: a config key that, if "average",
    halves all of them.

    Feed-forward. activation: a name that transformers' ACT2FN knows, unless one of activation_keys
    is in the config; activation_tensors: how the names of xIELU's tensors begin. ffn_bias: up and
    gate have biases beside their weights; ffn_bias_keys: config keys that say otherwise. norm_bias:
    so have norms. ffn_sub_norm: a norm before down. limit_keys: gate is cut off above, up on both
    sides; up_offset: what is added to up; slope_keys: gate is bent by z sigmoid(slope z).
    gate_scale_keys: a factor on gate before it is bent ("a.0" is the first of a list).

    Norms. attention_norm, ffn_norm: before the block, the same name for both when the two blocks
    share one; *_post_norm: on a block's output; none: no gain. bare_norms: norms without weights
    stand before the blocks. norm_offset: a norm multiplies by its weight plus this. layer_norm:
    norms subtract the mean. embedding_norm: a LayerNorm on the embeddings. qk_norm with q_norm and
    k_norm: queries and keys are normalised by "head" or over the "whole" width, without those
    tensors by no gain; qk_norm_where: a config key with a list that says in which layers;
    qk_layer_norm: with their mean subtracted; qk_norm_offset: added to these
    gains in place of norm_offset. value_norm: likewise of values, or of what attention says before
    o; value_gain: its gain.

    Attention. attention_gate: what weighs each of o's columns, or each head, by gate_activation of
    what it says of the token, plus attention_gate_bias; gated_q: its rows follow each head's
    queries in q. scale, scale_keys: what logits are multiplied by, default head_dim^(-1/2);
    scale_root_keys: to the power -1/2; scale_powers: config keys whose powers are a factor more.

    Positions. rotary: queries and keys are, or may be, turned by RoPE; false where positions are
    embeddings or ALiBi, which leave a head's queries and keys free to be mixed.
    embedding_positions: a table of positions added to the embeddings, whose first row in use is
    positions_start.
    """

    name: str
    embedding: str
    o: str
    model_types: tuple[str, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)
    refused: str | None = None

    hidden_keys: tuple[str, ...] = ("hidden_size", "n_embd", "n_embed", "d_model")
    heads_keys: tuple[str, ...] = ("num_attention_heads", "n_head", "n_heads", "num_heads")
    kv_heads_keys: tuple[str, ...] = ()
    multi_query: bool = False
    head_dim_keys: tuple[str, ...] = ("head_dim", "kv_channels")
    value_dim_keys: tuple[str, ...] = ()
    rope_dim_keys: tuple[str, ...] = ()
    nope_dim_keys: tuple[str, ...] = ()
    sizes_vary: bool = False
    ffn_keys: tuple[str, ...] = ()
    layers_keys: tuple[str, ...] = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    vocab_keys: tuple[str, ...] = ("padded_vocab_size", "vocab_size")
    experts_keys: tuple[str, ...] = ("num_local_experts", "num_experts")
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)

    prefixes: tuple[str, ...] = ("",)
    transposed: bool = False
    q: str | None = None
    k: str | None = None
    v: str | None = None
    qkv: str | None = None
    qkv_layout: str = "stacked"
    q_a: str | None = None
    q_a_norm: str | None = None
    q_b: str | None = None
    kv_a: str | None = None
    kv_a_norm: str | None = None
    kv_b: str | None = None
    shared_kv: str | None = None
    partial: bool = False
    mixer: str | None = None

    up: str | None = None
    gate: str | None = None
    gate_up: str | None = None
    down: str | None = None
    expert_up: str | None = None
    expert_gate: str | None = None
    expert_down: str | None = None
    experts_up: str | None = None
    experts_gate_up: str | None = None
    experts_down: str | None = None
    experts_transposed: bool = False
    experts_interleaved: bool = False
    experts_bias: bool = False
    shared_up: str | None = None
    shared_gate: str | None = None
    shared_gate_up: str | None = None
    shared_down: str | None = None

    router: str | None = None
    fused_router: str | None = None
    router_scores: str = "softmax"
    router_bias: bool = False
    choice_bias: str | None = None
    choice_on_logits: bool = False
    groups_keys: tuple[str, ...] = ()
    groups_kept_keys: tuple[str, ...] = ()
    group_score: str = "two_best"
    shared_router: str | None = None
    share_key: str | None = None
    top_k_keys: tuple[str, ...] = ("num_experts_per_tok",)
    norm_topk: bool = True
    norm_topk_keys: tuple[str, ...] = ()
    router_scale_keys: tuple[str, ...] = ()
    scaled_input: bool = False
    idle_experts_keys: tuple[str, ...] = ()
    activation: str = "silu"
    activation_keys: tuple[str, ...] = ("hidden_act",)
    activation_tensors: str | None = None
    ffn_bias: bool = False
    ffn_bias_keys: tuple[str, ...] = ()
    ffn_sub_norm: str | None = None
    limit_keys: tuple[str, ...] = ()
    slope_keys: tuple[str, ...] = ()
    up_offset: float = 0.0
    gate_scale_keys: tuple[str, ...] = ()

    layer_norm: bool = False
    bare_norms: bool = False
    norm_offset: float = 0.0
    norm_bias: bool = False
    attention_norm: str | None = None
    ffn_norm: str | None = None
    attention_post_norm: str | None = None
    ffn_post_norm: str | None = None
    embedding_norm: str | None = None
    embedding_positions: str | None = None
    positions_start: int = 0
    qk_norm: str | None = None
    qk_layer_norm: bool = False
    qk_norm_offset: float | None = None
    qk_norm_where: str | None = None
    q_norm: str | None = None
    k_norm: str | None = None
    value_norm: str | None = None
    value_gain: str | None = None
    attention_gate: str | None = None
    attention_gate_bias: str | None = None
    gate_activation: str = "sigmoid"
    gated_q: bool = False
    scale: float | None = None
    scale_keys: tuple[str, ...] = ()
    scale_root_keys: tuple[str, ...] = ()
    scale_powers: Mapping[str, Any] = field(default_factory=dict, hash=False)

    rotary: bool = True


# Strings that name no tensor.
_PLAIN: tuple[str, ...] = (
    "name",
    "refused",
    "qkv_layout",
    "qk_norm",
    "qk_norm_where",
    "value_norm",
    "activation",
    "router_scores",
    "group_score",
    "share_key",
    "shared_kv",
    "gate_activation",
)
TENSORS = tuple(
    f.name for f in fields(Family) if str(f.type).startswith("str") and f.name not in _PLAIN
)
