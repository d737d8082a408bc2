"""Matrices of single layers, and of the output, committed so that inference can be audited.

    qv<l>  [Wq | Wv]   ko<l>  [Wk | Wo^T]   up<l>  Wup   gate<l>  Wgate   down<l>  Wdown^T

of layer l, and O, the K tokens' rows of the output matrix, all with d rows (O: K): what reads the
residual stream has the stream's d dimensions as rows and the gain of the norm before it folded in,
what writes to it has them as rows too. Keys and values are repeated head by head, as repeat_kv
does; where embeddings are tied O is the embedding's own rows. Nothing else is changed: these are
the model's weights, rounded. (The cores are what no rewriting of a model moves; these are not.)

Each block (q, v, k, o, up, gate, down, O) has one scale, a power of two: its integers have a root
mean square near 2^7 but where that would clip the largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from huref_zk.commitment.descriptor import Audited
from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config
from huref_zk.models.feed_forward import ffn_blocks, read_block
from huref_zk.models.layers import dimensions, gain, read_attention
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, finite, gain_vector, named

LIMIT = (1 << 15) - 1
BITS = 7
MAX_LAYERS = 8
"""Each brings seven scales, and a descriptor has room for 64."""
ARCHITECTURE = "llama"
"""The family whose inference can be audited: LLaMA and Mistral kind, without biases."""


def audited_matrices(
    model: Model,
    family: Family,
    layers: Sequence[int],
    output: bool,
    token_ids: np.ndarray,
) -> tuple[dict[str, np.ndarray], tuple[Audited, ...], dict[str, str]]:
    """(int16 matrices by name, the layers' entry in a descriptor, scales by block).

    token_ids: int64 (K,), of which O has the rows. InputError for families and layers that cannot
    be audited, missing tensors, NaN and infinities, a block that is zero throughout.
    """
    dims = dimensions(model, family)
    chosen = _checked(model, family, dims, layers)
    matrices: dict[str, np.ndarray] = {}
    scales: dict[str, str] = {}
    audited = []
    for i in chosen:
        width = 0
        for name, blocks in _layer(model, family, dims, i).items():
            integers = []
            for block, values in blocks.items():
                whole, scales[block] = rounded(values, f"{block} of {model.source}")
                integers.append(whole)
            matrices[name] = np.concatenate(integers, axis=1)
            width = matrices[name].shape[1]
        audited.append(Audited(i, dims.width, width))
    if output:
        matrices["O"], scales["O"] = rounded(
            output_rows(model, family, dims, token_ids), f"the output matrix of {model.source}"
        )
    return matrices, tuple(audited), scales


def output_rows(model: Model, family: Family, dims: Dimensions, ids: np.ndarray) -> np.ndarray:
    """Rows of the output matrix times the final norm's gain, float32 (K, d)."""
    prefix = family.embedding.removesuffix("embed_tokens.weight")
    gains = gain_vector(model, family, prefix + "norm.weight", dims.hidden)
    name = output_name(model, family)
    return finite(model.rows(name, ids) * gains, f"{name} times the final norm's gain")


def output_name(model: Model, family: Family) -> str:
    """The tensor of the output matrix: the embedding's where the two are tied. InputError."""
    outer = family.embedding.removesuffix("embed_tokens.weight").removesuffix("model.")
    name = outer + "lm_head.weight"
    if not text_config(model.config).get("tie_word_embeddings", False) and model.has(name):
        return name
    return family.embedding


def rounded(values: np.ndarray, what: str) -> tuple[np.ndarray, str]:
    """(round(values 2^e) as int16, 2^e as text): see the module's head. InputError."""
    largest = float(np.abs(values).max(initial=0))
    if largest == 0:
        raise InputError(f"{what} is zero throughout; it cannot be audited")
    rms = math.sqrt(float(np.mean(np.square(values, dtype=np.float64))))
    exponent = min(round(BITS - math.log2(rms)), math.floor(math.log2(LIMIT / largest)))
    return np.rint(values.astype(np.float64) * 2.0**exponent).astype(np.int16), repr(2.0**exponent)


def _checked(
    model: Model, family: Family, dims: Dimensions, layers: Sequence[int]
) -> tuple[int, ...]:
    if family.name != ARCHITECTURE:
        raise InputError(
            f"{model.source}: inference of {family.name!r} cannot be audited; known: {ARCHITECTURE}"
        )
    chosen = tuple(sorted({int(i) for i in layers}))
    if len(chosen) > MAX_LAYERS:
        raise InputError(f"at most {MAX_LAYERS} layers can be audited, not {len(chosen)}")
    for i in chosen:
        if not 0 <= i < dims.layers:
            raise InputError(f"{model.source} has layers 0 to {dims.layers - 1}, not {i}")
        for template in (
            family.q,
            family.k,
            family.v,
            family.o,
            family.up,
            family.gate,
            family.down,
        ):
            assert template is not None
            bias = named(template, i).removesuffix("weight") + "bias"
            if model.has(bias):
                raise InputError(f"{model.source}: {bias} cannot be audited; only weights are")
    return chosen


def _layer(
    model: Model, family: Family, dims: Dimensions, i: int
) -> dict[str, dict[str, np.ndarray]]:
    """Blocks, float32 (d, columns), by matrix and scale, in the order of columns."""
    q, k, v, o = read_attention(model, family, dims, i)
    (block,) = ffn_blocks(model, family, dims, i)
    up, gate, down = read_block(model, family, dims, block, gate=True)
    assert gate is not None  # every block of ARCHITECTURE has one
    before = gain(model, family, dims, family.attention_norm, i)
    middle = gain(model, family, dims, family.ffn_norm, i)
    return {
        f"qv{i}": {f"qv{i}.q": (q * before).T, f"qv{i}.v": (v * before).T},
        f"ko{i}": {f"ko{i}.k": (k * before).T, f"ko{i}.o": o},
        f"up{i}": {f"up{i}": (up * middle).T},
        f"gate{i}": {f"gate{i}": (gate * middle).T},
        f"down{i}": {f"down{i}": down},
    }
