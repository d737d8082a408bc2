"""What sends a token to some experts of a mixture, and how much each of them counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.models.families import Family, text_config
from huref_zk.models.feed_forward import Block
from huref_zk.models.model import Model
from huref_zk.models.reading import Dimensions, bias_vector, expect, finite, named


@dataclass(frozen=True)
class Router:
    """weight float32 (experts, d), bias (experts,) or None; top_k: how many a token gets;
    normalised: their weights are made to sum to one; the rest as Family has it. idle: how many of
    the experts, the last, hand the token back."""

    weight: np.ndarray
    top_k: int
    normalised: bool
    bias: np.ndarray | None = None
    scores: str = "softmax"
    choice_bias: np.ndarray | None = None
    on_logits: bool = False
    groups: int = 1
    groups_kept: int = 1
    group_score: str = "two_best"
    scale: float = 1.0
    scaled_input: bool = False
    idle: int = 0


def read_router(
    model: Model, family: Family, dims: Dimensions, blocks: list[Block], i: int
) -> Router | None:
    """The router of layer i, None for a dense one. Raises InputError."""
    experts = [b for b in blocks if b.number is not None]
    if not experts:
        return None
    template = family.router
    if experts[0].expert is not None and family.fused_router is not None:
        template = family.fused_router
    if template is None:
        raise InputError(f"{model.source}: its map names no router for layer {i}'s experts")
    config = {**family.defaults, **text_config(model.config)}

    def told(keys: tuple[str, ...], default: object) -> object:
        return next((config[k] for k in keys if config.get(k) is not None), default)

    def count(keys: tuple[str, ...], most: int, default: object = None) -> int:
        value = told(keys, default)
        if isinstance(value, list) and len(value) == dims.layers:
            value = value[i]
        if type(value) is not int or not 0 < value <= most:
            raise InputError(
                f"{model.source}: config says {' or '.join(keys)} = {value!r}; "
                f"a layer has {len(experts)} experts"
            )
        return value

    idle = told(family.idle_experts_keys, 0)
    idle = idle if type(idle) is int and 0 <= idle < 1 << 16 else 0
    rows = len(experts) + idle
    name = named(template, i)
    expect(model, name, (rows, dims.hidden))
    choice = None
    if family.choice_bias is not None and model.has(named(family.choice_bias, i)):
        beside = named(family.choice_bias, i)
        choice = finite(model.tensor(beside).reshape(-1), beside)
        if choice.shape != (rows,):
            raise InputError(f"{model.source}: {beside} has {choice.size} entries, not {rows}")
    scale = told(family.router_scale_keys, 1.0)
    if type(scale) not in (int, float):
        raise InputError(f"{model.source}: config says {family.router_scale_keys[0]} = {scale!r}")
    groups = count(family.groups_keys, rows, 1)
    if rows % groups:
        raise InputError(f"{model.source}: {rows} experts are not {groups} groups")
    return Router(
        weight=finite(model.tensor(name), name),
        top_k=count(family.top_k_keys, rows),
        normalised=bool(told(family.norm_topk_keys, family.norm_topk)),
        bias=bias_vector(model, name, rows) if family.router_bias else None,
        scores=family.router_scores,
        choice_bias=choice,
        on_logits=family.choice_on_logits,
        groups=groups,
        groups_kept=count(family.groups_kept_keys, groups, groups),
        group_score=family.group_score,
        scale=float(scale),  # type: ignore[arg-type]
        scaled_input=family.scaled_input,
        idle=idle,
    )


def read_shared_router(model: Model, family: Family, dims: Dimensions, i: int) -> np.ndarray | None:
    """What weighs the shared expert of layer i, float32 (d,); None where it counts in full."""
    if family.shared_router is None:
        return None
    name = named(family.shared_router, i)
    expect(model, name, (1, dims.hidden))
    return finite(model.tensor(name), name)[0]


def routed(logits: np.ndarray, router: Router) -> np.ndarray:
    """Weights (S, experts) for a router's logits, float32, as transformers has them: scores of all
    experts, the top_k kept, made to sum to one if ``normalised``."""
    z = logits.astype(np.float64)
    if router.scores == "sparsemixer":
        return _sparsemixer(z, router.top_k).astype(np.float32)
    if router.scores == "softmax":
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
    else:
        with np.errstate(over="ignore"):
            p = 1 / (1 + np.exp(-z))
    choice = z if router.on_logits else p
    if router.choice_bias is not None:
        choice = choice + router.choice_bias
    if router.groups > router.groups_kept:
        choice = _of_best_groups(choice, router)
    kept = np.argsort(-choice, axis=1, kind="stable")[:, : router.top_k]
    out = np.zeros_like(p)
    np.put_along_axis(out, kept, np.take_along_axis(p, kept, axis=1), axis=1)
    if router.normalised:
        out /= out.sum(axis=1, keepdims=True)
    return (out * router.scale).astype(np.float32)


def _of_best_groups(choice: np.ndarray, router: Router) -> np.ndarray:
    parts = np.sort(choice.reshape(len(choice), router.groups, -1), axis=2)
    best = parts[:, :, -1] if router.group_score == "best" else parts[:, :, -2:].sum(axis=2)
    kept = np.argsort(-best, axis=1, kind="stable")[:, : router.groups_kept]
    inside = np.zeros(best.shape, dtype=bool)
    np.put_along_axis(inside, kept, True, axis=1)
    each = np.repeat(inside, choice.shape[1] // router.groups, axis=1)
    return np.where(each, choice, -np.inf)


def _sparsemixer(z: np.ndarray, top_k: int, jitter: float = 0.01) -> np.ndarray:
    """PhiMoE's: one expert after the other, each by a softmax over those whose logits are near the
    largest that is left."""
    out, left = np.zeros_like(z), z.copy()
    rows = np.arange(len(z))
    for _ in range(top_k):
        best = left.argmax(axis=1)
        top = left[rows, best][:, None]
        factor = np.maximum(np.abs(z), top)
        near = (top - z) / factor <= 2 * jitter
        weights = np.where(near & np.isfinite(left), np.exp(left - top), 0)
        out[rows, best] = weights[rows, best] / weights.sum(axis=1)
        left[rows, best] = -np.inf
    return out
