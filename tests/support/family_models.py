"""A tiny random model for every entry of the table, and its weights as transformers uses them.

``parts`` take weights off transformers' modules by hand, not through huref_zk: what they give is
what the reader is measured against. Layouts of remote code are written from a twin that
transformers knows: the same function under other names.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

HEADS, LAYERS, VOCAB, TOKENS = 4, 2, 96, 64
SMALL_EPS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")

LLAMA = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 40,
    "num_hidden_layers": LAYERS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_dropout": 0.0,
}
CLASSIC = {**LLAMA, "hidden_size": 32, "num_key_value_heads": HEADS}
del CLASSIC["head_dim"]
GROUPED = {**CLASSIC, "num_key_value_heads": 2}
SHORT = {"vocab_size": VOCAB, "n_embd": 32, "n_head": HEADS, "n_layer": LAYERS}
FALCON = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}


@dataclass(frozen=True)
class Parts:
    """float64: q (H, hd, d), k, v (kv, hd, d), o (d, H, hd), ups [(F, d)], downs [(d, F)], gains of
    the norms before and after each block, of queries (H, hd) and keys (kv, hd)."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    o: np.ndarray
    ups: list
    downs: list
    before: tuple = (1.0, 1.0)
    after: tuple = (1.0, 1.0)
    q_gain: np.ndarray | None = None
    k_gain: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """model_type and config of a transformers model; parts(layer module) -> Parts; layers: path to
    its list of layers, embed to its embedding. centred: norms subtract the mean; qk: how queries
    and keys are normalised; alibi: heads differ by place, so they cannot be permuted; pinned: fixed
    positions are added to the stream, so its dimensions cannot be. remote: (family's config, twin's
    tensors -> tensors in that layout, and back)."""

    model_type: str
    config: dict
    parts: Callable
    layers: str = "model.layers"
    embed: str = "model.embed_tokens"
    centred: bool = False
    qk: str | None = None
    alibi: bool = False
    pinned: bool = False
    multimodal: bool = False
    remote: tuple[dict, Callable, Callable] | None = None
    variant: str = ""
    extra: dict = field(default_factory=dict)


