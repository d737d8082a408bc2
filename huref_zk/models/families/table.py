"""The table of model families. To add one, add an entry (docs/families.md)."""

from __future__ import annotations

from huref_zk.models.families.base import FIRST
from huref_zk.models.families.dense import DENSE
from huref_zk.models.families.family import Family
from huref_zk.models.families.hybrids import HYBRIDS
from huref_zk.models.families.mixtures import MIXTURES

FAMILIES: tuple[Family, ...] = (*FIRST, *DENSE, *MIXTURES, *HYBRIDS)
