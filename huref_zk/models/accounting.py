"""Whether a checkpoint says one thing only: every tensor of its layers accounted for, no count said
in two ways.

What the entry of a family does not name changes the model unseen, or is not part of it: a note
names it, and what can only change weights that are read (an adapter, a scale of a format that was
not recognised) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from huref_zk.errors import InputError
from huref_zk.models.placing import signature, template_signature, templates

if TYPE_CHECKING:
    from huref_zk.models.families import Family
    from huref_zk.models.model import Model

# Buffers that older versions of transformers saved and newer ones compute.
_BUFFERS = re.compile(
    r"(rotary_emb\.inv_freq|rope\.freqs|\.inv_freq|\.masked_bias|\.(attn|attention)\.bias"
    r"|rotary_emb\.(cos|sin)_cached)$"
)
_ADAPTERS = re.compile(
    r"(^|[._])(lora|vera|ia3|oft|dora)_?[a-z]*([._]|$)|\.adapters?\.|base_layer\."
)
_SCALES = re.compile(
    r"(_scale|_scale_inv|_scale_2|\.scales?|\.qweight|\.qzeros|\.g_idx|\.SCB|\.absmax|_packed"
    r"|_blocks|\.quant_map|\.zero_points?|\.weight_shape|\.lora_magnitude_vector|\.trellis|\.suh"
    r"|\.q_weight|\.biases|\.qscales?)$"
)
_OTHER_PARTS = re.compile(
    r"vis|image|audio|speech|whisper|tower|encoder|mtp|draft|eagle|talker|expert|action|code|flow"
)
_NEXT_TOKEN = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers")
_COUNTS = "_keys"


def account(model: Model, family: Family, names: tuple[str, ...]) -> None:
    """Add notes to the model. InputError where it could be read in two ways."""
    config_agrees(model, family)
    known = {template_signature(t) for t in templates(family)}
    # A bias stands beside any weight; whether it counts is for the family to say.
    known |= {s.removesuffix("weight") + "bias" for s in known if s.endswith(".weight")}
    known |= {s + "_bias" for s in known if not s.endswith((".weight", "bias"))}
    begun = template_signature(family.activation_tensors or "") or None
    layers = {s[: s.index("#")] for s in known if "#" in s}
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(signature(name), []).append(name)
    unknown = []
    for sign, held in found.items():
        if _ADAPTERS.search(sign):
            raise InputError(
                f"{model.source} holds an adapter within its weights ({held[0][:120]}); merge it"
            )
        inside = any(sign.startswith(start) for start in layers) if layers else False
        if sign in known or not inside or _BUFFERS.search(sign):
            continue
        if begun is not None and sign.startswith(begun):
            continue
        if _SCALES.search(sign) and _part_of(sign, known):
            raise InputError(
                f"{model.source} holds {held[0][:120]}, part of a quantised weight in no format "
                "that its config names"
            )
        unknown.append((held[0], len(held)))
    if unknown:
        told = [f"{name[:80]}" + (f" and {n - 1} like it" if n > 1 else "") for name, n in unknown]
        more = f"; {len(told) - 6} more kinds" if len(told) > 6 else ""
        model.note(f"not read, though they lie in its layers: {'; '.join(told[:6])}{more}")
    _elsewhere(model, family, known, found)
    _one_kind_of_block(model, family, found)
    _counts(model, family, found, layers)


def _elsewhere(
    model: Model, family: Family, known: set[str], found: Mapping[str, list[str]]
) -> None:
    """A note on tensors named as the layers' are, under another prefix that is no other part's."""
    tails = {s.removeprefix(family.prefixes[0]) for s in known if "#" in s}
    for sign, held in found.items():
        at = sign.find("#")
        starts = [0, *(m.end() for m in re.finditer(r"\.", sign[: max(at, 0)]))]
        for start in starts:
            prefix, tail = sign[:start], sign[start:]
            if tail in tails and sign not in known and not _OTHER_PARTS.search(prefix):
                model.note(
                    "not read: tensors named as those of layers stand under another prefix, "
                    f"{held[0][:80]}"
                )
                return


def _part_of(sign: str, known: set[str]) -> bool:
    """Whether a tensor's name belongs to a weight that is read."""
    return any(sign.startswith(weight.removesuffix("weight")) for weight in known if "#" in weight)


