"""Checkpoints of the tiny LLaMA, saved as real ones are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import LlamaForCausalLM

from tests.support.tiny_llama import build


@pytest.fixture(scope="session")
def llama() -> LlamaForCausalLM:
    return build()


@pytest.fixture(scope="session")
def saved(llama, tmp_path_factory) -> Path:
    """A single-file checkpoint; not to be changed."""
    folder = tmp_path_factory.mktemp("single")
    llama.save_pretrained(folder)
    assert (folder / "model.safetensors").exists()
    return folder


@pytest.fixture(scope="session")
def saved_shards(llama, tmp_path_factory) -> Path:
    """The same checkpoint in shards small enough that no layer shares one with another."""
    folder = tmp_path_factory.mktemp("sharded")
    llama.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 5
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of the single-file checkpoint that the test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def sharded(saved_shards, tmp_path) -> Path:
    return Path(shutil.copytree(saved_shards, tmp_path / "shards"))
