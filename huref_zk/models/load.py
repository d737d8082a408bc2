"""From a model's name to its tensors: folders, GGUF files, hub ids, the embedded family."""

from __future__ import annotations

import os
from pathlib import Path

from huref_zk.errors import InputError
from huref_zk.models.hub import HUB_ID, download
from huref_zk.models.model import Model
from huref_zk.paths import DATA

EMBEDDED = {f"demo-{name}": DATA / "models" / name for name in ("base", "child", "stranger")}


def open_model(ref: str, *, revision: str | None = None, allow_pickle: bool = False) -> Model:
    """Open a model by reference: an embedded name (demo-base, demo-child, demo-stranger), a Hugging
    Face folder, a .gguf file, or a hub id with ``revision``.

    Raises InputError for anything else or malformed, EnvironmentLacks for a missing library or hub.
    """
    path = EMBEDDED.get(ref, Path(ref))
    if os.path.isdir(path):  # unlike Path's, false for names that no file could have
        return _open_folder(path, allow_pickle)
    if os.path.isfile(path):
        if path.suffix != ".gguf":
            raise InputError(f"{ref} is no model: give a folder, a .gguf file or a hub id")
        from huref_zk.models.gguf_file import GgufFile

        return GgufFile(path)
    if HUB_ID.match(ref):
        return _open_folder(download(ref, revision, allow_pickle), allow_pickle)
    raise InputError(
        f"there is no model {ref!r}: no such folder or file, and no hub id (owner/name)"
    )


def _open_folder(folder: Path, allow_pickle: bool) -> Model:
    if not (folder / "config.json").exists():
        raise InputError(f"{folder} holds no config.json; is it a Hugging Face model folder?")
    if any((folder / n).exists() for n in ("model.safetensors", "model.safetensors.index.json")):
        from huref_zk.models.safetensors_folder import SafetensorsFolder

        return SafetensorsFolder(folder)
    if (folder / "pytorch_model.bin").exists():
        if not allow_pickle:
            raise InputError(
                f"{folder} holds only pickled weights; --allow-pickle reads them, weights only"
            )
        from huref_zk.models.pickled import PickledFolder

        return PickledFolder(folder)
    raise InputError(
        f"{folder} holds no model.safetensors, no index of shards, no pytorch_model.bin"
    )
