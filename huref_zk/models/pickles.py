"""What torch.save wrote, read without torch and without running any of it.

A pickle is a program. This reader knows the few of its instructions that torch.save uses, and
a fixed list of the things that it names; whatever else a file asks for is refused by name. The
names stand for nothing that acts: they become inert records of what a tensor is.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from huref_zk.errors import InputError
from huref_zk.models.foreign import regular, told
from huref_zk.models.store import dtype_of

MAX_PICKLE = 64 << 20
"""Bytes of the pickle proper, which holds names and shapes, no entries."""
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "UntypedStorage": "U8",
}
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
# All that torch.save writes before protocol 5; no instruction that makes room as it is told.
_CODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.NONE),
    *(pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2),
    *(pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE, pickle.SHORT_BINSTRING),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.SETITEM),
    *(pickle.SETITEMS, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2),
    *(pickle.TUPLE3, pickle.GLOBAL, pickle.REDUCE, pickle.BUILD, pickle.BINPERSID),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
)


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


@dataclass(frozen=True)
class _Named:
    """Something that a pickle names: a storage's class, a type, or a function of torch."""

    name: str
    make: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        return None if self.make is None else self.make(*args)


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str
    numel: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str


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
    if not isinstance(value, _Tensor):
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
    storages: dict[str, _Storage] = {}
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


def _next(file: BinaryIO, storages: dict[str, _Storage] | None = None) -> Any:
    """The next pickle of a file, leaving the file behind it."""
    start = file.tell()
    window = io.BytesIO(file.read(MAX_PICKLE))
    value = _Unpickler(window, {} if storages is None else storages).load()
    file.seek(start + window.tell())
    return value


def _load(data: bytes) -> Any:
    return _Unpickler(io.BytesIO(data), {}).load()


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    """An OrderedDict as Python 3 writes it, empty at first, and as Python 2 did, with its items."""
    return {name: value for name, value in pairs if isinstance(name, str)}


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Any:
    """torch._utils._rebuild_tensor_v2, and _v3 by its dtype; None for what is no tensor."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or any(type(n) is not int or n < 0 for n in numbers):
        return None
    if len(shape) != len(strides):
        return None
    told = [x for x in rest if isinstance(x, _Named)]
    kind = _DTYPES.get(told[0].name) if told else storage.kind
    return None if kind is None else _Tensor(storage, offset, tuple(shape), tuple(strides), kind)


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Named("OrderedDict", _ordered),
    ("torch._utils", "_rebuild_tensor"): _Named("tensor", _rebuilt),
    ("torch._utils", "_rebuild_tensor_v2"): _Named("tensor", _rebuilt),
    ("torch._utils", "_rebuild_tensor_v3"): _Named("tensor", _rebuilt),
    ("torch._utils", "_rebuild_parameter"): _Named("parameter", lambda data, *rest: data),
    ("torch", "Size"): _Named("Size", lambda sizes: tuple(sizes)),
    ("torch", "device"): _Named("device"),
    ("torch.serialization", "_get_layout"): _Named("layout"),
    ("torch._utils", "_rebuild_sparse_tensor"): _Named("sparse"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _Named("meta"),
    ("torch._utils", "_rebuild_qtensor"): _Named("quantised"),
    **{("torch", name): _Named(name) for name in _STORAGES},
    ("torch.storage", "UntypedStorage"): _Named("UntypedStorage"),
    **{("torch", name): _Named(name) for name in _DTYPES},
    **{("torch", name): _Named(name) for name in ("int8", "uint8", "int16", "int32", "int64")},
    **{("torch", name): _Named(name) for name in ("complex64", "complex128", "bool")},
    ("torch", "ComplexFloatStorage"): _Named("ComplexFloatStorage"),
    ("torch", "ComplexDoubleStorage"): _Named("ComplexDoubleStorage"),
}


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """The one in Python: its table of instructions can be cut down."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]]  # type: ignore[attr-defined]
        for code in _CODES
    }

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]):
        super().__init__(file)
        self._storages = storages

    def load_build(self) -> None:
        """Attributes that something is to get: none of ours has any."""
        self.stack.pop()

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self._put(items)

    def _put(self, items: list[Any]) -> None:
        """Names only: the hash of a tuple that is nested deeply enough ends the process."""
        held = self.stack[-1]
        if not isinstance(held, dict):
            raise ValueError("it puts items into something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) in (str, int):
                held[key] = value

    dispatch |= {
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }

    def find_class(self, module: str, name: str) -> Any:
        found = _KNOWN.get((module, name))
        if found is None:
            raise ValueError(f"it asks for {module[:60]}.{name[:60]}")
        return found

    def persistent_load(self, pid: Any) -> _Storage | None:
        word, named, key, _place, count = pid[:5]
        if word != "storage" or not isinstance(named, _Named) or type(count) is not int:
            raise ValueError("it names something that is no storage")
        kind = _STORAGES.get(named.name)
        if kind is None or count < 0:
            return None
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError("it has views of storages, as only the oldest files do")
        return self._storages.setdefault(str(key), _Storage(str(key), kind, count))
