"""What happened within layers: neurons and heads added, taken off, split, merged; experts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref_zk.comparison.parts.finding import FEW, MOST, Finding, percent
from huref_zk.comparison.parts.partners import Matches, Parts


def width_findings(parts: Parts) -> list[Finding]:
    """Of neurons and heads, in layers of B that come from A and the layers of A that they are."""
    found = []
    copied = any(r["share"] > MOST and r["expert_a"] < 0 for r in expert_origins(parts))
    for noun, kind in (("neurons", parts.neurons), ("heads", parts.heads)):
        found += _kept(noun, kind)
        if noun == "heads" or not copied:  # several experts that hold one neuron split nothing
            found += _pieces(noun, kind)
    return found


def _kept(noun: str, kind: Matches) -> list[Finding]:
    here, there = _related(kind.share_b, kind.share_a)
    b = _within(kind.b.found(), kind.b.alive, here)
    a = _within(kind.a.found(), kind.a.alive, there)
    found = []
    if not here or not there:
        return []
    if b.alone > FEW * b.living:
        size = "as many again as A has" if b.alone >= a.living else f"{percent(b.alone / b.living)}"
        found.append(
            Finding(
                f"{noun} added",
                a.share,
                f"{b.alone} of B's {b.living} {noun} ({size}) in layers that are A's come from "
                "nowhere in A.",
                {"added": b.alone, "of": b.living, "layers_b": here},
            )
        )
    if a.alone > FEW * a.living:
        found.append(
            Finding(
                f"{noun} pruned",
                b.share,
                f"{a.alone} of A's {a.living} {noun} ({percent(a.alone / a.living)}) in layers "
                "that B has are not in B.",
                {"dropped": a.alone, "of": a.living, "layers_a": there},
            )
        )
    silent = sum(len(x) - int(x.sum()) for x in kind.b.alive)
    before = sum(len(x) - int(x.sum()) for x in kind.a.alive)
    if silent > before + FEW * kind.b.living():
        every = silent + kind.b.living()
        found.append(
            Finding(
                f"silent {noun}",
                1.0,
                f"{silent} of B's {every} {noun} do nothing that the tokens see ({before} in A).",
                {"silent": silent, "of": every, "in_a": before},
            )
        )
    return found


def _pieces(noun: str, kind: Matches) -> list[Finding]:
    found = []
    split = sum(int(x.sum()) for x in kind.further())
    if split > FEW * max(kind.b.count(), 1):
        words = f"{split} of B's {noun} are further pieces of {noun} of A that B has already."
        fit = max(kind.a.share(), kind.b.share())
        found.append(Finding(f"{noun} split", fit, words, {"pieces": split, "of": kind.b.count()}))
    merged = sum(int(x.sum()) for x in kind.merged())
    if merged > FEW * max(kind.a.count(), 1):
        words = f"{merged} of A's {noun} went into {noun} of B that hold others of A's as well."
        fit = max(kind.a.share(), kind.b.share())
        found.append(Finding(f"{noun} merged", fit, words, {"merged": merged}))
    return found


def expert_findings(parts: Parts) -> list[Finding]:
    """Experts of B by the share of their neurons that come from A, and from which block of A."""
    rows = expert_origins(parts)
    if not rows:
        return []
    akin = [r for r in rows if r["share"] > MOST]
    every = len(rows)
    if not akin:
        return []
    fit = float(np.mean([r["share"] for r in akin]))
    dense = all(r["expert_a"] < 0 for r in akin)
    layers = len({r["layer_b"] for r in akin})
    score = float(np.median([r["score"] for r in akin]))
    evidence = {"experts": rows[:512], "akin": len(akin), "of": every, "median_score": score}
    if dense:
        return [
            Finding(
                "sparse upcycling",
                fit,
                f"{len(akin)} of B's {every} experts, in {layers} layers, are copies of A's dense "
                f"feed-forward blocks (median score of their neurons {score:.2f}).",
                evidence,
            )
        ]
    distinct = len({(r["layer_a"], r["expert_a"]) for r in akin if r["expert_a"] >= 0})
    words = (
        f"{len(akin)} of B's {every} experts are experts of A: {distinct} different ones, of "
        f"{_experts(parts)}."
    )
    return [Finding("experts", fit, words, evidence)]


def expert_origins(parts: Parts) -> list[dict]:
    """Of every expert of B: layer_b, expert_b; the block of A that most of it comes from, layer_a
    and expert_a (-1 for a dense one); share, of its living neurons, that do; score, their median.
    """
    rows = []
    b = parts.neurons.b
    for j, layer in enumerate(parts.layers_b):
        for e in np.unique(layer.experts[layer.experts >= 0]):
            here = (layer.experts == e) & b.alive[j]
            there = np.flatnonzero(here & (b.layer[j] >= 0))
            if not len(there):
                rows.append(_origin(j, int(e), -1, -1, 0.0, 0.0))
                continue
            theirs = b.layer[j][there]
            experts = np.array(
                [
                    parts.layers_a[i].experts[n]
                    for i, n in zip(theirs, b.part[j][there], strict=True)
                ]
            )
            blocks, counts = np.unique(np.stack([theirs, experts]), axis=1, return_counts=True)
            best = int(counts.argmax())
            of_best = (theirs == blocks[0, best]) & (experts == blocks[1, best])
            score = float(np.median(b.score[j][there[of_best]]))
            share = float(counts[best] / here.sum())
            rows.append(
                _origin(j, int(e), int(blocks[0, best]), int(blocks[1, best]), share, score)
            )
    return rows


def _origin(j: int, e: int, i: int, other: int, share: float, score: float) -> dict:
    return {
        "layer_b": j,
        "expert_b": e,
        "layer_a": i,
        "expert_a": other,
        "share": round(share, 4),
        "score": round(score, 4),
    }


def _experts(parts: Parts) -> int:
    return sum(len(np.unique(x.experts[x.experts >= 0])) for x in parts.layers_a)


class _Count:
    """Parts of some layers: how many live, and how many of those are alone."""

    def __init__(self, living: int, alone: int):
        self.living, self.alone = max(living, 1), alone

    @property
    def share(self) -> float:
        return 1 - self.alone / self.living


def _within(
    found: Sequence[np.ndarray], alive: Sequence[np.ndarray], layers: Sequence[int]
) -> _Count:
    living = sum(int(alive[n].sum()) for n in layers)
    return _Count(living, living - sum(int((found[n] & alive[n]).sum()) for n in layers))


def _related(share_b: np.ndarray, share_a: np.ndarray) -> tuple[list[int], list[int]]:
    """Layers of B and of A that have enough of each other to be told about: of B, those that hold
    most of a layer of A or come mostly from A; of A likewise."""
    here = np.flatnonzero((share_b.sum(axis=1) > MOST) | (share_a > MOST).any(axis=0))
    there = np.flatnonzero((share_a.sum(axis=1) > MOST) | (share_b > MOST).any(axis=0))
    return here.tolist(), there.tolist()
