"""Trains models that have nothing to do with each other: the unrelated pairs of `pairs`.

Seeds, sizes, architectures, tokenizers and halves of the text all vary. Every model is a folder of
its own, written whole, so an interrupted run goes on where it was.
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

Progress = Callable[[str, int, int], None]
CONTEXT, BATCH, STEPS, RATE = 128, 16, 240, 3e-3


@dataclass(frozen=True)
class Stranger:
    """kind: a model_type; d, layers, heads: sizes; text: 0 or 1, which half of the corpus trains
    model and tokenizer; vocab: the tokenizer's size."""

    name: str
    kind: str
    seed: int
    d: int
    layers: int
    heads: int
    text: int
    vocab: int


STRANGERS = (
    Stranger("llama-a", "llama", 11, 64, 4, 4, 0, 4160),
    Stranger("llama-b", "llama", 12, 64, 4, 4, 0, 4160),
    Stranger("llama-c", "llama", 13, 64, 4, 4, 1, 4160),
    Stranger("llama-deep", "llama", 14, 48, 8, 4, 0, 4160),
    Stranger("llama-wide", "llama", 15, 96, 3, 6, 1, 3000),
    Stranger("llama-other-words", "llama", 16, 64, 4, 4, 1, 3000),
    Stranger("qwen2-a", "qwen2", 17, 64, 4, 4, 0, 4160),
    Stranger("qwen2-b", "qwen2", 18, 80, 5, 4, 1, 4160),
    Stranger("gpt2-a", "gpt2", 19, 64, 4, 4, 0, 4160),
    Stranger("gpt2-b", "gpt2", 20, 64, 4, 4, 1, 3000),
    Stranger("opt-a", "opt", 21, 64, 4, 4, 0, 4160),
    Stranger("neox-a", "gpt_neox", 22, 64, 4, 4, 1, 4160),
)


def config_of(spec: Stranger):
    """The transformers configuration of a stranger."""
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig, OPTConfig, Qwen2Config

    common: dict[str, Any] = {
        "vocab_size": spec.vocab,
        "tie_word_embeddings": spec.kind in ("gpt2", "opt"),
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
        return GPT2Config(
            n_embd=spec.d, n_layer=spec.layers, n_head=spec.heads, n_positions=256, **common
        )
    if spec.kind == "opt":
        return OPTConfig(ffn_dim=4 * spec.d, word_embed_proj_dim=spec.d, **sizes, **common)
    if spec.kind == "gpt_neox":
        return GPTNeoXConfig(intermediate_size=4 * spec.d, **sizes, **common)
    sizes |= {"intermediate_size": 3 * spec.d, "num_key_value_heads": spec.heads // 2}
    config = {"llama": LlamaConfig, "qwen2": Qwen2Config}[spec.kind]
    return config(**sizes, **common)


def train_strangers(out: Path, progress: Progress) -> list[Path]:
    """The folders of all STRANGERS under ``out``, trained where they are not there yet."""
    from research.derivations.corpus import corpus

    folders = [out / spec.name for spec in STRANGERS]
    if all((folder / "config.json").exists() for folder in folders):
        return folders
    out.mkdir(parents=True, exist_ok=True)
    texts = corpus()
    tokenizers = {}
    for done, (spec, folder) in enumerate(zip(STRANGERS, folders, strict=True)):
        progress("strangers", done, len(STRANGERS))
        if (folder / "config.json").exists():
            continue
        key = (spec.text, spec.vocab)
        if key not in tokenizers:
            tokenizer = bpe(texts[spec.text], spec.vocab)
            ids = np.array(tokenizer.encode(texts[spec.text]).ids, dtype=np.int64)
            tokenizers[key] = (tokenizer, ids)
        _train(spec, *tokenizers[key], folder, progress)
    return folders


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


def _train(spec: Stranger, tokenizer, ids: np.ndarray, folder: Path, progress: Progress) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(spec.seed)
    model = AutoModelForCausalLM.from_config(config_of(spec)).train()
    rng = np.random.default_rng(spec.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for step in range(STEPS):
        starts = rng.integers(0, len(ids) - CONTEXT, BATCH)
        batch = torch.from_numpy(np.stack([ids[s : s + CONTEXT] for s in starts]))
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 19:
            progress(f"{spec.name}: loss {loss.item():.2f}", step + 1, STEPS)
    scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    try:
        model.half().save_pretrained(scratch)
        tokenizer.save(str(scratch / "tokenizer.json"), pretty=False)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
