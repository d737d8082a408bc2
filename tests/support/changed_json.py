"""Descriptors and headers with one value changed."""

from __future__ import annotations

import copy
from typing import Any

GONE = object()


def changed(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """A copy of ``value`` with the field at ``path`` ("tokens.count") set to ``new``, or, for
    GONE, without it. A number in the path is an index into a list."""
    result = copy.deepcopy(value)
    target: Any = result
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        target = target[part]
    if new is GONE:
        del target[last]
    else:
        target[last] = new
    return result