def n(tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def heads(weight, count: int) -> np.ndarray:
    return n(weight).reshape(count, -1, weight.shape[-1])


def out(weight) -> np.ndarray:
    return n(weight).reshape(weight.shape[0], HEADS, -1)


def separate(a, o="o_proj", kv=2) -> tuple:
    return (
        heads(a.q_proj.weight, HEADS),
        heads(a.k_proj.weight, kv),
        heads(a.v_proj.weight, kv),
        out(getattr(a, o).weight),
    )


def dense(m, up="up_proj", down="down_proj") -> tuple[list, list]:
    return [n(getattr(m, up).weight)], [n(getattr(m, down).weight)]


def norms(layer, *names, offset=0.0) -> tuple:
    return tuple(offset + n(getattr(layer, name).weight) for name in names)


def llama(L) -> Parts:
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return Parts(*separate(L.self_attn), *dense(L.mlp), before)


def qwen3(L) -> Parts:
    a = L.self_attn
    gains = np.tile(n(a.q_norm.weight), (HEADS, 1)), np.tile(n(a.k_norm.weight), (2, 1))
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return Parts(*separate(a), *ffn(L.mlp), before, (1.0, 1.0), *gains)


def ffn(m) -> tuple[list, list]:
    """Of a dense block, or of experts held as (expert, gate and up, d) and (expert, d, F)."""
    if not hasattr(m, "experts"):
        return dense(m)
    both, down = n(m.experts.gate_up_proj), n(m.experts.down_proj)
    ups, downs = [w[w.shape[0] // 2 :] for w in both], list(down)
    if hasattr(m, "shared_expert"):
        ups.append(n(m.shared_expert.up_proj.weight))
        downs.append(n(m.shared_expert.down_proj.weight))
    return ups, downs


def mixture(L) -> Parts:
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return Parts(*separate(L.self_attn), *ffn(L.mlp), before)


def gemma(L) -> Parts:
    before = norms(L, "input_layernorm", "post_attention_layernorm", offset=1)
    return Parts(*separate(L.self_attn), *dense(L.mlp), before)


def gemma2(L) -> Parts:
    before = norms(L, "input_layernorm", "pre_feedforward_layernorm", offset=1)
    after = norms(L, "post_attention_layernorm", "post_feedforward_layernorm", offset=1)
    return Parts(*separate(L.self_attn), *dense(L.mlp), before, after)


def gemma3(L) -> Parts:
    a = L.self_attn
    gains = np.tile(1 + n(a.q_norm.weight), (HEADS, 1)), np.tile(1 + n(a.k_norm.weight), (2, 1))
    return Parts(**{**vars(gemma2(L)), "q_gain": gains[0], "k_gain": gains[1]})


def phi(L) -> Parts:
    a, gains = L.self_attn, ()
    if hasattr(a, "q_layernorm"):
        q, k = n(a.q_layernorm.weight), n(a.k_layernorm.weight)
        gains = ((1.0, 1.0), np.tile(q, (HEADS, 1)), np.tile(k, (HEADS, 1)))
    before = norms(L, "input_layernorm", "input_layernorm")
    return Parts(*separate(a, "dense", HEADS), *dense(L.mlp, "fc1", "fc2"), before, *gains)


def gated(L, **more) -> Parts:
    """gate_up_proj; queries, keys and values fused as phi3 has them or apart as glm."""
    a, w = L.self_attn, n(L.mlp.gate_up_proj.weight)
    if hasattr(a, "qkv_proj"):
        q, k, v = np.split(n(a.qkv_proj.weight), [32, 48])
        qkv = [x.reshape(-1, 8, x.shape[1]) for x in (q, k, v)]
        attention = (*qkv, out(a.o_proj.weight))
    else:
        attention = separate(a)
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return Parts(*attention, [w[40:]], [n(L.mlp.down_proj.weight)], before, **more)


def glm4(L) -> Parts:
    return gated(L, after=norms(L, "post_self_attn_layernorm", "post_mlp_layernorm"))


def gpt2(L) -> Parts:
    q, k, v = (w.T.reshape(HEADS, -1, 32) for w in np.split(n(L.attn.c_attn.weight), 3, axis=1))
    o = n(L.attn.c_proj.weight).T.reshape(32, HEADS, -1)
    ups, downs = [n(L.mlp.c_fc.weight).T], [n(L.mlp.c_proj.weight).T]
    return Parts(q, k, v, o, ups, downs, norms(L, "ln_1", "ln_2"))


def gpt_neo(L) -> Parts:
    attention = separate(L.attn.attention, "out_proj", HEADS)
    return Parts(*attention, *dense(L.mlp, "c_fc", "c_proj"), norms(L, "ln_1", "ln_2"))


def gptj(L) -> Parts:
    attention = separate(L.attn, "out_proj", HEADS)
    return Parts(*attention, *dense(L.mlp, "fc_in", "fc_out"), norms(L, "ln_1", "ln_1"))


def interleaved(attention, mlp, before) -> Parts:
    """query_key_value as (head, q or k or v, hd, d)."""
    w = n(attention.query_key_value.weight).reshape(HEADS, 3, 8, 32)
    qkv = (w[:, 0], w[:, 1], w[:, 2])
    return Parts(
        *qkv, out(attention.dense.weight), *dense(mlp, "dense_h_to_4h", "dense_4h_to_h"), before
    )


def gpt_neox(L) -> Parts:
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return interleaved(L.attention, L.mlp, before)


def bloom(L) -> Parts:
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return interleaved(L.self_attention, L.mlp, before)


def falcon_7b(L) -> Parts:
    w = n(L.self_attention.query_key_value.weight).reshape(HEADS + 2, 8, 32)
    o = out(L.self_attention.dense.weight)
    before = norms(L, "input_layernorm", "input_layernorm")
    mlp = dense(L.mlp, "dense_h_to_4h", "dense_4h_to_h")
    return Parts(w[:4], w[4:5], w[5:], o, *mlp, before)


def falcon_grouped(L) -> Parts:
    w = n(L.self_attention.query_key_value.weight).reshape(8, 8, 32)
    o = out(L.self_attention.dense.weight)
    two = hasattr(L, "ln_attn")
    before = norms(L, *(("ln_attn", "ln_mlp") if two else ("input_layernorm", "input_layernorm")))
    mlp = dense(L.mlp, "dense_h_to_4h", "dense_4h_to_h")
    return Parts(w[[0, 1, 4, 5]], w[[2, 6]], w[[3, 7]], o, *mlp, before)


def mpt(L) -> Parts:
    q, k, v = (w.reshape(HEADS, -1, 32) for w in np.split(n(L.attn.Wqkv.weight), 3))
    return Parts(q, k, v, out(L.attn.out_proj.weight), *dense(L.ffn), norms(L, "norm_1", "norm_2"))


def opt(L) -> Parts:
    before = norms(L, "self_attn_layer_norm", "final_layer_norm")
    return Parts(*separate(L.self_attn, "out_proj", HEADS), *dense(L, "fc1", "fc2"), before)


def neox_japanese(L) -> Parts:
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return interleaved(L.attention, L.mlp, before)


def codegen(L) -> Parts:
    """qkv_proj as (quarter of the heads, q or v or k, hd, d)."""
    w = n(L.attn.qkv_proj.weight).reshape(4, 3, 8, 32)
    attention = (w[:, 0], w[:, 2], w[:, 1], out(L.attn.out_proj.weight))
    return Parts(*attention, *dense(L.mlp, "fc_in", "fc_out"), norms(L, "ln_1", "ln_1"))


def ctrl(L) -> Parts:
    a = L.multi_head_attention
    q, k, v = (heads(m.weight, HEADS) for m in (a.Wq, a.Wk, a.Wv))
    ffn_ = [n(L.ffn[0].weight)], [n(L.ffn[2].weight)]
    return Parts(q, k, v, out(a.dense.weight), *ffn_, norms(L, "layernorm1", "layernorm2"))


def stablelm(L) -> Parts:
    a, gains = L.self_attn, ()
    if a.qk_layernorm:
        q, k = (np.array([n(x.weight) for x in m.norms]) for m in (a.q_layernorm, a.k_layernorm))
        gains = ((1.0, 1.0), q, k)
    second = "input_layernorm" if L.use_parallel_residual else "post_attention_layernorm"
    return Parts(*separate(a), *dense(L.mlp), norms(L, "input_layernorm", second), *gains)


def olmo(L) -> Parts:
    return Parts(*separate(L.self_attn), *dense(L.mlp))


def olmo2(L) -> Parts:
    a = L.self_attn
    after = norms(L, "post_attention_layernorm", "post_feedforward_layernorm")
    gains = n(a.q_norm.weight).reshape(HEADS, 8), n(a.k_norm.weight).reshape(2, 8)
    return Parts(*separate(a), *dense(L.mlp), (1.0, 1.0), after, *gains)


# --- layouts of remote code, from twins -------------------------------------------------------


def renamed(pairs: dict[str, str], fuse: Callable, cut: Callable) -> tuple[Callable, Callable]:
    """(twin's tensors -> remote's, and back): names replaced part by part, then matrices fused."""

    def there(tensors):
        return fuse({_replace(k, pairs): w for k, w in tensors.items()})

    def back(tensors):
        return {_replace(k, {b: a for a, b in pairs.items()}): w for k, w in cut(tensors).items()}

    return there, back


def _replace(name: str, pairs: dict[str, str]) -> str:
    for old, new in pairs.items():
        if old in name:
            return name.replace(old, new)
    return name


def packing(names: tuple, fused: str, rows: list[int], pack=None, unpack=None):
    """(fuse, cut): the matrices of these names of each layer in one, ``rows`` each."""

    def stack(parts):
        return np.concatenate(parts)

    def split(w):
        return np.split(w, np.cumsum(rows)[:-1])

    def fuse(tensors):
        found = dict(tensors)
        for first in [k for k in tensors if names[0] in k]:
            parts = [found.pop(first.replace(names[0], other)) for other in names]
            found[first.replace(names[0], fused)] = (pack or stack)(parts)
        return found

    def cut(tensors):
        found = dict(tensors)
        for name in [k for k in tensors if fused in k]:
            whole = found.pop(name)
            for other, part in zip(names, (unpack or split)(whole), strict=True):
                found[name.replace(fused, other)] = part
        return found

    return fuse, cut


def same(tensors):
    return dict(tensors)


def internlm2_pack(parts):
    """(kv head: its two queries, its key, its value)."""
    q, k, v = (p.reshape(2, -1, 8, p.shape[1]) for p in parts)
    return np.concatenate([q, k, v], axis=1).reshape(-1, q.shape[3])


def internlm2_unpack(w):
    x = w.reshape(2, 4, 8, w.shape[1])
    return [part.reshape(-1, w.shape[1]) for part in (x[:, :2], x[:, 2], x[:, 3])]


def remote_config(base: dict, model_type: str, **changes) -> dict:
    config = {**base, "model_type": model_type, **changes}
    return {k: v for k, v in config.items() if v is not None}


INTERNLM = (remote_config(LLAMA, "internlm"), *renamed({}, same, same))
BAICHUAN = (
    remote_config(LLAMA, "baichuan", num_key_value_heads=None, head_dim=8),
    *renamed({}, *packing(("q_proj", "k_proj", "v_proj"), "W_pack", [32, 32, 32])),
)
QWEN = (
    remote_config(
        LLAMA,
        "qwen",
        num_key_value_heads=None,
        head_dim=None,
        kv_channels=8,
        intermediate_size=80,
    ),
    *renamed(
        {
            "model.embed_tokens": "transformer.wte",
            "model.norm": "transformer.ln_f",
            **{
                f"model.layers.{i}.{a}.weight": f"transformer.h.{i}.{b}.weight"
                for i in range(LAYERS)
                for a, b in {
                    "self_attn.o_proj": "attn.c_proj",
                    "self_attn.W_pack": "attn.c_attn",
                    "mlp.up_proj": "mlp.w1",
                    "mlp.gate_proj": "mlp.w2",
                    "mlp.down_proj": "mlp.c_proj",
                    "input_layernorm": "ln_1",
                    "post_attention_layernorm": "ln_2",
                }.items()
            },
        },
        same,
        same,
    ),
)


def then(first: tuple, second: tuple) -> tuple:
    """Two rewrites one after the other, with the second's config."""
    return (
        second[0],
        lambda t: second[1](first[1](t)),
        lambda t: first[2](second[2](t)),
    )


QWEN = then(BAICHUAN, QWEN)
_PACK = ("attention.wq", "attention.wk", "attention.wv")
INTERNLM2 = (
    remote_config(LLAMA, "internlm2", head_dim=8),
    *renamed(
        {
            "model.embed_tokens": "model.tok_embeddings",
            "lm_head": "output",
            **{
                f"layers.{i}.{a}.weight": f"layers.{i}.{b}.weight"
                for i in range(LAYERS)
                for a, b in {
                    "self_attn.q_proj": "attention.wq",
                    "self_attn.k_proj": "attention.wk",
                    "self_attn.v_proj": "attention.wv",
                    "self_attn.o_proj": "attention.wo",
                    "mlp.gate_proj": "feed_forward.w1",
                    "mlp.up_proj": "feed_forward.w3",
                    "mlp.down_proj": "feed_forward.w2",
                    "input_layernorm": "attention_norm",
                    "post_attention_layernorm": "ffn_norm",
                }.items()
            },
        },
        *packing(_PACK, "attention.wqkv", [], internlm2_pack, internlm2_unpack),
    ),
)
CHATGLM = (
    {
        "model_type": "chatglm",
        "multi_query_attention": True,
        "multi_query_group_num": 2,
        "num_attention_heads": HEADS,
        "kv_channels": 8,
        "hidden_size": 24,
        "ffn_hidden_size": 40,
        "num_layers": LAYERS,
        "padded_vocab_size": VOCAB,
    },
    *renamed(
        {
            "model.embed_tokens": "transformer.embedding.word_embeddings",
            "model.norm": "transformer.encoder.final_layernorm",
            "lm_head": "transformer.output_layer",
            **{
                f"model.layers.{i}.{a}.": f"transformer.encoder.layers.{i}.{b}."
                for i in range(LAYERS)
                for a, b in {
                    "self_attn.q_proj": "self_attention.query",
                    "self_attn.k_proj": "self_attention.key",
                    "self_attn.v_proj": "self_attention.value",
                    "self_attn.o_proj": "self_attention.dense",
                    "mlp.gate_up_proj": "mlp.dense_h_to_4h",
                    "mlp.down_proj": "mlp.dense_4h_to_h",
                    "input_layernorm": "input_layernorm",
                    "post_attention_layernorm": "post_attention_layernorm",
                }.items()
            },
        },
        *packing((".query.", ".key.", ".value."), ".query_key_value.", [32, 16, 16]),
    ),
)

_H = {"layers": "transformer.h", "embed": "transformer.wte"}
_WORDS = {"layers": "transformer.h", "embed": "transformer.word_embeddings"}
_MHA = {**LLAMA, "num_key_value_heads": HEADS}


def llama_mha(L) -> Parts:
    before = norms(L, "input_layernorm", "post_attention_layernorm")
    return Parts(*separate(L.self_attn, kv=HEADS), *dense(L.mlp), before)


QK = {"qk_layernorm": True}
CASES = {
    "llama": Case("llama", {**LLAMA, "attention_bias": True, "mlp_bias": True}, llama),
    "mistral": Case("mistral", LLAMA, llama),
    "internlm3": Case("internlm3", LLAMA, llama),
    "qwen2": Case("qwen2", LLAMA, llama),
    "qwen3": Case("qwen3", LLAMA, qwen3, qk="head"),
    "gemma": Case("gemma", LLAMA, gemma),
    "gemma2": Case("gemma2", LLAMA, gemma2),
    "gemma3_text": Case("gemma3_text", LLAMA, gemma3, qk="head"),
    "gemma3": Case(
        "gemma3",
        {
            "text_config": LLAMA,
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 16,
                "patch_size": 8,
            },
            "mm_tokens_per_image": 4,
        },
        gemma3,
        layers="model.language_model.layers",
        embed="model.language_model.embed_tokens",
        qk="head",
        multimodal=True,
    ),
    "phi": Case("phi", CLASSIC, phi, centred=True),
    "phi, queries normalised": Case("phi", CLASSIC | QK, phi, centred=True, qk="head, centred"),
    "phi3": Case("phi3", LLAMA, gated),
    "gpt2": Case("gpt2", SHORT, gpt2, **_H, centred=True),
    "gpt_neo": Case(
        "gpt_neo",
        {
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "attention_types": [[["global"], LAYERS]],
        },
        gpt_neo,
        **_H,
        centred=True,
    ),
    "gptj": Case("gptj", {**SHORT, "rotary_dim": 4}, gptj, **_H, centred=True),
    "gpt_neox": Case(
        "gpt_neox",
        {**CLASSIC, "hidden_dropout": 0.0},
        gpt_neox,
        layers="gpt_neox.layers",
        embed="gpt_neox.embed_in",
        centred=True,
    ),
    "bloom": Case(
        "bloom",
        {"vocab_size": VOCAB, "hidden_size": 32, "n_head": HEADS, "n_layer": LAYERS},
        bloom,
        **_WORDS,
        centred=True,
        alibi=True,
    ),
    "opt": Case(
        "opt",
        {
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 40,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
        },
        opt,
        layers="model.decoder.layers",
        embed="model.decoder.embed_tokens",
        centred=True,
    ),
    "biogpt": Case(
        "biogpt",
        {**CLASSIC, "hidden_dropout_prob": 0.0, "max_position_embeddings": 64},
        opt,
        layers="biogpt.layers",
        embed="biogpt.embed_tokens",
        centred=True,
    ),
    "xglm": Case(
        "xglm",
        {
            "vocab_size": VOCAB,
            "d_model": 32,
            "ffn_dim": 40,
            "num_layers": LAYERS,
            "attention_heads": HEADS,
            "pad_token_id": 0,
        },
        opt,
        centred=True,
        pinned=True,
    ),
    "gpt_neox_japanese": Case(
        "gpt_neox_japanese",
        {
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
        },
        neox_japanese,
        layers="gpt_neox_japanese.layers",
        embed="gpt_neox_japanese.embed_in",
        centred=True,
    ),
    "codegen": Case("codegen", {**SHORT, "rotary_dim": 4}, codegen, **_H, centred=True),
    "ctrl": Case(
        "ctrl",
        {"vocab_size": VOCAB, "n_embd": 32, "n_head": HEADS, "n_layer": LAYERS, "dff": 40},
        ctrl,
        layers="transformer.h",
        embed="transformer.w",
        centred=True,
        pinned=True,
    ),
    "falcon rw": Case(
        "falcon",
        {
            **FALCON,
            "alibi": True,
            "multi_query": False,
            "new_decoder_architecture": False,
            "parallel_attn": False,
            "bias": True,
        },
        bloom,
        **_WORDS,
        centred=True,
        alibi=True,
    ),
    "falcon 7b": Case(
        "falcon",
        {
            **FALCON,
            "multi_query": True,
            "new_decoder_architecture": False,
            "parallel_attn": True,
        },
        falcon_7b,
        **_WORDS,
        centred=True,
    ),
    "falcon 40b": Case(
        "falcon",
        {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
        falcon_grouped,
        **_WORDS,
        centred=True,
    ),
    "falcon2": Case(
        "falcon",
        {
            **FALCON,
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            "num_ln_in_parallel_attn": 1,
        },
        falcon_grouped,
        **_WORDS,
        centred=True,
    ),
    "mpt": Case(
        "mpt",
        {"vocab_size": VOCAB, "d_model": 32, "n_heads": HEADS, "n_layers": LAYERS},
        mpt,
        layers="transformer.blocks",
        embed="transformer.wte",
        centred=True,
        alibi=True,
    ),
    "stablelm": Case("stablelm", GROUPED, stablelm, centred=True),
    "stablelm, parallel": Case(
        "stablelm", {**GROUPED, "use_parallel_residual": True}, stablelm, centred=True
    ),
    "stablelm, queries normalised": Case(
        "stablelm", GROUPED | QK, stablelm, centred=True, qk="head, centred"
    ),
    "stablelm, both": Case(
        "stablelm",
        {**GROUPED, **QK, "use_parallel_residual": True},
        stablelm,
        centred=True,
        qk="head, centred",
    ),
    "olmo": Case("olmo", LLAMA, olmo, centred=True),
    "olmo2": Case("olmo2", LLAMA, olmo2, qk="whole"),
    "olmo3": Case("olmo3", LLAMA, olmo2, qk="whole"),
    "glm": Case("glm", LLAMA, gated),
    "glm4": Case("glm4", LLAMA, glm4),
    "mixtral": Case("mixtral", {**LLAMA, **EXPERTS}, mixture),
    "qwen2_moe": Case(
        "qwen2_moe",
        {
            **LLAMA,
            **EXPERTS,
            "moe_intermediate_size": 12,
            "shared_expert_intermediate_size": 20,
        },
        mixture,
    ),
    "qwen3_moe": Case(
        "qwen3_moe", {**LLAMA, **EXPERTS, "moe_intermediate_size": 12}, qwen3, qk="head"
    ),
    "internlm": Case("llama", LLAMA, llama, remote=INTERNLM),
    "baichuan": Case("llama", _MHA, llama_mha, remote=BAICHUAN),
    "qwen": Case("llama", _MHA, llama_mha, remote=QWEN),
    "internlm2": Case("llama", LLAMA, llama, remote=INTERNLM2),
    "chatglm": Case("glm", LLAMA, gated, remote=CHATGLM),
}


def build(case: Case, seed: int = 0):
    """The transformers model in float64 with random weights that float32 holds exactly; biases of
    LayerNorms have no part along all-ones behind the gain, so that readers may be shifted."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, Gemma3ForConditionalGeneration

    untied = {"tie_word_embeddings": False}
    config = AutoConfig.for_model(case.model_type, **case.config, **untied)
    for part in (config, getattr(config, "text_config", None)):
        for eps in SMALL_EPS:
            if hasattr(part, eps):
                setattr(part, eps, 1e-12)
    if case.multimodal:
        config.text_config.tie_word_embeddings = False
    config._attn_implementation = config._experts_implementation = "eager"
    make = Gemma3ForConditionalGeneration if case.multimodal else AutoModelForCausalLM.from_config
    model = make(config).eval()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1 and name.endswith("weight"):
                values = rng.uniform(0.5, 1.5, p.shape)
                if case.model_type.startswith("gemma"):
                    values -= 1
            elif p.ndim == 1:
                values = rng.normal(size=p.shape) * 0.2
            else:
                scale = 1.0 if p.shape[0] == VOCAB else 0.7 / np.sqrt(p.shape[-1])
                values = rng.normal(size=p.shape) * scale
            p.copy_(torch.from_numpy(values.astype(np.float32)))
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm) and module.bias is not None:
                module.bias -= module.weight * (module.bias / module.weight).mean()
    return model.double()


def module_at(model, path: str):
    for part in path.split("."):
        model = getattr(model, part)
    return model


def config_of(case: Case, model) -> dict:
    """config.json's object."""
    if case.remote is not None:
        return dict(case.remote[0])
    return json.loads(model.config.to_json_string(use_diff=False))


def tensors_of(case: Case, model) -> dict[str, np.ndarray]:
    """float64, in the family's own layout; experts as transformers holds them in memory."""
    found = {k: w.numpy().copy() for k, w in model.state_dict().items()}
    return found if case.remote is None else case.remote[1](found)


def logits_with(case: Case, model, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """The model's logits on some tokens with other weights; it keeps them."""
    import torch

    if case.remote is not None:
        tensors = case.remote[2](tensors)
    model.load_state_dict({k: torch.from_numpy(np.array(w)) for k, w in tensors.items()})
    # XGLM makes a tensor of the smallest number of float64, which float32 has no room for.
    torch.set_default_dtype(torch.float64 if case.model_type == "xglm" else torch.float32)
    with torch.no_grad(), contextlib.ExitStack() as after:
        after.callback(torch.set_default_dtype, torch.float32)
        return model(torch.arange(12).reshape(1, -1) * 7 % VOCAB).logits.numpy()


def plain_maps(case: Case, model, ids: np.ndarray) -> np.ndarray:
    """The maps by the plain formula, head by head and expert by expert, float64 (6, K, K)."""
    X = n(module_at(model, case.embed).weight)[ids]
    if case.model_type == "bloom":
        import torch

        X = n(model.transformer.word_embeddings_layernorm(torch.from_numpy(X)))
    if case.centred:
        X = X - X.mean(axis=1, keepdims=True)
    found = []
    for layer in module_at(model, case.layers):
        p = case.parts(layer)
        g1, g2 = p.before
        p1, p2 = (np.reshape(x, (-1, 1)) for x in p.after)
        q, k = p.q * g1, p.k * g1
        if case.qk is not None:
            q, k = normed(case, q, p.q_gain), normed(case, k, p.k_gain)
        if case.qk == "whole":  # of keys each counts once for every head it serves
            q, k = q / np.linalg.norm(p.q * g1), k / np.linalg.norm(p.k * g1) / np.sqrt(2)
        group = HEADS // len(k)
        a = sum(X @ q[h].T @ k[h // group] @ X.T for h in range(HEADS))
        b = sum(X @ (p.v[h // group] * g1).T @ (p1 * p.o[:, h]).T @ X.T for h in range(HEADS))
        f = sum(
            X @ (up * g2).T @ (p2 * down).T @ X.T for up, down in zip(p.ups, p.downs, strict=True)
        )
        found += [a, b, f]
    return np.array(found)


def normed(case: Case, w: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Heads (heads, hd, d) brought to norm one, what the model takes off them taken off first."""
    if case.qk == "whole":
        return w * gains[:, :, None]
    if case.centred:
        w = w - w.mean(axis=2, keepdims=True)
    if case.qk == "head, centred":
        w = w - w.mean(axis=1, keepdims=True)
    return w / np.linalg.norm(w, axis=(1, 2), keepdims=True) * gains[:, :, None]