def _one_kind_of_block(model: Model, family: Family, found: Mapping[str, list[str]]) -> None:
    """InputError for a layer with dense and expert tensors, or with experts both fused and apart:
    a program reads one and passes the other over."""
    kinds: dict[int, dict[str, str]] = {}
    for kind, fields_of in (
        ("dense", ("down", "up", "gate", "gate_up")),
        ("expert", ("expert_down", "expert_up", "expert_gate")),
        ("fused", ("experts_down", "experts_gate_up")),
    ):
        for field in fields_of:
            template = getattr(family, field, None)
            if template is None:
                continue
            for name in found.get(template_signature(template), ()):
                kinds.setdefault(_layer(name, template), {}).setdefault(kind, name)
    for layer in sorted(kinds):
        if len(kinds[layer]) > 1:
            one, other = list(kinds[layer].values())[:2]
            raise InputError(
                f"{model.source}: layer {layer} has a feed-forward block in two forms, "
                f"{one[:120]} and {other[:120]}"
            )


def _layer(name: str, template: str) -> int:
    start = template.index("{i}")
    return int(re.match(r"\d+", name[start:]).group())  # type: ignore[union-attr]


def _counts(
    model: Model, family: Family, found: Mapping[str, list[str]], starts: Iterable[str]
) -> None:
    """InputError for tensors of more layers or experts than the config counts."""
    config = _config(model, family)
    layers = _first(config, family.layers_keys)
    if layers is None:
        return  # dimensions() says so
    further = _first(config, _NEXT_TOKEN) or 0
    experts = _first(config, family.experts_keys)
    known = [t for t in templates(family) if "{i}" in t]
    for template in known:
        for name in found.get(template_signature(template), ()):
            layer = _layer(name, template)
            if layer >= layers + further:
                raise InputError(
                    f"{model.source}: config says {layers} layers, but there is {name[:120]}"
                )
            if "{e}" in template and experts is not None:
                rest = re.sub(r"\\\{[ih]\\\}", r"\\d+", re.escape(template))
                expert = re.fullmatch(rest.replace(r"\{e\}", r"(\d+)"), name)
                if expert and int(expert[1]) >= experts:
                    raise InputError(
                        f"{model.source}: config says {experts} experts, but there is {name[:120]}"
                    )
    if further and any(_beyond(found, known, layers)):
        model.note(f"not read: {further} layers behind the last, which predict further tokens")
    fused = template_signature(family.experts_down or "")
    for name in found.get(fused, ()) if experts else ():
        shape = model.shape(name)
        if len(shape) == 3 and shape[0] != experts:
            raise InputError(
                f"{model.source}: config says {experts} experts, but {name} has {shape[0]}"
            )


def _beyond(found: Mapping[str, list[str]], known: list[str], layers: int) -> Iterable[bool]:
    for template in known:
        for name in found.get(template_signature(template), ()):
            yield _layer(name, template) >= layers


def config_agrees(model: Model, family: Family) -> None:
    """InputError for a config that says one count in two ways: under two names for it, or outside
    and inside of text_config."""
    from huref_zk.models.families import INNER

    outer = model.config
    inners = [(f"{key}.", outer.get(key)) for key in INNER]
    for field in fields(family):
        if not field.name.endswith(_COUNTS):
            continue
        keys = getattr(family, field.name)
        said = [
            (f"{place}{key}", config[key])
            for place, config in (("", outer), *inners)
            if isinstance(config, dict)
            for key in (keys if isinstance(keys, tuple) else ())
            if type(config.get(key)) is int and not key.startswith("padded_")
        ]
        for name, value in said[1:]:
            if value != said[0][1]:
                raise InputError(
                    f"{model.source}: config says {said[0][0]} = {said[0][1]} and {name} = {value}"
                )
    if isinstance(outer.get("auto_map"), dict):
        model.note("its config names code of its own (auto_map), which is not run or looked at")


def _config(model: Model, family: Family) -> dict[str, Any]:
    from huref_zk.models.families import text_config

    given = {k: v for k, v in text_config(model.config).items() if v is not None}
    return {**family.defaults, **given}


def _first(config: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    for key in keys:
        value = config.get(key)
        if type(value) is int and 0 < value < 1 << 24:
            return value
    return None
