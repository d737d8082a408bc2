"""A whole checkpoint in memory: what an attack takes and gives; reading and writing one."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.load import open_model
from huref_zk.models.model import MAX_TOKENIZER, Model, read_json
from huref_zk.models.tokenizer import Tokenizer

MODEL_TYPES = ("llama", "mistral", "qwen2", "mixtral")
MIXTURES = ("mixtral",)
"""Of these an attack may make a model, or work on its embeddings; the rest is for dense models."""
EMBEDDING, HEAD, FINAL_NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
PARTS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
EXPERT_PARTS = {
    "gate_up": "experts.gate_up_proj",  # (experts, 2 ffn, d): gates, then ups
    "down": "experts.down_proj",  # (experts, d, ffn)
    "router": "gate.weight",  # (experts, d)
}
DEFAULT_EPS = 1e-6
"""rms_norm_eps where a config leaves it out: what transformers takes for all MODEL_TYPES."""
_DERIVED = re.compile(r"\.rotary_emb\.inv_freq$")  # old checkpoints store what follows from theta
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sizes:
    """d, heads, key-value heads, head dimension, FFN width, layers, rows of the embedding; experts
    of a mixture, 0 for a dense model."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    layers: int
    vocab: int
    experts: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A LLaMA-type model. Attacks make new ones and leave the arrays of the old one alone.

    config: config.json's object. tensors: arrays under Hugging Face's names, weights (out, in);
    with tied embeddings ``lm_head.weight`` is not among them. tokenizer: tokenizer.json's object,
    if known. special, tokenizer_size, vocabulary, token_order, alphabet: as in models.model.Model.
    source: for messages.
    """

    config: dict
    tensors: Mapping[str, np.ndarray]
    tokenizer: dict | None = None
    special: frozenset[int] = frozenset()
    tokenizer_size: int | None = None
    vocabulary: dict[str, int] | None = None
    token_order: tuple[int, ...] | None = None
    alphabet: int = 0
    source: str = "a checkpoint in memory"
    sizes: Sizes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", _checked_sizes(self))

    @property
    def tied(self) -> bool:
        """Whether the output matrix is the embedding."""
        return HEAD not in self.tensors

    def model(self) -> Model:
        """The checkpoint as the loaders give it."""
        return _InMemory(self)


def name_of(layer: int, part: str, kind: str = "weight") -> str:
    """Hugging Face's name of a tensor: ``part`` is a key of PARTS, kind weight or bias."""
    return f"model.layers.{layer}.{PARTS[part]}.{kind}"


def expert_name(layer: int, part: str) -> str:
    """transformers' name of a mixture's tensor: ``part`` is a key of EXPERT_PARTS."""
    return f"model.layers.{layer}.mlp.{EXPERT_PARTS[part]}"


