"""Random models held in memory, and invariant maps of single layers in double precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.invariants.canonical import embed, layer_pair
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.model import Model

VOCAB, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, LAYERS = 160, 32, 4, 2, 8, 48, 4


class MemoryModel(Model):
    """A model given by its config and tensors; ``read`` lists what was asked for, in order."""

    def __init__(self, config, tensors, special=(), size=None):
        self.config, self.tensors, self.source = config, tensors, "a model in memory"
        self.special, self.size = frozenset(special), size
        self.read: list[str] = []

    def shape(self, name):
        if name not in self.tensors:
            raise InputError(f"tensor {name} is missing")
        return self.tensors[name].shape

    def tensor(self, name):
        self.read.append(name)
        return self.tensors[name].astype(np.float32)

    def rows(self, name, ids):
        self.read.append(f"{len(ids)} rows of {name}")
        return self.tensors[name][ids].astype(np.float32)

    def names(self):
        return tuple(self.tensors)

    def special_ids(self):
        return self.special

    def tokenizer_size(self):
        return self.size


def llama_config(**changes) -> dict:
    return {
        "model_type": "llama",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        **changes,
    }


def llama_tensors(seed: int = 0, config: dict | None = None) -> dict[str, np.ndarray]:
    """float64 weights of a LLaMA, norm gains in 0.5 .. 1.5."""
    c = config or llama_config()
    rng = np.random.default_rng(seed)
    d, f = c["hidden_size"], c["intermediate_size"]
    q = c["num_attention_heads"] * c["head_dim"]
    kv = c["num_key_value_heads"] * c["head_dim"]

    def draw(rows, columns):
        return rng.normal(scale=0.5 / np.sqrt(columns), size=(rows, columns))

    tensors = {"model.embed_tokens.weight": rng.normal(size=(c["vocab_size"], d))}
    for i in range(c["num_hidden_layers"]):
        tensors |= {
            f"model.layers.{i}.{name}.weight": values
            for name, values in {
                "self_attn.q_proj": 3 * draw(q, d),
                "self_attn.k_proj": 3 * draw(kv, d),
                "self_attn.v_proj": draw(kv, d),
                "self_attn.o_proj": draw(d, q),
                "mlp.gate_proj": draw(f, d),
                "mlp.up_proj": draw(f, d),
                "mlp.down_proj": draw(d, f),
                "input_layernorm": rng.uniform(0.5, 1.5, d),
                "post_attention_layernorm": rng.uniform(0.5, 1.5, d),
            }.items()
        }
    tensors["model.norm.weight"] = rng.uniform(0.5, 1.5, d)
    tensors["lm_head.weight"] = draw(c["vocab_size"], d)
    return tensors


def llama(seed: int = 0, *, special=(), size=None, **config) -> MemoryModel:
    c = llama_config(**config)
    return MemoryModel(c, llama_tensors(seed, c), special, size)


@dataclass(frozen=True)
class Form:
    """The canonical form of a model's last two layers: E (K, d), U and V a layer, widths of terms,
    the last ``tokens`` ids."""

    E: np.ndarray
    U: tuple[np.ndarray, ...]
    V: tuple[np.ndarray, ...]
    widths: tuple[tuple[int, int, int], ...]
    token_ids: np.ndarray


def form(model: Model, tokens: int = 64, family=None, ids=None) -> Form:
    family = family or family_for(model)
    dims = dimensions(model, family)
    ids = np.arange(dims.vocab - tokens, dims.vocab) if ids is None else np.asarray(ids)
    pairs = [layer_pair(model, family, dims, i) for i in (dims.layers - 2, dims.layers - 1)]
    Us, Vs, widths = zip(*pairs, strict=True)
    return Form(embed(model, family, ids), Us, Vs, widths, ids)


def maps(found: Form) -> np.ndarray:
    """The invariant maps in full, float64 (6, K, K): layer by layer, terms a, b, f."""
    E = found.E.astype(np.float64)
    out = []
    for U, V, widths in zip(found.U, found.V, found.widths, strict=True):
        left, right = E @ U.astype(np.float64), E @ V.astype(np.float64)
        stop = 0
        for width in widths:
            term = slice(stop, stop := stop + width)
            out.append(left[:, term] @ right[:, term].T)
    return np.array(out)


def core_maps(cores) -> np.ndarray:
    """Maps Xc C Xc^T of all the cores, double-centred, float64 (n, K, K)."""
    X = cores.X.astype(np.float64)
    X -= X.mean(axis=0)
    return np.array([X @ C.astype(np.float64) @ X.T for set_ in cores.sets for C in set_])


def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Relative distance of each pair of maps."""
    norm = np.linalg.norm
    return norm(x - y, axis=(1, 2)) / norm(y, axis=(1, 2))
