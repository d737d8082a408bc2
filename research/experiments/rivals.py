"""Other fingerprints on the pairs of `pairs`: who tells what, at what price.

A pair's seconds are CPU seconds for preparing both models and scoring; prepared models of
independent origin are kept, as each is in many pairs.
"""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import HurefError
from huref_zk.files.writing import write_atomically
from research.experiments.models import smollm2, smollm2_folder
from research.experiments.pair_list import (
    MISS,
    RELATED,
    UNRELATED,
    Pair,
    all_pairs,
    roots,
    row_by_row,
)
from research.experiments.pairs import judge_all

Progress = Callable[[str, int, int], None]
RECENT = 3
"""Prepared models kept beside those of independent origin."""
OURS = "compare"
LARGE = ("independent", "lora", "gblm-50", "llm-pruner-narrow", "upscaled", "int4")
"""Of SmolLM2's pairs: it takes some rivals a minute to prepare a model of that size."""


def run(out: Path, progress: Progress) -> dict:
    """Score every pair by every rival (resumable: rivals.jsonl, one line a pair), write
    rivals.{json,md}."""
    from research.rivals.table import RIVALS

    pairs = [p for p in all_pairs(out, progress) if p.a != smollm2() or p.what in LARGE]
    runs_as = {smollm2(): smollm2_folder(out)}
    bench = Bench(RIVALS, set(roots(out, progress).values()), runs_as)
    rows = scored(pairs, bench, out / "rivals.jsonl", progress)
    figures = {rival.name: figures_of(rival.name, rows) for rival in RIVALS}
    for rival in RIVALS:
        figures[rival.name] |= {"source": rival.source, "access": rival.access}
    names = [rival.name for rival in RIVALS]
    if (out / "pairs.jsonl").exists():
        ours = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
        judge_all(ours)
        with_ours(rows, ours)
        figures = {
            OURS: figures_of(OURS, rows) | {"source": "here", "access": "weights"},
            **figures,
        }
        names = [OURS, *names]
    write_atomically(out / "rivals.json", (json.dumps(figures, indent=1) + "\n").encode())
    write_atomically(out / "rivals.md", page(names, figures, rows).encode())
    return figures


class Bench:
    """Rivals with what they have prepared. kept: references whose preparations stay; runs_as: the
    folders of those that transformers cannot open."""

    def __init__(self, rivals: Sequence[Any], kept: set[str], runs_as: dict[str, Path]):
        self.rivals, self.kept, self.runs_as = rivals, kept, runs_as
        self._subjects: OrderedDict[str, Any] = OrderedDict()
        self._prepared: dict[tuple[str, str], tuple[Any, float]] = {}

    def scores(self, pair: Pair) -> dict[str, dict]:
        """Rival's name -> {"score": number or None, "seconds": of both preparations and the
        score, "why": where it failed}."""
        return {rival.name: self._score(rival, pair) for rival in self.rivals}

    def _score(self, rival, pair: Pair) -> dict:
        try:
            (a, spent_a), (b, spent_b) = (self._prepare(rival, ref) for ref in (pair.a, pair.b))
            start = time.process_time()
            score = rival.score(a, b)
        except (HurefError, ValueError, RuntimeError, OSError, KeyError, AttributeError) as e:
            return {"score": None, "seconds": None, "why": f"{type(e).__name__}: {e}"[:120]}
        spent = time.process_time() - start
        return {"score": score, "seconds": round(spent + spent_a + spent_b, 3)}

    def _prepare(self, rival, ref: str) -> tuple[Any, float]:
        key = (rival.name, ref)
        if key not in self._prepared:
            subject = self._subject(ref)
            start = time.process_time()
            self._prepared[key] = (rival.prepare(subject), time.process_time() - start)
        return self._prepared[key]

    def _subject(self, ref: str):
        from research.rivals.subject import Subject

        if ref not in self._subjects:
            self._subjects[ref] = Subject(ref, self.runs_as.get(ref))
            passing = [r for r in self._subjects if r not in self.kept]
            for old in passing[:-RECENT]:
                del self._subjects[old]
                for key in [k for k in self._prepared if k[1] == old]:
                    del self._prepared[key]
        return self._subjects[ref]


