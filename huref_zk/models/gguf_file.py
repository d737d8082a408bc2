"""A GGUF file of a known architecture, dequantised lazily, under Hugging Face's names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.gguf_reader import read_gguf
from huref_zk.models.model import Model
from huref_zk.models.tokenizer import Tokenizer, by_merges, by_scores, vocabulary_of

NAMES = {
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
    **{theirs: name for theirs, name in NAMES.items() if theirs != "lm_head.weight"},
    "model.layers.{i}.self_attn.q_norm.weight": "blk.{i}.attn_q_norm.weight",
    "model.layers.{i}.self_attn.k_norm.weight": "blk.{i}.attn_k_norm.weight",
    "model.layers.{i}.post_attention_layernorm.weight": "blk.{i}.post_attention_norm.weight",
    "model.layers.{i}.pre_feedforward_layernorm.weight": "blk.{i}.ffn_norm.weight",
    "model.layers.{i}.post_feedforward_layernorm.weight": "blk.{i}.post_ffw_norm.weight",
}


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp keeps a model type. names: Hugging Face's -> GGUF's; interleaved: q and k have
    llama.cpp's row order; norm_offset: what it added to the norms' weights; says: further config.
    """

    model_type: str
    names: Mapping[str, str]
    interleaved: bool = False
    norm_offset: float = 0.0
    says: Mapping[str, object] = field(default_factory=dict)


