"""Models out of and into files: Hugging Face folders, and GGUF as a model to train."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils import logging

from huref_zk.errors import InputError
from huref_zk.models.gguf_file import GgufFile
from huref_zk.models.load import EMBEDDED

TOKENIZER = "tokenizer.json"


def folder_of(ref: str) -> Path:
    """The folder of an embedded model's name, or the reference itself as a path."""
    return EMBEDDED.get(ref, Path(ref))


def read_model(folder: Path) -> LlamaForCausalLM:
    """A folder in float32, in evaluation mode: a LLaMA, or a mixture made of one."""
    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def write_model(model: PreTrainedModel, tokenizer: Path, folder: Path) -> None:
    """A Hugging Face folder with float16 weights and a copy of ``tokenizer`` (a tokenizer.json).

    It appears whole or not at all. ``model`` is not changed.
    """
    logging.disable_progress_bar()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix="." + folder.name))
    try:
        with torch.random.fork_rng():
            half = type(model)(model.config)
        half.load_state_dict(model.state_dict())
        half.half().save_pretrained(temporary)
        (temporary / "generation_config.json").unlink(missing_ok=True)
        shutil.copy(tokenizer, temporary / TOKENIZER)
        os.chmod(temporary, 0o755)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def from_gguf(path: str, folder: Path) -> None:
    """A llama-architecture GGUF file, dequantised, as a folder like those of ``write_model``.

    The output matrix is taken to be the embedding (tied), as small models have it. InputError for
    another architecture.
    """
    from transformers import AutoTokenizer

    source = GgufFile(Path(path))
    says = source.running_config()
    if says.pop("model_type") != "llama":
        raise InputError(f"{path} is no LLaMA")
    rope = {"rope_type": "default", "rope_theta": float(says.pop("rope_theta", 10_000.0))}
    config = LlamaConfig(**{**says, "rope_parameters": rope, "tie_word_embeddings": True})
    with torch.no_grad(), torch.random.fork_rng():
        model = LlamaForCausalLM(config).eval()
        for name, weight in model.named_parameters():
            weight.copy_(torch.from_numpy(source.tensor(name).copy()))
    reader = AutoTokenizer.from_pretrained(str(Path(path).parent), gguf_file=Path(path).name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        tokenizer = Path(scratch) / TOKENIZER
        reader.backend_tokenizer.save(str(tokenizer), pretty=False)
        write_model(model, tokenizer, folder)
