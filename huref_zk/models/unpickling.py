"""An unpickler that runs nothing: the instructions and names that torch.save writes, and no others.

What a file names becomes an inert record of what a tensor is; whatever else it asks for is refused
by name.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

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
class Named:
    """Something that a pickle names: a storage's class, a type, or a function of torch."""

    name: str
    make: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        return None if self.make is None else self.make(*args)


@dataclass(frozen=True)
class Storage:
    key: str
    kind: str
    numel: int


@dataclass(frozen=True)
class Tensor:
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    """An OrderedDict as Python 3 writes it, empty at first, and as Python 2 did, with its items."""
    return {name: value for name, value in pairs if isinstance(name, str)}


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Any:
    """torch._utils._rebuild_tensor_v2, and _v3 by its dtype; None for what is no tensor."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
        return None
    if len(shape) != len(strides):
        return None
    told = [x for x in rest if isinstance(x, Named)]
    kind = _DTYPES.get(told[0].name) if told else storage.kind
    return None if kind is None else Tensor(storage, offset, tuple(shape), tuple(strides), kind)


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Named("OrderedDict", _ordered),
    ("torch._utils", "_rebuild_tensor"): Named("tensor", _rebuilt),
    ("torch._utils", "_rebuild_tensor_v2"): Named("tensor", _rebuilt),
    ("torch._utils", "_rebuild_tensor_v3"): Named("tensor", _rebuilt),
    ("torch._utils", "_rebuild_parameter"): Named("parameter", lambda data, *rest: data),
    ("torch", "Size"): Named("Size", lambda sizes: tuple(sizes)),
    ("torch", "device"): Named("device"),
    ("torch.serialization", "_get_layout"): Named("layout"),
    ("torch._utils", "_rebuild_sparse_tensor"): Named("sparse"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): Named("meta"),
    ("torch._utils", "_rebuild_qtensor"): Named("quantised"),
    **{("torch", name): Named(name) for name in _STORAGES},
    ("torch.storage", "UntypedStorage"): Named("UntypedStorage"),
    **{("torch", name): Named(name) for name in _DTYPES},
    **{("torch", name): Named(name) for name in ("int8", "uint8", "int16", "int32", "int64")},
    **{("torch", name): Named(name) for name in ("complex64", "complex128", "bool")},
    ("torch", "ComplexFloatStorage"): Named("ComplexFloatStorage"),
    ("torch", "ComplexDoubleStorage"): Named("ComplexDoubleStorage"),
}


class Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """The one in Python: its table of instructions can be cut down."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]]  # type: ignore[attr-defined]
        for code in _CODES
    }

    def __init__(self, file: BinaryIO, storages: dict[str, Storage]):
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

    def persistent_load(self, pid: Any) -> Storage | None:
        word, named, key, _place, count = pid[:5]
        if word != "storage" or not isinstance(named, Named) or type(count) is not int:
            raise ValueError("it names something that is no storage")
        kind = _STORAGES.get(named.name)
        if kind is None or count < 0:
            return None
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError("it has views of storages, as only the oldest files do")
        return self._storages.setdefault(str(key), Storage(str(key), kind, count))
