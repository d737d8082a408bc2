"""What llama.cpp's architectures are to us: which family, and what its converter did to weights.

Names are not here: gguf's own tensor map knows them, from a family's to a file's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """model_type: the family's. mixture: that of files with experts, where it is another.
    interleaved: rows of q and k have llama.cpp's order, pairs of RoPE side by side. norm_offset:
    what was added to norms' weights. stacked: a fused matrix has all queries, then keys, then
    values. split: one that the family has fused is in three. transposed: matrices that the family
    keeps as (in, out) are (out, in). says: further config."""

    model_type: str
    mixture: str | None = None
    interleaved: bool = False
    norm_offset: float = 0.0
    stacked: bool = False
    split: bool = False
    transposed: bool = False
    says: Mapping[str, Any] = field(default_factory=dict)


_A = Architecture
ARCHITECTURES: Mapping[str, Architecture] = {
    "arcee": _A("arcee", interleaved=True),
    "baichuan": _A("baichuan", interleaved=True, split=True),
    "bloom": _A("bloom", stacked=True),
    "chatglm": _A("chatglm", says={"multi_query_attention": True}),
    "cohere2": _A("cohere2"),
    "command-r": _A("cohere"),
    "dots1": _A("dots1"),
    "ernie4_5": _A("ernie4_5", interleaved=True),
    "ernie4_5-moe": _A("ernie4_5_moe", interleaved=True),
    "exaone4": _A("exaone4"),
    "falcon": _A("falcon", stacked=True),
    "gemma": _A("gemma", norm_offset=1.0),
    "gemma2": _A("gemma2", norm_offset=1.0),
    "gemma3": _A("gemma3_text", norm_offset=1.0),
    "glm4": _A("glm4"),
    "glm4moe": _A("glm4_moe"),
    "gpt-oss": _A("gpt_oss"),
    "gpt2": _A("gpt2", transposed=True),
    "gptj": _A("gptj"),
    "gptneox": _A("gpt_neox", stacked=True),
    "granite": _A("granite", interleaved=True),
    "granitemoe": _A("granitemoe", interleaved=True),
    "hunyuan-dense": _A("hunyuan_v1_dense"),
    "hunyuan-moe": _A("hunyuan_v1_moe"),
    "internlm2": _A("internlm2", interleaved=True, split=True),
    "llama": _A("llama", mixture="mixtral", interleaved=True),
    "minimax-m2": _A("minimax_m2"),
    "mistral3": _A("ministral3", interleaved=True),
    "mpt": _A("mpt"),
    "nemotron": _A("nemotron", norm_offset=1.0),
    "olmo": _A("olmo", interleaved=True),
    "olmo2": _A("olmo2"),
    "olmoe": _A("olmoe"),
    "phi2": _A("phi"),
    "phi3": _A("phi3"),
    "phimoe": _A("phimoe"),
    "qwen": _A("qwen"),
    "qwen2": _A("qwen2"),
    "qwen2moe": _A("qwen2_moe"),
    "qwen2vl": _A("qwen2"),
    "qwen3": _A("qwen3"),
    "qwen3moe": _A("qwen3_moe"),
    "qwen3vl": _A("qwen3"),
    "qwen3vlmoe": _A("qwen3_moe"),
    "seed_oss": _A("seed_oss"),
    "smollm3": _A("smollm3", interleaved=True),
    "stablelm": _A("stablelm"),
    "starcoder": _A("gpt_bigcode"),
    "starcoder2": _A("starcoder2", says={"hidden_act": "gelu_pytorch_tanh"}),
}
