"""Related against unrelated pairs: what `compare` says of each, its nulls, and its error rates.

The nulls are fitted to the unrelated pairs here and bundled with the package. So that no pair is
judged by a null that it is part of, the unrelated are judged by tables without any pair of their
two models.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from huref_zk.comparison.compare import compare, open_side
from huref_zk.comparison.null import LEAST_SD, NARROWEST, ExtremeNull, fit_extreme
from huref_zk.comparison.verdict import (
    CANNOT_TELL,
    LEAST_SCORE,
    RELATED_RATE,
    UNRELATED_RATE,
)
from huref_zk.comparison.views import NAMES
from huref_zk.files.writing import write_atomically
from research.experiments.pair_list import MISS, RELATED, UNRELATED, Pair, all_pairs, row_by_row

Progress = Callable[[str, int, int], None]
TABLE = "unrelated.json"


def run(out: Path, progress: Progress) -> dict:
    """Compare every pair (resumable: pairs.jsonl), judge them anew by nulls fitted to the unrelated
    ones, write pairs.{json,png,md} and unrelated.json, the table that the package bundles."""
    rows = logged(all_pairs(out, progress), out / "pairs.jsonl", progress)
    judge_all(rows)
    figures = figures_of(rows)
    write_atomically(out / TABLE, (json.dumps(table_of(rows), indent=1) + "\n").encode())
    write_atomically(out / "pairs.json", (json.dumps(figures, indent=1) + "\n").encode())
    _plot(rows, out / "pairs.png")
    write_atomically(out / "pairs.md", page(rows, figures).encode())
    return figures


def compared(a: str, b: str) -> dict:
    """What `compare` says of two references, as a row of the log."""
    start = time.process_time()
    c = compare(open_side(a), open_side(b))
    return {
        "verdict": c.verdict.word,
        "p": c.verdict.p,
        "score": c.score,
        "statistics": {j.view.name: round(j.view.statistic, 6) for j in c.views},
        "scores": {j.view.name: round(j.view.score, 6) for j in c.views},
        "p_shuffled": {j.view.name: j.p_shuffled for j in c.views},
        "pcs": c.pcs,
        "rearranged": c.rearranged,
        "findings": [finding.name for finding in c.findings],
        "tokens": c.tokens,
        "seconds": round(time.process_time() - start, 2),
    }


def logged(pairs: Sequence[Pair], log: Path, progress: Progress) -> list[dict]:
    """One row a pair, from the log where it is there already."""
    return row_by_row(
        pairs, log, lambda pair: compared(pair.a, pair.b), "comparing {a} with {b}", progress
    )


def table_of(rows: Sequence[dict]) -> dict:
    """The bundled table: of every unrelated pair but cousins, which are no two roots, the
    statistics by view."""
    return {
        "pairs": [
            {"a": row["a"], "b": row["b"], "statistics": row["statistics"]}
            for row in rows
            if row["kind"] == UNRELATED and row["group"] != "cousins"
        ]
    }


def nulls_of(pairs: Sequence[dict]) -> dict[str, ExtremeNull]:
    """A null for each view, of pairs as table_of gives them."""
    found = {}
    for view in NAMES:
        values = [p["statistics"][view] for p in pairs if view in p["statistics"]]
        if len(values) > 1:
            found[view] = fit_extreme(values, LEAST_SD.get(view, NARROWEST))
    return found


def judge_all(rows: Sequence[dict]) -> None:
    """Set "verdict", "p" and "score" of every row by the table of these rows; unrelated ones by
    what is left of it without their two models."""
    table = table_of(rows)["pairs"]
    whole = nulls_of(table)
    for row in rows:
        nulls = whole
        if row["kind"] == UNRELATED:
            names = {origin(row["a"]), origin(row["b"])}
            rest = [p for p in table if not names & {p["a"], p["b"]}]
            nulls = nulls_of(rest) or whole
        judge(row, nulls)


def origin(name: str) -> str:
    """The root that a cousin comes of; a root's own name."""
    for base in ("demo-base", "demo-stranger"):
        if name.startswith(base):
            return base
    return name


def judge(row: dict, nulls: dict[str, ExtremeNull]) -> None:
    """The verdict as comparison/verdict.py has it, under other nulls."""
    views = row["statistics"]
    p = {}
    for view, statistic in views.items():
        found = [row["p_shuffled"].get(view)]
        if view in nulls:
            found.append(nulls[view].p_value(statistic))
        p[view] = max((x for x in found if x is not None), default=1.0)
        if row["scores"].get(view, 1.0) < LEAST_SCORE.get(view, -1.0):
            p[view] = max(p[view], UNRELATED_RATE)
    row["p_views"] = p
    row["p"] = min(1.0, len(views) * min(p.values()))
    row["verdict"] = CANNOT_TELL
    if row["p"] <= RELATED_RATE:
        row["verdict"] = RELATED
    elif row["p"] >= UNRELATED_RATE:
        row["verdict"] = UNRELATED
    telling = [v for v in views if len(views) * p[v] <= RELATED_RATE] or ["whole", "layers"]
    row["score"] = min(1.0, max(row["scores"][v] for v in telling if v in row["scores"]))


