"""Whether the fields of an entry fit together."""

from __future__ import annotations

import re

from huref_zk.models.families.family import (
    ACTIVATIONS,
    GATES,
    GROUPS,
    LAYOUTS,
    QK_NORMS,
    SCORES,
    TENSORS,
    Family,
)

_CHOICES = {
    "qkv_layout": LAYOUTS,
    "qk_norm": QK_NORMS,
    "value_norm": QK_NORMS,
    "router_scores": SCORES,
    "group_score": GROUPS,
    "gate_activation": GATES,
    "activation": ACTIVATIONS,
}


def flaw(family: Family) -> str | None:
    """What keeps an entry from describing a model, in words; None when nothing does."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", family.name):
        return "name must be up to 40 of a-z, 0-9, '.', '_', '-'"
    for name, choices in _CHOICES.items():
        value = getattr(family, name)
        if value is not None and value not in choices:
            return f"{name} must be one of {', '.join(choices)}"
    found = _attention_flaw(family) or _ffn_flaw(family)
    if found:
        return found
    if family.positions_start < 0:
        return "positions_start must not be negative"
    if not family.prefixes:
        return "prefixes must not be empty"
    for tensor in TENSORS:
        template = getattr(family, tensor)
        if template is None:
            continue
        if not template.startswith(family.prefixes[0]):
            return f"{tensor} does not begin with {family.prefixes[0]!r}, the first prefix"
        if ("{i}" in template) == tensor.startswith("embedding"):
            return f"{tensor} must {'not ' if '{i}' in template else ''}have {{i}} in its name"
        if ("{e}" in template) != tensor.startswith("expert_"):
            return f"{tensor} must {'not ' if '{e}' in template else ''}have {{e}} in its name"
    return None


def _attention_flaw(family: Family) -> str | None:
    queries = [family.q or family.q_b]
    rest = [family.kv_b] if family.kv_a else [family.k, family.v]
    if (None in queries + rest) if family.qkv is None else any(queries + rest):
        return "give either q, k and v, or qkv"
    if bool(family.q_a) != bool(family.q_b) or bool(family.kv_a) != bool(family.kv_b):
        return "q_a and q_b go together, and kv_a and kv_b"
    if family.kv_a and not (family.value_dim_keys and family.rope_dim_keys):
        return "kv_a needs value_dim_keys and rope_dim_keys"
    norms = (family.q_norm, family.k_norm)
    if (family.qk_norm is None and any(norms)) or bool(norms[0]) != bool(norms[1]):
        return "qk_norm, q_norm and k_norm go together"
    if family.value_gain and not family.value_norm:
        return "value_gain needs value_norm"
    return None


def _ffn_flaw(family: Family) -> str | None:
    dense = (family.up is None) == (family.gate_up is None) or family.down is None
    mixture = (family.expert_up is None or family.expert_down is None) and (
        (family.experts_gate_up or family.experts_up) is None or family.experts_down is None
    )
    if dense and (mixture or family.up or family.gate_up or family.down):
        return "give either up or gate_up, and down (or those of experts)"
    if (family.router or family.fused_router) is None and family.expert_up is not None:
        return "experts need a router"
    return None
