"""Peak memory of `huref-zk fingerprint` on a 7B-shaped checkpoint and on SmolLM2-135M.

The checkpoint is sharded, float16, and written layer by layer; only what is read exists: the
embeddings and the last two layers (1.1 GB, deleted afterwards). Prints JSON, in GB:

    python -m benchmarks.memory [FOLDER]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.end_to_end import smollm2

SIZES = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
}
LIMITS = {"7b": 6.0, "smollm2": 1.0}  # GB


def write_checkpoint(folder: Path) -> None:
    """A sharded LLaMA-7B of random float16 numbers: config, index, and the shards that are read."""
    from safetensors.numpy import save_file

    d, f = SIZES["hidden_size"], SIZES["intermediate_size"]
    rng = np.random.default_rng(0)
    where = {}

    def shard(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
        tensors = {}
        for tensor, shape in shapes.items():
            values = rng.standard_normal(shape, dtype=np.float32)
            values *= np.float32(0.02)
            tensors[tensor] = values.astype(np.float16) + np.float16(len(shape) == 1)
            where[tensor] = name
        save_file(tensors, folder / name)

    shard("embed.safetensors", {"model.embed_tokens.weight": (SIZES["vocab_size"], d)})
    for i in (SIZES["num_hidden_layers"] - 2, SIZES["num_hidden_layers"] - 1):
        shapes = {f"self_attn.{x}_proj": (d, d) for x in "qkvo"}
        shapes |= {"mlp.gate_proj": (f, d), "mlp.up_proj": (f, d), "mlp.down_proj": (d, f)}
        shapes |= {"input_layernorm": (d,), "post_attention_layernorm": (d,)}
        named = {f"model.layers.{i}.{name}.weight": shape for name, shape in shapes.items()}
        shard(f"layer-{i}.safetensors", named)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (folder / "config.json").write_text(json.dumps(SIZES))


_CHILD = """
import sys
from huref_zk.cli import main
from tests.peak_memory import own_peak
try:
    main()
finally:
    print(own_peak(), file=sys.stderr)
"""


def measure(model: str, folder: Path) -> dict[str, float]:
    """Run `fingerprint` in a child: its peak resident memory (GB) and seconds."""
    start = time.perf_counter()
    words = ("fingerprint", model, "--out", folder / "fp.png", "--vector", folder / "v.json")
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, words), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[1],
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    peak = int(done.stderr.split()[-1])
    return {"peak_gb": round(peak / 1e9, 2), "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        write_checkpoint(folder)
        found = {"7b": measure(str(folder), folder), "smollm2": measure(str(smollm2()), folder)}
    within = all(found[m]["peak_gb"] < limit for m, limit in LIMITS.items())
    print(json.dumps({**found, "limits_gb": LIMITS, "within": within}, indent=2))
    raise SystemExit(0 if within else 1)


if __name__ == "__main__":
    main()
