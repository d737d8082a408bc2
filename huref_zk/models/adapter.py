"""A base model with a LoRA adapter (PEFT's folder), merged tensor by tensor as it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.json_file import MAX_CONFIG, read_json
from huref_zk.models.model import Model, single
from huref_zk.models.pickled_store import PickledStore
from huref_zk.models.safetensors_store import SafetensorsStore
from huref_zk.models.store import FLOATS, Store
from huref_zk.models.tokenizer import Tokenizer

ADAPTER = "adapter_config.json"
SAFE, PICKLED = "adapter_model.safetensors", "adapter_model.bin"
_NAME = re.compile(
    r"(?P<module>.*?)\.(?:"
    r"lora_(?P<side>[AB])(?:\.default)?\.weight"
    r"|lora_embedding_(?P<table>[AB])(?:\.default)?(?:\.weight)?"
    r"|(?P<size>lora_magnitude_vector)(?:\.default)?(?:\.weight)?"
    r"|(?:modules_to_save\.(?:default\.)?)?(?P<whole>weight|bias))"
)
_REFUSED = ("layer_replication", "target_parameters", "megatron_config", "eva_config", "lora_bias")


@dataclass(frozen=True)
class Change:
    """down (r, in), up (out, r): names of the two factors; scale: of their product. table: they are
    an embedding's, (r, vocabulary) and (d, r). size: each row's length after it (DoRA)."""

    down: str
    up: str
    scale: float
    table: bool = False
    size: str | None = None


def is_adapter(path: Path) -> bool:
    return (path / ADAPTER).is_file()


class Adapted(Model):
    """``base`` as ``folder``'s adapter changes it. Raises InputError for an adapter of another
    kind, or one that does not fit."""

    def __init__(self, folder: Path, base: Model, allow_pickle: bool = False):
        self.source, self.folder, self._base = f"{folder} on {base.source}", folder, base
        self.config = base.config
        told = read_json(folder / ADAPTER, MAX_CONFIG, unique=True)
        kind = told.get("peft_type")
        if kind != "LORA":
            raise InputError(f"{folder} holds an adapter of type {str(kind)[:40]!r}; read is LORA")
        for key in _REFUSED:
            if told.get(key):
                raise InputError(f"{folder}: an adapter with {key} is not read")
        self._turned = told.get("fan_in_fan_out") is True
        self._store = self._open(allow_pickle)
        self._changes: dict[str, Change] = {}
        self._whole: dict[str, str] = {}
        self._sort(told)
        named = told.get("base_model_name_or_path")
        self.notes = [
            *base.notes,
            f"an adapter of {len(self._changes)} matrices is merged into {base.source}; "
            f"it was made for {str(named)[:80]!r}",
        ]

    def _open(self, allow_pickle: bool) -> Store:
        safe, pickled = self.folder / SAFE, self.folder / PICKLED
        if safe.exists():
            return SafetensorsStore(str(self.folder), single=safe)
        if not pickled.exists():
            raise InputError(f"{self.folder} holds neither {SAFE} nor {PICKLED}")
        if not allow_pickle:
            raise InputError(f"{self.folder} holds only a pickled adapter; --allow-pickle reads it")
        return PickledStore(str(self.folder), [pickled])

    def _sort(self, told: dict[str, Any]) -> None:
        """What each tensor of the adapter does to which of the base's."""
        found: dict[tuple[str, bool], dict[str, str]] = {}
        for name in self._store.names():
            match = _NAME.fullmatch(name.removeprefix("base_model.model."))
            if match is None:
                raise InputError(f"{self.folder}: what {name[:120]} does is not known")
            module = match["module"]
            if match["whole"]:
                self._whole[self._of_base(module, match["whole"])] = name
            else:
                part = match["side"] or match["table"] or "size"
                found.setdefault((module, bool(match["table"])), {})[part] = name
        for (module, table), parts in found.items():
            if parts.keys() == {"size"}:
                continue  # beside its two factors, which are looked at in their turn
            size = parts.get("size") or found.get((module, False), {}).get("size")
            if "A" not in parts or "B" not in parts:
                raise InputError(f"{self.folder}: {module[:120]} has one factor of two")
            target = self._of_base(module, "weight")
            down, up = self._store.shape(parts["A"]), self._store.shape(parts["B"])
            if len(down) != 2 or len(up) != 2 or down[0] != up[1] or not down[0]:
                raise InputError(f"{self.folder}: the factors of {module[:120]} do not fit")
            scale = _scale(self.folder, told, module, down[0])
            self._changes[target] = Change(parts["A"], parts["B"], scale, table, size)
            shape = (up[0], down[1])
            turned = self._turned != table
            if self._base.shape(target) != (shape[::-1] if turned else shape):
                raise InputError(
                    f"{self.folder}: {module[:120]} changes a matrix of shape {shape}, the base's "
                    f"has {self._base.shape(target)}"
                )
            if size is not None and (table or self._store.shape(size) not in (shape[:1],)):
                raise InputError(f"{self.folder}: {size[:120]} does not fit")

    def _of_base(self, module: str, part: str) -> str:
        name = f"{module}.{part}"
        for tried in (name, name.removeprefix("model."), f"model.{name}"):
            if self._base.has(tried):
                return tried
        raise InputError(f"{self.folder} changes {name[:120]}, which {self._base.source} lacks")

    def _part(self, name: str) -> np.ndarray:
        kind = self._store.kind(name)
        if kind not in FLOATS:
            raise InputError(f"{self.source}: {name} has type {kind}; known: {', '.join(FLOATS)}")
        return single(self._store.raw(name))

    def has(self, name: str) -> bool:
        return self._base.has(name)

    def shape(self, name: str) -> tuple[int, ...]:
        whole = self._whole.get(name)
        return self._base.shape(name) if whole is None else self._store.shape(whole)

    def tensor(self, name: str) -> np.ndarray:
        if name in self._whole:
            return self._part(self._whole[name])
        values = self._base.tensor(name)
        return self._changed(name, values, slice(None)) if name in self._changes else values

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        if name in self._whole:
            return self._part(self._whole[name])[ids]
        change = self._changes.get(name)
        if change is None:
            return self._base.rows(name, ids)
        if change.size is not None and self._turned:
            return self.tensor(name)[ids]
        return self._changed(name, self._base.rows(name, ids), ids)

    def _changed(self, name: str, values: np.ndarray, ids: Any) -> np.ndarray:
        """Rows ``ids`` of a weight, whose values in the base are given, with the change."""
        change = self._changes[name]
        down, up = self._part(change.down), self._part(change.up)
        turned = self._turned != change.table
        delta = down.T[ids] @ up.T if turned else up[ids] @ down
        out: np.ndarray = values + delta * np.float32(change.scale)
        if change.size is None:
            return out
        sizes = self._part(change.size)
        axis = 0 if turned else 1
        lengths = np.linalg.norm(out, axis=axis, keepdims=True)
        wanted = sizes[None, :] if turned else sizes[ids][:, None]
        return out * np.divide(wanted, lengths, out=np.zeros_like(lengths), where=lengths > 0)

    def stored(self, name: str) -> tuple[str, Iterator[bytes]]:
        if name in self._whole:
            return self._store.kind(self._whole[name]), self._store.pieces(self._whole[name])
        return super().stored(name) if name in self._changes else self._base.stored(name)

    def names(self) -> tuple[str, ...]:
        return self._base.names()

    def running_config(self) -> dict:
        return self._base.running_config()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return self._base.tokenizer


def _scale(folder: Path, told: dict[str, Any], module: str, rank: int) -> float:
    """What the product of the factors is multiplied by. PEFT takes the names in alpha_pattern for
    regular expressions; here they are names, and others are refused."""
    alpha = told.get("lora_alpha", 8)
    patterns = told.get("alpha_pattern")
    for key, value in (patterns if isinstance(patterns, dict) else {}).items():
        if not re.fullmatch(r"\^?[\w.]+\$?", key):
            raise InputError(f"{folder}: alpha_pattern has {key[:60]!r}, which is no name")
        if f".{module}".endswith(f".{key.strip('^$')}"):
            alpha = value
    if type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise InputError(f"{folder}: lora_alpha is {str(alpha)[:40]}")
    return float(alpha) / (math.sqrt(rank) if told.get("use_rslora") is True else rank)
