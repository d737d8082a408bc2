"""The table and the plot of the evasion benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huref_zk.attacks import ATTACKS

Row = dict[str, Any]
BESIDE = {"SmolLM2-135M": "#c55a11", "demo-base": "#1f4e79"}


def page(rows: list[Row]) -> str:
    """Markdown: exact attacks, inexact ones by strength, what a search and training found."""
    lines = [
        "## Evasion",
        "",
        "![Damage against what is still seen](evasion.svg)",
        "",
        "Damage: nats a token of held-out text above the original's. cos v: of the pictures' "
        "vectors, over the original's tokens found by",
        "text, and over the tokens that the attacked model's tokenizer learnt first. "
        "Distance: CIEDE2000 of the pictures.",
    ]
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [r for r in rows if r["model"] == model]
        for title, part in (
            ("exact attacks", [r for r in own if exact(r)]),
            (
                "attacks that cost something",
                [r for r in own if r["attack"] in ATTACKS and not exact(r)],
            ),
            ("the best combination that a search found", _best(own)),
            ("trained away from the fingerprint", [r for r in own if r["attack"] == "driven"]),
        ):
            if part:
                lines += ["", f"### {model}: {title}", "", *_table(part)]
    return "\n".join(lines) + "\n"


def exact(row: Row) -> bool:
    entry = ATTACKS.get(row["attack"])
    return entry is not None and entry.exact


def _best(rows: list[Row]) -> list[Row]:
    """Of each budget, the last that the search kept."""
    kept = {r["budget"]: r for r in rows if r["attack"] == "search" and r["kept"]}
    return [kept[budget] for budget in sorted(kept)]


def _table(rows: list[Row]) -> list[str]:
    lines = [
        "| attack | damage | a / b / f | cos v | distance | cos v, own tokens | compare |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        cells = (
            _label(r),
            f"{max(r['damage'], 0):.3f}",
            " / ".join(f"{r[term]:.3f}" for term in "abf"),
            f"{r['cos_v']:.3f}",
            f"{r['ciede2000']:.1f}",
            f"{r['cos_v_default']:.3f}",
            _said(r),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _label(r: Row) -> str:
    if r["attack"] == "search":
        steps = ", ".join(f"{name} {strength:.2g}" for name, strength in r["steps"])
        return f"{r['budget']:g} nats: {steps}"
    if r["attack"] == "driven":
        return f"weight {r['weight']:g}, {r['tokens']:,} tokens"
    return r["attack"] + ("" if r["strength"] is None else f" {r['strength']:g}")


def _said(r: Row) -> str:
    if "verdict" not in r:
        return ""
    return f"{r['verdict']}, {r['score']:.2f} ({r['view']}), p {r['p']:.0e}"


def plot(rows: list[Row], path: Path) -> None:
    """Damage against the picture's cosine and against compare's score."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharex=True, layout="constrained")
    for axis, name, label in zip(
        axes, ("cos_v", "score"), ("cosine of v", "compare's score"), strict=True
    ):
        for group, marker in (("exact", "s"), ("inexact", "o"), ("search", "x"), ("driven", "^")):
            for model, colour in BESIDE.items():
                found = [
                    r
                    for r in rows
                    if r["model"] == model and _group(r) == group and r.get(name) is not None
                ]
                if found:
                    x = [max(r["damage"], 1e-4) for r in found]
                    words = f"{model}, {group}"
                    axis.plot(
                        x,
                        [r[name] for r in found],
                        marker,
                        color=colour,
                        ms=4,
                        label=words,
                        alpha=0.7,
                    )
        axis.set_xscale("log")
        axis.set_xlabel("damage, nats a token (1e-4: none)")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _group(r: Row) -> str:
    if r["attack"] in ("search", "driven"):
        return str(r["attack"])
    return "exact" if exact(r) else "inexact"
