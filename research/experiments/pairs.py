"""Related against unrelated pairs: the score of `compare`, its null, and where to draw the line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from huref_zk.comparison.compare import compare, open_side
from huref_zk.comparison.null import RELATED_RATE, Null, fit_extreme
from huref_zk.files.writing import write_atomically
from research.experiments.models import smollm2

Progress = Callable[[str, int, int], None]


def run(out: Path, progress: Progress) -> dict:
    """Compare every pair (resumable: pairs.jsonl), fit the null, write pairs.{json,png,md} and
    unrelated.json, the table that the package bundles."""
    from research.experiments.attacks_table import attacked_pairs
    from research.experiments.derivations_table import related_pairs
    from research.experiments.strangers import train_strangers

    strangers = train_strangers(out / "models" / "strangers", progress)
    roots = {"demo-base": "demo-base", "demo-stranger": "demo-stranger"}
    roots |= {folder.name: str(folder) for folder in strangers} | {"SmolLM2-135M": smollm2()}
    jobs = [
        {"kind": "unrelated", "a": a, "b": b, "what": "independent", "refs": (roots[a], roots[b])}
        for a, b in itertools.combinations(roots, 2)
    ]
    related = [("demo-base", "demo-child", "fine-tune", True)]
    related += related_pairs(out) + attacked_pairs(out)
    for a, b, what, expected in related:
        kind = "related" if expected else "expected miss"
        jobs.append({"kind": kind, "a": _short(a), "b": _short(b), "what": what, "refs": (a, b)})
    rows = _compared(jobs, out / "pairs.jsonl", progress)
    null = fit_extreme([row["score"] for row in rows if row["kind"] == "unrelated"])
    figures = _figures(rows, null)
    table = [
        {"a": row["a"], "b": row["b"], "score": round(row["score"], 6)}
        for row in rows
        if row["kind"] == "unrelated"
    ]
    write_atomically(
        out / "unrelated.json", (json.dumps({"pairs": table}, indent=1) + "\n").encode()
    )
    write_atomically(out / "pairs.json", (json.dumps(figures, indent=1) + "\n").encode())
    _plot(rows, null, out / "pairs.png")
    write_atomically(out / "pairs.md", _page(rows, figures).encode())
    return figures


def _short(ref: str) -> str:
    return Path(ref).name


def _compared(jobs: list[dict], log: Path, progress: Progress) -> list[dict]:
    """One row a job, from the log where it is there already."""
    done = {}
    if log.exists():
        rows = (json.loads(line) for line in log.read_text().splitlines())
        done = {(row["a"], row["b"], row["what"]): row for row in rows}
    out = []
    for number, job in enumerate(jobs):
        key = (job["a"], job["b"], job["what"])
        if key not in done:
            progress(f"comparing {job['a']} with {job['b']}", number, len(jobs))
            a, b = (open_side(ref) for ref in job["refs"])
            c = compare(a, b)
            assert c.shuffled is not None
            row = {k: job[k] for k in ("kind", "a", "b", "what")} | {
                "score": c.score,
                "canonical": c.overall("canonical"),
                "whole": None if c.whole is None else sum(c.whole) / 3,
                "official": c.overall("official"),
                "pcs": c.pcs,
                "rearranged": c.rearranged,
                "tokens": c.tokens,
                "shuffled_mean": c.shuffled.mean,
                "shuffled_sd": c.shuffled.sd,
            }
            with open(log, "a") as file:
                file.write(json.dumps(row) + "\n")
            done[key] = row
        out.append(done[key])
    return out


def _figures(rows: list[dict], null: Null) -> dict:
    related, unrelated = (
        np.array([row["score"] for row in rows if row["kind"] == kind])
        for kind in ("related", "unrelated")
    )
    threshold = null.threshold(RELATED_RATE)
    caught = np.array([_is_caught(row, threshold) for row in rows if row["kind"] == "related"])
    misses = [
        {"a": row["a"], "b": row["b"], "what": row["what"], "score": row["score"]}
        for row in rows
        if row["kind"] != "unrelated" and not _is_caught(row, threshold)
    ]
    beaten = (related[:, None] > unrelated[None]).mean() + 0.5 * (
        related[:, None] == unrelated[None]
    ).mean()
    return {
        "related": len(related),
        "unrelated": len(unrelated),
        "auc": float(beaten),
        "tpr_at_zero_fp": float((related > unrelated.max()).mean()),
        "tpr_at_threshold": float(caught.mean()),
        "false_positives_at_threshold": int((unrelated >= threshold).sum()),
        "threshold": threshold,
        "rate": RELATED_RATE,
        "null": {"mean": null.mean, "sd": null.sd, "count": null.count},
        "unrelated_max": float(unrelated.max()),
        "related_min": float(related.min()),
        "fit_p": _fit_p(unrelated, null),
        "misses": misses,
    }


def _is_caught(row: dict, threshold: float) -> bool:
    return row["score"] >= threshold


def _fit_p(scores: np.ndarray, null: Null) -> float:
    """p-value of Kolmogorov and Smirnov's test of the scores against the fit."""
    from scipy import stats

    return float(stats.kstest(scores, null.law().cdf).pvalue)


