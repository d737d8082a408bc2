"""Where a family's tensors stand in one checkpoint: under which prefix, with which embedding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.models.families import Family
    from huref_zk.models.model import Model

OUTPUTS = ("lm_head.weight", "embed_out.weight", "output.weight", "language_model.lm_head.weight")
"""Names of the output matrix, which tied models may have instead of the embedding."""
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
T = TypeVar("T")


def templates(value: Any) -> Iterator[str]:
    """All names of tensors in an entry: its strings with a dot that hold {i} or name an embedding,
    wherever they stand."""
    for name, found in _strings(value, ""):
        if _is_template(name, found):
            yield found


def _is_template(name: str, value: str) -> bool:
    return "{i}" in value or (name.startswith("embedding") and "." in value)


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _strings(getattr(value, field.name), field.name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, str(key))
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from _strings(inner, name)


def signature(name: str) -> str:
    """A tensor's name with # for its numbers: model.layers.3.mlp.up -> model.layers.#.mlp.up."""
    return _NUMBER.sub("#", name)


def template_signature(template: str) -> str:
    return re.sub(r"\{[a-z]\}", "#", template)


def placed(family: Family, model: Model, names: tuple[str, ...]) -> Family:
    """The family with names as the checkpoint has them: under the one of its prefixes under which
    tensors are found, the embedding being the output matrix where a tied model has only that.

    InputError for tensors under two prefixes: which of them a program reads is its own choice.
    """
    usual = family.prefixes[0]
    held = {signature(name) for name in names}
    wanted = set(templates(family))
    under = {
        prefix: sorted(
            t for t in wanted if template_signature(prefix + t.removeprefix(usual)) in held
        )
        for prefix in family.prefixes
    }
    used = [prefix for prefix in family.prefixes if under[prefix]]
    if len(used) > 1:
        one, other = (p + under[p][0].removeprefix(usual) for p in used[:2])
        raise InputError(
            f"{model.source} holds tensors under two prefixes, {one.replace('{i}', '0')} and "
            f"{other.replace('{i}', '0')}: which are the model's?"
        )
    found = _moved(family, usual, used[0]) if used else family
    if found.embedding not in names:
        found = _tied(found, model, names)
    return found


def _tied(family: Family, model: Model, names: tuple[str, ...]) -> Family:
    from huref_zk.models.families import text_config

    tied = text_config(model.config).get("tie_word_embeddings", True)
    output = next((name for name in OUTPUTS if name in names), None)
    if output is None or tied is not True:
        return family
    model.note(f"{output}, which is tied to the embedding, stands for it")
    return replace(family, embedding=output)


def _moved(family: Family, usual: str, prefix: str) -> Family:
    def move(value: Any, name: str = "") -> Any:
        if isinstance(value, str):
            is_name = _is_template(name, value)
            return prefix + value.removeprefix(usual) if is_name else value
        if is_dataclass(value) and not isinstance(value, type):
            changed: Any = value
            return replace(
                changed,
                **{f.name: move(getattr(value, f.name), f.name) for f in fields(changed)},
            )
        if isinstance(value, dict):
            return {key: move(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, tuple):
            return tuple(move(inner, name) for inner in value)
        return value

    return replace(move(family), prefixes=(prefix,))
