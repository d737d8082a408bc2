"""What a model multiplies the logits of its attention by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config, value_at
from huref_zk.models.model import Model


def logit_scale(model: Model, family: Family, hd: int) -> float | None:
    """None: heads of ``hd`` have hd^(-1/2), as is usual. Raises InputError."""
    config: Mapping[str, Any] = {**family.defaults, **text_config(model.config)}

    def told(key: str) -> float | None:
        value = value_at(config, key)
        if value is not None and (type(value) not in (int, float) or not 0 < value < math.inf):
            raise InputError(f"{model.source}: config says {key} = {value!r}")
        return None if value is None else float(value)

    scale = family.scale
    for keys, power in ((family.scale_root_keys, -0.5), (family.scale_keys, 1.0)):
        for value in filter(None, map(told, keys)):
            scale = value**power
    for key, power in family.scale_powers.items():
        scale = (hd**-0.5 if scale is None else scale) * (told(key) or 1.0) ** power
    return scale