def figures_of(rows: Sequence[dict]) -> dict:
    """AUC by p-value and by score, verdicts by kind, and each view's own figures."""
    related, unrelated = ([r for r in rows if r["kind"] == k] for k in (RELATED, UNRELATED))
    told = [r for r in related if r["verdict"] == RELATED]
    seconds = [r["seconds"] for r in rows if r.get("seconds") is not None]
    views = {}
    for view in NAMES:
        a, b = (
            np.array([r["statistics"].get(view, -np.inf) for r in part])
            for part in (related, unrelated)
        )
        views[view] = {
            "auc": auc(a, b),
            "tpr_at_zero_fp": float((a > b.max()).mean()),
            "unrelated_max": float(b.max()),
        }
    p_related, p_unrelated = (-np.array([r["p"] for r in part]) for part in (related, unrelated))
    return {
        "related": len(related),
        "unrelated": len(unrelated),
        "auc": auc(p_related, p_unrelated),
        "tpr_at_zero_fp": float((p_related > p_unrelated.max()).mean()),
        "called_related": len(told),
        "false_positives": sum(r["verdict"] == RELATED for r in unrelated),
        "called_unrelated": sum(r["verdict"] == UNRELATED for r in unrelated),
        "least_p_unrelated": float(min(r["p"] for r in unrelated)),
        "seconds": float(np.median(seconds)) if seconds else None,
        "views": views,
        "missed": [
            {k: r[k] for k in ("a", "b", "what", "kind", "score", "p", "verdict")}
            for r in rows
            if r["kind"] in (RELATED, MISS) and r["verdict"] != RELATED
        ],
    }


def auc(related: np.ndarray, unrelated: np.ndarray) -> float:
    """The chance that a related pair scores above an unrelated one; ties count a half."""
    above = (related[:, None] > unrelated[None]).mean()
    return float(above + 0.5 * (related[:, None] == unrelated[None]).mean())


def _plot(rows: Sequence[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    nulls = nulls_of(table_of(rows)["pairs"])
    figure, axes = plt.subplots(1, len(NAMES), figsize=(3.2 * len(NAMES), 3.2))
    for axis, view in zip(axes, NAMES, strict=True):
        for kind in (UNRELATED, RELATED):
            found = [
                r["statistics"][view] for r in rows if r["kind"] == kind and view in r["statistics"]
            ]
            axis.hist(found, bins=40, label=f"{len(found)} {kind}", alpha=0.7)
        if view in nulls:
            line = nulls[view].threshold(RELATED_RATE / len(NAMES))
            axis.axvline(line, color="black", linestyle=":")
        axis.set_yscale("log")
        axis.set_title(view)
    axes[0].set_ylabel("pairs")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def page(rows: Sequence[dict], f: dict) -> str:
    """The part of the results page."""
    lines = [
        "## Related against unrelated pairs",
        "",
        f"{f['related']} related and {f['unrelated']} unrelated pairs. By p-value: AUC "
        f"**{f['auc']:.4f}**, true positives at zero false positives "
        f"**{f['tpr_at_zero_fp']:.3f}**. Called *related* (p at most {RELATED_RATE:.0e}): "
        f"{f['called_related']} of the related, {f['false_positives']} of the unrelated, whose "
        f"least p is {f['least_p_unrelated']:.1e}. "
        f"{f['called_unrelated']} of the unrelated are called *unrelated*, the rest *cannot tell*. "
        "Unrelated pairs are judged by tables without either of their models.",
        "",
        "![Each view's statistic of related and unrelated pairs](pairs.png)",
        "",
        "| view | AUC | true positives at zero false ones | highest unrelated |",
        "|---|---|---|---|",
    ]
    for view, figures in f["views"].items():
        lines.append(
            f"| {view} | {figures['auc']:.4f} | {figures['tpr_at_zero_fp']:.3f} "
            f"| {figures['unrelated_max']:.3f} |"
        )
    lines += ["", "Not called related, of those that are:", ""]
    lines += [
        f"- {m['what']}: {m['a']} and {m['b']}, score {m['score']:.3f}, p {m['p']:.1e}"
        + (" (not to be detected)" if m["kind"] == MISS else "")
        for m in f["missed"]
    ] or ["- none"]
    lines += ["", "Unrelated pairs, by sort:", ""]
    lines += ["| sort | pairs | highest score | least p |", "|---|---|---|---|"]
    unrelated = [r for r in rows if r["kind"] == UNRELATED]
    for group in dict.fromkeys(r["group"] for r in unrelated):
        part = [r for r in unrelated if r["group"] == group]
        score, p = max(r["score"] for r in part), min(r["p"] for r in part)
        lines.append(f"| {group} | {len(part)} | {score:.3f} | {p:.1e} |")
    head = ["a", "b", "what", "verdict", "score", *NAMES, "PCS", "rearranged", "what happened"]
    lines += ["", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        if row["kind"] == UNRELATED:
            continue
        cells = [row["a"], row["b"], row["what"], row["verdict"], _number(row["score"])]
        cells += [_number(row["scores"].get(view)) for view in NAMES]
        cells += [_number(row["pcs"]), "yes" if row["rearranged"] else ""]
        cells.append(", ".join(row["findings"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
