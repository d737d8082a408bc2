"""bitsandbytes: NF4 and FP4 by a table of sixteen values, and INT8 by rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.files.container import load_json
from huref_zk.models.formats import Coded, Format
from huref_zk.models.formats.bits import unpack
from huref_zk.models.formats.parts import floats, misfit, want
from huref_zk.models.store import MAX_TENSOR, Store

_STATE = ".quant_state.bitsandbytes__"
_PARTS = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")
MAX_STATE = 1 << 12


@dataclass(frozen=True)
class FourBits(Coded):
    """Two codes a byte, the first in its upper half; each block of the flat weight has a largest
    size, which may be coded itself, in blocks of ``nested``."""

    store: Store
    name: str
    shape: tuple[int, ...]
    block: int
    nested: int | None
    offset: float

    def rows(self, start: int, stop: int) -> np.ndarray:
        width = math.prod(self.shape[1:])
        first, last = start * width // self.block, -(-stop * width // self.block)
        at = first * self.block // 2
        data = self.store.raw(self.name).reshape(-1)[at : -(-last * self.block // 2)]
        codes = unpack(data, 4).reshape(-1, 2)[:, ::-1].reshape(-1)
        table = floats(self.store, self.name + ".quant_map")
        sizes = self._sizes()[first:last]
        values = table[codes].astype(np.float32)
        values = values * np.repeat(sizes, self.block)[: len(values)]
        begin = start * width - first * self.block
        return values[begin : begin + (stop - start) * width].reshape(-1, *self.shape[1:])

    def _sizes(self) -> np.ndarray:
        if self.nested is None:
            return floats(self.store, self.name + ".absmax")
        codes = self.store.raw(self.name + ".absmax")
        table = floats(self.store, self.name + ".nested_quant_map")
        outer = floats(self.store, self.name + ".nested_absmax")
        sizes: np.ndarray = table[codes] * np.repeat(outer, self.nested)[: len(codes)]
        return sizes + np.float32(self.offset)


@dataclass(frozen=True)
class EightBits(Coded):
    """Rows of bytes, each row's largest size in SCB."""

    store: Store
    name: str
    scales: str

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.store.shape(self.name)

    def rows(self, start: int, stop: int) -> np.ndarray:
        scales = floats(self.store, self.scales, start, stop) / np.float32(127)
        return floats(self.store, self.name, start, stop) * scales[:, None]


class BitsAndBytes(Format):
    """weight with weight.absmax, weight.quant_map and a quant_state; or weight with SCB."""

    name = "bitsandbytes"

    def weight_of(self, stored: str, store: Store) -> str | None:
        for end in _PARTS:
            if stored.endswith(end) and store.has(stored.removesuffix(end)):
                return None
        if _STATE in stored or stored.endswith((".SCB", ".weight_format")):
            return None
        return stored

    def find(self, store: Store, name: str) -> Coded | None:
        if not store.has(name):
            return None
        scales = name.removesuffix("weight") + "SCB"
        if store.has(scales):
            shape = store.shape(name)
            if len(shape) != 2:
                misfit(store, name)
            want(store, name, ("I8",), shape)
            want(store, scales, ("F32",), shape[:1])
            return EightBits(store, name, scales)
        state = next((s for s in self._states(name) if store.has(s)), None)
        return None if state is None else self._four(store, name, state)

    @staticmethod
    def _states(name: str) -> tuple[str, ...]:
        return (name + _STATE + "nf4", name + _STATE + "fp4")

    @staticmethod
    def _four(store: Store, name: str, state: str) -> Coded:
        if math.prod(store.shape(state)) > MAX_STATE or store.kind(state) != "U8":
            misfit(store, state)
        try:
            told = load_json(store.raw(state).tobytes())
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise InputError(f"{store.source}: {state} is no JSON object")
        shape, block = told.get("shape"), told.get("blocksize")
        nested, offset = told.get("nested_blocksize") or 0, told.get("nested_offset", 0.0)
        if (
            not (isinstance(shape, list) and shape and type(block) is int and block % 2 == 0)
            or not all(type(n) is int and 0 < n < 1 << 31 for n in [*shape, block])
            or not (type(nested) is int and 0 <= nested < 1 << 31)
            or type(offset) not in (int, float)
            or math.prod(shape) > MAX_TENSOR
        ):
            raise InputError(f"{store.source}: {state} says senseless sizes")
        count = math.prod(shape)
        if math.prod(store.shape(name)) != -(-count // 2):
            misfit(store, name)
        blocks = -(-count // block)
        want(store, name, ("U8",), store.shape(name))
        want(store, name + ".quant_map", ("F32",), (16,))
        want(store, name + ".absmax", ("U8",) if nested else ("F32",), (blocks,))
        if nested:
            want(store, name + ".nested_quant_map", ("F32",), (256,))
            want(store, name + ".nested_absmax", ("F32",), (-(-blocks // nested),))
        return FourBits(store, name, tuple(shape), block, nested or None, float(offset))
