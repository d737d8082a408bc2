"""Draws the plots of the documentation: ``python -m benchmarks.plots [NAME ...]`` (default: all).

One function a plot; each reads what lies in the repository and writes one PNG into docs/images. To
add a plot, add a function and its name in PLOTS.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import numpy as np

from huref_zk.attacks import attack, read_checkpoint, write_checkpoint
from huref_zk.invariants.sketch import PUBLIC_SEED, ics
from huref_zk.proofs.prepare import fingerprint_vector, prepare, sketch_of
from huref_zk.render import load_generator, render
from huref_zk.render.image import contact_sheet, write_png
from research.benchmarks.end_to_end import smollm2
from research.benchmarks.telling import draw, relative

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
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


def generator_sheet() -> Path:
    """Pictures of 64 unrelated vectors."""
    rng = np.random.default_rng(2026)
    generator = load_generator()
    rows = [
        np.hstack([draw(generator, rng.standard_normal(generator.z_dim)) for _ in range(8)])
        for _ in range(8)
    ]
    write_png(IMAGES / "generator_sheet.png", np.vstack(rows))
    return IMAGES / "generator_sheet.png"


def relatives_sheet() -> Path:
    """A row a vector: its picture, and those of relatives at falling cosine."""
    rng = np.random.default_rng(7)
    generator = load_generator()
    pictures, labels = [], []
    for _ in range(4):
        u = rng.standard_normal(generator.z_dim)
        for cosine in (1.0, 0.999, 0.99, 0.95, 0.9, 0.7, 0.4, 0.0):
            pictures.append(draw(generator, relative(rng, u, cosine)))
            labels.append(f"cosine {cosine:g}")
    return save_sheet("relatives_sheet.png", pictures, labels, 8)


def family_sheet() -> Path:
    """The embedded family, each with its ICS to the base."""
    prepared = {name: prepare(f"demo-{name}") for name in ("base", "child", "stranger")}
    sketches = {name: sketch_of(p, PUBLIC_SEED) for name, p in prepared.items()}
    generator = load_generator()
    pictures = [render(fingerprint_vector(p, PUBLIC_SEED), generator) for p in prepared.values()]
    labels = [f"{n} (ICS {ics(sketches['base'], s):.2f})" for n, s in sketches.items()]
    return save_sheet("family_sheet.png", pictures, labels, 3)


def llm_sheet() -> Path:
    """A real LLM, what was made of it, and a stranger, each with its ICS to it.

    Needs the models that `huref-zk experiment derivations` leaves in docs/results/models.
    """
    made = ROOT / "docs" / "results" / "models"
    with TemporaryDirectory() as name:
        rewritten = Path(name) / "rewritten"
        whole = read_checkpoint(str(made / "smollm2"))
        write_checkpoint(rewritten, attack("everything", whole, seed=1))
        models = {
            "SmolLM2-135M": smollm2(),
            "fine-tuned": made / "smollm2-sft",
            "4 bits": made / "smollm2-int4",
            "half pruned": made / "smollm2-gblm-50",
            "rearranged": rewritten,
            "stranger": "demo-base",
        }
        prepared = {label: prepare(str(model)) for label, model in models.items()}
    sketches = {label: sketch_of(p, PUBLIC_SEED) for label, p in prepared.items()}
    generator = load_generator()
    pictures = [render(fingerprint_vector(p, PUBLIC_SEED), generator) for p in prepared.values()]
    labels = [f"{n} ({ics(sketches['SmolLM2-135M'], s):.2f})" for n, s in sketches.items()]
    return save_sheet("llm_sheet.png", pictures, labels, 6)


def generator_loss() -> Path:
    """The generator's distance to the renderer while it was trained, by resolution."""
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with open(ROOT / "training" / "logs" / "generator.csv", newline="") as file:
        for row in csv.DictReader(file):
            rows[row["resolution"]].append((float(row["cpu_s"]) / 60, float(row["l1"])))
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for resolution, points in rows.items():
        axes.plot(*zip(*points, strict=True), label=f"{resolution} px", linewidth=1.2)
    axes.set(xlabel="CPU minutes", ylabel="L1 to the renderer (range 2)", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return save(figure, "generator_loss.png")


def save_sheet(name: str, pictures: list[np.ndarray], labels: list[str], columns: int) -> Path:
    """Write a contact sheet to docs/images/NAME."""
    write_png(IMAGES / name, contact_sheet(pictures, labels, columns))
    return IMAGES / name


def save(figure: plt.Figure, name: str) -> Path:
    """Write ``figure`` to docs/images/NAME; the same figures give the same bytes."""
    path = IMAGES / name
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


PLOTS: dict[str, Callable[[], Path]] = {
    plot.__name__: plot
    for plot in (
        *(family_loss, family_sheet, llm_sheet),
        *(generator_loss, generator_sheet, relatives_sheet),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PLOTS))
    for name in parser.parse_args().names or PLOTS:
        if name not in PLOTS:
            parser.error(f"no plot {name}; there are {', '.join(PLOTS)}")
        print(PLOTS[name]())


if __name__ == "__main__":
    main()
