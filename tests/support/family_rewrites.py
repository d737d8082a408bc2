"""Rewrites that keep a model's function, for every family, and for each a broken twin.

They work on views of a checkpoint's tensors cut as the family's entry says; a wrong entry breaks
the function, which the tests see. Each takes (Weights, random generator, broken).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.models.families import Family
from huref_zk.models.feed_forward import ffn_blocks
from huref_zk.models.reading import Dimensions


@dataclass
class Unit:
    """One feed-forward block: up and gate are lists of views with F rows, down has F columns."""

    up: list[np.ndarray]
    gate: list[np.ndarray]
    down: np.ndarray


class Weights:
    """Tensors of a model, and writable views of them: everything changed in place."""

    def __init__(self, tensors: dict, family: Family, dims: Dimensions, model):
        self.tensors, self.family, self.dims, self.model = tensors, family, dims, model
        self.group = dims.heads // dims.kv_heads

    def get(self, template: str | None, i: int) -> np.ndarray | None:
        return None if template is None else self.tensors[template.replace("{i}", str(i))]

    def rows(self, name: str) -> list[np.ndarray]:
        """Views (out, in) of a weight and (out, 1) of its bias, if it has one."""
        weight = self.tensors[name]
        found = [weight.T if self.family.transposed else weight]
        bias = name.removesuffix("weight") + "bias"
        if bias != name and bias in self.tensors:
            found.append(self.tensors[bias][:, None])
        return found

    def qkv(self, i: int) -> list[list[np.ndarray]]:
        """For q, k and v: views (heads, hd, in) of the weight and its bias."""
        f, kv, hd = self.family, self.dims.kv_heads, self.dims.head_dim
        if f.qkv is None:
            names = [t.replace("{i}", str(i)) for t in (f.q, f.k, f.v)]
            counts = (self.dims.heads, kv, kv)
            return [
                [_view(w, (c, hd, w.shape[1])) for w in self.rows(n)]
                for n, c in zip(names, counts, strict=True)
            ]
        found: list[list[np.ndarray]] = [[], [], []]
        for w in self.rows(f.qkv.replace("{i}", str(i))):
            if f.qkv_layout == "stacked":
                stops = np.cumsum([self.dims.heads, kv]) * hd
                cut = [_view(x, (-1, hd, w.shape[1])) for x in np.split(w, stops)]
            elif f.qkv_layout == "quarters":
                x = _view(w, (self.dims.heads, 3, hd, w.shape[1]))  # four heads, one a quarter
                cut = [x[:, 0], x[:, 2], x[:, 1]]
            else:
                x = _view(w, (kv, self.group + 2, hd, w.shape[1]))
                # Queries (kv, group, hd, in) cannot be one view of heads: Heads looks through.
                cut = [Heads(x[:, :-2]), x[:, -2], x[:, -1]]
            for views, view in zip(found, cut, strict=True):
                views.append(view)
        return found

    def o(self, i: int) -> np.ndarray:
        """View (d, heads, hd)."""
        w = self.rows(self.family.o.replace("{i}", str(i)))[0]
        return _view(w, (w.shape[0], self.dims.heads, self.dims.head_dim))

    def units(self, i: int) -> list[Unit]:
        found = []
        for b in ffn_blocks(self.model, self.family, self.dims, i):
            if b.expert is not None:
                both, down = self.tensors[b.up][b.expert], self.tensors[b.down][b.expert]
                found.append(Unit([both[b.width :]], [both[: b.width]], down))
                continue
            up, gate = self.rows(b.up), []
            if b.fused:
                up, gate = [w[b.width :] for w in up], [w[: b.width] for w in up]
            elif b.gate:
                gate = self.rows(b.gate)
            found.append(Unit(up, gate, self.rows(b.down)[0]))
        return found

    def routers(self, i: int) -> list[np.ndarray]:
        """What else reads the residual stream behind the ffn norm."""
        names = tuple(f"layers.{i}.mlp.{n}.weight" for n in ("gate", "shared_expert_gate"))
        return [w for name, w in self.tensors.items() if name.endswith(names)]

    def readers(self, i: int, norm: str) -> list[list[np.ndarray]]:
        """Weights, each with its bias, that read behind the norm ``attention_norm`` or ``ffn_norm``
        (both, when it is the same one)."""
        f = self.family
        found: list[list[np.ndarray]] = []
        if getattr(f, norm) == f.attention_norm:
            found += self.qkv(i)
        if getattr(f, norm) == f.ffn_norm:
            for u in self.units(i):
                found += [u.up] + ([u.gate] if u.gate else [])
            found += [[w] for w in self.routers(i)]
        return found


class Heads:
    """Views (kv, group, hd, in) of grouped queries, addressed by head."""

    def __init__(self, x: np.ndarray):
        self.x, self.group = x, x.shape[1]
        self.shape = (x.shape[0] * x.shape[1], *x.shape[2:])

    def __getitem__(self, head):
        if head is Ellipsis:
            return self.x.reshape(self.shape)
        if isinstance(head, np.ndarray):
            return np.array([self[h] for h in head])
        return self.x[head // self.group, head % self.group]

    def __setitem__(self, head, value):
        if head is Ellipsis:
            self.x[...] = np.broadcast_to(value, self.shape).reshape(self.x.shape)
        else:
            self.x[head // self.group, head % self.group] = value


def _view(w: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    view = w.reshape(shape)
    assert np.shares_memory(view, w)
    return view


def permute_residual(w: Weights, rng, broken: bool):
    """All that lies on the residual stream, in another order. Broken: the embeddings stay."""
    f, d = w.family, w.dims.hidden
    order = rng.permutation(d)
    inside = set()  # names of tensors that are seen to here, or have an axis of another kind
    for i in range(w.dims.layers):
        read = w.qkv(i) + [x for u in w.units(i) for x in (u.up, u.gate) if x]
        for views in read:
            views[0][...] = views[0][...][..., order]
        for view in [w.o(i)] + [u.down for u in w.units(i)]:
            view[...] = view[order].copy()
        read_names, written = _names(f, i)
        inside |= {n + end for n in read_names for end in ("weight", "bias")}
        inside |= {n + "weight" for n in written}
    for name, x in w.tensors.items():
        apart = "vision" in name or "projector" in name or ".experts." in name
        if name in inside or apart or x.shape[-1] != d or (broken and name == f.embedding):
            continue
        x[...] = x[..., order].copy()


def _names(f: Family, i: int) -> tuple[list[str], list[str]]:
    """(of what reads the residual stream, of what writes to it), without "weight"."""
    read = (f.q, f.k, f.v, f.qkv, f.q_norm, f.k_norm, f.up, f.gate, f.gate_up)
    read += (f.shared_up, f.shared_gate)

    def short(templates):
        return [t.replace("{i}", str(i)).removesuffix("weight") for t in templates if t]

    return short(read), short((f.o, f.down, f.shared_down))


def permute_heads(w: Weights, rng, broken: bool):
    """Groups among themselves, and the queries within each. Broken: these off by one row."""
    dims = w.dims
    groups = np.roll(np.arange(dims.kv_heads), 1)
    order = np.concatenate([g * w.group + rng.permutation(w.group) for g in groups])
    if dims.kv_heads == 1:
        order = np.roll(np.arange(dims.heads), 1)
    for i in range(dims.layers):
        q, k, v = w.qkv(i)
        gains = _head_gains(w, i)
        for views, new in ((q + gains[0], order), (k + gains[1], groups), (v, groups)):
            for x in views:
                old = np.array([x[int(h)] for h in new])
                if broken and views[0] is q[0]:
                    old = np.roll(old.reshape(-1, old.shape[-1]), 1, axis=0).reshape(old.shape)
                for head, values in enumerate(old):
                    x[head] = values
        o = w.o(i)
        o[...] = o[:, order].copy()


def _head_gains(w: Weights, i: int) -> tuple[list, list]:
    """Norms of queries and keys that have gains for each head."""
    f = w.family
    found: tuple[list, list] = ([], [])
    for views, template, count in (
        (found[0], f.q_norm, w.dims.heads),
        (found[1], f.k_norm, w.dims.kv_heads),
    ):
        if template and "{h}" in template:
            names = [template.replace("{i}", str(i)).replace("{h}", str(h)) for h in range(count)]
            views.append(Listed([w.tensors[n] for n in names]))
        elif f.qk_norm == "whole":
            views.append(_view(w.get(template, i), (count, w.dims.head_dim)))
    return found


class Listed:
    """Arrays of heads that lie apart, addressed by head."""

    def __init__(self, parts: list[np.ndarray]):
        self.parts = parts

    def __getitem__(self, head):
        return self.parts[head].copy()

    def __setitem__(self, head, value):
        self.parts[head][...] = value


def mix_ov(w: Weights, rng, broken: bool):
    """An invertible matrix a group between values and output. Broken: its transpose there."""
    hd = w.dims.head_dim
    for i in range(w.dims.layers):
        _, _, v = w.qkv(i)
        o = w.o(i)
        for g in range(w.dims.kv_heads):
            A = np.linalg.qr(rng.normal(size=(hd, hd)))[0] @ np.diag(rng.uniform(0.5, 2, hd))
            for x in v:
                x[g] = A @ x[g]
            for h in range(g * w.group, (g + 1) * w.group):
                o[:, h] = o[:, h] @ (A.T if broken else np.linalg.inv(A))


def mix_qk(w: Weights, rng, broken: bool, log_sd: float = 0.5):
    """An invertible matrix a group between queries and keys. Broken: itself in place of A^-T."""
    hd = w.dims.head_dim
    for i in range(w.dims.layers):
        q, k, _ = w.qkv(i)
        for g in range(w.dims.kv_heads):
            left, right = (np.linalg.qr(rng.normal(size=(hd, hd)))[0] for _ in range(2))
            A = left @ np.diag(np.exp(rng.normal(scale=log_sd, size=hd))) @ right
            for x in k:
                x[g] = A @ x[g]
            for x in q:
                for h in range(g * w.group, (g + 1) * w.group):
                    x[h] = (A if broken else np.linalg.inv(A).T) @ x[h]


def permute_ffn(w: Weights, rng, broken: bool):
    for i in range(w.dims.layers):
        for u in w.units(i):
            order = rng.permutation(u.down.shape[1])
            for x in u.up + u.gate:
                x[...] = x[order].copy()
            u.down[...] = u.down[:, np.roll(order, 1) if broken else order].copy()


def scale_ffn(w: Weights, rng, broken: bool):
    """Up and down against each other, neuron by neuron, signs too; where there is a gate."""
    for i in range(w.dims.layers):
        for u in w.units(i):
            f = u.down.shape[1]
            s = rng.uniform(0.5, 2, f) * rng.choice([-1, 1], f)
            for x in u.up:
                x *= s[:, None]
            u.down *= s if broken else 1 / s


def shift_gains(w: Weights, rng, broken: bool):
    """Scale moved between a norm and what reads behind it. Broken: put there in another order."""
    f = w.family
    for i in range(w.dims.layers):
        for norm in ("attention_norm", "ffn_norm"):
            if norm == "ffn_norm" and f.ffn_norm == f.attention_norm:
                continue
            stored = w.get(getattr(f, norm), i)
            gains, left = stored + f.norm_offset, rng.uniform(0.2, 3, w.dims.hidden)
            for views in w.readers(i, norm):
                views[0][...] = views[0][...] * (gains / left)
            bias = getattr(f, norm).replace("{i}", str(i)).removesuffix("weight") + "bias"
            if bias in w.tensors:
                w.tensors[bias] *= left / gains
            stored[...] = (np.flip(left) if broken else left) - f.norm_offset


def shift_ones(w: Weights, rng, broken: bool):
    """Constants along all-ones: into embeddings, into what writes to the residual stream, and into
    what reads behind a norm that takes the mean off. Broken: along another direction."""
    f, d = w.family, w.dims.hidden
    ones = rng.permutation(np.repeat([-1.0, 1.0], d // 2)) if broken else np.ones(d)
    embedding = w.tensors[f.embedding]
    if f.embedding_norm is None:
        embedding += rng.normal(size=(len(embedding), 1)) * ones
    else:
        embedding += rng.normal(size=(len(embedding), 1))
        w.tensors[f.embedding_norm.removesuffix("weight") + "bias"] += ones
    for i in range(w.dims.layers):
        o = w.o(i)
        o += ones[:, None, None] * rng.normal(size=o.shape[1:]) * 0.3
        for u in w.units(i):
            u.down += ones[:, None] * rng.normal(size=u.down.shape[1]) * 0.3
        for norm in ("attention_norm", "ffn_norm"):
            template = getattr(f, norm)
            if norm == "ffn_norm" and template == f.attention_norm and template is not None:
                continue
            gains = 1.0 if template is None else w.get(template, i)
            for views in w.readers(i, norm):
                x = views[0][...]
                views[0][...] = x + 0.3 * rng.normal(size=(*x.shape[:-1], 1)) * ones / gains


def scale_qk(w: Weights, rng, broken: bool):
    """Queries and keys that a norm follows, head by head (or as a whole), and their gains against
    each other; where the norm takes the mean off, a constant too. Broken: row by row."""
    f, dims = w.family, w.dims
    for i in range(dims.layers):
        q, k, _ = w.qkv(i)
        for views, count in ((q, dims.heads), (k, dims.kv_heads)):
            s = rng.uniform(0.3, 3, (1 if f.qk_norm == "whole" else count, 1, 1))
            if broken:
                s = rng.uniform(0.3, 3, (count, dims.head_dim, 1))
            for x in views:
                x *= s
                if f.qk_layer_norm:
                    x += rng.normal(size=(count, 1, x.shape[2]))
        for template, count, factor in (
            (f.q_norm, dims.heads, 2.0),
            (f.k_norm, dims.kv_heads, 0.5),
        ):
            for h in range(count if "{h}" in template else 1):
                name = template.replace("{h}", str(h))
                gains = w.get(name, i)
                gains[...] = (gains + f.norm_offset) * factor - f.norm_offset
                bias = name.replace("{i}", str(i)).removesuffix("weight") + "bias"
                if bias in w.tensors:
                    w.tensors[bias] *= factor


def permute_experts(w: Weights, rng, broken: bool):
    """Broken: the experts' readers alone."""
    f = w.family
    for i in range(w.dims.layers):
        up, down = w.get(f.experts_gate_up, i), w.get(f.experts_down, i)
        order = np.roll(np.arange(len(up)), 1)
        up[...] = up[order].copy()
        if broken:
            continue
        down[...] = down[order].copy()
        (router,) = (r for r in w.routers(i) if len(r) == len(up))
        router[...] = router[order].copy()


REWRITES = {
    r.__name__: r
    for r in (
        permute_residual,
        permute_heads,
        mix_ov,
        mix_qk,
        permute_ffn,
        scale_ffn,
        shift_gains,
        shift_ones,
        scale_qk,
        permute_experts,
    )
}


def fits(name: str, family: Family, alibi: bool, pinned: bool = False) -> bool:
    """Whether a rewrite keeps the function of such models."""
    return {
        "permute_residual": not pinned,
        "permute_heads": not alibi,
        "mix_qk": not family.rotary,
        "scale_ffn": any((family.gate, family.gate_up, family.expert_gate)),
        "shift_gains": family.attention_norm is not None,
        "shift_ones": family.layer_norm,
        "scale_qk": family.qk_norm is not None,
        "permute_experts": family.experts_gate_up is not None,
    }.get(name, True)
