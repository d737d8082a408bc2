"""Read and write a small ``.safetensors`` file: the whole format, strictly, with numpy alone.

Format: 8 bytes little-endian header length, a JSON header mapping each name to dtype, shape and
byte range, then the values back to back. Verification needs no more of it than this, so it does not
depend on the safetensors package.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.files.container import load_json, read_bounded

MAX_FILE_BYTES = 1 << 29
MAX_HEADER_BYTES = 1 << 18
MAX_RANK = 8
_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays by name, metadata) of a safetensors file of float16 and float32 tensors.

    Raises InputError for anything the format does not allow: bad lengths, duplicate or overlapping
    entries, gaps, other dtypes, files over 512 MiB.
    """
    data = read_bounded(path, MAX_FILE_BYTES)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise InputError(f"{path}: not a safetensors file (its header length is {length})")
    try:
        header = load_json(data[8 : 8 + length], object_pairs_hook=_no_duplicates)
    except ValueError:
        raise InputError(f"{path}: the safetensors header is not JSON without duplicates") from None
    if not isinstance(header, dict):
        raise InputError(f"{path}: the safetensors header is not an object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InputError(f"{path}: the safetensors metadata must map names to strings")
    body = memoryview(data)[8 + length :]
    entries = sorted(((*_entry(path, n, e), n) for n, e in header.items()), key=lambda e: e[:2])
    arrays: dict[str, np.ndarray] = {}
    at = 0
    for begin, end, dtype, shape, name in entries:
        if begin != at or end > len(body):
            raise InputError(f"{path}: tensor {name[:80]!r} overlaps, leaves a gap or is cut off")
        arrays[name] = np.frombuffer(body[begin:end], dtype=dtype).reshape(shape)
        at = end
    if at != len(body):
        raise InputError(f"{path}: {len(body) - at} bytes after the last tensor")
    return arrays, metadata


def write_safetensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write float16/float32 ``arrays`` in name order; the same input gives the same bytes."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    blobs: list[bytes] = []
    at = 0
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        blobs.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        code = codes[array.dtype.newbyteorder("<")]
        end = at + len(blobs[-1])
        header[name] = {"dtype": code, "shape": list(arrays[name].shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("duplicate name")
    return out


def _entry(path: Path, name: str, entry: Any) -> tuple[int, int, np.dtype, tuple[int, ...]]:
    """(begin, end, dtype, shape) of one header entry."""
    where = f"{path}: tensor {name[:80]!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where} is not described by dtype, shape and data_offsets")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise InputError(f"{where} is {str(entry['dtype'])[:20]}; only F16 and F32 are read")
    shape, offsets = entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or len(numbers) > MAX_RANK:
            raise InputError(f"{where} has a malformed shape or data_offsets")
        if not all(type(n) is int and 0 <= n <= MAX_FILE_BYTES for n in numbers):
            raise InputError(f"{where} has a shape or offset out of range")
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise InputError(f"{where}: its shape and its byte range disagree")
    return offsets[0], offsets[1], dtype, tuple(shape)
