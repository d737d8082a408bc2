"""GGUF files that are split into parts: the header of the first, the tensors of all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huref_zk.errors import InputError
from huref_zk.models.gguf_reader import Header, TensorInfo, read_header

MAX_PARTS = 1 << 10
_PART = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$", re.DOTALL)


def read_parts(path: Path, seen: Callable[[str, Any], None]) -> Header:
    """The header of a file, or of all parts of a split one of which ``path`` is any. seen: see
    read_header; it hears of the first part's keys.

    Raises InputError for missing parts, and for some that do not belong together.
    """
    split = _PART.match(path.name)
    if split is None or int(split[3]) == 1:
        header = read_header(path, seen)
        count = header.fields.get("split.count", 0)
        if type(count) is int and count > 1:
            raise InputError(
                f"{path} is one of {count} parts; their names end in -00001-of-{count:05}"
            )
        return header
    count = int(split[3])
    if not 1 < count <= MAX_PARTS or not 1 <= int(split[2]) <= count:
        raise InputError(f"{path} is a part of {count}; at most {MAX_PARTS} are read")
    parts = [path.with_name(f"{split[1]}-{n + 1:05}-of-{count:05}.gguf") for n in range(count)]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise InputError(f"{path}: the part {missing[0]} is missing")
    headers = [read_header(parts[0], seen), *(read_header(part) for part in parts[1:])]
    tensors: dict[str, TensorInfo] = {}
    for n, (part, header) in enumerate(zip(parts, headers, strict=True)):
        if header.fields.get("split.no") != n or header.fields.get("split.count") != count:
            raise InputError(f"{part} does not say that it is part {n + 1} of {count}")
        twice = tensors.keys() & header.tensors.keys()
        if twice:
            raise InputError(f"{part} holds {min(twice)[:80]}, and so does a part before it")
        tensors |= header.tensors
    said = headers[0].fields.get("split.tensors.count")
    if said is not None and said != len(tensors):
        raise InputError(f"{path}: its parts hold {len(tensors)} tensors, but should hold {said}")
    return Header(headers[0].fields, tensors)
