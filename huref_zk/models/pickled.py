"""A Hugging Face folder with pickled weights, read through torch's weights-only unpickler."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.model import Model, folder_tokenizer, read_json
from huref_zk.models.tokenizer import Tokenizer


class PickledFolder(Model):
    """config.json with pytorch_model.bin. Nothing in the pickle is executed (weights_only)."""

    def __init__(self, folder: Path):
        try:
            import torch
        except ImportError as e:
            raise EnvironmentLacks(
                f"pickled checkpoints need torch ({e}); pip install torch"
            ) from e
        self.source, self.folder, self._dense = str(folder), folder, torch.strided
        self.config = read_json(folder / "config.json")
        path = folder / "pytorch_model.bin"
        try:
            self._tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except Exception as e:  # torch raises many kinds; none may reach the user as a traceback
            reason = str(e).splitlines()[0][:120] if str(e) else ""
            raise InputError(
                f"{path} is not a plain checkpoint ({type(e).__name__}: {reason})"
            ) from e
        if not isinstance(self._tensors, dict):
            raise InputError(f"{path} holds no state dict")

    def _tensor(self, name: str):
        tensor = self._tensors.get(name)
        if tensor is None or not hasattr(tensor, "is_floating_point"):
            raise InputError(f"{self.source}: tensor {name} is missing")
        if tensor.layout != self._dense or tensor.is_meta or not tensor.is_floating_point():
            raise InputError(f"{self.source}: {name} is no dense tensor of floating-point numbers")
        return tensor.detach()

    def has(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensor(name).shape)

    def tensor(self, name: str) -> np.ndarray:
        return self._tensor(name).float().numpy()

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        return self._tensor(name)[ids].float().numpy()

    def names(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self._tensors)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return folder_tokenizer(self.folder)
