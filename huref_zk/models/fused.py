"""Queries, keys and values out of one matrix."""

from __future__ import annotations

import numpy as np

from huref_zk.errors import InputError


def cut(
    fused: np.ndarray, layout: str, sizes: tuple[int, int, int], what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q, k, v out of one matrix; see Family for the layouts."""
    heads, kv, hd = sizes
    group, d = heads // kv, fused.shape[1]
    if layout == "stacked":
        q, k, v = np.split(fused, [heads * hd, (heads + kv) * hd])
        return q, k, v
    if layout != "grouped" and group != 1:
        raise InputError(f"{what} is fused head by head, but there are fewer kv heads than heads")
    if layout == "quarters":
        if heads % 4:
            raise InputError(f"{what}: {heads} heads are not four quarters")
        q, v, k = (p.reshape(-1, d) for p in np.split(fused.reshape(4, -1, d), 3, axis=1))
        return q, k, v
    parts = fused.reshape(kv, group + 2, hd, d)
    q, k, v = (part.reshape(-1, d) for part in (parts[:, :-2], parts[:, -2], parts[:, -1]))
    return q, k, v
