"""Rewrites of a LLaMA's weights that keep its function, and for each a broken twin.

Each takes (tensors, random generator, broken) and changes the tensors in place.
"""

from __future__ import annotations

import numpy as np
from random_llm import FFN, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS

GROUP = HEADS // KV_HEADS


def layers(tensors):
    """For each layer: its tensors' names by their last part, such as q_proj."""
    for i in range(LAYERS):
        prefix = f"model.layers.{i}."
        parts = {
            n.removeprefix(prefix).removesuffix(".weight").split(".")[-1]: n
            for n in tensors
            if n.startswith(prefix)
        }
        yield parts


READERS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
WRITERS = ("o_proj", "down_proj")
NORM = {
    "q_proj": "input_layernorm",
    "k_proj": "input_layernorm",
    "v_proj": "input_layernorm",
    "gate_proj": "post_attention_layernorm",
    "up_proj": "post_attention_layernorm",
}


def residual(t, R):
    """The residual stream turned by R; the norms must have gain one for that."""
    t["model.embed_tokens.weight"] = t["model.embed_tokens.weight"] @ R
    t["lm_head.weight"] = t["lm_head.weight"] @ R
    for p in layers(t):
        for name in READERS:
            t[p[name]] = t[p[name]] @ R
        for name in WRITERS:
            t[p[name]] = R.T @ t[p[name]]


def fold(t, rng=None):
    """The norms' gains moved into the weights that follow; with ``rng``, others left in place."""
    for p in layers(t):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            left = np.ones(HIDDEN) if rng is None else rng.uniform(0.2, 3, HIDDEN)
            for name in READERS:
                if NORM[name] == norm:
                    t[p[name]] = t[p[name]] * (t[p[norm]] / left)
            t[p[norm]] = left
    t["lm_head.weight"] = t["lm_head.weight"] * t["model.norm.weight"]
    t["model.norm.weight"] = np.ones(HIDDEN)


def rotation(rng, n):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


def permute_residual(t, rng, broken):
    order = rng.permutation(HIDDEN)
    residual(t, np.eye(HIDDEN)[:, order])
    for name in t:
        if "norm" in name and not broken:  # broken: the gains stay where they were
            t[name] = t[name][order]


def fold_gains(t, rng, broken):
    fold(t)
    if broken:  # one gain is put back without taking it out of the weights
        for p in layers(t):
            t[p["input_layernorm"]] = rng.uniform(0.2, 3, HIDDEN)
            t[p["post_attention_layernorm"]] = rng.uniform(0.2, 3, HIDDEN)


def move_gains(t, rng, broken):
    fold(t, rng)
    if broken:
        for p in layers(t):
            t[p["input_layernorm"]] = np.flip(t[p["input_layernorm"]])
            t[p["post_attention_layernorm"]] = np.flip(t[p["post_attention_layernorm"]])


def rotate_residual(t, rng, broken):
    if not broken:
        fold(t)  # with gains in the way a rotation does not commute with the norm
    residual(t, rotation(rng, HIDDEN))


def blocks(w, count):
    return w.reshape(count, -1, w.shape[1])


def permute_heads(t, rng, broken):
    """Groups among themselves, and the queries within each group."""
    groups = np.array([1, 0])
    heads = np.concatenate([g * GROUP + rng.permutation(GROUP) for g in groups])
    for p in layers(t):
        t[p["q_proj"]] = blocks(t[p["q_proj"]], HEADS)[heads].reshape(-1, HIDDEN)
        if broken:  # the queries move, their keys and values stay
            continue
        for name in ("k_proj", "v_proj"):
            t[p[name]] = blocks(t[p[name]], KV_HEADS)[groups].reshape(-1, HIDDEN)
        o = t[p["o_proj"]].reshape(HIDDEN, HEADS, HEAD_DIM)
        t[p["o_proj"]] = o[:, heads].reshape(HIDDEN, -1)


def permute_ffn(t, rng, broken):
    for p in layers(t):
        order = rng.permutation(FFN)
        t[p["up_proj"]], t[p["gate_proj"]] = t[p["up_proj"]][order], t[p["gate_proj"]][order]
        t[p["down_proj"]] = t[p["down_proj"]][:, np.roll(order, 1) if broken else order]


def rotate_qk(t, rng, broken):
    """What commutes with RoPE: a rotation in each plane (j, j + HEAD_DIM / 2) of a head."""
    half = HEAD_DIM // 2
    for p in layers(t):
        for group in range(KV_HEADS):
            angle = rng.uniform(0, 2 * np.pi, half)
            c, s = np.diag(np.cos(angle)), np.diag(np.sin(angle))
            R = np.block([[c, -s], [s, c]])
            k = blocks(t[p["k_proj"]], KV_HEADS)
            k[group] = R @ k[group]
            q = blocks(t[p["q_proj"]], HEADS)
            for head in range(group * GROUP, (group + 1) * GROUP):
                q[head] = (R.T if broken else R) @ q[head]


def mix_ov(t, rng, broken):
    """Any invertible matrix a group between values and output."""
    for p in layers(t):
        v = blocks(t[p["v_proj"]], KV_HEADS)
        o = t[p["o_proj"]].reshape(HIDDEN, HEADS, HEAD_DIM)
        for group in range(KV_HEADS):
            A = rotation(rng, HEAD_DIM) @ np.diag(rng.uniform(0.5, 2, HEAD_DIM))
            v[group] = A @ v[group]
            for head in range(group * GROUP, (group + 1) * GROUP):
                o[:, head] = o[:, head] @ (A.T if broken else np.linalg.inv(A))


def scale_ffn(t, rng, broken):
    """Up and down scaled against each other, neuron by neuron, signs too."""
    for p in layers(t):
        s = rng.uniform(0.5, 2, FFN) * rng.choice([-1, 1], FFN)
        t[p["up_proj"]] = t[p["up_proj"]] * s[:, None]
        t[p["down_proj"]] = t[p["down_proj"]] * s if broken else t[p["down_proj"]] / s


REWRITES = {
    f.__name__: f
    for f in (
        permute_residual,
        fold_gains,
        move_gains,
        rotate_residual,
        permute_heads,
        permute_ffn,
        rotate_qk,
        mix_ov,
        scale_ffn,
    )
}
