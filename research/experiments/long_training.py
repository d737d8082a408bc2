"""Long continued pretraining on text of another kind: likeness against tokens seen.

The paper's hard case. The text is the C++ headers that come with torch, which no embedded model has
seen; the learning rate stays at that of pretraining's middle. Models are kept at marks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Progress = Callable[[str, int, int], None]
BASES = ("demo-base", "demo-stranger")
MARKS = (25, 50, 100, 200, 400, 800)
BATCH, CONTEXT, RATE, WARM = 8, 96, 1e-3, 20
CHARACTERS = 4_000_000
PRETRAINED = 900 * 16 * 128  # tokens that the embedded bases were trained on


def headers() -> str:
    """C++ headers of the installed torch (BSD licence), in the order of their names."""
    import torch

    text: list[str] = []
    size = 0
    for path in sorted((Path(torch.__file__).parent / "include").rglob("*.h")):
        text.append(path.read_text(encoding="utf-8", errors="ignore"))
        size += len(text[-1])
        if size > CHARACTERS:
            break
    return "\n".join(text)


def folder_at(out: Path, base: str, mark: int) -> Path:
    return out / "models" / "long" / f"{base}-after-{mark}"


def marked_pairs(out: Path) -> list[tuple[str, str, str]]:
    """(base, folder, what) of the models that are there."""
    return [
        (base, str(folder_at(out, base, mark)), f"{tokens(mark):,} tokens of C++")
        for base in BASES
        for mark in MARKS
        if (folder_at(out, base, mark) / "config.json").exists()
    ]


def tokens(mark: int) -> int:
    return mark * BATCH * CONTEXT


def train(out: Path, base: str, progress: Progress) -> None:
    """Train ``base`` and write its folders; nothing to do if the last is there."""
    if (folder_at(out, base, MARKS[-1]) / "config.json").exists():
        return
    import torch
    from tokenizers import Tokenizer

    from research.derivations import folders
    from research.derivations.corpus import windows
    from research.derivations.train import CLIP, language_loss

    source = folders.folder_of(base)
    tokenizer = source / folders.TOKENIZER
    ids = np.array(Tokenizer.from_file(str(tokenizer)).encode(headers()).ids, dtype=np.int32)
    model, rng = folders.read_model(source), np.random.default_rng(1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    for step in range(1, MARKS[-1] + 1):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, step / WARM)
        loss = language_loss(model, torch.from_numpy(windows(ids, rng, BATCH, CONTEXT)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        if step in MARKS:
            progress(f"{base} after {step} steps: loss {loss.item():.2f}", step, MARKS[-1])
            folder = folder_at(out, base, step)
            if not (folder / "config.json").exists():
                folders.write_model(model, tokenizer, folder)


def run(out: Path, progress: Progress) -> dict:
    """Train (resumable by base), compare each mark with its base, write long.{json,md,png}."""
    import json

    from huref_zk.files.writing import write_atomically
    from research.experiments.pairs import compared

    for base in BASES:
        train(out, base, progress)
    rows = []
    for base in BASES:
        for mark in MARKS:
            folder = str(folder_at(out, base, mark))
            progress(f"{base} against {tokens(mark):,} tokens later", mark, MARKS[-1])
            rows.append({"base": base, **compared(base, folder), "tokens": tokens(mark)})
    write_atomically(out / "long.json", (json.dumps(rows, indent=1) + "\n").encode())
    _plot(rows, out / "long.png")
    write_atomically(out / "long.md", page(rows).encode())
    return {"rows": rows}


def page(rows: list[dict]) -> str:
    """The part of the results page."""
    lines = [
        "## Long training",
        "",
        f"The embedded bases trained on, all weights at a rate of {RATE:g}, on C++ headers; their "
        f"own text was Python. They were pretrained on {PRETRAINED:,} tokens.",
        "",
        "![Score against tokens of further training](long.png)",
        "",
        "| base | tokens of C++ | share of pretraining | score | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["base"], f"{row['tokens']:,}", f"{row['tokens'] / PRETRAINED:.1%}"]
        cells += [f"{row['score']:.3f}", row["verdict"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for base in BASES:
        here = [row for row in rows if row["base"] == base]
        share = [row["tokens"] / PRETRAINED for row in here]
        axes.plot(share, [row["score"] for row in here], "o-", label=base)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel("tokens of C++, over those of pretraining")
    axes.set_ylabel("score of compare")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
