"""Floats of four bits in groups: MXFP4 (gpt-oss), NVFP4 (compressed-tensors, ModelOpt)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from huref_zk.models.formats import Coded, Format
from huref_zk.models.formats.bits import FP4, unpack
from huref_zk.models.formats.parts import floats, misfit, want
from huref_zk.models.store import Store

MX_GROUP, NV_GROUP = 32, 16


@dataclass(frozen=True)
class MxWeight(Coded):
    """(experts, in, out), kept as (experts, out, groups, 16 bytes) and a power of two a group."""

    store: Store
    name: str
    shape: tuple[int, ...]

    def rows(self, start: int, stop: int) -> np.ndarray:
        codes = unpack(self.store.raw(self.name + "_blocks", start, stop), 4)
        powers = self.store.raw(self.name + "_scales", start, stop).astype(np.int32) - 127
        values = np.ldexp(FP4[codes], powers[..., None])
        return values.reshape(*values.shape[:-2], -1).swapaxes(-1, -2)


class Mxfp4(Format):
    """name_blocks and name_scales in place of a tensor of all experts."""

    name = "MXFP4"

    def weight_of(self, stored: str, store: Store) -> str | None:
        stem = stored.removesuffix("_blocks")
        if stem != stored and store.has(stem + "_scales"):
            return stem
        stem = stored.removesuffix("_scales")
        return None if stem != stored and store.has(stem + "_blocks") else stored

    def find(self, store: Store, name: str) -> Coded | None:
        if store.has(name) or not store.has(name + "_blocks"):
            return None
        blocks = store.shape(name + "_blocks")
        if len(blocks) != 4 or blocks[3] != MX_GROUP // 2:
            misfit(store, name + "_blocks")
        want(store, name + "_blocks", ("U8",), blocks)
        want(store, name + "_scales", ("U8",), blocks[:3])
        return MxWeight(store, name, (blocks[0], blocks[2] * MX_GROUP, blocks[1]))


@dataclass(frozen=True)
class NvWeight(Coded):
    """Rows of codes in ``words``, an FP8 scale a group, and one of all: a factor or a divisor."""

    store: Store
    words: str
    scales: str
    whole: str
    divides: bool
    shape: tuple[int, ...]

    def rows(self, start: int, stop: int) -> np.ndarray:
        codes = unpack(self.store.raw(self.words, start, stop), 4)
        whole = floats(self.store, self.whole).reshape(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = 1 / whole[0] if self.divides else whole[0]
        scales = floats(self.store, self.scales, start, stop) * factor
        values = FP4[codes].reshape(*scales.shape, NV_GROUP) * scales[..., None]
        return values.reshape(codes.shape)


def nv_weight(store: Store, words: str, scales: str, whole: str, divides: bool) -> Coded:
    """A weight of NVFP4, its parts checked."""
    packed = store.shape(words)
    if len(packed) != 2 or packed[1] * 2 % NV_GROUP:
        misfit(store, words)
    want(store, words, ("U8",), packed)
    want(store, scales, ("F8_E4M3",), (packed[0], packed[1] * 2 // NV_GROUP))
    if not store.has(whole) or math.prod(store.shape(whole)) != 1:
        want(store, whole, ("F32",), (1,))
    return NvWeight(store, words, scales, whole, divides, (packed[0], packed[1] * 2))
