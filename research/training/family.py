"""Trains the embedded family: a tiny LLaMA, a fine-tuned child, and a stranger (another seed).

    python -m training.family

Text: the source of the running Python's standard library (PSF licence), which every machine that
runs this has. Modules are split by a hash of their name: two thirds train base and stranger, the
last third fine-tunes the child. No text is shipped. The result depends on the Python release and
torch's arithmetic; the shipped weights are the ones of the log beside this script.
"""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from research.derivations.corpus import corpus, windows

OUT = Path(__file__).resolve().parents[2] / "huref_zk" / "data" / "models"
LOG = Path(__file__).resolve().parent / "logs" / "family.csv"
VOCAB, CONTEXT, BATCH = 4160, 128, 16
BASE_STEPS, CHILD_STEPS = 900, 300
PEAK_RATE, CHILD_RATE = 3e-3, 1e-3


def train_tokenizer(text: str) -> Tokenizer:
    """Byte-level BPE with VOCAB ids; rare tokens have the highest ids, as merges come last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def fresh_model(seed: int) -> LlamaForCausalLM:
    """An untrained model of the family's architecture."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM, ids: np.ndarray, steps: int, rate: float, seed: int, name: str, log
) -> float:
    """Next-token training with AdamW, warm-up and cosine decay; returns the mean of the last
    losses."""
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps, pct_start=0.1
    )
    losses, start = [], time.process_time()
    for step in range(steps):
        batch = torch.from_numpy(windows(ids, rng, BATCH, CONTEXT))
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 20 == 19:
            log.writerow([name, step + 1, f"{np.mean(losses[-20:]):.4f}"])
            cpu = time.process_time() - start
            print(
                f"{name} step {step + 1}/{steps} loss {np.mean(losses[-20:]):.3f} {cpu:.0f} s",
                flush=True,
            )
    return float(np.mean(losses[-50:]))


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, name: str) -> None:
    """Write an HF folder with float16 weights and the tokenizer."""
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    half = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def main() -> None:
    torch.set_num_threads(1)
    main_text, other_text = corpus()
    tokenizer = train_tokenizer(main_text)
    ids, other = (
        np.array(tokenizer.encode(text).ids, dtype=np.int32) for text in (main_text, other_text)
    )
    print(f"{len(ids):,} and {len(other):,} tokens", flush=True)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with open(LOG, "w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["model", "step", "loss"])
        base = fresh_model(1)
        report = {"base": train(base, ids, BASE_STEPS, PEAK_RATE, 1, "base", log)}
        save(base, tokenizer, "base")
        before = {k: v.clone() for k, v in base.state_dict().items()}
        report["child"] = train(base, other, CHILD_STEPS, CHILD_RATE, 2, "child", log)
        save(base, tokenizer, "child")
        moved = sum(float((base.state_dict()[k] - v).square().sum()) for k, v in before.items())
        size = sum(float(v.square().sum()) for v in before.values())
        report["child_relative_change"] = (moved / size) ** 0.5
        stranger = fresh_model(2)
        report["stranger"] = train(stranger, ids, BASE_STEPS, PEAK_RATE, 3, "stranger", log)
        save(stranger, tokenizer, "stranger")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
