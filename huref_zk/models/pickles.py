"""What torch.save wrote, read without torch and without running any of it.

A pickle is a program; unpickling.py knows the few of its instructions that torch.save uses. Here is
where the tensors' entries stand in a file.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from huref_zk.errors import InputError
from huref_zk.models.foreign import regular, told
from huref_zk.models.store import dtype_of
from huref_zk.models.unpickling import Storage, Tensor, Unpickler

MAX_PICKLE = 64 << 20
"""Bytes of the pickle proper, which holds names and shapes, no entries."""
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


@dataclass(frozen=True)
class Piece:
    """A dense tensor: its entries, of type ``kind``, stand in ``size`` bytes of ``path`` from
    ``start`` on, the first at entry ``offset``, the others by ``strides`` (entries)."""

    path: Path
    kind: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int
    size: int
    offset: int


def read_pickled(path: Path) -> dict[str, Piece | None]:
    """The tensors of a file by name; None for what is no dense tensor. Raises InputError."""
    regular(path)
    try:
        with open(path, "rb") as file:
            found = _zipped(file) if zipfile.is_zipfile(path) else _plain(file)
    except InputError:
        raise
    except Exception as e:  # a damaged file makes its readers raise anything
        reason = str(e).splitlines()[0][:120] if str(e) else ""
        raise InputError(
            f"{path} is not a plain checkpoint ({type(e).__name__}: {reason}){told(path)}"
        ) from e
    state, where = found
    if not isinstance(state, dict):
        raise InputError(f"{path} holds no state dict")
    return {
        name: _piece(path, name, value, where)
        for name, value in state.items()
        if isinstance(name, str)
    }


def _piece(path: Path, name: str, value: Any, where: dict[str, tuple[int, int]]) -> Piece | None:
    """InputError for a tensor that reaches beyond its storage, or a storage beyond the file."""
    if not isinstance(value, Tensor):
        return None
    width = dtype_of(value.kind)
    if width is None or value.storage.key not in where:
        return None
    start, size = where[value.storage.key]
    last = value.offset + sum(
        (length - 1) * step for length, step in zip(value.shape, value.strides, strict=True)
    )
    room = size // width.itemsize
    if math.prod(value.shape) and not 0 <= value.offset <= last < room:
        raise InputError(f"{path} is not a plain checkpoint ({name[:80]} reaches beyond its data)")
    return Piece(path, value.kind, value.shape, value.strides, start, size, value.offset)


def _zipped(file: BinaryIO) -> tuple[Any, dict[str, tuple[int, int]]]:
    """(object, key -> (start, size)) of what torch.save writes since version 1.6."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        heads = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(heads) != 1:
            raise ValueError("its archive has no single data.pkl")
        root = heads[0].removesuffix("data.pkl")
        if len(entries) != len(archive.infolist()):
            raise ValueError("its archive has two entries of one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ValueError("its archive is compressed")
        order = entries.get(root + "byteorder")
        if order is not None and (order.file_size > 16 or archive.read(order) != b"little"):
            raise ValueError("it is big-endian")
        if entries[heads[0]].file_size > MAX_PICKLE:
            raise ValueError("its pickle is too large")
        state = _load(archive.read(heads[0]))
        where = {}
        for name, entry in entries.items():
            if name.startswith(root + "data/"):
                file.seek(entry.header_offset)
                head = file.read(30)
                skip = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
                start = entry.header_offset + 30 + skip
                where[name.removeprefix(root + "data/")] = (start, entry.file_size)
    end = file.seek(0, io.SEEK_END)
    if any(start + size > end for start, size in where.values()):
        raise ValueError("it ends early")
    return state, where


def _plain(file: BinaryIO) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The same of what torch.save wrote before: five pickles, then storage after storage."""
    storages: dict[str, Storage] = {}
    if _next(file) != _MAGIC:
        raise ValueError("it is neither an archive nor a checkpoint")
    if _next(file) != _PROTOCOL:
        raise ValueError("it is of another protocol")
    system = _next(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("it is big-endian")
    state, keys = _next(file, storages), _next(file)
    if not isinstance(keys, list):
        raise ValueError("it lists no storages")
    end_of_pickles = file.tell()
    end = file.seek(0, io.SEEK_END)
    where, at = {}, end_of_pickles
    for key in keys:
        file.seek(at)
        count = int.from_bytes(file.read(8), "little", signed=True)
        storage = storages.get(key) if isinstance(key, str) else None
        width = None if storage is None else dtype_of(storage.kind)
        if storage is None or width is None or count != storage.numel:
            raise ValueError("a storage has another length than its tensors say")
        size = count * width.itemsize
        where[str(key)] = (at + 8, size)
        at += 8 + size
        if at > end:
            raise ValueError("it ends early")
    return state, where


def _next(file: BinaryIO, storages: dict[str, Storage] | None = None) -> Any:
    """The next pickle of a file, leaving the file behind it."""
    start = file.tell()
    window = io.BytesIO(file.read(MAX_PICKLE))
    value = Unpickler(window, {} if storages is None else storages).load()
    file.seek(start + window.tell())
    return value


def _load(data: bytes) -> Any:
    return Unpickler(io.BytesIO(data), {}).load()
