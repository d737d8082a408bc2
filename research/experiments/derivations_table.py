"""What derivations do to a model, its parameters and its fingerprint: real ones at small scale.

Every derivation of two embedded models, and of SmolLM2-135M those that two cores manage in
minutes. The models stay in ``out/models``, one folder each, and are not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from huref_zk.errors import EnvironmentLacks
from huref_zk.files.writing import write_atomically
from huref_zk.invariants.sketch import ics
from research.experiments.models import smollm2

if TYPE_CHECKING:
    from research.derivations.corpus import Texts
    from research.derivations.train import Setting

Progress = Callable[[str, int, int], None]
LARGE = "smollm2"
UNRELATED = {"demo-base": "demo-stranger", "demo-stranger": "demo-base", LARGE: "demo-base"}
# Steps of what trains; what is missing does not. Distillation is training from scratch.
TINY_STEPS = {
    "sft": 100,
    "lora": 100,
    "continued": 120,
    "dpo": 60,
    "spin": 40,
    "llm-pruner": 60,
    "llm-pruner-last": 60,
    "llm-pruner-narrow": 60,
    "crash-share": 40,
    "crash-drop": 40,
    "average": 120,
    "task-arithmetic": 120,
    "distil": 300,
}
LARGE_STEPS = {
    "sft": 8,
    "lora": 8,
    "dpo": 4,
    "gblm-50": 0,
    "llm-pruner-narrow": 5,
    "llm-pruner-last": 5,
    "surgery": 0,
    "crash-share": 4,
    "crash-drop": 4,
    "int8": 0,
    "int4": 0,
    "average": 6,
}
COLUMNS = ("loss_before", "loss_after", "relative_change", "pcs", "ics_base", "ics_unrelated")


@dataclass(frozen=True)
class Job:
    """One derivation to make: of a base (a reference or LARGE), with its expectation."""

    base: str
    derivation: str
    source_paper: str
    expected_detected: bool

    @property
    def name(self) -> str:
        return f"{self.base}-{self.derivation}"


def jobs() -> list[Job]:
    """All that ``run`` makes, in its order. EnvironmentLacks without torch and transformers."""
    try:
        from research.derivations.table import DERIVATIONS
    except ImportError as e:
        raise EnvironmentLacks(
            f"derivations need torch and transformers ({e}); pip install 'huref-zk[train]'"
        ) from e
    return [
        Job(base, d.name, d.source_paper, d.expected_detected)
        for base in UNRELATED
        for d in DERIVATIONS
        if base != LARGE or d.name in LARGE_STEPS
    ]


def related_pairs(out: Path) -> list[tuple[str, str, str, bool]]:
    """(base, derived folder, derivation, expected_detected) of every model that ``run(out)`` made.

    References as ``load.open_model`` takes them; SmolLM2's is its GGUF file.
    """
    return [
        (
            smollm2() if job.base == LARGE else job.base,
            str(out / "models" / job.name),
            job.derivation,
            job.expected_detected,
        )
        for job in jobs()
        if (out / "models" / job.name / "config.json").exists()
    ]


def run(out: Path, progress: Progress) -> dict:
    """Make and measure every derivation (resumable: folders, derivations.jsonl); write
    derivations.jsonl and derivations.md. Returns {"rows": [...]}, one a derivation."""
    todo = jobs()
    log = out / "derivations.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    done = {}
    if log.exists():
        done = {row["name"]: row for row in map(json.loads, log.read_text().splitlines())}
    for base in UNRELATED:
        here = [job for job in todo if job.base == base]
        left = [
            job
            for job in here
            if job.name not in done or not (out / "models" / job.name / "config.json").exists()
        ]
        if left:
            bench = Bench(base, out)
            for job in left:
                number = todo.index(job)

                def tell(i: int, n: int, job: Job = job, number: int = number) -> None:
                    progress(f"{job.name}, step {i} of {n}", number, len(todo))

                progress(job.name, number, len(todo))
                row = bench.measured(job, tell)
                done[job.name] = row
                with open(log, "a") as file:
                    file.write(json.dumps(row) + "\n")
    rows = [done[job.name] for job in todo]
    write_atomically(log, "".join(json.dumps(row) + "\n" for row in rows).encode())
    write_atomically(out / "derivations.md", page(rows).encode())
    progress("derivations", len(todo), len(todo))
    return {"rows": rows}


class Bench:
    """A base with its texts, on which derivations are made and measured."""

    def __init__(self, base: str, out: Path):
        from tokenizers import Tokenizer

        from research.derivations import folders
        from research.derivations.corpus import load_texts
        from research.derivations.measures import public_sketch
        from research.derivations.train import Setting

        large = base == LARGE
        self.base, self.models = base, out / "models"
        self.ref = smollm2() if large else base
        if large:
            self.folder = self.models / LARGE
            if not (self.folder / "config.json").exists():
                folders.from_gguf(self.ref, self.folder)
        else:
            self.folder = folders.folder_of(base)
        tokenizer = Tokenizer.from_file(str(self.folder / folders.TOKENIZER))
        self.texts: Texts = load_texts(
            lambda text: tokenizer.encode(text).ids,
            tokens=200_000 if large else None,
            limit=48 if large else 64,
        )
        self.setting: Setting = (
            Setting(steps=0, batch=4, context=96, rate=5e-5)
            if large
            else Setting(steps=0, batch=16, context=96, rate=1e-3)
        )
        self.model = folders.read_model(self.folder)
        self.loss = self.held_out(self.model)
        self.sketch = public_sketch(self.ref)
        self.unrelated = public_sketch(UNRELATED[base])

    def held_out(self, model) -> float:
        from research.derivations.train import held_out_loss

        count = 16 if self.base == LARGE else 64
        return held_out_loss(model, self.texts.held_out, count, 128)

    def measured(self, job: Job, tell: Callable[[int, int], None]) -> dict:
        """Make the model unless its folder is there, and measure what the folder holds."""
        from research.derivations import folders
        from research.derivations.measures import parameter_distance, public_sketch
        from research.derivations.table import DERIVATIONS

        folder = self.models / job.name
        steps = (LARGE_STEPS if self.base == LARGE else TINY_STEPS).get(job.derivation, 0)
        start = time.process_time()
        if not (folder / "config.json").exists():
            make = next(d.make for d in DERIVATIONS if d.name == job.derivation)
            setting = replace(self.setting, steps=steps, seed=1 + list(UNRELATED).index(self.base))
            made = make(self.model, self.texts, setting, tell)
            folders.write_model(made, self.folder / folders.TOKENIZER, folder)
            del made
        seconds = time.process_time() - start
        model = folders.read_model(folder)
        change, pcs = parameter_distance(self.model, model)
        mine = public_sketch(folder)
        return {
            "name": job.name,
            "base": self.base,
            "derivation": job.derivation,
            "source_paper": job.source_paper,
            "expected_detected": job.expected_detected,
            "steps": steps,
            "cpu_seconds": round(seconds, 1),
            "loss_before": self.loss,
            "loss_after": self.held_out(model),
            "relative_change": change,
            "pcs": pcs,
            "ics_base": ics(self.sketch, mine),
            "ics_unrelated": ics(self.unrelated, mine),
        }


def page(rows: list[dict]) -> str:
    """The part of the results page."""
    lines = [
        "## Derivations",
        "",
        "Losses on held-out text, in nats a token. Change: |derived - base| / |base|; PCS: cosine "
        "of the parameters, both over those of the same shape. ICS: sketches of the whole model "
        "under the public seed, with the base and with an unrelated model.",
        "",
        "| base | derivation | source | steps | loss before | after | change | PCS | ICS base "
        "| ICS unrelated | to be detected |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["base"], row["derivation"], row["source_paper"], str(row["steps"] or "")]
        cells += [f"{row[c]:.3f}" for c in COLUMNS]
        cells.append("yes" if row["expected_detected"] else "no")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
