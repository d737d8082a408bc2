"""Taking a header apart: each value checked for type and bounds. All raise InputError."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from huref_zk.errors import InputError

_HEX = frozenset("0123456789abcdef")


def members(value: Any, names: Collection[str], what: str) -> dict[str, Any]:
    """``value``, an object with exactly the fields ``names``."""
    if not isinstance(value, dict):
        raise InputError(f"{what} must be an object")
    for name in names:
        if name not in value:
            raise InputError(f"{what} lacks the field {name!r}")
    for name in value:
        if name not in names:
            raise InputError(f"{what} has an unknown field {name[:40]!r}")
    return value


def texts(value: Any, what: str, limit: int, longest: int = 200) -> dict[str, str]:
    """``value``, an object of at most ``limit`` printable ASCII strings."""
    return {
        name: text(item, f"{what}.{name}", longest)
        for name, item in _named(value, what, limit).items()
    }


def facts(value: Any, what: str, limit: int = 32) -> dict[str, int | str]:
    """``value``, an object of at most ``limit`` integers and printable texts."""
    for item in _named(value, what, limit).values():
        fits = isinstance(item, str) and len(item) <= 200 and item.isprintable()
        if type(item) is not int and not fits:
            raise InputError(
                f"{what} must hold integers or printable texts of at most 200 characters"
            )
    return dict(value)


def _named(value: Any, what: str, limit: int) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > limit:
        raise InputError(f"{what} must be an object of at most {limit} fields")
    for name in value:
        text(name, f"{what}'s field names", 40)
    return value


def text(value: Any, what: str, longest: int = 64) -> str:
    """``value``, a string of 1 to ``longest`` printable ASCII characters."""
    fits = isinstance(value, str) and 0 < len(value) <= longest
    if fits and value.isascii() and value.isprintable():
        return str(value)
    raise InputError(f"{what} must be 1 to {longest} printable ASCII characters")


def one_of(value: Any, what: str, known: Collection[str]) -> str:
    """``value``, one of the strings ``known``."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{what} must be one of {', '.join(known)}")
    return value


def hex_digits(value: Any, what: str, digits: int = 64) -> str:
    """``value``, exactly so many lower-case hex digits."""
    if not isinstance(value, str) or len(value) != digits or set(value) - _HEX:
        raise InputError(f"{what} must be {digits} lower-case hex digits")
    return value


def integer(value: Any, what: str, low: int, high: int) -> int:
    """``value``, an integer from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{what} must be an integer from {low} to {high}")
    return value


def integers(value: Any, what: str, limit: int, low: int, high: int) -> tuple[int, ...]:
    """``value``, a list of 1 to ``limit`` integers from ``low`` to ``high``."""
    if not isinstance(value, list) or not 0 < len(value) <= limit:
        raise InputError(f"{what} must be a list of 1 to {limit} integers")
    return tuple(integer(item, what, low, high) for item in value)


def number(value: Any, what: str, low: float, high: float) -> float:
    """A number from ``low`` to ``high``, written as Python writes the float."""
    try:
        found = float(value) if isinstance(value, str) and len(value) <= 32 else None
    except ValueError:
        found = None
    if found is None or not low <= found <= high or repr(found) != value:
        raise InputError(f"{what} must be a number from {low} to {high}, as text")
    return found