def _plot(rows: list[dict], null: Null, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    related, unrelated = (
        [row["score"] for row in rows if row["kind"] == kind] for kind in ("related", "unrelated")
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    left.hist(unrelated, bins=np.linspace(-0.1, 1, 56), label=f"{len(unrelated)} unrelated pairs")
    left.hist(related, bins=np.linspace(-0.1, 1, 56), label=f"{len(related)} related pairs")
    left.axvline(null.threshold(RELATED_RATE), color="black", linestyle=":", label="threshold")
    left.set_xlabel("matched score")
    left.set_ylabel("pairs")
    left.legend()
    ordered = np.sort(unrelated)
    places = (np.arange(len(ordered)) + 0.5) / len(ordered)
    right.plot(null.law().ppf(places), ordered, ".", label="scores")
    right.plot(ordered, ordered, label="fit")
    right.set_xlabel("quantile of the fitted law")
    right.set_ylabel("unrelated score")
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _page(rows: list[dict], f: dict) -> str:
    lines = [
        "## Related against unrelated pairs",
        "",
        f"{f['related']} related and {f['unrelated']} unrelated pairs. AUC **{f['auc']:.4f}**, "
        f"true positives at zero false positives **{f['tpr_at_zero_fp']:.3f}**; highest "
        f"unrelated score {f['unrelated_max']:.3f}, lowest related {f['related_min']:.3f}.",
        "",
        "![Scores of related and unrelated pairs, and the fit of the null](pairs.png)",
        "",
        f"The null: Gumbel's law, mean {f['null']['mean']:.4f}, sd {f['null']['sd']:.4f} over "
        f"{f['null']['count']} pairs (Kolmogorov-Smirnov p = {f['fit_p']:.2g}). "
        f"The verdict *related* asks for a score from **{f['threshold']:.3f}**, above which that "
        f"law leaves {f['rate']:.0e}: true positives there {f['tpr_at_threshold']:.3f}, "
        f"false positives {f['false_positives_at_threshold']}.",
        "",
        "Not called related, of those that are:",
        "",
        *(
            [f"- {m['what']}: {m['a']} and {m['b']}, score {m['score']:.3f}" for m in f["misses"]]
            or ["- none"]
        ),
        "",
        "| a | b | what | score | canonical | whole | official | PCS | rearranged |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["kind"] != "unrelated":
            numbers = (row[k] for k in ("score", "canonical", "whole", "official", "pcs"))
            cells = [row["a"], row["b"], row["what"], *map(_number, numbers)]
            cells.append("yes" if row["rearranged"] else "")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
