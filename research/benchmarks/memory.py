"""Peak memory of `fingerprint` and `compare` on a 7B-shaped checkpoint and on SmolLM2-135M.

The checkpoints are sharded, float16, and written layer by layer: widths and vocabulary of LLaMA-7B,
but two layers (1.1 GB each; both are deleted afterwards). `fingerprint` reads the last two layers
of any model, `compare` all of them, one at a time: more layers take longer, not more memory. The
second checkpoint is the first with noise, so that both layers match and nothing is left out;
SmolLM2 is compared with itself. Prints JSON, in GB and seconds:

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

from research.benchmarks.end_to_end import smollm2

SIZES = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 11008,
    "num_hidden_layers": 2,
}
LIMITS = {"7b": 6.0, "smollm2": 1.0}  # GB
NOISE = 0.2  # of the weights' standard deviation


def write_checkpoint(folder: Path, noise: float = 0.0) -> None:
    """A sharded LLaMA of random float16 numbers, the same ones each time but for the noise."""
    from safetensors.numpy import save_file

    d, f = SIZES["hidden_size"], SIZES["intermediate_size"]
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    where = {}

    def shard(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
        tensors = {}
        for tensor, shape in shapes.items():
            values = rng.standard_normal(shape, dtype=np.float32)
            if noise:
                values += np.float32(noise) * other.standard_normal(shape, dtype=np.float32)
            values *= np.float32(0.02)
            tensors[tensor] = values.astype(np.float16) + np.float16(len(shape) == 1)
            where[tensor] = name
        save_file(tensors, folder / name)

    shard("embed.safetensors", {"model.embed_tokens.weight": (SIZES["vocab_size"], d)})
    for i in range(SIZES["num_hidden_layers"]):
        shapes = {f"self_attn.{x}_proj": (d, d) for x in "qkvo"}
        shapes |= {"mlp.gate_proj": (f, d), "mlp.up_proj": (f, d), "mlp.down_proj": (d, f)}
        shapes |= {"input_layernorm": (d,), "post_attention_layernorm": (d,)}
        named = {f"model.layers.{i}.{name}.weight": shape for name, shape in shapes.items()}
        shard(f"layer-{i}.safetensors", named)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (folder / "config.json").write_text(json.dumps(SIZES))


_CHILD = """
import resource, sys
from huref_zk.cli import main
from tests.peak_memory import own_peak
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(own_peak(), used.ru_utime + used.ru_stime, file=sys.stderr)
"""


def measure(*words: str | Path) -> dict[str, float]:
    """Run a command in a child: its peak resident memory (GB), wall and CPU seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, words), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    peak, cpu = done.stderr.split()[-2:]
    return {
        "peak_gb": round(int(peak) / 1e9, 2),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(float(cpu), 1),
    }


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        copies = folder / "first", folder / "second"
        for copy, noise in zip(copies, (0.0, NOISE), strict=True):
            copy.mkdir()
            write_checkpoint(copy, noise)
        small = smollm2()
        out = ("--out", folder / "fp.png", "--vector", folder / "v.json")
        found = {
            "fingerprint": {
                "7b": measure("fingerprint", copies[0], *out),
                "smollm2": measure("fingerprint", small, *out),
            },
            "compare": {
                "7b": measure("compare", *copies),
                "smollm2": measure("compare", small, small),
            },
        }
    within = all(row[m]["peak_gb"] < limit for row in found.values() for m, limit in LIMITS.items())
    print(json.dumps({**found, "limits_gb": LIMITS, "within": within}, indent=2))
    raise SystemExit(0 if within else 1)


if __name__ == "__main__":
    main()
