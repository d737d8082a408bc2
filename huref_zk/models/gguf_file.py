"""A GGUF file, single or split, dequantised as it is read, under Hugging Face's names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.gguf_architectures import ARCHITECTURES
from huref_zk.models.gguf_config import config_of, known
from huref_zk.models.gguf_names import Source, sources
from huref_zk.models.gguf_reader import Header, TensorInfo, bytes_of
from huref_zk.models.gguf_split import read_parts
from huref_zk.models.gguf_tokenizer import gguf_tokenizer
from huref_zk.models.model import Model, runs
from huref_zk.models.store import too_large
from huref_zk.models.tokenizer import Tokenizer

_NO_WEIGHTS = re.compile(
    r"^(rope_freqs|rope_factors_(long|short)|blk\.\d+\.(rope_freqs|rope_factors_(long|short)|"
    r"attn_rot_embd))(\.weight)?$"
)
_SCALE = re.compile(r"\.(scale|input_scale)$|lora_[ab]$")


class GgufFile(Model):
    """A GGUF file of one of ARCHITECTURES. Raises InputError, and EnvironmentLacks without gguf."""

    def __init__(self, path: Path):
        try:
            import gguf  # noqa: F401  (types, names and dequantising are its)
        except ImportError as e:
            raise EnvironmentLacks(
                f"reading GGUF needs gguf ({e}); install the extra 'prove'"
            ) from e
        self.source = str(path)
        self._header = header = self._read(path)
        if "general.architecture" not in header.fields:
            raise InputError(f"{path} is not a valid GGUF file (it names no architecture)")
        self.config, self._family = config_of(self.source, header)
        self._name = header.fields["general.architecture"].decode()
        self._kept = ARCHITECTURES[self._name]
        layers = self.config.get(self._family.layers_keys[0], 0)
        if not 0 < layers < 1 << 12:
            raise InputError(f"{path}: config says num_hidden_layers = {layers}")
        self._sources = sources(self._name, self._kept, self._family, header.tensors, layers)
        self._account(layers)

    def _read(self, path: Path) -> Header:
        def seen(key: str, value: Any) -> None:
            if key == "general.architecture":
                known(value, self.source)
            if key == "general.type" and value != b"model":
                raise InputError(f"{path} is no model: its header says {str(value)[:40]}")

        return read_parts(path, seen)

    def _account(self, layers: int) -> None:
        """Notes on what is not read; InputError for what can only change weights that are read."""
        used = {part for source in self._sources.values() for part in source.parts}
        odd = [n for n in self._header.tensors if n not in used and not _NO_WEIGHTS.match(n)]
        scales = [n for n in odd if _SCALE.search(n)]
        if scales:
            raise InputError(f"{self.source} holds {scales[0][:120]}, a scale that is not read")
        behind = [n for n in odd if (m := re.match(r"blk\.(\d+)\.", n)) and int(m[1]) >= layers]
        if behind and not self.config.get("num_nextn_predict_layers"):
            raise InputError(
                f"{self.source}: its header says {layers} layers, but there is {behind[0][:120]}"
            )
        left = sorted(set(odd) - set(behind))
        if left:
            more = f" and {len(left) - 6} more" if len(left) > 6 else ""
            self.note(f"not read: {', '.join(n[:60] for n in left[:6])}{more}")

    def _field(self, key: str) -> Any:
        """A number, a text or a list; None when it is missing. InputError for no UTF-8."""
        value = self._header.fields.get(key)
        try:
            if isinstance(value, bytes):
                return value.decode("utf-8")
            if isinstance(value, list):
                return [text.decode("utf-8") for text in value]
        except UnicodeDecodeError as e:
            raise InputError(f"{self.source}: the key {key} is malformed ({e})") from e
        return value.tolist() if isinstance(value, np.ndarray) else value

    def _says(self, key: str) -> Any:
        """What the header has under the architecture's own name."""
        return self._field(f"{self._name}.{key}")

    def _source(self, name: str) -> Source:
        if name in self._sources:
            return self._sources[name]
        if name in self._header.tensors:
            return Source((name,))
        raise InputError(f"{self.source}: tensor {name} is missing")

    def has(self, name: str) -> bool:
        return name in self._sources or name in self._header.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        source = self._source(name)
        infos = [self._header.tensors[part] for part in source.parts]
        shape = infos[0].shape
        if source.how in ("split", "gate_up"):
            axis = 0 if source.how == "split" else 1
            if any(len(info.shape) <= axis for info in infos):
                raise InputError(f"{self.source}: {source.parts[0]} has shape {shape}")
            rows = sum(info.shape[axis] for info in infos)
            shape = (*shape[:axis], rows, *shape[axis + 1 :])
        shape = shape if source.slab is None else shape[1:]
        if self._turned(source, len(shape)):
            shape = (*shape[:-2], *shape[-2:][::-1])
        too_large(self.source, name, shape)
        return shape

    def _turned(self, source: Source, axes: int) -> bool:
        """Whether the family keeps this with its last two axes swapped."""
        if source.how in ("experts", "gate_up"):
            return self._family.experts_transposed and axes == 3  # biases have two
        return source.how == "transposed" and axes == 2

    def _dequantise(self, part: str, ids: np.ndarray | None = None) -> np.ndarray:
        """A tensor of the file, or these entries of its first axis, float32; no more is read."""
        from gguf import quants
        from gguf.constants import GGMLQuantizationType

        info = self._header.tensors[part]
        size = bytes_of(info.kind, info.shape)
        if size is None or not info.shape or not info.shape[0]:
            raise InputError(f"{self.source}: {part} has type {info.kind}, which is not read")
        each, shape = size // info.shape[0], info.shape
        if ids is None:
            data = np.fromfile(info.path, np.uint8, count=size, offset=info.start)
        else:
            shape = (len(ids), *shape[1:])
            data = np.concatenate(
                [
                    np.fromfile(
                        info.path,
                        np.uint8,
                        count=(stop - start) * each,
                        offset=info.start + start * each,
                    )
                    for start, stop in runs(ids)
                ]
            )
        try:
            rows = data.reshape(math.prod(shape[:-1]), -1)
            values = quants.dequantize(rows, GGMLQuantizationType(info.kind))
        except Exception as e:  # types without code, and whatever else the library meets
            raise InputError(f"{self.source}: cannot dequantise {part} ({e})") from e
        return np.asarray(values, dtype=np.float32).reshape(shape)

    def tensor(self, name: str) -> np.ndarray:
        source, shape = self._source(name), self.shape(name)
        where = None if source.slab is None else np.array([source.slab])
        parts = [self._dequantise(part, where) for part in source.parts]
        if source.slab is not None:
            parts = [part[0] for part in parts]
        return self._made(source, parts, name).reshape(shape)

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        source = self._source(name)
        if source.slab is not None or source.how in ("q", "k", "stacked", "split", "transposed"):
            return self.tensor(name)[ids]
        parts = [self._dequantise(part, np.asarray(ids)) for part in source.parts]
        return self._made(source, parts, name)

    def _made(self, source: Source, parts: list[np.ndarray], name: str) -> np.ndarray:
        values = parts[0]
        if source.how == "norm":
            return values - np.float32(self._kept.norm_offset) if self._kept.norm_offset else values
        if source.how in ("q", "k"):
            return self._uninterleaved(values, source.how == "q")
        if source.how in ("stacked", "split"):
            if source.how == "split" and self._kept.interleaved:
                q, k, v = parts
                parts = [self._uninterleaved(q, True), self._uninterleaved(k, False), v]
            return self._fused(np.concatenate(parts), name)
        if source.how == "gate_up":
            gate, up = parts
            if self._family.experts_interleaved:
                values = np.stack([gate, up], axis=2).reshape(len(gate), -1, *gate.shape[2:])
            else:
                values = np.concatenate([gate, up], axis=1)
        return values.swapaxes(-1, -2) if self._turned(source, values.ndim) else values

    def _heads(self, query: bool) -> int:
        keys = self._family.heads_keys if query else self._family.kv_heads_keys
        heads: int = self.config[self._family.heads_keys[0]]
        if not query:
            heads = 1 if self._family.multi_query else self.config.get((*keys, "")[0], heads)
        if type(heads) is not int or heads < 1:
            raise InputError(f"{self.source}: config says {(*keys, 'heads')[0]} = {heads!r}")
        return heads

    def _uninterleaved(self, values: np.ndarray, query: bool) -> np.ndarray:
        """Undo the row order of llama.cpp, which interleaves the two halves of every head for RoPE:
        its row (head, pair, half) is Hugging Face's row (head, half, pair)."""
        heads, rows = self._heads(query), len(values)
        if rows % (2 * heads):
            raise InputError(f"{self.source}: {rows} rows do not divide into {heads} heads")
        pairs = values.reshape(heads, rows // heads // 2, 2, -1)
        return pairs.swapaxes(1, 2).reshape(values.shape)

    def _fused(self, values: np.ndarray, name: str) -> np.ndarray:
        """All queries, keys and values, one after the other, in the order that the family has."""
        if self._family.qkv_layout == "stacked":
            return values
        heads, kv = self._heads(True), self._heads(False)
        if heads % kv or len(values) % (heads + 2 * kv):
            raise InputError(f"{self.source}: {name} has {len(values)} rows for {heads} heads")
        size = len(values) // (heads + 2 * kv)
        q, k, v = np.split(values, [heads * size, (heads + kv) * size])
        groups = [part.reshape(kv, -1, size, *values.shape[1:]) for part in (q, k, v)]
        return np.concatenate(groups, axis=1).reshape(values.shape)

    def stored(self, name: str) -> tuple[str, Iterator[bytes]]:
        source = self._source(name)
        if source.how or source.slab is not None:
            return super().stored(name)
        info = self._header.tensors[source.parts[0]]
        return self._type(info), self._bytes(info)

    def _type(self, info: TensorInfo) -> str:
        from gguf.constants import GGMLQuantizationType

        try:
            return GGMLQuantizationType(info.kind).name
        except ValueError:
            raise InputError(f"{self.source} has a tensor of type {info.kind}") from None

    def _bytes(self, info: TensorInfo) -> Iterator[bytes]:
        size = bytes_of(info.kind, info.shape) or 0
        with open(info.path, "rb") as file:
            file.seek(info.start)
            while size > 0:
                piece = file.read(min(size, 1 << 24))
                if not piece:
                    raise InputError(f"{info.path} ends early")
                size -= len(piece)
                yield piece

    def running_config(self) -> dict:
        """The config with what only running the model needs, where the file says it."""
        optional = {
            "rms_norm_eps": self._says("attention.layer_norm_rms_epsilon"),
            "rope_theta": self._says("rope.freq_base"),
            "max_position_embeddings": self._says("context_length"),
        }
        return {**self.config, **{key: v for key, v in optional.items() if v is not None}}

    def names(self) -> tuple[str, ...]:
        used = {part for source in self._sources.values() for part in source.parts}
        return (*self._sources, *(n for n in self._header.tensors if n not in used))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return gguf_tokenizer(self._field)
