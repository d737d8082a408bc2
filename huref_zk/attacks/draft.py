"""A checkpoint being rewritten: double precision inside, the input's own type in the result."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from huref_zk.attacks.checkpoint import (
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    PARTS,
    Checkpoint,
    name_of,
)
from huref_zk.errors import InputError

Change = Callable[..., np.ndarray]
NORM_OF = {"q": "attention_norm", "k": "attention_norm", "v": "attention_norm"} | {
    "gate": "ffn_norm",
    "up": "ffn_norm",
}
"""Weights that read the residual stream, each with the norm before it."""
WRITERS = ("o", "down")
"""Weights that add to the residual stream."""


class Draft:
    """A working copy; ``done`` gives the new checkpoint.

    ``rows`` and ``columns`` change a layer's weight on its output or input side. A bias lies on the
    output side, so ``rows`` changes it along, by the same function of arrays (out,) or (out, in).
    """

    def __init__(self, checkpoint: Checkpoint):
        self._from = checkpoint
        self.sizes = checkpoint.sizes
        self.config: dict[str, Any] = copy.deepcopy(checkpoint.config)
        self._tensors = dict(checkpoint.tensors)

    @property
    def tied(self) -> bool:
        return HEAD not in self._tensors

    def __getitem__(self, name: str) -> np.ndarray:
        return self._tensors[name].astype(np.float64)

    def __setitem__(self, name: str, values: np.ndarray) -> None:
        kind = self._tensors.get(name, self._tensors[EMBEDDING]).dtype
        with np.errstate(over="ignore"):
            stored = np.asarray(values, dtype=kind)
        if not np.isfinite(stored).all():
            raise InputError(f"{name} would leave the range of {kind}; choose a smaller strength")
        self._tensors[name] = stored

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def names(self) -> tuple[str, ...]:
        return tuple(self._tensors)

    def edit(self, name: str, change: Change, *by: Any) -> None:
        self[name] = change(self[name], *by)

    def rows(self, layer: int, part: str, change: Change, *by: Any) -> None:
        """Change the output side of a weight (axis 0), and its bias if it has one."""
        for kind in ("weight", "bias"):
            if (name := name_of(layer, part, kind)) in self:
                self.edit(name, change, *by)

    def with_bias(self, layer: int, part: str) -> np.ndarray:
        """A weight that reads, with its bias as a last column if it has one: what reads (x, 1).
        One that writes as it is."""
        w, name = self[name_of(layer, part)], name_of(layer, part, "bias")
        return w if part in WRITERS or name not in self else np.column_stack([w, self[name]])

    def put_with_bias(self, layer: int, part: str, values: np.ndarray) -> None:
        """What ``with_bias`` gave, changed."""
        name = name_of(layer, part, "bias")
        if part not in WRITERS and name in self:
            values, self[name] = values[:, :-1], values[:, -1]
        self[name_of(layer, part)] = values

    def columns(self, layer: int, part: str, change: Change, *by: Any) -> None:
        """Change the input side of a weight (its last axis)."""
        self.edit(name_of(layer, part), change, *by)

    def untie(self) -> None:
        """Give a model with tied embeddings an output matrix of its own."""
        if self.tied:
            self._tensors[HEAD] = self._tensors[EMBEDDING].copy()
            self.config["tie_word_embeddings"] = False

    def replace_gains(self, new_gains: Callable[[np.ndarray], np.ndarray]) -> None:
        """Give every norm the gains ``new_gains(old)``, both (d,), and multiply the columns of the
        weights that follow by old / new. Exact where no new gain is zero. Unties the embeddings,
        because the final norm's gains go into the output matrix alone."""
        self.untie()
        for i in range(self.sizes.layers):
            for norm in ("attention_norm", "ffn_norm"):
                old = self[name_of(i, norm)]
                new = self[name_of(i, norm)] = new_gains(old)
                for part in (p for p, n in NORM_OF.items() if n == norm):
                    self.columns(i, part, lambda w, ratio: w * ratio, old / new)
        old = self[FINAL_NORM]
        new = self[FINAL_NORM] = new_gains(old)
        self.edit(HEAD, lambda w: w * (old / new))

    def grow(self, layer: int, part: str, more: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Further outputs of what reads, ``more`` (n, d), with their biases (n,), default zero, or
        further inputs of what writes, (d, n)."""
        axis = 1 if part in WRITERS else 0
        self.edit(name_of(layer, part), lambda w: np.concatenate([w, more], axis=axis))
        name = name_of(layer, part, "bias")
        if axis == 0 and name in self:
            new = np.zeros(len(more)) if bias is None else bias
            self.edit(name, lambda w: np.concatenate([w, new]))

    def arrange(self, order: Sequence[int]) -> None:
        """Make layer k a copy of what is layer order[k] now."""
        before = dict(self._tensors)
        for name in [n for n in before if ".layers." in n]:
            del self._tensors[name]
        for k, source in enumerate(order):
            for part in PARTS:
                for kind in ("weight", "bias"):
                    if (name := name_of(source, part, kind)) in before:
                        self._tensors[name_of(k, part, kind)] = before[name]
        kinds = self.config.get("layer_types")
        if isinstance(kinds, list) and len(kinds) > max(order):
            self.config["layer_types"] = [kinds[i] for i in order]
        self.config["num_hidden_layers"] = len(order)

    def copy_layer(self, source: int, target: int) -> None:
        """The tensors of layer ``source`` under the names of layer ``target``."""
        for part in PARTS:
            for kind in ("weight", "bias"):
                if (name := name_of(source, part, kind)) in self:
                    self._tensors[name_of(target, part, kind)] = self._tensors[name].copy()

    def done(self, **changes: Any) -> Checkpoint:
        """The new checkpoint; ``changes`` to its other fields."""
        return replace(self._from, config=self.config, tensors=self._tensors, **changes)
