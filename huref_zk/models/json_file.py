"""JSON files of a model, which nobody vouches for."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from huref_zk.errors import InputError
from huref_zk.files.container import load_json, read_bounded
from huref_zk.models.foreign import told

MAX_JSON = 1 << 20
MAX_CONFIG = 8 << 20  # quantised models list each of their modules
MAX_TOKENIZER = 40 << 20  # the largest in use have 33 MB; Python makes up to 24 times that of it


def read_json(path: Path, limit: int = MAX_JSON, *, unique: bool = False) -> dict:
    """A JSON object of at most ``limit`` bytes, perhaps behind a byte order mark. unique: of no two
    values under one name, as parsers differ in which of them they take. Raises InputError."""
    options: dict[str, Any] = {"object_pairs_hook": _once} if unique else {}
    try:
        value = load_json(read_bounded(path, limit).removeprefix(codecs.BOM_UTF8), **options)
    except _Repeated as e:
        raise InputError(f"{path} says {e} twice") from None
    except ValueError:
        raise InputError(f"{path} is not valid JSON{told(path)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object")
    return value


class _Repeated(Exception):
    """Not a ValueError, so that it is told from other flaws."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Repeated(repr(name)[:80])
        found[name] = value
    return found
