"""Which quantised format a checkpoint has, by what its config says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huref_zk.models.formats import Format
from huref_zk.models.store import Store


def format_of(folder: Path, config: dict[str, Any], store: Store) -> Format | None:
    """The format of a checkpoint's weights; None for plain ones. InputError for one that is not
    read."""
    return None
