"""Draws the plots of the documentation: ``python -m benchmarks.plots [NAME ...]`` (default: all).

One function a plot; each reads figures that lie in the repository and writes one PNG into
docs/images. To add a plot, add a function and its name in PLOTS.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"


def family_loss() -> Path:
    """Training loss of the embedded family's models by step, from training/logs/family.csv."""
    curves: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    with open(ROOT / "training" / "logs" / "family.csv", newline="") as file:
        for row in csv.DictReader(file):
            curves[row["model"]][0].append(int(row["step"]))
            curves[row["model"]][1].append(float(row["loss"]))
    # The child goes on where the base ends.
    offset = {"child": curves["base"][0][-1]}
    style = {"base": ("#1f4e79", "-"), "child": ("#c55a11", "-"), "stranger": ("#7f7f7f", "--")}
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for name, (steps, losses) in curves.items():
        colour, line = style[name]
        at = [step + offset.get(name, 0) for step in steps]
        axes.plot(at, losses, line, color=colour, label=name, linewidth=1.6)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a token")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return save(figure, "family_loss.png")


def save(figure: plt.Figure, name: str) -> Path:
    """Write ``figure`` to docs/images/NAME; the same figures give the same bytes."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / name
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


PLOTS: dict[str, Callable[[], Path]] = {"family_loss": family_loss}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PLOTS))
    for name in parser.parse_args().names or PLOTS:
        if name not in PLOTS:
            parser.error(f"no plot {name}; there are {', '.join(PLOTS)}")
        print(PLOTS[name]())


if __name__ == "__main__":
    main()
