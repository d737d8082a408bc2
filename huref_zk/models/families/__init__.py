"""What a model family is: where its tensors stand and how to read them, as data.

The entries are in table.py. Names are those of Hugging Face's checkpoints (GGUF files are
translated to them by load/gguf_file.py); docs/families.md shows how to add one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.models.model import Model

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
)
"""Names of transformers' ACT2FN, made by invariants/activations.py."""
LAYOUTS = ("stacked", "per_head", "grouped")
QK_NORMS = ("head", "whole")
MAX_MAP = 1 << 16


@dataclass(frozen=True)
class Family:
    """One entry. Every value is a string, a number, a truth value, or a list or object of such.

    Choice. model_types: config.json's ``model_type`` values it serves; when: what further keys of
    the config must say ("a.b" looks inside a); the first entry that fits is taken. refused: why
    models that fit this entry have no canonical form.

    Sizes. hidden_keys, heads_keys ...: config keys, of which the first present counts; without
    ffn_keys the width is read off the tensors; without kv_heads_keys there are as many as heads;
    multi_query: one for all. defaults: what the config may leave out. A ``text_config`` inside the
    config is looked at first.

    Tensors. In each name ``{i}`` stands for the layer, ``{e}`` for the expert, ``{h}`` for the
    head. prefixes: the first is how all the names here begin, the others are what may stand in its
    place. transposed: weights are stored (in, out) as Conv1D does, not (out, in) as nn.Linear.
    Either q, k, v or qkv; qkv_layout: "stacked" (all of q, of k, of v), "per_head" (q, k, v of a
    head, then the next head), "grouped" (the queries of a kv head, its key, its value, then the
    next). Either up (and gate) or gate_up, gate first. expert_*: the same for one expert of a
    mixture, experts_*: for all in one tensor of three axes; shared_*: for the expert that all
    tokens use. A layer without experts is read as a dense one. router, and fused_router beside
    experts_*: (experts, d), what chooses top_k of them by their softmax; norm_topk: the chosen
    ones' weights are made to sum to one; shared_router: (1, d), whose sigmoid weighs the shared
    expert. embedding_positions: a table of positions added to the embeddings, whose first row in
    use is positions_start.

    Feed-forward. activation: a name that transformers' ACT2FN knows, unless one of activation_keys
    is in the config. ffn_bias: up and gate have biases beside their weights; ffn_bias_keys: config
    keys that say otherwise. norm_bias: so have norms.

    Norms. attention_norm, ffn_norm: before the block, the same name for both when the two blocks
    share one; *_post_norm: on a block's output; none: no gain. norm_offset: a norm multiplies by
    its weight plus this. layer_norm: norms subtract the mean. embedding_norm: a LayerNorm on the
    embeddings. qk_norm with q_norm and k_norm: queries and keys are normalised by "head" or over
    the "whole" width; qk_layer_norm: with their mean subtracted.

    Positions. rotary: queries and keys are, or may be, turned by RoPE; false where positions are
    embeddings or ALiBi, which leave a head's queries and keys free to be mixed.
    """

    name: str
    embedding: str
    o: str
    model_types: tuple[str, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)
    refused: str | None = None

    hidden_keys: tuple[str, ...] = ("hidden_size", "n_embd", "d_model")
    heads_keys: tuple[str, ...] = ("num_attention_heads", "n_head", "n_heads", "num_heads")
    kv_heads_keys: tuple[str, ...] = ()
    multi_query: bool = False
    head_dim_keys: tuple[str, ...] = ("head_dim", "kv_channels")
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
    up: str | None = None
    gate: str | None = None
    gate_up: str | None = None
    down: str | None = None
    expert_up: str | None = None
    expert_gate: str | None = None
    expert_down: str | None = None
    experts_gate_up: str | None = None
    experts_down: str | None = None
    shared_up: str | None = None
    shared_gate: str | None = None
    shared_down: str | None = None

    router: str | None = None
    fused_router: str | None = None
    shared_router: str | None = None
    top_k_keys: tuple[str, ...] = ("num_experts_per_tok",)
    norm_topk: bool = True
    norm_topk_keys: tuple[str, ...] = ()
    activation: str = "silu"
    activation_keys: tuple[str, ...] = ("hidden_act",)
    ffn_bias: bool = False
    ffn_bias_keys: tuple[str, ...] = ()

    layer_norm: bool = False
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
    q_norm: str | None = None
    k_norm: str | None = None

    rotary: bool = True


