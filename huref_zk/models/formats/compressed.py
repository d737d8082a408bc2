"""compressed-tensors and ModelOpt: several codings side by side, told by the tensors there are."""

from __future__ import annotations

from huref_zk.models.formats import Coded
from huref_zk.models.formats.fours import nv_weight
from huref_zk.models.formats.packed import packed_weight
from huref_zk.models.formats.scaled import Scaled
from huref_zk.models.store import Store

_PARTS = ("_shape", "_scale", "_zero_point", "_g_idx", "_global_scale", "_scale_2")


class Compressed(Scaled):
    """weight_packed with weight_scale, or weight with weight_scale. bits: of what is packed."""

    def __init__(self, name: str, bits: int, block: tuple[int, int] | None):
        super().__init__(name, block)
        self.bits = bits

    def weight_of(self, stored: str, store: Store) -> str | None:
        if stored.endswith("_packed"):
            return stored.removesuffix("_packed")
        for end in _PARTS:
            stem = stored.removesuffix(end)
            if stem != stored and (store.has(stem) or store.has(stem + "_packed")):
                return None
        return super().weight_of(stored, store)

    def find(self, store: Store, name: str) -> Coded | None:
        scale, packed, second = name + "_scale", name + "_packed", name + "_scale_2"
        if store.has(packed):
            if store.kind(packed) == "U8":
                return nv_weight(store, packed, scale, name + "_global_scale", True)
            return packed_weight(store, name, self.bits)
        if store.has(second) and store.has(name) and store.kind(name) == "U8":
            return nv_weight(store, name, scale, second, False)
        return super().find(store, name)
