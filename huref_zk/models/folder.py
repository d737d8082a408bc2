"""Which files of a Hugging Face folder are the model: one reading, or none.

Programs choose among a folder's files in different ways. Where two choices would give different
weights the folder is refused, in a line that names both; what lies beside the weights unread is
told in a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from huref_zk.errors import InputError
from huref_zk.models.adapter import ADAPTER
from huref_zk.models.checkpoint import Checkpoint
from huref_zk.models.foreign import foreign
from huref_zk.models.formats.choice import format_of
from huref_zk.models.json_file import MAX_CONFIG, read_json
from huref_zk.models.pickled_store import PickledStore
from huref_zk.models.safetensors_store import SafetensorsStore
from huref_zk.models.store import Store

MAX_INDEX = 64 << 20
"""Bytes: hundreds of thousands of tensors, as mixtures of experts have."""
MAX_SHARDS = 1 << 14
SAFE = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.pt", "optimizer.pt")


@dataclass(frozen=True)
class Weights:
    """single: the file of all tensors; or index and where: which file holds which tensor."""

    pickled: bool
    single: Path | None = None
    index: Path | None = None
    where: dict[str, Path] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        if self.single is not None:
            return (self.single,)
        return tuple(dict.fromkeys((self.where or {}).values()))


def open_folder(folder: Path, allow_pickle: bool) -> Checkpoint:
    """The checkpoint of a folder. Raises InputError."""
    if (folder / ADAPTER).exists():
        beside = [name for name in (*SAFE, *PICKLED) if (folder / name).exists()]
        if beside:
            raise InputError(
                f"{folder} holds {beside[0]} and {ADAPTER}: transformers reads the adapter's base, "
                "others the file; keep one of the two"
            )
        raise InputError(
            f"{folder} holds an adapter ({ADAPTER}); name the model that it belongs to with "
            "--base, or write ADAPTER+BASE"
        )
    if not (folder / "config.json").exists():
        raise InputError(
            f"{folder} holds no config.json; {foreign(folder) or 'is it a Hugging Face folder?'}"
        )
    config = read_json(folder / "config.json", MAX_CONFIG, unique=True)
    weights = find_weights(folder, config, allow_pickle)
    store = open_store(folder, weights)
    return Checkpoint(folder, config, store, format_of(folder, config), unread(folder, weights))


def find_weights(folder: Path, config: dict[str, Any], allow_pickle: bool) -> Weights:
    """The weights of a folder, without opening them. Raises InputError."""
    found = _pick(folder, *SAFE, pickled=False) or _pick(folder, *PICKLED, pickled=True)
    if found is None:
        told = foreign(folder)
        raise InputError(
            f"{folder} holds no model.safetensors, no index of shards, no pytorch_model.bin"
            + (f"; {told}" if told else "")
        )
    named = config.get("transformers_weights")
    read = (found.index or found.single or folder).name
    if named is not None and named != read:
        raise InputError(
            f"{folder} holds {read}, but its config.json points to {str(named)[:80]!r}"
        )
    if found.pickled and not allow_pickle:
        raise InputError(
            f"{folder} holds only pickled weights; --allow-pickle reads them, weights only"
        )
    return found


def open_store(folder: Path, weights: Weights) -> Store:
    """The tensors of the files that were found. Raises InputError."""
    if weights.pickled:
        return PickledStore(str(folder), weights.files, index=weights.index, where=weights.where)
    return SafetensorsStore(
        str(folder), single=weights.single, index=weights.index, where=weights.where
    )


def _pick(folder: Path, single: str, index: str, pickled: bool) -> Weights | None:
    one, many = folder / single, folder / index
    if not many.exists():
        return Weights(pickled, single=one) if one.exists() else None
    where = read_index(many)
    if one.exists() and set(where.values()) != {one}:
        others = sorted(str(p.relative_to(folder)) for p in set(where.values()) - {one})
        raise InputError(
            f"{folder} holds {single} beside {index}, which names other weights "
            f"({', '.join(others)[:80] or 'none'}): which are the model's?"
        )
    return Weights(pickled, index=many, where=where)


def read_index(path: Path) -> dict[str, Path]:
    """Tensor name -> shard, from an index of shards. Raises InputError."""
    weight_map = read_json(path, MAX_INDEX, unique=True).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{path} has no weight_map")
    shards: dict[Any, Path] = {}
    for shard in weight_map.values():
        if not isinstance(shard, str) or not _inside(shard):
            raise InputError(f"{path} points outside its folder: {str(shard)[:80]!r}")
        shards.setdefault(shard, path.parent / shard)
    if len(shards) > MAX_SHARDS:
        raise InputError(f"{path} names {len(shards)} shards, at most {MAX_SHARDS} are read")
    return {name: shards[shard] for name, shard in weight_map.items()}


def _inside(shard: str) -> bool:
    """Whether a shard's name leads down from the index's folder, and is written in one way only."""
    parts = PurePosixPath(shard).parts
    return (
        "/".join(parts) == shard
        and parts not in ((), ("/",))
        and not any(part == ".." or "\\" in part or ":" in part or "\0" in part for part in parts)
        and not shard.startswith("/")
    )


def unread(folder: Path, weights: Weights) -> tuple[str, ...]:
    """A note on the files of weights that lie beside those that are read."""
    read: Sequence[Path] = weights.files
    beside = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix in _WEIGHTS and path not in read and path.name not in _NO_WEIGHTS
    )
    if not beside:
        return ()
    more = f" and {len(beside) - 4} more" if len(beside) > 4 else ""
    return (f"not read, though they lie beside the weights: {', '.join(beside[:4])}{more}",)