_PLAIN = ("name", "refused", "qkv_layout", "qk_norm", "activation")  # strings that name no tensor
TENSORS = tuple(
    f.name for f in fields(Family) if str(f.type).startswith("str") and f.name not in _PLAIN
)


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config with its ``text_config``, if it has one, laid over it (but for model_type)."""
    inner = config.get("text_config")
    if not isinstance(inner, dict):
        return config
    return {**config, **inner, "model_type": config.get("model_type", inner.get("model_type"))}


def family_of(config: Mapping[str, Any]) -> Family:
    """The entry that a config fits. InputError, naming what is known, if there is none."""
    from huref_zk.models.families.table import FAMILIES

    config = text_config(config)
    model_type = config.get("model_type")
    entries = [f for f in FAMILIES if model_type in f.model_types]
    if not entries:
        known = ", ".join(sorted({t for f in FAMILIES for t in f.model_types}))
        raise InputError(
            f"architecture {str(model_type)[:40]!r} is not supported; known are: {known}; "
            "--map FILE describes another one by hand"
        )
    for family in entries:
        if all(_value(config, key) == wanted for key, wanted in family.when.items()):
            if family.refused:
                raise InputError(f"this {model_type} model is not supported: {family.refused}")
            return family
    wanted = " or ".join(str(dict(f.when)) for f in entries)
    raise InputError(f"this {model_type} model is of no known variant; known are: {wanted}")


def family_for(model: Model, map_file: Path | None = None) -> Family:
    """The family of a model, from ``map_file`` if given, with the prefix that its tensors have.

    Raises InputError as family_of and read_map do.
    """
    return placed(family_of(model.config) if map_file is None else read_map(map_file), model)


def placed(family: Family, model: Model) -> Family:
    """The family with names under the first of its prefixes under which the embedding is found;
    unchanged when there is none."""
    usual = family.prefixes[0]
    for prefix in family.prefixes:
        if model.has(prefix + family.embedding.removeprefix(usual)):
            names = {t: getattr(family, t) for t in TENSORS}
            moved = {t: prefix + n.removeprefix(usual) for t, n in names.items() if n is not None}
            return replace(family, prefixes=(prefix,), **moved)
    return family


def read_map(path: Path) -> Family:
    """A family from a JSON file with the fields of Family; model_types and when are not looked at.

    Raises InputError, naming what is wrong: unknown or missing fields, wrong types, names that do
    not fit together.
    """
    from huref_zk.models.model import read_json

    data = read_json(path, MAX_MAP)
    hints = get_type_hints(Family)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise InputError(f"{path} has unknown fields: {', '.join(unknown)[:200]}")
    for name, value in data.items():
        if not _fits(value, hints[name]):
            raise InputError(f"{path}: {name} must be {_WORDS[_kind(hints[name])]}")
    missing = [n for n in ("name", "embedding", "o") if n not in data]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}")
    given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in data.items()}
    family = Family(**given)
    problem = flaw(family)
    if problem:
        raise InputError(f"{path}: {problem}")
    return family


def flaw(family: Family) -> str | None:
    """What keeps an entry from describing a model, in words; None when nothing does."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", family.name):
        return "name must be up to 40 of a-z, 0-9, '.', '_', '-'"
    if family.qkv_layout not in LAYOUTS:
        return f"qkv_layout must be one of {', '.join(LAYOUTS)}"
    if family.qk_norm is not None and family.qk_norm not in QK_NORMS:
        return f"qk_norm must be one of {', '.join(QK_NORMS)}"
    separate = [family.q, family.k, family.v]
    if (None in separate) if family.qkv is None else any(separate):
        return "give either q, k and v, or qkv"
    dense = (family.up is None) == (family.gate_up is None) or family.down is None
    mixture = (family.expert_up is None or family.expert_down is None) and (
        family.experts_gate_up is None or family.experts_down is None
    )
    if dense and (mixture or family.up or family.gate_up or family.down):
        return "give either up or gate_up, and down (or those of experts)"
    if (family.qk_norm is None) != (family.q_norm is None) or bool(family.q_norm) != bool(
        family.k_norm
    ):
        return "qk_norm, q_norm and k_norm go together"
    if family.activation not in ACTIVATIONS:
        return f"activation must be one of {', '.join(ACTIVATIONS)}"
    if (family.router or family.fused_router) is None and family.expert_up is not None:
        return "experts need a router"
    if family.positions_start < 0:
        return "positions_start must not be negative"
    if not family.prefixes:
        return "prefixes must not be empty"
    for tensor in TENSORS:
        name = getattr(family, tensor)
        if name is None:
            continue
        if not name.startswith(family.prefixes[0]):
            return f"{tensor} does not begin with {family.prefixes[0]!r}, the first prefix"
        if ("{i}" in name) == tensor.startswith("embedding"):
            return f"{tensor} must {'not ' if '{i}' in name else ''}have {{i}} in its name"
        if ("{e}" in name) != tensor.startswith("expert_"):
            return f"{tensor} must {'not ' if '{e}' in name else ''}have {{e}} in its name"
    return None


def _value(config: Mapping[str, Any], key: str) -> Any:
    found: Any = config
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


_WORDS = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of strings",
    Mapping: "an object of strings, numbers and truth values",
}


def _kind(hint: Any) -> type:
    """The plain type of an annotation: str of ``str | None``, tuple of ``tuple[str, ...]``."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (a for a in get_args(hint) if a is not type(None))
    origin = get_origin(hint) or hint
    return Mapping if isinstance(origin, type) and issubclass(origin, Mapping) else origin


def _fits(value: Any, hint: Any) -> bool:
    kind = _kind(hint)
    if value is None:
        return type(None) in get_args(hint)
    if kind is float:
        return type(value) in (int, float)
    if kind is tuple:
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    if kind is Mapping:
        return isinstance(value, dict) and all(
            v is None or type(v) in (str, bool, int, float) for v in value.values()
        )
    return type(value) is kind


def __getattr__(name: str) -> Any:
    if name == "FAMILIES":  # the table imports this module, so it is fetched when asked for
        from huref_zk.models.families.table import FAMILIES

        return FAMILIES
    raise AttributeError(name)
