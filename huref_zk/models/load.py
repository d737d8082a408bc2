"""From a model's name to its tensors: folders, GGUF files, hub ids, the embedded family."""

from __future__ import annotations

import os
from pathlib import Path

from huref_zk.errors import InputError
from huref_zk.models.adapter import Adapted, is_adapter
from huref_zk.models.folder import open_folder
from huref_zk.models.foreign import told
from huref_zk.models.gguf_reader import is_gguf
from huref_zk.models.hub import HUB_ID, download
from huref_zk.models.model import Model
from huref_zk.paths import DATA

EMBEDDED = {f"demo-{name}": DATA / "models" / name for name in ("base", "child", "stranger")}


def open_model(ref: str, *, revision: str | None = None, allow_pickle: bool = False) -> Model:
    """Open a model by reference: an embedded name (demo-base, demo-child, demo-stranger), a Hugging
    Face folder, a GGUF file, a hub id with ``revision``, or ADAPTER+BASE: the folder of a LoRA
    adapter and any of these.

    Raises InputError for anything else or malformed, EnvironmentLacks for a missing library or hub.
    """
    path = EMBEDDED.get(ref, Path(ref))
    if os.path.isdir(path):  # unlike Path's, false for names that no file could have
        return open_folder(path, allow_pickle)
    if os.path.isfile(path):
        if path.suffix != ".gguf" and not is_gguf(path):
            raise InputError(
                f"{ref} is no model: give a folder, a GGUF file or a hub id{told(path)}"
            )
        from huref_zk.models.gguf_file import GgufFile

        return GgufFile(path)
    adapter, plus, base = ref.partition("+")
    if plus and os.path.isdir(adapter):
        if not is_adapter(Path(adapter)):
            raise InputError(f"{adapter} is no adapter's folder: it holds no adapter_config.json")
        opened = open_model(base, revision=revision, allow_pickle=allow_pickle)
        return Adapted(Path(adapter), opened, allow_pickle)
    if HUB_ID.match(ref):
        return open_folder(download(ref, revision, allow_pickle), allow_pickle)
    raise InputError(
        f"there is no model {ref!r}: no such folder or file, and no hub id (owner/name)"
    )
