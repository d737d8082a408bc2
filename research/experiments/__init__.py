"""What docs/results.md reports, each from scratch: `python -m research.experiments NAME`.

Every experiment is a module with ``run(out, progress) -> dict``: it writes its figures, a plot and
its part of the page, NAME.md, into the folder ``out``, and models it makes below ``out/models``.
What is finished is not made again, so an interrupted run goes on. progress: (what, done, total).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from huref_zk.files.writing import write_atomically

Progress = Callable[[str, int, int], None]

# name -> (module, what it shows), in the order of the page
EXPERIMENTS = {
    "evasion": ("evasion", "what attacks cost a model, and what is still seen of it"),
    "derivations": ("derivations_table", "models derived from a base, and how far they move"),
    "pairs": ("pairs", "related against unrelated pairs, the null and its fit"),
    "long": ("long_training", "score against tokens of further training"),
    "rivals": ("rivals", "other fingerprints on the same pairs and attacks"),
    "tokens": ("tokens", "which tokens to ask a model about: common, rare, or in between"),
    "necessity": ("necessity", "what it costs a model to leave its parameters' direction"),
}


def run(name: str, docs: Path, progress: Progress) -> dict:
    """Run one experiment into ``docs/results`` and write ``docs/results.md`` anew."""
    out = docs / "results"
    out.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module(f"research.experiments.{EXPERIMENTS[name][0]}")
    figures = module.run(out, progress)
    write_atomically(docs / "results.md", assemble(out).encode())
    return figures


def assemble(out: Path) -> str:
    """The page of all parts that are there; each part opens with a heading of its own."""
    parts = [
        "# Results\n\nEvery table and plot below is made by `python -m research.experiments NAME`, "
        "from scratch, models included.\nFigures depend a little on the Python release, whose "
        "source is the text that trains them, and on torch.\nThe last part was measured by the "
        "paper's form of the fingerprint, before the recipe `whole`.\n"
    ]
    for name in EXPERIMENTS:
        part = out / f"{name}.md"
        if part.exists():
            parts.append(
                part.read_text(encoding="utf-8").replace("](", "](results/").strip() + "\n"
            )
    return "\n".join(parts)
