"""NVIDIA's StyleGAN2 releases: the ``.pkl`` snapshots of stylegan2-ada-pytorch and stylegan3.

A snapshot is a pickled dict of networks, ``G_ema`` among them. Each network and each of its layers
is a "persistent object": the source code of its class and the dict of its attributes. The source
is ignored here; the attributes hold everything. Tensors are pickled by torch, each storage as a
byte string in torch's own old file format, which is parsed here as well, so torch is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.files.container import read_bounded
from huref_zk.render.pickle_reader import Builder, Name, Opaque, Reference, read_pickle

# The releases are at most 364 MB.
MAX_FILE_BYTES = 1 << 29
MAX_MODULES = 1000
MAX_TENSORS = 5000
MAX_STORAGE_OPCODES = 200
MAX_DEPTH = 8
MAX_RANK = 4
MAX_LISTED_SET = 100

# First two values of torch's old file format.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_PROTOCOL = 1001
_STORAGE_DTYPES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
}


@dataclass(frozen=True)
class NvidiaGenerator:
    """``params`` is the state dict of ``G_ema`` (views of the file, float16/32)."""

    params: dict[str, np.ndarray]
    conv_clamp: float | None
    lr_multiplier: float


@dataclass(frozen=True, eq=False)
class _Module:
    """A persistent object: its class name and its attributes."""

    class_name: str
    state: dict[Any, Any]


@dataclass(frozen=True, eq=False)
class _Storage:
    """The byte string of one torch storage, not yet parsed."""

    data: memoryview


@dataclass(frozen=True, eq=False)
class _Tensor:
    storage: Any
    offset: Any
    size: Any
    stride: Any


def read_nvidia_pickle(path: Path) -> NvidiaGenerator:
    """Read ``G_ema`` of a snapshot. Nothing in the file is executed.

    Raises InputError for any other pickle, one that names anything a StyleGAN2 release does not
    need, or one made to exhaust memory.
    """
    data = read_bounded(path, MAX_FILE_BYTES)
    try:
        snapshot, _ = read_pickle(memoryview(data), _builders())
        generator = snapshot.get("G_ema") if isinstance(snapshot, dict) else None
        if not isinstance(generator, _Module):
            raise InputError("it holds no network named G_ema")
        return _read_generator(generator)
    except InputError as e:
        raise InputError(f"{path}: {e}") from None


def _read_generator(generator: _Module) -> NvidiaGenerator:
    params: dict[str, np.ndarray] = {}
    clamps: set[float | None] = set()
    multiplier = 0.01
    for name, module in _walk(generator):
        state = module.state
        for kind in ("_parameters", "_buffers"):
            for key, value in _dict(state, kind).items():
                if value is not None:
                    params[f"{name}{key}"] = _tensor(f"{name}{key}", value)
        if len(params) > MAX_TENSORS:
            raise InputError(f"the network has more than {MAX_TENSORS} tensors")
        if state.get("c_dim", 0) != 0:
            raise InputError("the generator wants a class label (c_dim > 0): not supported")
        if state.get("architecture", "skip") != "skip":
            raise InputError("the generator's architecture is not 'skip'")
        if name.startswith("synthesis.") and "conv_clamp" in state:
            clamps.add(_optional_number(name, state["conv_clamp"]))
        if name == "mapping.fc0.":
            multiplier = _optional_number(name, state.get("bias_gain", multiplier)) or 0.0
        if name.startswith("mapping.fc") and state.get("activation", "lrelu") != "lrelu":
            raise InputError("the generator's mapping network is not made of leaky ReLUs")
    if len(clamps) > 1:
        raise InputError("the generator's layers differ in conv_clamp, which is not supported")
    return NvidiaGenerator(params, clamps.pop() if clamps else None, multiplier)


def _walk(root: _Module) -> Iterator[tuple[str, _Module]]:
    """(dotted name ending in '.', module) of a network's modules. Bounded in depth and number."""
    pending: list[tuple[str, _Module, int]] = [("", root, 0)]
    for _ in range(MAX_MODULES):
        if not pending:
            return
        name, module, depth = pending.pop()
        yield name, module
        for key, child in _dict(module.state, "_modules").items():
            if not isinstance(child, _Module) or depth == MAX_DEPTH:
                raise InputError(f"{name}{key} is not a StyleGAN2 layer")
            pending.append((f"{name}{key}.", child, depth + 1))
    raise InputError(f"the network has more than {MAX_MODULES} modules")


def _dict(state: dict[Any, Any], key: str) -> dict[str, Any]:
    """state[key], a dict with short string keys; empty if absent."""
    value = state.get(key, {})
    if not isinstance(value, dict):
        raise InputError(f"the network's {key} is not a dict")
    if not all(isinstance(k, str) and len(k) <= 64 for k in value):
        raise InputError(f"the network's {key} has a name that is no short string")
    return value


