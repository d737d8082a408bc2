"""Which layers of B are which of A's: dropped, doubled, inserted, drawn anew, in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from huref_zk.comparison.parts.finding import MOST, Finding, are, layers, ranges
from huref_zk.comparison.parts.partners import Matches, Parts

APART = 0.75
"""Neurons in several layers are spread when at least this share of all of them are different."""


@dataclass(frozen=True)
class Depth:
    """origin: for every layer of B the layer of A that most of its parts come from, or None; fits:
    the share that does. Layers of B: mixed, made of parts of several of A's; empty, where nothing
    lives; halves, with no living neuron, whose heads are those of a layer of A whose neurons stand
    in another. spread: layers of A whose neurons stand in several of B's, each in one.
    missing: living layers of A that are nobody's origin."""

    origin: tuple[int | None, ...]
    fits: tuple[float, ...]
    mixed: tuple[int, ...]
    empty: tuple[int, ...]
    halves: tuple[int, ...]
    spread: tuple[int, ...]
    missing: tuple[int, ...]
    layers_a: int

    @property
    def whole(self) -> list[int]:
        """Layers of B that have an origin and are no halves."""
        return [j for j, o in enumerate(self.origin) if o is not None and j not in self.halves]

    @property
    def fit(self) -> float:
        """Mean of the shares by which layers have their origins."""
        fits = [f for f, o in zip(self.fits, self.origin, strict=True) if o is not None]
        return float(np.mean(fits)) if fits else 0.0


def read_depth(parts: Parts) -> Depth:
    """By the neurons, or the heads of a layer without neurons. What B's layer has besides what is
    A's does not count: a layer of A with as many neurons again added is still that layer."""
    origin: list[int | None] = []
    fits, mixed, empty, by_heads = [], [], [], []
    for j in range(len(parts.layers_b)):
        kind = next((k for k in (parts.neurons, parts.heads) if k.b.alive[j].any()), None)
        if kind is None:
            origin.append(None)
            fits.append(0.0)
            empty.append(j)
            continue
        best, share = _most(kind, j)
        origin.append(best if share > MOST else None)
        fits.append(share)
        if share <= MOST and kind.share_b[j].sum() > MOST:
            mixed.append(j)
        if kind is parts.heads:
            by_heads.append(j)
    by_neurons = {o for j, o in enumerate(origin) if j not in by_heads}
    living = zip(parts.neurons.a.alive, parts.heads.a.alive, strict=True)
    alive = [bool(neurons.any() or heads.any()) for neurons, heads in living]
    return Depth(
        tuple(origin),
        tuple(fits),
        tuple(mixed),
        tuple(empty),
        tuple(j for j in by_heads if origin[j] is not None and origin[j] in by_neurons),
        _spread(parts, origin),
        tuple(i for i in range(len(alive)) if alive[i] and i not in origin),
        len(alive),
    )


def depth_findings(depth: Depth) -> list[Finding]:
    """What became of A's layers."""
    new = [
        j
        for j, o in enumerate(depth.origin)
        if o is None and j not in depth.mixed and j not in depth.empty and depth.whole
    ]
    drawn = _replaced(depth, new)
    found = _order(depth)
    if drawn:
        there, here = sorted(drawn), sorted(drawn.values())
        found.append(
            _said(
                depth,
                "layers re-drawn",
                f"In the place of A's {layers(here)} B has {layers(there)} with nothing of A: "
                "drawn anew, or trained out of recognition.",
                {"layers_b": there, "layers_a": here},
            )
        )
    dropped = [i for i in depth.missing if i not in drawn.values()]
    if dropped and depth.whole and not depth.mixed:
        words = (
            f"A's {layers(dropped)} ({len(dropped)} of {depth.layers_a}) {are(dropped)} not in B."
        )
        found.append(_said(depth, "layers dropped", words, {"layers_a": dropped}))
    inserted = [j for j in new if j not in drawn]
    if inserted:
        words = (
            f"B's {layers(inserted)} ({len(inserted)} of {len(depth.origin)}) {are(inserted)} new."
        )
        found.append(_said(depth, "layers inserted", words, {"layers_b": inserted}))
    if depth.empty:
        words = (
            f"B's {layers(depth.empty)} {are(depth.empty)} idle: no neuron or head does anything."
        )
        found.append(_said(depth, "idle layers", words, {"layers_b": list(depth.empty)}))
    if depth.mixed:
        words = (
            f"B's {layers(depth.mixed)} {are(depth.mixed)} made of parts of several of A's layers."
        )
        found.append(Finding("layers mixed", 1.0, words, {"layers_b": list(depth.mixed)}))
    return found


