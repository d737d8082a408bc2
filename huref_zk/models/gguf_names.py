"""Which tensors of a GGUF file make the weights that a family names, and how.

gguf's tensor map translates names; the rest is what llama.cpp's converter did on the way
(gguf_architectures.py): experts in one tensor, fused matrices in another order or apart, norms with
one added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from huref_zk.models.families import Family
from huref_zk.models.gguf_architectures import Architecture
from huref_zk.models.gguf_reader import TensorInfo

_EXPERTS = ("experts_up", "experts_gate_up", "experts_down")
_MATRICES = ("qkv", "q", "k", "v", "o", "up", "gate", "gate_up", "down")
_OUTSIDE = {"norm.weight": "output_norm.weight", "norm.bias": "output_norm.bias"}
_HEAD = {"lm_head.weight": "output.weight", "lm_head.bias": "output.bias"}


@dataclass(frozen=True)
class Source:
    """parts: names of tensors in the file. how: what is done with them, "" for nothing: "q", "k"
    (rows in llama.cpp's order), "norm" (something was added), "stacked" or "split" (a fused matrix
    to be fused as the family has it), "transposed", "experts" (axes 1 and 2 may be swapped),
    "gate_up" (of experts). slab: which entry of the first axis, where the file has all in one."""

    parts: tuple[str, ...]
    how: str = ""
    slab: int | None = None


def sources(
    name: str,
    kept: Architecture,
    family: Family,
    tensors: Mapping[str, TensorInfo],
    layers: int,
) -> dict[str, Source]:
    """A source for each weight and bias that the family may name and the file has."""
    from gguf.constants import MODEL_ARCH_NAMES
    from gguf.tensor_mapping import get_tensor_name_map

    numbers = {text: number for number, text in MODEL_ARCH_NAMES.items()}
    theirs = get_tensor_name_map(numbers[name], 1)

    def base(template: str) -> str | None:
        key = template.replace("{i}", "0").replace(".{e}", "").replace(".norms.{h}", "")
        # A bias of a router, which is no bias of a linear map, stands under a name of its own.
        for end, suffix in ((".weight", ".weight"), ("_bias", ".bias"), ("", ".weight")):
            stem = key.removesuffix(end) if key.endswith(end) else key
            for tried in (stem, stem.removeprefix(family.prefixes[0])):
                found = theirs.get_name(tried)
                if found is not None:
                    return found + suffix
        return None

    out: dict[str, Source] = {}
    for field, template in _templates(family):
        for source in _made(field, template, kept, family, base):
            if "{i}" not in template:
                _add(out, template, source, tensors)
                continue
            for i in range(layers):
                moved = tuple(part.replace("blk.0.", f"blk.{i}.") for part in source.parts)
                _add(out, template.replace("{i}", str(i)), Source(moved, source.how, None), tensors)
    for ours, name_there in {
        **{family.prefixes[0] + k: v for k, v in _OUTSIDE.items()},
        **_HEAD,
    }.items():
        how = "norm" if ours.endswith("norm.weight") else ""
        _add(out, ours, Source((name_there,), how), tensors)
    return out


def _templates(family: Family) -> Iterator[tuple[str, str]]:
    per_expert = family.expert_up is not None
    for field in fields(family):
        template = getattr(family, field.name)
        if not isinstance(template, str) or "." not in template:
            continue
        if "{i}" not in template and not field.name.startswith("embedding"):
            continue
        if per_expert and (field.name in _EXPERTS or field.name == "fused_router"):
            continue  # the same tensors of the file, under the names of single experts
        yield field.name, template


def _made(field: str, template: str, kept: Architecture, family: Family, base) -> Iterator[Source]:
    direct = base(template)
    if field == "qkv" and kept.split:
        parts = tuple(f"blk.0.attn_{x}.weight" for x in "qkv")
        yield Source(parts, "split")
    elif field == "experts_gate_up":
        yield Source(("blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight"), "gate_up")
    elif direct is not None:
        yield Source((direct,), _how(field, kept))


def _how(field: str, kept: Architecture) -> str:
    if field.endswith("norm"):
        return "norm"
    if field in ("q", "k") and kept.interleaved:
        return field
    if field == "qkv" and kept.stacked:
        return "stacked"
    if field in _MATRICES and kept.transposed:
        return "transposed"
    return "experts" if field in _EXPERTS else ""


def _add(
    out: dict[str, Source], template: str, source: Source, tensors: Mapping[str, TensorInfo]
) -> None:
    """The weight, or each of those that the file has in one tensor, and the bias beside it."""
    if any(part not in tensors for part in source.parts):
        return
    axis = "{e}" if "{e}" in template else "{h}"
    if axis in template:
        for slab in range(tensors[source.parts[0]].shape[0]):
            out.setdefault(
                template.replace(axis, str(slab)), Source(source.parts, source.how, slab)
            )
    else:
        out.setdefault(template, source)
    if source.how in ("experts", "gate_up") and not template.endswith(("_bias", ".weight")):
        beside = tuple(part.removesuffix("weight") + "bias" for part in source.parts)
        _add(out, template + "_bias", Source(beside, source.how), tensors)
    if not template.endswith(".weight"):
        return
    beside = tuple(part.removesuffix("weight") + "bias" for part in source.parts)
    if all(part.endswith(".weight") for part in source.parts) and beside[0] in tensors:
        how = "" if source.how == "norm" else source.how
        _add(out, template.removesuffix("weight") + "bias", Source(beside, how), tensors)
