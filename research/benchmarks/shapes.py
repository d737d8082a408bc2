"""Checkpoints of the shape of large models, of random float16 numbers, sharded, written by layer.

    python -m research.benchmarks.shapes 7b FOLDER [--layers N]

The numbers come from one random pool, cut at different places, so that 13 GB are written in a
minute; what is timed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

POOL = 1 << 26


@dataclass(frozen=True)
class Sizes:
    """d, heads, key-value heads, FFN width, layers, vocabulary."""

    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    layers: int
    vocab: int


SHAPES = {
    "1b": Sizes(2048, 32, 8, 8192, 16, 32000),
    "7b": Sizes(4096, 32, 32, 11008, 32, 32000),
    "70b": Sizes(8192, 64, 8, 28672, 80, 32000),
}


def write_shape(folder: Path, sizes: Sizes, seed: int = 0) -> None:
    """Write a LLaMA of these sizes: config.json, one shard a layer, the index."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pool = (0.02 * rng.standard_normal(POOL, dtype=np.float32)).astype(np.float16)
    where: dict[str, str] = {}

    def draw(*shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        start = int(rng.integers(POOL))
        return np.resize(np.roll(pool, -start), count).reshape(shape)

    def shard(name: str, tensors: dict[str, np.ndarray]) -> None:
        where.update(dict.fromkeys(tensors, name))
        save_file(tensors, folder / name)

    d, f = sizes.hidden, sizes.ffn
    kv = d // sizes.heads * sizes.kv_heads
    ones = np.ones(d, dtype=np.float16)
    shard(
        "model-embed.safetensors",
        {"model.embed_tokens.weight": draw(sizes.vocab, d), "model.norm.weight": ones},
    )
    for i in range(sizes.layers):
        shapes = {
            "self_attn.q_proj": (d, d),
            "self_attn.k_proj": (kv, d),
            "self_attn.v_proj": (kv, d),
            "self_attn.o_proj": (d, d),
            "mlp.gate_proj": (f, d),
            "mlp.up_proj": (f, d),
            "mlp.down_proj": (d, f),
        }
        tensors = {f"model.layers.{i}.{n}.weight": draw(*shape) for n, shape in shapes.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{i}.{norm}.weight"] = ones
        shard(f"model-{i:05d}.safetensors", tensors)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    config = {
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": d,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "intermediate_size": f,
        "num_hidden_layers": sizes.layers,
        "vocab_size": sizes.vocab,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(config))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()
    sizes = SHAPES[options.shape]
    if options.layers:
        sizes = Sizes(**{**vars(sizes), "layers": options.layers})
    write_shape(options.folder, sizes)


if __name__ == "__main__":
    main()