ARCHITECTURES = {
    "llama": Architecture("llama", NAMES, interleaved=True),
    "gemma3": Architecture(
        "gemma3_text",
        GEMMA3_NAMES,
        norm_offset=1.0,
        says={"hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True},
    ),
}
NORMAL_TOKEN = 1  # gguf's TokenType.NORMAL
_LAYER = re.compile(r"^model\.layers\.(\d+)\.")


class GgufFile(Model):
    """A GGUF file of one of ARCHITECTURES."""

    def __init__(self, path: Path):
        self.source = str(path)
        self._reader = read_gguf(path)
        self._tensors = {t.name: t for t in self._reader.tensors}
        self._name = name = self._field("general.architecture")
        if not isinstance(name, str) or name not in ARCHITECTURES:
            raise InputError(
                f"{path}: GGUF architecture {name!r} is not supported; "
                f"known: {', '.join(ARCHITECTURES)}"
            )
        self._kept = ARCHITECTURES[name]
        self.config = {
            "model_type": self._kept.model_type,
            "hidden_size": self._integer("embedding_length"),
            "intermediate_size": self._integer("feed_forward_length"),
            "num_attention_heads": self._integer("attention.head_count"),
            "num_key_value_heads": self._integer("attention.head_count_kv"),
            "num_hidden_layers": self._integer("block_count"),
            "vocab_size": self.shape("model.embed_tokens.weight")[0],
            **self._kept.says,
        }
        if self._says("attention.key_length") is not None:
            self.config["head_dim"] = self._integer("attention.key_length")

    def _field(self, key: str):
        found = self._reader.fields.get(key)
        try:
            return None if found is None else found.contents()
        except Exception as e:  # texts that are not UTF-8, and whatever else the library meets
            raise InputError(f"{self.source}: the key {key} is malformed ({e})") from e

    def _says(self, key: str):
        """What the header has under the architecture's own name."""
        return self._field(f"{self._name}.{key}")

    def _integer(self, key: str) -> int:
        value = self._says(key)
        if not isinstance(value, (int, np.integer)):
            raise InputError(f"{self.source}: the key {self._name}.{key} is missing or no integer")
        return int(value)

    def _tensor(self, name: str):
        if name in self._tensors:  # one of those that have no other name
            return self._tensors[name]
        layer = _LAYER.match(name)
        number = layer.group(1) if layer else ""
        template = name.replace(f"layers.{number}.", "layers.{i}.") if layer else name
        stored = self._kept.names.get(template, "").format(i=number)
        if stored not in self._tensors:
            raise InputError(f"{self.source}: tensor {name} is missing")
        return self._tensors[stored]

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(n) for n in reversed(self._tensor(name).shape))

    def _dequantise(self, name: str, select=slice(None)) -> np.ndarray:
        from gguf.quants import dequantize

        tensor = self._tensor(name)
        try:
            # Quantised rows are whole runs of blocks, so rows can be chosen before dequantising.
            values = dequantize(tensor.data[select], tensor.tensor_type)
        except (NotImplementedError, ValueError) as e:
            raise InputError(
                f"{self.source}: {name} has a type that gguf cannot dequantise ({e})"
            ) from e
        return np.asarray(values, dtype=np.float32)

    def tensor(self, name: str) -> np.ndarray:
        values = self._dequantise(name).reshape(self.shape(name))
        if self._kept.norm_offset and name.endswith("norm.weight"):
            return values - np.float32(self._kept.norm_offset)
        if self._kept.interleaved and name.endswith(("q_proj.weight", "k_proj.weight")):
            return self._unpermute(values, name.endswith("q_proj.weight"))
        return values

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        return self._dequantise(name, ids)

    def _unpermute(self, values: np.ndarray, query: bool) -> np.ndarray:
        """Undo the row order of llama.cpp, which interleaves the two halves of every head for RoPE:
        its row (head, pair, half) is Hugging Face's row (head, half, pair)."""
        heads = self.config["num_attention_heads" if query else "num_key_value_heads"]
        rows, columns = values.shape
        if rows % (2 * heads):
            raise InputError(f"{self.source}: {rows} rows do not divide into {heads} heads")
        return (
            values.reshape(heads, rows // heads // 2, 2, columns)
            .swapaxes(1, 2)
            .reshape(rows, columns)
        )

    def stored(self, name: str) -> tuple[str, Iterator[bytes]]:
        tensor = self._tensor(name)
        return tensor.tensor_type.name, iter([np.ascontiguousarray(tensor.data).tobytes()])

    def running_config(self) -> dict:
        """The config with what only running the model needs, where the file says it."""
        optional = {
            "rms_norm_eps": self._says("attention.layer_norm_rms_epsilon"),
            "rope_theta": self._says("rope.freq_base"),
            "max_position_embeddings": self._says("context_length"),
        }
        return {**self.config, **{key: v for key, v in optional.items() if v is not None}}

    def names(self) -> tuple[str, ...]:
        theirs = {
            ours.format(i=i): name.format(i=i)
            for name, ours in self._kept.names.items()
            for i in range(self.config["num_hidden_layers"] if "{i}" in name else 1)
        }
        return tuple(theirs.get(name, name) for name in self._tensors)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Its order: by the merges if the file has them, else by the scores, as llama.cpp merges by
        those; then tokens of one character, which are made by no merge, come first."""
        texts = self._list("tokenizer.ggml.tokens", str)
        kinds = self._list("tokenizer.ggml.token_type", int)
        special = frozenset(i for i, kind in enumerate(kinds) if kind != NORMAL_TOKEN)
        if not texts:
            return Tokenizer(special)
        vocabulary = vocabulary_of(zip(texts, range(len(texts)), strict=True), special)
        scores = self._list("tokenizer.ggml.scores", float)
        scored = [
            score if len(text) > 1 else np.inf for text, score in zip(texts, scores, strict=False)
        ]
        order, alphabet = by_merges(vocabulary, self._list("tokenizer.ggml.merges", str))
        if order is None:
            order, alphabet = by_scores(vocabulary, scored)
        return Tokenizer(special, len(texts), vocabulary, order, alphabet)

    def _list(self, key: str, kind: type) -> list:
        """An array of the header; empty when it is missing, or its entries are of another type."""
        values = self._field(key)
        fits = isinstance(values, list) and all(isinstance(value, kind) for value in values)
        return values if fits else []
