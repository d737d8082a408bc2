"""A model together with how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huref_zk.models.families import Family, family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions


@dataclass(frozen=True)
class OpenModel:
    """A model, its family and sizes."""

    model: Model
    family: Family
    dims: Dimensions


def opened(model: Model, map_file: Path | None = None) -> OpenModel:
    """Raises InputError for an architecture that is not known, by the table or the map."""
    family = family_for(model, map_file)
    return OpenModel(model, family, dimensions(model, family))
