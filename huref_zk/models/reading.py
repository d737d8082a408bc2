"""Checked tensors of a model: what every reader of weights stands on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config, value_at
from huref_zk.models.model import Model


@dataclass(frozen=True)
class Dimensions:
    """A model's sizes: d, heads, kv heads, head dimension, FFN width (all experts of the last layer
    side by side in a mixture), layers, vocabulary. Where a head's queries and values are of
    different lengths, or layers differ, the largest; key_dim and value_dim are the two."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    layers: int
    vocab: int
    key_dim: int = 0
    value_dim: int = 0

    @property
    def width(self) -> int:
        """Of all heads side by side."""
        return self.heads * self.head_dim


def number(model: Model, family: Family, keys: tuple[str, ...], default: int | None = None) -> int:
    """A size from the config, under the first of its keys that is there. Raises InputError."""
    given = {k: v for k, v in text_config(model.config).items() if v is not None}
    config = {**family.defaults, **given}
    key = next((k for k in keys if value_at(config, k) is not None), None)
    value = default if key is None else value_at(config, key)
    if type(value) is not int or not 0 < value < 1 << 24:
        what = key or (keys[0] if keys else "a size")
        raise InputError(
            f"{model.source}: config says {what} = {value!r}; a positive number is needed"
        )
    return value


def expect(model: Model, name: str, shape: tuple[int, ...]) -> None:
    """InputError unless a tensor has this shape."""
    found = model.shape(name)
    if tuple(found) != tuple(shape):
        raise InputError(f"{model.source}: {name} has shape {found}, its config implies {shape}")


def finite(values: np.ndarray, name: str) -> np.ndarray:
    """``values``; InputError when any is NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(values.sum())
    # A sum in float32 may overflow; in float64 it is finite as long as every entry is.
    if not math.isfinite(total) and not math.isfinite(float(values.sum(dtype=np.float64))):
        raise InputError(f"{name} holds NaN or infinite weights")
    return values


def named(template: str, i: int, e: int = 0) -> str:
    """A tensor's name for layer i and expert e."""
    return template.replace("{i}", str(i)).replace("{e}", str(e))  # no format: maps are untrusted


def weight(model: Model, family: Family, name: str, rows: int, columns: int) -> np.ndarray:
    """A matrix (out, in) however it is stored, checked."""
    expect(model, name, stored_shape(family, rows, columns))
    values = finite(model.tensor(name), name)
    return values.T if family.transposed else values


def stored_shape(family: Family, rows: int, columns: int) -> tuple[int, int]:
    """The shape in the file of a matrix (out, in)."""
    return (columns, rows) if family.transposed else (rows, columns)


def matrix_shape(model: Model, family: Family, name: str) -> tuple[int, int]:
    """(out, in) of a matrix however it is stored. Raises InputError for what is none."""
    shape = model.shape(name)
    if len(shape) != 2:
        raise InputError(f"{model.source}: {name} has shape {shape}, not that of a matrix")
    return (shape[1], shape[0]) if family.transposed else (shape[0], shape[1])


def gain_vector(
    model: Model, family: Family, name: str, width: int, offset: float | None = None
) -> np.ndarray:
    """What a norm multiplies by, float32 (width,), its family's offset added."""
    expect(model, name, (width,))
    more = family.norm_offset if offset is None else offset
    return finite(model.tensor(name), name) + np.float32(more)


def gain(
    model: Model, family: Family, dims: Dimensions, template: str | None, i: int
) -> np.ndarray:
    """What a norm of layer i multiplies by, float32 (d,); ones without a norm, or where the layer
    lacks the block that it stands before."""
    if template is None or (family.partial and not model.has(named(template, i))):
        return np.ones(dims.hidden, dtype=np.float32)
    return gain_vector(model, family, named(template, i), dims.hidden)


def bias_vector(model: Model, name: str, width: int) -> np.ndarray:
    """The bias beside the weight ``name``, float32 (width,)."""
    beside = name.removesuffix("weight") + "bias"
    expect(model, beside, (width,))
    return finite(model.tensor(beside), beside)
