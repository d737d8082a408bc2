"""Rewrites of a checkpoint that keep its function, whatever its type."""

from __future__ import annotations

import numpy as np

from huref_zk.models.families import Family
from huref_zk.models.feed_forward import ffn_blocks
from huref_zk.models.heads import has_attention
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, named

# Of a square matrix, or a bias as long as the stream: what writes to it.
WRITERS = (
    *("o_proj", "out_proj", "dense", "c_proj", "Wo", "attention_out", "down_proj", "fc2", "w2"),
    *("dense_4h_to_h", "fc_out", "output_linear", "linear_out"),
)
INSIDE = ("q_norm", "k_norm", "q_layernorm", "k_layernorm", "sub_norm", "head.norm", "decoder.")
Tensors = dict[str, np.ndarray]


def turned(tensors: Tensors, R: np.ndarray, transposed: bool = False) -> Tensors:
    """The residual stream turned by R (d, d): every axis as long as it is, of what reads and
    writes it."""
    d, out = len(R), {}
    for name, w in tensors.items():
        module = name.split(".")[-2] if "." in name else ""
        axes = [a for a, n in enumerate(w.shape) if n == d]
        apart = any(inside in name for inside in INSIDE) or (w.ndim == 3 and w.shape[1] == 1)
        other = w.ndim == 1 and module not in WRITERS and not _norm(name)
        if apart or other or _gain(name, w, d):
            axes = []
        elif w.ndim == 2 and len(axes) == 2:
            writes = module in WRITERS and "head." not in name
            axes = [0 if writes != transposed else 1]
        for a in axes:
            w = np.moveaxis(np.moveaxis(w, a, -1) @ R.T, -1, a)
        out[name] = np.array(w, order="C")
    return out


def even_gains(tensors: Tensors, d: int) -> Tensors:
    """Gains of norms over the stream all one: what a rotation commutes with."""
    return {name: np.ones_like(w) if _gain(name, w, d) else w for name, w in tensors.items()}


def _norm(name: str) -> bool:
    module = name.split(".")[-2] if "." in name else name
    return "norm" in module or module.startswith("ln_")


def _gain(name: str, w: np.ndarray, d: int) -> bool:
    inside = any(part in name for part in INSIDE)
    return w.shape == (d,) and _norm(name) and name.endswith("weight") and not inside


def rotation(d: int, rng: np.random.Generator, fixed: bool) -> np.ndarray:
    """A rotation (d, d), of the directions orthogonal to all-ones alone if ``fixed``."""
    basis = np.eye(d)
    if fixed:
        basis[:, 0] = 1
        basis, _ = np.linalg.qr(basis)
        Q = np.eye(d)
        Q[1:, 1:], _ = np.linalg.qr(rng.normal(size=(d - 1, d - 1)))
        return basis @ Q @ basis.T
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


ATTENTION = ("q", "k", "v", "qkv", "q_a", "kv_a", "attention_gate")
FFN = ("up", "gate", "gate_up", "expert_up", "expert_gate", "experts_up", "experts_gate_up")
FFN += ("shared_up", "shared_gate", "shared_gate_up", "router", "fused_router", "shared_router")


def shifted(
    model: Model,
    family: Family,
    dims: Dimensions,
    tensors: Tensors,
    rng,
    broken: bool,
    more: tuple[str, ...] = (),
) -> Tensors:
    """Scale moved from norms into what reads behind them; neurons in another order. Broken: the
    readers stay as they were. more: what else reads behind the norm before attention."""
    out = {name: w.copy() for name, w in tensors.items()}
    for i in range(dims.layers):
        blocks = ffn_blocks(model, family, dims, i)
        groups: dict[str, list[str]] = {}
        for norm, fields, there in (
            (family.attention_norm, ATTENTION, has_attention(model, family, i)),
            (family.ffn_norm, FFN, bool(blocks)),
        ):
            if norm is None or not there or named(norm, i) not in out:
                continue
            templates = [getattr(family, f) for f in fields]
            templates += more if norm == family.attention_norm else ()
            read = [n for t in templates for n in _names(t, i, out)]
            groups.setdefault(named(norm, i), []).extend(read)
        for norm, readers in groups.items():
            s = rng.uniform(0.5, 2.0, dims.hidden)
            out[norm] = (out[norm] + family.norm_offset) * s - family.norm_offset
            bias = norm.removesuffix("weight") + "bias"
            if bias in out:
                out[bias] = out[bias] * s
            for name in [] if broken else dict.fromkeys(readers):
                w = out[name]
                stored = family.transposed if w.ndim == 2 else family.experts_transposed
                first = stored and w.ndim > 1
                out[name] = w / (s[:, None] if first else s)
        for block in blocks:
            if block.expert is None and not block.fused and not family.transposed:
                _reorder(out, block, rng)
    return {name: np.array(w, dtype=np.float32, order="C") for name, w in out.items()}


def _names(template: str | None, i: int, tensors: Tensors) -> list[str]:
    if template is None:
        return []
    if "{e}" not in template:
        return [n for n in (named(template, i),) if n in tensors]
    return [n for n in (named(template, i, e) for e in range(64)) if n in tensors]


def _reorder(tensors: Tensors, block, rng) -> None:
    order = rng.permutation(block.width)
    for name in (block.up, block.gate):
        if name is not None:
            tensors[name] = tensors[name][order]
            bias = name.removesuffix("weight") + "bias"
            if bias in tensors:
                tensors[bias] = tensors[bias][order]
    tensors[block.down] = tensors[block.down][:, order]
    if block.sub_norm is not None:
        tensors[block.sub_norm] = tensors[block.sub_norm][order]
