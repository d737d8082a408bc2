"""Integers of a few bits, packed into words, with scales by groups: compressed-tensors, GPTQ, AWQ,
MLX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.formats import Coded, Format
from huref_zk.models.formats.bits import unpack
from huref_zk.models.formats.parts import floats, misfit, want
from huref_zk.models.store import Store

HALVES = ("F16", "BF16", "F32")
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""AWQ's n-th four bits of a word are of this column of eight."""


@dataclass(frozen=True)
class GptqWeight(Coded):
    """(in, out) packed along the input axis; each input has a group, by g_idx or in order."""

    store: Store
    stem: str
    bits: int
    shape: tuple[int, int]
    offset: int

    def rows(self, start: int, stop: int) -> np.ndarray:
        raw, stem = self.store.raw, self.stem
        packed = raw(stem + "qweight")[:, start:stop]
        q = unpack(np.ascontiguousarray(packed.T), self.bits)
        zeros = unpack(raw(stem + "qzeros"), self.bits)[:, start:stop].astype(np.float32)
        scales = floats(self.store, stem + "scales")[:, start:stop]
        groups = len(scales)
        if self.store.has(stem + "g_idx"):
            group = raw(stem + "g_idx").astype(np.int64)
            if len(group) and not (group.min() >= 0 and group.max() < groups):
                misfit(self.store, stem + "g_idx")
        else:
            group = np.arange(self.shape[1]) // -(-self.shape[1] // groups)
        out: np.ndarray = (q - (zeros + self.offset).T[:, group]) * scales.T[:, group]
        return out