def _optional_number(name: str, value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise InputError(f"{name} has a conv_clamp or gain that is not a number")
    return None if value is None else float(value)


def _tensor(name: str, value: Any) -> np.ndarray:
    """The array a tensor record describes: a view of its storage, which it cannot exceed."""
    if not isinstance(value, _Tensor) or not isinstance(value.storage, _Storage):
        raise InputError(f"{name} is not a tensor")
    flat = _storage(name, value.storage)
    size, stride, offset = value.size, value.stride, value.offset
    numbers = (*size, *stride, offset) if type(size) is tuple and type(stride) is tuple else (None,)
    if not all(type(n) is int and 0 <= n <= len(flat) for n in numbers):
        raise InputError(f"{name} has a malformed size, stride or offset")
    if len(size) != len(stride) or len(size) > MAX_RANK:
        raise InputError(f"{name} has {len(size)} axes and {len(stride)} strides")
    # No more values than stored: an expanded tensor (stride 0) could be of any size.
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 in size or math.prod(size) > len(flat) or last >= len(flat):
        raise InputError(f"{name} reaches beyond its storage")
    strides = tuple(s * flat.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(flat[offset:], size, strides, writeable=False)


def _storage(name: str, storage: _Storage) -> np.ndarray:
    """The values of a storage saved by torch in its old format (1-D float16 or float32).

    Format: pickles of a magic number, a protocol number, a dict on the machine, a reference to the
    storage and the list of its one key; then the number of values (8 bytes) and the values.
    """
    builders: dict[str, Builder] = {text: _refuse_call for text in _STORAGE_DTYPES}
    where = f"the torch storage of {name}"
    values: list[Any] = []
    at = 0
    for _ in range(5):
        value, at = read_pickle(storage.data, builders, at, MAX_STORAGE_OPCODES)
        values.append(value)
    magic, protocol, system, reference, keys = values
    if magic != _TORCH_MAGIC or protocol != _TORCH_PROTOCOL:
        raise InputError(f"{where} is not in torch's file format")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise InputError(f"{where} is not little-endian")
    fields = reference.value if isinstance(reference, Reference) else None
    if not isinstance(fields, tuple) or len(fields) < 5 or fields[0] != "storage":
        raise InputError(f"{where} is malformed")
    kind, key, count = fields[1], fields[2], fields[4]
    dtype = _STORAGE_DTYPES.get(kind.text) if isinstance(kind, Name) else None
    if dtype is None or not isinstance(key, str) or keys != [key]:
        raise InputError(f"{where} is malformed, or neither float16 nor float32")
    body = storage.data[at:]
    if type(count) is not int or len(body) != 8 + count * dtype.itemsize:
        raise InputError(f"{where} is cut off or over-long")
    if int.from_bytes(body[:8], "little") != count:
        raise InputError(f"{where} states two different lengths")
    return np.frombuffer(body[8:], dtype)


def _refuse_call(arguments: tuple[Any, ...]) -> Any:
    raise InputError("a torch storage calls its own type")


# Records for the names in a snapshot


def _builders() -> dict[str, Builder]:
    # Of no use here: devices, dtypes, numpy scalars among the training options.
    opaque = (
        "numpy dtype",
        "numpy.core.multiarray scalar",
        "numpy._core.multiarray scalar",
        "torch device",
        "torch float16",
        "torch float32",
    )
    return {name: lambda arguments: Opaque() for name in opaque} | {
        "torch_utils.persistence _reconstruct_persistent_obj": _build_module,
        "torch._utils _rebuild_tensor_v2": _build_tensor,
        "torch._utils _rebuild_parameter": _build_parameter,
        "torch._utils _rebuild_parameter_with_state": _build_parameter,
        "torch.storage _load_from_bytes": _build_storage,
        "dnnlib.util EasyDict": _build_dict,
        "collections OrderedDict": _build_dict,
        "builtins set": _build_set,
        "__builtin__ set": _build_set,
    }


def _build_module(arguments: tuple[Any, ...]) -> _Module:
    meta = arguments[0] if len(arguments) == 1 else None
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise InputError("a network in the pickle has no attributes")
    return _Module(str(meta.get("class_name"))[:80], meta["state"])


def _build_tensor(arguments: tuple[Any, ...]) -> _Tensor:
    if len(arguments) < 4:
        raise InputError("a tensor in the pickle has too few arguments")
    return _Tensor(*arguments[:4])


def _build_parameter(arguments: tuple[Any, ...]) -> _Tensor:
    if not arguments or not isinstance(arguments[0], _Tensor):
        raise InputError("a parameter in the pickle is not a tensor")
    return arguments[0]


def _build_storage(arguments: tuple[Any, ...]) -> _Storage:
    if len(arguments) != 1 or not isinstance(arguments[0], memoryview):
        raise InputError("a torch storage in the pickle is not a byte string")
    return _Storage(arguments[0])


def _build_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    # Items come by SETITEMS afterwards. A list of items here could be shared, hence copied often.
    if arguments:
        raise InputError("a dict in the pickle is made from arguments")
    return {}


def _build_set(arguments: tuple[Any, ...]) -> set[Any]:
    items = arguments[0] if len(arguments) == 1 else None
    if not isinstance(items, list) or len(items) > MAX_LISTED_SET:
        raise InputError("a set in the pickle is not made from a short list")
    if not all(type(item) in (str, int) for item in items):
        raise InputError("a set in the pickle has members that are no strings")
    return set(items)