def scored(pairs: list[Pair], bench: Bench, log: Path, progress: Progress) -> list[dict]:
    """One row a pair, from the log where it is there already."""
    return row_by_row(
        pairs, log, lambda pair: {"scores": bench.scores(pair)}, "rivals: {a} and {b}", progress
    )


def with_ours(rows: list[dict], judged: Sequence[dict]) -> None:
    """Add to ``rows`` what `compare` says, of the judged rows of `pairs`: minus the decimal
    logarithm of the verdict's p-value."""
    found = {(row["a"], row["b"], row["what"]): row for row in judged}
    for row in rows:
        ours = found.get((row["a"], row["b"], row["what"]))
        if ours is not None:
            score = -math.log10(max(ours["p"], 1e-300))
            row["scores"][OURS] = {"score": score, "seconds": ours.get("seconds")}


def scores_of(name: str, rows: Sequence[dict]) -> np.ndarray:
    """A rival's scores, one a row; what it cannot be applied to counts as least alike."""
    found = [row["scores"].get(name, {}).get("score") for row in rows]
    return np.array([-np.inf if x is None else x for x in found])


def auc(related: np.ndarray, unrelated: np.ndarray) -> float:
    """The chance that a related pair scores above an unrelated one; ties count a half."""
    above = (related[:, None] > unrelated[None]).mean()
    return float(above + 0.5 * (related[:, None] == unrelated[None]).mean())


def threshold(unrelated: np.ndarray, rate: float) -> float:
    """The score that at most a share ``rate`` of the unrelated ones exceed."""
    ordered = np.sort(unrelated)
    return float(ordered[len(ordered) - 1 - int(rate * len(ordered))])


def figures_of(name: str, rows: list[dict]) -> dict:
    """AUC, true positives at zero false positives and at a rate of 1 in 100, seconds, and how many
    pairs it could be applied to; of the rows that have its score."""
    rows = [row for row in rows if name in row["scores"]]
    kinds = {kind: [r for r in rows if r["kind"] == kind] for kind in (RELATED, UNRELATED, MISS)}
    related, unrelated = (scores_of(name, kinds[kind]) for kind in (RELATED, UNRELATED))
    seconds = [s for row in rows if (s := row["scores"][name].get("seconds")) is not None]
    top = threshold(unrelated, 0)
    return {
        "related": len(related),
        "unrelated": len(unrelated),
        "auc": auc(related, unrelated),
        "tpr_at_zero_fp": float((related > top).mean()),
        "tpr_at_fpr_0.01": float((related > threshold(unrelated, 0.01)).mean()),
        "applied": float(np.isfinite(scores_of(name, rows)).mean()),
        "seconds": float(np.median(seconds)) if seconds else None,
        "threshold": top,
        "misses_told": int((scores_of(name, kinds[MISS]) > top).sum()),
        "misses": len(kinds[MISS]),
    }


def page(names: Sequence[str], figures: dict, rows: list[dict]) -> str:
    """The part of the results page."""
    first = figures[names[-1]]
    lines = [
        "## Rivals",
        "",
        f"{first['related']} related and {first['unrelated']} unrelated pairs, the same for all. "
        "TPR: true positives, at zero false positives and at 1 %; what a rival cannot be applied "
        "to counts as not told. Seconds: CPU, median of a pair, one thread. Distilled: how many of "
        "the distilled models it tells.",
        "",
        "| | source | access | AUC | TPR, 0 | TPR, 1 % | applies | seconds | distilled |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        f = figures[name]
        cells = [name, f["source"], f["access"], f"{f['auc']:.4f}", f"{f['tpr_at_zero_fp']:.3f}"]
        cells += [f"{f['tpr_at_fpr_0.01']:.3f}", f"{f['applied']:.2f}"]
        cells += ["" if f["seconds"] is None else f"{f['seconds']:.2f}"]
        cells.append(f"{f['misses_told']} of {f['misses']}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Told at zero false positives, by what was done:", ""]
    lines += ["| | | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    kinds: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        if row["kind"] != UNRELATED:
            kinds.setdefault((row["group"], row["what"]), []).append(row)
    for (group, what), part in kinds.items():
        cells = [group, what]
        for name in names:
            told = int((scores_of(name, part) > figures[name]["threshold"]).sum())
            cells.append(f"{told}/{len(part)}" if told < len(part) else "all")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
