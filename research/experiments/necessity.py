"""Is the parameters' direction needed? Drive it away in training, and watch the model's loss.

HuRef section 3.2 (necessity): fine-tune with an extra term, the absolute cosine of the parameters
with the base's, times a weight; the further the direction has turned, the worse the model should
be. Here on demo-base, at several weights, with weight 0 as the control.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from huref_zk.errors import EnvironmentLacks
from huref_zk.files.writing import write_atomically
from huref_zk.invariants.sketch import ics

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM

Progress = Callable[[str, int, int], None]
BASE = "demo-base"
WEIGHTS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
STEPS, MEASURE_EVERY = 160, 20
BATCH, CONTEXT, RATE, SEED = 16, 96, 1e-3, 1
WINDOWS = 48  # of held-out text, 128 tokens each


def direction(weights: Sequence[Tensor], origin: Sequence[Tensor]) -> Tensor:
    """PCS (HuRef section 3.2), differentiable: the cosine of two lists of same-shaped weights."""
    import torch

    dot = torch.stack([(w * o).sum() for w, o in zip(weights, origin, strict=True)]).sum()
    lengths = [torch.stack([w.square().sum() for w in ws]).sum() for ws in (weights, origin)]
    return dot / (lengths[0] * lengths[1]).sqrt()


def drive(
    base: LlamaForCausalLM,
    ids: np.ndarray,
    weight: float,
    steps: int,
    look: Callable[[int, LlamaForCausalLM], None],
    tell: Callable[[int, int], None] | None = None,
) -> LlamaForCausalLM:
    """Fine-tune a copy of ``base`` on loss + weight * |direction|; ``look(step, model)`` at step 0,
    every MEASURE_EVERY steps and at the end."""
    from research.derivations.train import Setting, batches, clone, language_loss, optimise

    model = clone(base)
    origin = [p.detach().clone() for p in base.parameters()]
    setting = Setting(steps=steps, batch=BATCH, context=CONTEXT, rate=RATE, seed=SEED)
    draw = batches(ids, setting)

    def loss(step: int) -> Tensor:
        if step % MEASURE_EVERY == 0:
            look(step, model)
        turned = direction(list(model.parameters()), origin).abs()
        return language_loss(model, draw()) + weight * turned

    optimise(model.parameters(), loss, setting, tell)
    look(steps, model)
    return model


def run(out: Path, progress: Progress) -> dict:
    """Every weight of WEIGHTS (resumable: necessity-W.json each); writes necessity.{json,png,md}.

    Returns {"base": figures of the base, "runs": [{"weight", "points": [...]}]}; a point has step,
    loss (held-out, nats a token), pcs, ics (sketch, with the base).
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as e:
        raise EnvironmentLacks(
            f"this experiment needs torch and transformers ({e}); install the extra 'train'"
        ) from e
    out.mkdir(parents=True, exist_ok=True)
    runs = []
    for number, weight in enumerate(WEIGHTS):
        part = out / f"necessity-{weight:g}.json"
        if not part.exists():
            points = _points(out, weight, number, progress)
            write_atomically(part, (json.dumps(points) + "\n").encode())
        runs.append({"weight": weight, "points": json.loads(part.read_text())})
    figures = {"base": BASE, "steps": STEPS, "runs": runs}
    write_atomically(out / "necessity.json", (json.dumps(figures, indent=1) + "\n").encode())
    _plot(runs, out / "necessity.png")
    write_atomically(out / "necessity.md", page(figures).encode())
    progress("necessity", len(WEIGHTS), len(WEIGHTS))
    return figures


def _points(out: Path, weight: float, number: int, progress: Progress) -> list[dict]:
    """The course of one run."""
    import torch
    from tokenizers import Tokenizer

    from research.derivations import folders
    from research.derivations.corpus import load_texts
    from research.derivations.measures import parameter_distance, public_sketch
    from research.derivations.train import held_out_loss

    folder = folders.folder_of(BASE)
    tokenizer = folder / folders.TOKENIZER
    encoder = Tokenizer.from_file(str(tokenizer))
    # The base's own text: its loss there has nothing to gain, so what changes is the direction.
    texts = load_texts(lambda text: encoder.encode(text).ids, most=1)
    base, own = folders.read_model(folder), public_sketch(BASE)
    points: list[dict] = []

    def look(step: int, model: LlamaForCausalLM) -> None:
        with tempfile.TemporaryDirectory(dir=out) as scratch, torch.no_grad():
            folders.write_model(model, tokenizer, Path(scratch) / "model")
            theirs = public_sketch(Path(scratch) / "model")
        points.append(
            {
                "step": step,
                "loss": held_out_loss(model, texts.held_out, WINDOWS, 128),
                "pcs": parameter_distance(base, model)[1],
                "ics": ics(own, theirs),
            }
        )

    def tell(done: int, total: int) -> None:
        progress(f"weight {weight:g}, step {done} of {total}", number, len(WEIGHTS))

    drive(base, texts.seen, weight, STEPS, look, tell)
    return points


def _plot(runs: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
    for name, axis, label in zip(("pcs", "ics"), axes, ("PCS", "sketch ICS"), strict=True):
        for shade, r in enumerate(runs):
            colour = plt.get_cmap("viridis")(shade / len(runs))
            x, y = ([p[k] for p in r["points"]] for k in (name, "loss"))
            axis.plot(x, y, "o-", color=colour, markersize=3, label=f"weight {r['weight']:g}")
        axis.set_xlabel(f"{label} with the base")
        axis.invert_xaxis()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("held-out loss, nats a token")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def page(figures: dict) -> str:
    """The part of the results page."""
    runs = figures["runs"]
    start = runs[0]["points"][0]
    lines = [
        "## Leaving the parameters' direction",
        "",
        f"{figures['base']} trained on for {figures['steps']} steps of {BATCH} x {CONTEXT} tokens "
        "of its own text, with its loss plus a weight times |PCS with the base| "
        "(HuRef section 3.2). At the start its held-out loss is "
        f"{start['loss']:.3f} nats a token. Weight 0 is the control.",
        "",
        "![Held-out loss against PCS and ICS](necessity.png)",
        "",
        "| weight | highest loss on the way | PCS at the end | ICS at the end | loss at the end |",
        "|---|---|---|---|---|",
    ]
    for r in runs:
        last, worst = r["points"][-1], max(p["loss"] for p in r["points"])
        lines.append(
            f"| {r['weight']:g} | {worst:.3f} | {last['pcs']:.3f} | {last['ics']:.3f} "
            f"| {last['loss']:.3f} |"
        )
    return "\n".join(lines) + "\n"
