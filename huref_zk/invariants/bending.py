"""What a feed-forward block does between what reads and what writes, and how steep that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.activations import BENT, Bent, swish, xielu
from huref_zk.models.families import Family, text_config, value_at
from huref_zk.models.feed_forward import activation_name
from huref_zk.models.model import Model
from huref_zk.models.reading import finite, named


@dataclass(frozen=True)
class Bend:
    """h = act(min(gate_scale g, limit)) (u cut off at +-limit, plus up_offset), or act(u) without a
    gate."""

    act: Callable[[np.ndarray], Bent]
    limit: float | None = None
    up_offset: float = 0.0
    gate_scale: float = 1.0

    def answer(self, u: np.ndarray, g: np.ndarray | None) -> np.ndarray:
        """h, float32 (n, F), of what up and gate say."""
        if g is None:
            return self.act(u)[0]
        y, _, u = self._parts(g, u)
        return y * u

    def slopes(self, u: np.ndarray, g: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """(dh/du, dh/dg), float32 (n, F); the latter None without a gate."""
        if g is None:
            return self.act(u)[1], None
        y, slope, shifted = self._parts(g, u)
        slope *= shifted
        return y if self.limit is None else y * (np.abs(u) < self.limit), slope

    def _parts(self, g: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(act of g, its slope, what it is multiplied by)."""
        if self.gate_scale != 1.0:
            g = g * np.float32(self.gate_scale)
        cut = g if self.limit is None else np.minimum(g, np.float32(self.limit))
        y, slope = self.act(cut)
        if self.limit is not None:
            slope = slope * (g < self.limit)
            u = np.clip(u, -np.float32(self.limit), np.float32(self.limit))
        if self.gate_scale != 1.0:
            slope = slope * np.float32(self.gate_scale)
        return y, slope, u + np.float32(self.up_offset) if self.up_offset else u


def bend_of(model: Model, family: Family, i: int) -> Bend:
    """How the feed-forward blocks of layer i bend. Raises InputError."""
    return Bend(
        act=_act(model, family, i),
        limit=_number(model, family, family.limit_keys),
        up_offset=family.up_offset,
        gate_scale=_number(model, family, family.gate_scale_keys) or 1.0,
    )


def _act(model: Model, family: Family, i: int) -> Callable[[np.ndarray], Bent]:
    slope = _number(model, family, family.slope_keys)
    if slope is not None:
        return swish(slope)
    name = activation_name(model, family)
    if name != "xielu":
        return BENT[name]
    if family.activation_tensors is None:
        raise InputError(f"{model.source}: its map does not say where xIELU's tensors are")
    start = named(family.activation_tensors, i)
    values = []
    for part, usual in (("alpha_p", None), ("alpha_n", None), ("beta", 0.5), ("eps", -1e-6)):
        if usual is not None and not model.has(start + part):
            values.append(usual)
            continue
        found = finite(model.tensor(start + part), start + part)
        if found.size != 1:
            raise InputError(f"{model.source}: {start + part} holds {found.size} numbers, not one")
        values.append(float(found.reshape(-1)[0]))
    return xielu(*values)


def _number(model: Model, family: Family, keys: tuple[str, ...]) -> float | None:
    config = {**family.defaults, **text_config(model.config)}
    for key in keys:
        value = value_at(config, key)
        if value is None:
            continue
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise InputError(f"{model.source}: config says {key} = {value!r}")
        return float(value)
    return None
