"""Which entry of the table a model fits, and where its tensors stand.

The entries are in table.py and what it imports, their fields in family.py. Names are those of
Hugging Face's checkpoints (GGUF files are translated to them by load/gguf_file.py);
docs/families.md shows how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from huref_zk.errors import InputError
from huref_zk.models.families.family import (
    ACTIVATIONS,
    LAYOUTS,
    QK_NORMS,
    TENSORS,
    Family,
)
from huref_zk.models.families.flaws import flaw

if TYPE_CHECKING:
    from huref_zk.models.model import Model

__all__ = [
    "ACTIVATIONS",
    "FAMILIES",
    "LAYOUTS",
    "QK_NORMS",
    "TENSORS",
    "Family",
    "family_for",
    "family_of",
    "flaw",
    "read_map",
    "text_config",
    "value_at",
]
MAX_MAP = 1 << 16
INNER = ("text_config", "llm_config", "language_config", "thinker_config")
"""Keys under which the config of a model of images and text has that of its text part."""


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config with that of its text part, if it has one, laid over it. model_type stays, unless
    the text part's alone is known."""
    inner = next((config[k] for k in INNER if isinstance(config.get(k), dict)), None)
    if inner is None:
        return config
    inner = text_config(inner)
    outer = config.get("model_type", inner.get("model_type"))
    known = _known(outer) or not _known(inner.get("model_type"))
    return {**config, **inner, "model_type": outer if known else inner["model_type"]}


def family_of(config: Mapping[str, Any]) -> Family:
    """The entry that a config fits. InputError, saying why there is none, if there is none."""
    from huref_zk.models.families.refusals import REFUSALS
    from huref_zk.models.families.table import FAMILIES

    config = text_config(config)
    model_type = config.get("model_type")
    entries = [f for f in FAMILIES if model_type in f.model_types]
    if not entries and isinstance(model_type, str) and model_type in REFUSALS:
        raise InputError(f"{model_type} models are not supported: {REFUSALS[model_type]}")
    if not entries:
        known = len({t for f in FAMILIES for t in f.model_types})
        raise InputError(
            f"architecture {str(model_type)[:40]!r} is not supported; `huref-zk models` lists the "
            f"{known} that are; --map FILE describes another one by hand"
        )
    for family in entries:
        if all(value_at(config, key) == wanted for key, wanted in family.when.items()):
            if family.refused:
                raise InputError(f"this {model_type} model is not supported: {family.refused}")
            return family
    wanted = " or ".join(str(dict(f.when)) for f in entries)
    raise InputError(f"this {model_type} model is of no known variant; known are: {wanted}")


def _known(model_type: Any) -> bool:
    from huref_zk.models.families.table import FAMILIES

    return any(model_type in f.model_types for f in FAMILIES)


def family_for(model: Model, map_file: Path | None = None) -> Family:
    """The family of a model, from ``map_file`` if given, with the prefix that its tensors have.

    Raises InputError as family_of and read_map do, and for a checkpoint that could be read in two
    ways (accounting.py), which gets notes on what is not read.
    """
    from huref_zk.models.accounting import account
    from huref_zk.models.placing import placed

    family = family_of(model.config) if map_file is None else read_map(map_file)
    names = model.names()
    family = placed(family, model, names)
    account(model, family, names)
    return family


def read_map(path: Path) -> Family:
    """A family from a JSON file with the fields of Family; model_types and when are not looked at.

    Raises InputError, naming what is wrong: unknown or missing fields, wrong types, names that do
    not fit together.
    """
    from huref_zk.models.model import read_json

    data = read_json(path, MAX_MAP)
    hints = get_type_hints(Family)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise InputError(f"{path} has unknown fields: {', '.join(unknown)[:200]}")
    for name, value in data.items():
        if not _fits(value, hints[name]):
            raise InputError(f"{path}: {name} must be {_WORDS[_kind(hints[name])]}")
    missing = [n for n in ("name", "embedding", "o") if n not in data]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}")
    given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in data.items()}
    family = Family(**given)
    problem = flaw(family)
    if problem:
        raise InputError(f"{path}: {problem}")
    return family


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """What a config says under "a.b.0": b inside a, its first entry; None where nothing stands."""
    found: Any = config
    for part in key.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


_WORDS = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of strings",
    Mapping: "an object of strings, numbers and truth values",
}


def _kind(hint: Any) -> type:
    """The plain type of an annotation: str of ``str | None``, tuple of ``tuple[str, ...]``."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (a for a in get_args(hint) if a is not type(None))
    origin = get_origin(hint) or hint
    return Mapping if isinstance(origin, type) and issubclass(origin, Mapping) else origin


def _fits(value: Any, hint: Any) -> bool:
    kind = _kind(hint)
    if value is None:
        return type(None) in get_args(hint)
    if kind is float:
        return type(value) in (int, float)
    if kind is tuple:
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    if kind is Mapping:
        return isinstance(value, dict) and all(
            v is None or type(v) in (str, bool, int, float) for v in value.values()
        )
    return type(value) is kind


def __getattr__(name: str) -> Any:
    if name == "FAMILIES":  # the table imports this module, so it is fetched when asked for
        from huref_zk.models.families.table import FAMILIES

        return FAMILIES
    raise AttributeError(name)