def _order(depth: Depth) -> list[Finding]:
    """Layers of A that are in B more than once, in two halves, or not in their order."""
    order = [o for j in depth.whole if (o := depth.origin[j]) is not None]
    again = sorted({i for i in order if order.count(i) > 1} - set(depth.spread))
    evidence = {"origin": list(depth.origin)}
    found = []
    if depth.halves:
        found.append(
            _said(
                depth,
                "blocks split",
                f"B's {layers(depth.halves)} {are(depth.halves)} the attention of layers of A "
                "whose neurons stand in other layers.",
                {**evidence, "layers_b": list(depth.halves)},
            )
        )
    if depth.spread:
        words = f"The neurons of A's {layers(depth.spread)} are spread over several layers of B."
        found.append(_said(depth, "layers spread", words, evidence))
    if again:
        adjacent = sum(a == b for a, b in pairwise(order))
        if adjacent >= len(order) - len(set(order)):
            words = f"A's {layers(again)} {are(again)} there more than once, copy behind copy."
            found.append(_said(depth, "layers doubled", words, evidence))
        else:
            runs = " and ".join(ranges(order).split(", "))
            words = f"{len(order)} of B's {len(depth.origin)} layers are A's layers {runs}."
            found.append(_said(depth, "depth up-scaling", words, evidence))
    elif order != sorted(order):
        words = f"A's layers are in B in another order: {ranges(order)}."
        found.append(_said(depth, "layers reordered", words, evidence))
    return found


def _said(depth: Depth, name: str, words: str, evidence: dict) -> Finding:
    return Finding(name, depth.fit, words, evidence)


def _most(kind: Matches, j: int) -> tuple[int, float]:
    """The layer of A that most of what layer j of B has from A comes from, and how much of either
    layer that is, the larger of the two."""
    mine = kind.share_b[j]
    best = int(mine.argmax())
    if mine[best] <= MOST * mine.sum():
        return best, 0.0
    return best, float(max(mine[best], kind.share_a[best, j]))


def _spread(parts: Parts, origin: Sequence[int | None]) -> tuple[int, ...]:
    """Layers of A that are the origin of several layers of B whose partners there are different."""
    out, b = [], parts.neurons.b
    for i in sorted({o for o in origin if o is not None}):
        here = [j for j, o in enumerate(origin) if o == i]
        partners = [np.unique(b.part[j][b.layer[j] == i]) for j in here]
        every = np.concatenate(partners)
        several = sum(len(p) > 0 for p in partners) > 1
        if several and len(np.unique(every)) > APART * len(every):
            out.append(i)
    return tuple(out)


def _replaced(depth: Depth, new: Sequence[int]) -> dict[int, int]:
    """{B's: A's}: new layers of B that stand between two layers of A's where others are missing."""
    out: dict[int, int] = {}
    known = [(j, depth.origin[j]) for j in depth.whole]
    ends = [(-1, -1), *known, (len(depth.origin), depth.layers_a)]
    for (j, a), (k, b) in pairwise(ends):
        assert a is not None and b is not None
        here = [n for n in new if j < n < k]
        there = [i for i in depth.missing if a < i < b]
        out |= dict(zip(here, there, strict=False))
    return out
