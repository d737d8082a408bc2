"""Checkpoints to attack, what transformers computes with them, and how alike two of them are."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from huref_zk.attacks import Checkpoint, read_checkpoint
from huref_zk.attacks.checkpoint import EMBEDDING, HEAD
from huref_zk.invariants.recipes import compute_cores
from huref_zk.invariants.sketch import exact_ics_of

WORDS = "the model reads what it wrote and writes what it read about a model of models again"
ROWS = 232
"""Of the embeddings of the random models: 200 pieces, one added token, the rest padding."""

KINDS = {
    "llama-tied": ("llama", {"tie_word_embeddings": True, "attention_bias": True}),
    "llama-all-biases": ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 6}),
    "mistral-grouped": ("mistral", {"num_key_value_heads": 2, "head_dim": 8}),
    "qwen2-grouped-tied": ("qwen2", {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "llama-one-kv-head": ("llama", {"num_key_value_heads": 1}),
}
MODELS = ("demo-base", *KINDS)


@cache
def checkpoint(name: str) -> Checkpoint:
    return read_checkpoint("demo-base") if name == "demo-base" else _random(name)


def write_random(folder: Path, name: str) -> None:
    """A random model of KINDS as transformers saves it, with a tokenizer trained on WORDS."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, changes = KINDS[name]
    config = AutoConfig.for_model(
        kind,
        **{
            "vocab_size": ROWS,
            "hidden_size": 40,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "intermediate_size": 56,
            "num_hidden_layers": 3,
            "max_position_embeddings": 64,
            "initializer_range": 0.15,
            "rms_norm_eps": 1e-3,  # large, so that forgetting to scale it shows
            "bos_token_id": 0,
            "eos_token_id": [1, 2],
            "pad_token_id": None,
            **changes,
        },
    )
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if "norm" in part:
                parameter.uniform_(0.5, 1.5)
            elif part.endswith("bias"):
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    write_tokenizer(folder)


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=200,
        special_tokens=["<s>", "</s>", "<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())[:150],
        min_frequency=1,
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.add_tokens(["<extra>"])
    template = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.post_processor = template
    tokenizer.enable_padding(pad_id=2, pad_token="<end>")
    tokenizer.save(str(folder / "tokenizer.json"))


def _random(name: str) -> Checkpoint:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_random(Path(folder), name)
        return read_checkpoint(folder)


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the expected logits' standard deviation."""
    return float(np.abs(found - expected).max() / expected.std())


def new_ids(before: Checkpoint, after: Checkpoint) -> np.ndarray:
    """For each row of the embedding, the row that has its token after the attack, by text; -1 where
    none has."""
    out = np.arange(before.sizes.vocab)
    if before.tokenizer is not None and after.tokenizer is not None:
        old, new = (json.loads(json.dumps(c.tokenizer["model"]["vocab"])) for c in (before, after))
        for text, i in old.items():
            out[i] = new.get(text, -1)
    return out


def likeness(
    before: Checkpoint, after: Checkpoint, count: int = 512, recipe: str = "whole"
) -> np.ndarray:
    """Exact ICS of a recipe's cores over the same tokens, one a term of each set."""
    x = compute_cores(before.model(), recipe=recipe, tokens=count)
    ids = new_ids(before, after)[x.token_ids]
    return exact_ics_of(
        x, compute_cores(after.model(), recipe=recipe, tokens=count, token_ids=ids.tolist())
    )


def parameter_cosine(before: Checkpoint, after: Checkpoint) -> float:
    """Of all parameters that both have, as one vector; a tied output counts as the embedding."""
    dot = left = right = 0.0
    for name in {*before.tensors, HEAD}:
        x, y = (
            np.ravel(c.tensors.get(name, c.tensors[EMBEDDING])).astype(np.float64)
            for c in (before, after)
        )
        dot, left, right = dot + x @ y, left + x @ x, right + y @ y
    return dot / np.sqrt(left * right)
