"""Trains models that have nothing to do with each other: the unrelated pairs of `pairs`.

Seeds, sizes, architectures, tokenizers and halves of the text vary. The twins are the hard case:
one tokenizer, one text, the same embeddings to begin with (those that demo-base began with, too),
three of them even the same batches; only the layers' first weights differ. Every model is a folder
of its own, written whole, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.models.load import EMBEDDED

Progress = Callable[[str, int, int], None]
CONTEXT, BATCH, STEPS, RATE = 64, 12, 160, 3e-3
VOCAB = 4160  # the embedded models' tokenizer is used where a stranger has as many tokens


@dataclass(frozen=True)
class Stranger:
    """kind: a model_type; d, layers, heads: sizes; text: 0 or 1, which half of the corpus trains
    model and tokenizer; vocab: the tokenizer's size. twin: begins with demo-base's first
    embeddings; order: seed of the batches, if another than ``seed``."""

    name: str
    kind: str
    seed: int
    d: int = 64
    layers: int = 4
    heads: int = 4
    text: int = 0
    vocab: int = VOCAB
    twin: bool = False
    order: int | None = None
    steps: int = STEPS


STRANGERS = (
    Stranger("llama-a", "llama", 11),
    Stranger("llama-b", "llama", 12),
    Stranger("llama-c", "llama", 13, text=1),
    Stranger("llama-deep", "llama", 14, d=48, layers=8),
    Stranger("llama-wide", "llama", 15, d=96, layers=3, heads=6, text=1, vocab=3000),
    Stranger("llama-other-words", "llama", 16, text=1, vocab=3000),
    Stranger("qwen2-a", "qwen2", 17),
    Stranger("qwen2-b", "qwen2", 18, d=80, layers=5, text=1),
    Stranger("gpt2-a", "gpt2", 19),
    Stranger("gpt2-b", "gpt2", 20, text=1, vocab=3000),
    Stranger("opt-a", "opt", 21),
    Stranger("neox-a", "gpt_neox", 22, text=1),
    Stranger("mixtral-a", "mixtral", 23),
    Stranger("mixtral-b", "mixtral", 24, d=48, layers=5, text=1),
    Stranger("gemma-a", "gemma", 25),
    Stranger("qwen3-a", "qwen3", 26, text=1),
    Stranger("twin-llama-a", "llama", 31, twin=True, order=1, steps=320),
    Stranger("twin-llama-b", "llama", 32, twin=True, order=1, steps=320),
    Stranger("twin-llama-c", "llama", 33, twin=True, order=1, steps=320),
    Stranger("twin-llama-deep", "llama", 34, layers=6, twin=True),
    Stranger("twin-qwen2", "qwen2", 35, twin=True),
    Stranger("twin-gpt2", "gpt2", 36, twin=True),
    Stranger("twin-mixtral", "mixtral", 37, twin=True),
)


def config_of(spec: Stranger):
    """The transformers configuration of a stranger."""
    import transformers as hf

    common: dict[str, Any] = {
        "vocab_size": spec.vocab,
        "tie_word_embeddings": spec.kind in ("gpt2", "opt", "gemma"),
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": None,
    }
    sizes: dict[str, Any] = {
        "hidden_size": spec.d,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "max_position_embeddings": 256,
    }
    if spec.kind == "gpt2":
        return hf.GPT2Config(
            n_embd=spec.d, n_layer=spec.layers, n_head=spec.heads, n_positions=256, **common
        )
    if spec.kind == "opt":
        return hf.OPTConfig(ffn_dim=4 * spec.d, word_embed_proj_dim=spec.d, **sizes, **common)
    if spec.kind == "gpt_neox":
        return hf.GPTNeoXConfig(intermediate_size=4 * spec.d, **sizes, **common)
    sizes |= {
        "intermediate_size": 3 * spec.d,
        "num_key_value_heads": spec.heads // 2,
        "head_dim": spec.d // spec.heads,
    }
    if spec.kind == "mixtral":
        sizes |= {"intermediate_size": 2 * spec.d, "num_local_experts": 4}
    if spec.kind == "qwen2":
        sizes.pop("head_dim")
    config = {
        "llama": hf.LlamaConfig,
        "qwen2": hf.Qwen2Config,
        "qwen3": hf.Qwen3Config,
        "gemma": hf.GemmaConfig,
        "mixtral": hf.MixtralConfig,
    }[spec.kind]
    return config(**sizes, **common)


def train_strangers(
    out: Path, progress: Progress, strangers: tuple[Stranger, ...] = STRANGERS
) -> list[Path]:
    """The folders of all ``strangers`` under ``out``, trained where they are not there yet."""
    from research.derivations.corpus import corpus

    folders = [out / spec.name for spec in strangers]
    if all((folder / "config.json").exists() for folder in folders):
        return folders
    out.mkdir(parents=True, exist_ok=True)
    texts = corpus()
    tokenizers = {}
    for done, (spec, folder) in enumerate(zip(strangers, folders, strict=True)):
        progress("strangers", done, len(strangers))
        if (folder / "config.json").exists():
            continue
        key = (spec.text if spec.vocab != VOCAB else None, spec.vocab)
        if key not in tokenizers:
            tokenizers[key] = tokenizer_of(texts[spec.text], spec.vocab)
        tokenizer = tokenizers[key]
        ids = np.array(tokenizer.encode(texts[spec.text]).ids, dtype=np.int64)
        _train(spec, tokenizer, ids, folder, progress)
    return folders


def tokenizer_of(text: str, vocab: int):
    """demo-base's tokenizer if that has ``vocab`` ids, else one trained on ``text``."""
    from tokenizers import Tokenizer

    if vocab == VOCAB:
        return Tokenizer.from_file(str(EMBEDDED["demo-base"] / "tokenizer.json"))
    return bpe(text, vocab)


def bpe(text: str, vocab: int):
    """A byte-level BPE tokenizer of ``vocab`` ids; merges, hence rare tokens, come last."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def begin(spec: Stranger):
    """The untrained model."""
    import torch
    from transformers import AutoModelForCausalLM

    from research.training.family import fresh_model

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(spec.seed)
        model = AutoModelForCausalLM.from_config(config_of(spec))
        if spec.twin:
            model.get_input_embeddings().weight.copy_(fresh_model(1).get_input_embeddings().weight)
    return model


def _train(spec: Stranger, tokenizer, ids: np.ndarray, folder: Path, progress: Progress) -> None:
    import torch

    model = begin(spec).train()
    rng = np.random.default_rng(spec.seed if spec.order is None else spec.order)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=spec.steps)
    for step in range(spec.steps):
        starts = rng.integers(0, len(ids) - CONTEXT, BATCH)
        batch = torch.from_numpy(np.stack([ids[s : s + CONTEXT] for s in starts]))
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 19:
            progress(f"{spec.name}: loss {loss.item():.2f}", step + 1, spec.steps)
    scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    try:
        model.half().save_pretrained(scratch)
        tokenizer.save(str(scratch / "tokenizer.json"), pretty=False)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
