"""Parts of a coded weight, read and checked."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.store import Store


def floats(store: Store, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
    """A part as float32."""
    with np.errstate(over="ignore"):
        return np.asarray(store.raw(name, start, stop), dtype=np.float32)


def want(store: Store, name: str, kinds: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """InputError unless a part is there, of one of these types and of this shape."""
    if not store.has(name):
        raise InputError(f"{store.source}: {name} is missing")
    if store.kind(name) not in kinds or store.shape(name) != shape:
        misfit(store, name)


def misfit(store: Store, name: str) -> NoReturn:
    raise InputError(
        f"{store.source}: {name} of type {store.kind(name)} and shape {store.shape(name)} does not "
        "fit the weight that it belongs to"
    )