def read_checkpoint(
    ref: str,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    progress: Progress | None = None,
) -> Checkpoint:
    """All of a model in float32: ``ref`` and options as ``load.open_model`` takes them.

    Raises InputError for other architectures than MODEL_TYPES, missing, misshapen or unknown
    tensors, and a malformed tokenizer.json; EnvironmentLacks as ``open_model`` does.
    """
    model = open_model(ref, revision=revision, allow_pickle=allow_pickle)
    _check_type(model.config, model.source)
    config = model.running_config()
    names = [n for n in model.names() if not _DERIVED.search(n)]
    if config.get("tie_word_embeddings") is True:
        names = [n for n in names if n != HEAD]  # a copy that transformers ignores
    tensors = {}
    for done, name in enumerate(names):
        tensors[name] = model.tensor(name)
        if progress is not None:
            progress(done + 1, len(names))
    config["tie_word_embeddings"] = HEAD not in tensors
    folder = getattr(model, "folder", None)
    path = None if folder is None else Path(folder) / "tokenizer.json"
    return Checkpoint(
        config=config,
        tensors=tensors,
        tokenizer=read_json(path, MAX_TOKENIZER) if path is not None and path.exists() else None,
        special=model.special_ids(),
        tokenizer_size=model.tokenizer_size(),
        vocabulary=model.vocabulary(),
        token_order=model.token_order(),
        alphabet=model.alphabet(),
        source=model.source,
    )


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a Hugging Face folder, whole or not at all: model.safetensors (float32), config.json
    and, if known, tokenizer.json. ``folder`` must not exist, or be empty.

    Raises InputError when it cannot be written, EnvironmentLacks without safetensors.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as e:
        raise EnvironmentLacks(
            f"writing models needs safetensors ({e}); install the extra 'prove'"
        ) from e
    check_folder(folder)
    config = {**checkpoint.config, "tie_word_embeddings": checkpoint.tied, "dtype": "float32"}
    config.pop("torch_dtype", None)  # dtype's older name
    tensors = {n: np.ascontiguousarray(w, dtype=np.float32) for n, w in checkpoint.tensors.items()}
    temporary = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}."))
    try:
        os.chmod(temporary, 0o755)
        weights = temporary / "model.safetensors"
        save_file(tensors, weights, metadata={"format": "pt"})
        os.chmod(weights, 0o644)
        (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        if checkpoint.tokenizer is not None:
            text = json.dumps(checkpoint.tokenizer, ensure_ascii=False)
            (temporary / "tokenizer.json").write_text(text, encoding="utf-8")
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def check_folder(folder: Path) -> None:
    """Refuse a ``folder`` that ``write_checkpoint`` could not write. Raises InputError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; name a new folder")
    parent = folder.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"cannot write {folder}: {parent} is no folder that may be written to")


class _InMemory(Model):
    """A checkpoint as the loaders give models."""

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint
        self.config, self.source = checkpoint.config, checkpoint.source

    def names(self) -> tuple[str, ...]:
        return tuple(self._checkpoint.tensors)

    def _tensor(self, name: str) -> np.ndarray:
        if name not in self._checkpoint.tensors:
            raise InputError(f"{self.source}: tensor {name} is missing")
        return self._checkpoint.tensors[name]

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensor(name).shape

    def tensor(self, name: str) -> np.ndarray:
        return self._tensor(name).astype(np.float32, copy=False)

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        return self._tensor(name)[ids].astype(np.float32, copy=False)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        known = self._checkpoint
        return Tokenizer(
            known.special,
            known.tokenizer_size,
            known.vocabulary,
            known.token_order,
            known.alphabet,
        )


def _check_type(config: dict, source: str) -> None:
    found = config.get("model_type")
    if found not in MODEL_TYPES:
        raise InputError(
            f"{source}: attacks know the architectures {', '.join(MODEL_TYPES)}, "
            f"not {str(found)[:40]!r}"
        )
    rope = config.get("rope_parameters")
    for where in (config, rope if isinstance(rope, dict) else {}):
        if where.get("partial_rotary_factor", 1) != 1:
            raise InputError(f"{source}: its rotary embedding turns only part of a head")


def _checked_sizes(checkpoint: Checkpoint) -> Sizes:
    """Sizes from the config, once every tensor is known and has the shape they imply."""
    config, source = checkpoint.config, checkpoint.source
    _check_type(config, source)

    def number(key: str, default: int | None = None) -> int:
        value = config.get(key)
        value = default if value is None else value
        if type(value) is not int or not 0 < value < 1 << 24:
            raise InputError(f"{source}: config says {key} = {value!r}; need a positive number")
        return value

    hidden, heads = number("hidden_size"), number("num_attention_heads")
    sizes = Sizes(
        hidden=hidden,
        heads=heads,
        kv_heads=number("num_key_value_heads", heads),
        head_dim=number("head_dim", hidden // heads),
        ffn=number("intermediate_size"),
        layers=number("num_hidden_layers"),
        vocab=number("vocab_size", checkpoint.tensors.get(EMBEDDING, np.empty(0)).shape[0]),
        experts=number("num_local_experts") if config["model_type"] in MIXTURES else 0,
    )
    if heads % sizes.kv_heads or sizes.head_dim % 2:
        raise InputError(
            f"{source}: {heads} heads of {sizes.head_dim} with {sizes.kv_heads} kv heads"
        )
    required, optional = _shapes(sizes)
    for name, array in checkpoint.tensors.items():
        expected = required.get(name, optional.get(name))
        if expected is None:
            raise InputError(
                f"{source}: attacks do not know what the tensor {name[:80]} does in a model of "
                f"{sizes.layers} layers"
            )
        if array.shape != expected:
            raise InputError(
                f"{source}: {name} has shape {array.shape}, its config implies {expected}"
            )
    for name in required:
        if name not in checkpoint.tensors:
            raise InputError(f"{source}: tensor {name} is missing")
    return sizes


def _shapes(s: Sizes) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """(required, optional) tensors and their shapes."""
    width, kv_width = s.heads * s.head_dim, s.kv_heads * s.head_dim
    rows = {"q": width, "k": kv_width, "v": kv_width, "gate": s.ffn, "up": s.ffn}
    weights = {part: (out, s.hidden) for part, out in rows.items()}
    weights |= {"o": (s.hidden, width), "down": (s.hidden, s.ffn)}
    experts: dict[str, tuple[int, ...]] = {}
    if s.experts:
        weights = {part: shape for part, shape in weights.items() if part in "qkvo"}
        experts["gate_up"] = (s.experts, 2 * s.ffn, s.hidden)
        experts |= {"down": (s.experts, s.hidden, s.ffn), "router": (s.experts, s.hidden)}
    required: dict[str, tuple[int, ...]] = {EMBEDDING: (s.vocab, s.hidden), FINAL_NORM: (s.hidden,)}
    optional: dict[str, tuple[int, ...]] = {HEAD: (s.vocab, s.hidden)}
    for i in range(s.layers):
        required |= {name_of(i, part): shape for part, shape in weights.items()}
        required |= {expert_name(i, part): shape for part, shape in experts.items()}
        required |= {name_of(i, norm): (s.hidden,) for norm in ("attention_norm", "ffn_norm")}
        optional |= {name_of(i, part, "bias"): (shape[0],) for part, shape in weights.items()}
    return required, optional