class Gptq(Format):
    """qweight, qzeros, scales and perhaps g_idx in place of weight. offset: what is added to zeros,
    one in the first version's files."""

    def __init__(self, bits: int, offset: int):
        self.name, self.bits, self.offset = "GPTQ", bits, offset

    def weight_of(self, stored: str, store: Store) -> str | None:
        stem, _, last = stored.rpartition(".")
        if last == "qweight":
            return stem + ".weight"
        coded = last in ("qzeros", "scales", "g_idx") and store.has(stem + ".qweight")
        return None if coded else stored

    def find(self, store: Store, name: str) -> Coded | None:
        stem = name.removesuffix("weight")
        if not name.endswith(".weight") or not store.has(stem + "qweight"):
            return None
        packed, zeros = store.shape(stem + "qweight"), store.shape(stem + "qzeros")
        if len(packed) != 2 or len(zeros) != 2 or not zeros[0]:
            misfit(store, stem + "qweight")
        each = 32 // self.bits
        rows, columns = packed[1], packed[0] * each
        want(store, stem + "qweight", ("I32",), packed)
        want(store, stem + "qzeros", ("I32",), (zeros[0], rows // each))
        want(store, stem + "scales", HALVES, (zeros[0], rows))
        if store.has(stem + "g_idx"):
            want(store, stem + "g_idx", ("I32", "I64"), (columns,))
        return GptqWeight(store, stem, self.bits, (rows, columns), self.offset)


@dataclass(frozen=True)
class AwqWeight(Coded):
    """(in, out) packed along the output axis, eight columns to a word in AWQ's order."""

    store: Store
    stem: str
    shape: tuple[int, int]

    def rows(self, start: int, stop: int) -> np.ndarray:
        first, last = start // 8, -(-stop // 8)
        q = self._columns(self.store.raw(self.stem + "qweight")[:, first:last])
        zeros = self._columns(self.store.raw(self.stem + "qzeros")[:, first:last])
        scales = floats(self.store, self.stem + "scales")[:, 8 * first : 8 * last]
        each = self.shape[1] // len(scales)
        grouped = q.reshape(len(scales), each, -1).astype(np.float32)
        values = (grouped - zeros[:, None].astype(np.float32)) * scales[:, None]
        values = values.reshape(self.shape[1], -1).T
        return values[start - 8 * first : stop - 8 * first]

    @staticmethod
    def _columns(words: np.ndarray) -> np.ndarray:
        nibbles = unpack(words, 4).reshape(len(words), -1, 8)
        out = np.empty_like(nibbles)
        out[..., AWQ_ORDER] = nibbles
        return out.reshape(len(words), -1)


class Awq(Gptq):
    """GPTQ's names with AWQ's order."""

    def __init__(self) -> None:
        super().__init__(4, 0)
        self.name = "AWQ"

    def find(self, store: Store, name: str) -> Coded | None:
        stem = name.removesuffix("weight")
        if not name.endswith(".weight") or not store.has(stem + "qweight"):
            return None
        packed, scales = store.shape(stem + "qweight"), store.shape(stem + "scales")
        if len(packed) != 2 or len(scales) != 2 or not scales[0] or packed[0] % scales[0]:
            misfit(store, stem + "qweight")
        want(store, stem + "qweight", ("I32",), packed)
        want(store, stem + "qzeros", ("I32",), (scales[0], packed[1]))
        want(store, stem + "scales", HALVES, (scales[0], 8 * packed[1]))
        return AwqWeight(store, stem, (8 * packed[1], packed[0]))


@dataclass(frozen=True)
class GroupedWeight(Coded):
    """Rows of packed integers; each group of a row has a scale, and a bias or a zero."""

    store: Store
    words: str
    bits: int
    shape: tuple[int, ...]
    scales: str
    biases: str | None
    zero: float
    zeros: str | None = None

    def rows(self, start: int, stop: int) -> np.ndarray:
        q = unpack(self.store.raw(self.words, start, stop), self.bits)[..., : self.shape[-1]]
        scales = floats(self.store, self.scales, start, stop)
        groups = scales.shape[-1]
        size = self.shape[-1] // groups
        grouped = q.reshape(*q.shape[:-1], groups, size).astype(np.float32)
        if self.biases is not None:
            biases = floats(self.store, self.biases, start, stop)
            values = grouped * scales[..., None] + biases[..., None]
        else:
            zero: Any = self.zero
            if self.zeros is not None:
                packed = self.store.raw(self.zeros)
                zeros = unpack(np.ascontiguousarray(packed.T), self.bits).T[start:stop]
                zero = zeros[..., None].astype(np.float32)
            values = (grouped - zero) * scales[..., None]
        return values.reshape(q.shape)


class Mlx(Format):
    """weight in words of 32 bits, scales and biases beside it. bits, group: of most weights; own:
    those of single modules."""

    def __init__(self, bits: int, group: int, own: dict[str, tuple[int, int]]):
        self.name, self.bits, self.group, self.own = "MLX", bits, group, own

    def weight_of(self, stored: str, store: Store) -> str | None:
        stem, _, last = stored.rpartition(".")
        coded = last in ("scales", "biases") and store.has(f"{stem}.weight")
        return None if coded else stored

    def find(self, store: Store, name: str) -> Coded | None:
        stem = name.removesuffix("weight")
        if not name.endswith(".weight") or not store.has(stem + "scales"):
            return None
        bits, group = self.own.get(stem.removesuffix("."), (self.bits, self.group))
        words, scales = store.shape(name), store.shape(stem + "scales")
        shape = (*words[:-1], words[-1] * 32 // bits) if words else ()
        if len(shape) < 2 or scales != (*shape[:-1], shape[-1] // group) or shape[-1] % group:
            misfit(store, stem + "scales")
        want(store, name, ("U32",), words)
        want(store, stem + "scales", HALVES, scales)
        want(store, stem + "biases", HALVES, scales)
        return GroupedWeight(store, name, bits, shape, stem + "scales", stem + "biases", 0.0)


def packed_weight(store: Store, name: str, bits: int) -> Coded:
    """compressed-tensors' weight_packed in place of ``name``: rows of words, half of the range
    being zero unless weight_zero_point says otherwise."""
    words, scales = name + "_packed", name + "_scale"
    told = store.raw(name + "_shape") if store.has(name + "_shape") else None
    if told is None or told.shape != (2,) or told.dtype.kind != "i":
        raise InputError(f"{store.source}: {name}_shape is missing or no shape")
    shape = (int(told[0]), int(told[1]))
    each = 32 // bits
    found = store.shape(scales) if store.has(scales) else ()
    if len(found) != 2 or not found[1] or shape[1] % found[1] or min(shape) < 1:
        raise InputError(f"{store.source}: {scales} is missing or does not fit")
    want(store, words, ("I32",), (shape[0], -(-shape[1] // each)))
    want(store, scales, HALVES, (shape[0], found[1]))
    zeros = name + "_zero_point"
    if store.has(name + "_g_idx") and (store.raw(name + "_g_idx") >= 0).any():
        raise InputError(f"{store.source}: {name} has its groups in another order (g_idx)")
    if store.has(zeros):
        want(store, zeros, ("I32",), (-(-shape[0] // each), found[1]))
        return GroupedWeight(store, words, bits, shape, scales, None, 0.0, zeros)
    return GroupedWeight(store, words, bits, shape, scales, None, float(1 << (bits - 1)))
