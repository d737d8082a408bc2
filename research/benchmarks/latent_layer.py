"""Memory of one layer of a model of DeepSeek-V3's shape: d = 7,168, attention by latents with 128
heads, 256 experts of 2,048 neurons and a shared one.

    python -m research.benchmarks.latent_layer [EXPERTS IN USE]

Weights are drawn when they are asked for, as a loader reads them, in float32. So that it ends in
minutes, the router's correction sends all 4,096 tokens to a few experts (8): experts are read one
at a time, and one that no token is sent to is not read at all, so more of them cost time alone.
"""

from __future__ import annotations

import resource
import sys
import time
import zlib

import numpy as np

from huref_zk.invariants.cores import SUBSET, Tokens, layer_cores
from huref_zk.models.families import family_of
from huref_zk.models.layers import dimensions
from huref_zk.models.model import Model

CONFIG = {
    "model_type": "deepseek_v3",
    "vocab_size": 129280,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_group": 8,
    "topk_group": 4,
    "routed_scaling_factor": 2.5,
    "norm_topk_prob": True,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "hidden_act": "silu",
}
TOKENS = 4096
SHAPES = {
    "embed_tokens.weight": (129280, 7168),
    "q_a_proj.weight": (1536, 7168),
    "q_a_layernorm.weight": (1536,),
    "q_b_proj.weight": (128 * 192, 1536),
    "kv_a_proj_with_mqa.weight": (512 + 64, 7168),
    "kv_a_layernorm.weight": (512,),
    "kv_b_proj.weight": (128 * 256, 512),
    "o_proj.weight": (7168, 128 * 128),
    "input_layernorm.weight": (7168,),
    "post_attention_layernorm.weight": (7168,),
    "mlp.gate.weight": (256, 7168),
    "mlp.gate.e_score_correction_bias": (256,),
    "up_proj.weight": (2048, 7168),
    "gate_proj.weight": (2048, 7168),
    "down_proj.weight": (7168, 2048),
}


class Drawn(Model):
    """Tensors drawn by their names."""

    def __init__(self, in_use: int):
        self.config, self.source, self.in_use = CONFIG, "a drawn model", in_use

    def shape(self, name: str) -> tuple[int, ...]:
        dense = ".mlp." in name and "expert" not in name and "gate." not in name
        found = None if dense else next((s for n, s in SHAPES.items() if name.endswith(n)), None)
        return self.missing(name) if found is None else found

    def missing(self, name: str) -> tuple[int, ...]:
        from huref_zk.errors import InputError

        raise InputError(f"tensor {name} is missing")

    def tensor(self, name: str) -> np.ndarray:
        shape, rng = self.shape(name), np.random.default_rng(zlib.crc32(name.encode()))
        if name.endswith("correction_bias"):  # half of the experts in use in each of two groups
            bias = np.full(shape, -100, dtype=np.float32)
            for group in range(4):
                bias[32 * group : 32 * group + self.in_use // 4] = 0
            return bias
        if len(shape) == 1:
            return rng.uniform(0.5, 1.5, shape).astype(np.float32)
        out = rng.standard_normal(shape, dtype=np.float32)
        out *= np.float32(shape[1] ** -0.5)
        return out

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((len(ids), 7168), dtype=np.float32)


def main() -> None:
    model = Drawn(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
    family = family_of(model.config)
    dims = dimensions(model, family)
    X = model.rows(family.embedding, np.arange(TOKENS))
    X /= np.sqrt(np.square(X).mean(axis=1, keepdims=True))
    some = X[:: TOKENS // SUBSET]
    started = time.process_time()
    cores = layer_cores(model, family, dims, 3, Tokens(some - X.mean(axis=0), some, X))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(f"{[c.shape for c in cores]}, {time.process_time() - started:.0f} CPU s, {peak:.1f} GiB")


if __name__ == "__main__":
    main()
