"""How well parts are found again: of each layer of a base the median score of its neurons, and the
share of them that is found, in what became of it.

    python -m research.experiments.parts [--smollm2]

writes a table in Markdown to standard output; docs/parts.md has it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from huref_zk.attacks import ATTACKS, Checkpoint, read_checkpoint
from huref_zk.attacks.checkpoint import name_of
from huref_zk.comparison.parts.matching import match_parts
from huref_zk.comparison.parts.partners import Parts
from huref_zk.comparison.parts.sketches import layer_parts
from huref_zk.comparison.parts.view import budget, token_projection, token_view
from huref_zk.comparison.tokens import common_tokens
from huref_zk.invariants.recipes import token_rows
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.load import open_model
from huref_zk.models.model import Model
from research.experiments.models import smollm2

SIX = (
    "zero-gate-neurons",
    "silent-heads",
    "neuron-splitting",
    "residual-widening",
    "small-blocks",
    "rows-redrawn",
)
Row = tuple[str, Model, int | None]


def matched(a: Model, b: Model, tokens: int | None = None) -> Parts:
    """Two models' parts, over so many common tokens, by default 4,096."""
    families = [family_for(m) for m in (a, b)]
    dims = [dimensions(m, f) for m, f in zip((a, b), families, strict=True)]
    common = common_tokens(a, dims[0].vocab, b, dims[1].vocab)
    room, count = budget(*dims), tokens or common.sizes[0]
    rows = [
        token_rows(model, family, ids[:count])
        for model, family, ids in zip((a, b), families, (common.a, common.b), strict=True)
    ]
    projection = token_projection([X for X, _ in rows], room.r)
    sides = []
    for model, family, d, (X, read) in zip((a, b), families, dims, rows, strict=True):
        view = token_view(X, read, projection, room.kept)
        sides.append([layer_parts(model, family, d, i, view) for i in range(d.layers)])
    return match_parts(sides[0], sides[1])


def demo_rows(base: Checkpoint) -> Iterable[Row]:
    """(what, model, tokens) of the table about the embedded family."""

    def attacked(*names: str) -> Model:
        checkpoint, rng = base, np.random.default_rng(1)
        for name in names:
            checkpoint = ATTACKS[name].run(checkpoint, rng)
        return checkpoint.model()

    yield "child", open_model("demo-child"), None
    yield "stranger", open_model("demo-stranger"), None
    yield "dead gates", attacked("zero-gate-neurons"), None
    yield "splits", attacked("neuron-splitting"), None
    yield "hidden in threes", attacked("neuron-hiding"), None
    yield "gates turned round", attacked("gate-turning"), None
    yield "widening", attacked("residual-widening"), None
    yield "last two layers disturbed by their own spread", disturbed(base).model(), None
    yield "a quarter of E re-drawn, all tokens", attacked("rows-redrawn"), None
    yield "the same, commonest 1,024", attacked("rows-redrawn"), 1024
    yield "six together, all tokens", attacked(*SIX), None
    yield "the same, commonest 1,024", attacked(*SIX), 1024


def disturbed(base: Checkpoint) -> Checkpoint:
    """Noise as large as the weights on every matrix of the last two layers."""
    rng, tensors = np.random.default_rng(1), dict(base.tensors)
    for i in (base.sizes.layers - 2, base.sizes.layers - 1):
        for part in ("q", "k", "v", "o", "gate", "up", "down"):
            w = tensors[name_of(i, part)].astype(np.float64)
            tensors[name_of(i, part)] = (w + w.std() * rng.normal(size=w.shape)).astype(np.float32)
    return replace(base, tensors=tensors)


def line(what: str, parts: Parts, cells: int) -> str:
    """A row of the table: by layer of A, or by groups of layers."""
    a = parts.neurons.a
    told = []
    for group in np.array_split(np.arange(len(a.score)), cells):
        score = np.concatenate([a.score[i] for i in group])
        found = np.concatenate([a.found()[i] for i in group])
        told.append(f"{np.median(score):.2f} / {found.mean():.2f}")
    largest = max(float(s.max()) for s in a.score)
    heads = f"{parts.heads.a.share():.2f}"
    return " | ".join(["", what, *told, f"{largest:.3f}", heads, f"{parts.score:.3f}", ""]).strip()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smollm2", action="store_true", help="SmolLM2 with itself rewritten")
    parser.add_argument("--with", dest="others", nargs="*", default=[], help="and other models")
    options = parser.parse_args(arguments)
    if options.smollm2:
        path = smollm2()
        base = read_checkpoint(path)
        rng = np.random.default_rng(1)
        rewritten = base
        for name in ("residual-rotation", "ffn-permutation", "ffn-scaling", "value-mixing"):
            rewritten = ATTACKS[name].run(rewritten, rng)
        rows: list[Row] = [("SmolLM2 rewritten", rewritten.model(), None)]
        a: Model = base.model()
        cells = 5
    else:
        checkpoint = read_checkpoint("demo-base")
        a, rows, cells = checkpoint.model(), list(demo_rows(checkpoint)), checkpoint.sizes.layers
    rows += [(Path(other).name, open_model(other), None) for other in options.others]
    for what, b, tokens in rows:
        start = time.process_time()
        parts = matched(a, b, tokens)
        print(line(what, parts, cells), flush=True)
        print(f"{what}: {time.process_time() - start:.1f} CPU s", file=sys.stderr)


if __name__ == "__main__":
    main()
