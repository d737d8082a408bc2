"""One base with its texts: derivations of it are made, and measured against it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from huref_zk.invariants.sketch import ics
from research.experiments.models import smollm2, smollm2_folder

if TYPE_CHECKING:
    from research.derivations.corpus import Texts
    from research.derivations.train import Setting

LARGE = "smollm2"
TOKENIZER_PAPER = "fast vocabulary transfer, arXiv 2402.09977"
UNRELATED = {"demo-base": "demo-stranger", "demo-stranger": "demo-base", LARGE: "demo-base"}
# Steps of what trains; what is missing does not. Distillation is training from scratch.
TINY_STEPS = {
    "sft": 60,
    "lora": 60,
    "continued": 80,
    "dpo": 30,
    "spin": 20,
    "llm-pruner": 40,
    "llm-pruner-last": 40,
    "llm-pruner-narrow": 40,
    "crash-share": 30,
    "crash-drop": 30,
    "average": 80,
    "task-arithmetic": 80,
    "ties": 80,
    "dare": 80,
    "upcycled": 60,
    "upscaled": 60,
    "minitron": 100,
    "qat-4": 40,
    "grpo": 24,
    "sft-int4": 60,
    "lora-gblm-50": 60,
    "ties-bases": 80,
    "dare-bases": 80,
    "franken": 80,
    "transplant": 80,
    "distil": 240,
}
LARGE_STEPS = {
    "sft": 4,
    "lora": 4,
    "gblm-50": 0,
    "llm-pruner-narrow": 3,
    "int8": 0,
    "int4": 0,
    "ties": 4,
    "dare": 4,
    "upscaled": 0,
}
TRANSPLANT = "transplant"
"""The one that brings a tokenizer of its own, trained on the new text."""
NEW_WORDS = 3000


@dataclass(frozen=True)
class Job:
    """One derivation to make: of a base (a reference or LARGE), with its expectation.

    from_donor: the other embedded base went in, too, and should be told as well.
    """

    base: str
    derivation: str
    source_paper: str
    expected_detected: bool
    from_donor: bool = False

    @property
    def name(self) -> str:
        return f"{self.base}-{self.derivation}"


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
            self.folder = smollm2_folder(out)
        else:
            self.folder = folders.folder_of(base)
        self.tokenizer = Tokenizer.from_file(str(self.folder / folders.TOKENIZER))
        self.texts: Texts = load_texts(
            lambda text: self.tokenizer.encode(text).ids,
            tokens=200_000 if large else None,
            limit=48 if large else 64,
        )
        self.setting: Setting = (
            Setting(steps=0, batch=4, context=48, rate=5e-5)
            if large
            else Setting(steps=0, batch=8, context=96, rate=1e-3)
        )
        self.model = folders.read_model(self.folder)
        self.loss = self.held_out(self.model)
        self.sketch = public_sketch(self.ref)
        self.unrelated = public_sketch(UNRELATED[base])

    def held_out(self, model, tokenizer=None) -> float:
        """Nats a token of the base's tokenizer, whatever the model's is."""
        from research.derivations.train import held_out_loss

        count = 8 if self.base == LARGE else 32
        if tokenizer is None:
            return held_out_loss(model, self.texts.held_out, count, 128)
        ids = np.array(tokenizer.encode(self.tokenizer.decode(self.texts.held_out.tolist())).ids)
        return held_out_loss(model, ids, count, 128) * len(ids) / len(self.texts.held_out)

    def made(self, job: Job, tell: Callable[[int, int], None]) -> None:
        """Make the model of ``job``, and its folder."""
        from research.derivations import folders
        from research.derivations.table import DERIVATIONS, MERGERS

        setting = replace(
            self.setting, steps=self.steps(job), seed=1 + list(UNRELATED).index(self.base)
        )
        tokenizer = self.folder / folders.TOKENIZER
        folder = self.models / job.name
        mergers = {m.name: m.make for m in MERGERS}
        if job.derivation == TRANSPLANT:
            self._transplant(folder, setting, tell)
            return
        if job.derivation in mergers:
            donor = folders.read_model(folders.folder_of(UNRELATED[self.base]))
            made = mergers[job.derivation](self.model, donor, self.texts, setting, tell)
        else:
            make = next(d.make for d in DERIVATIONS if d.name == job.derivation)
            made = make(self.model, self.texts, setting, tell)
        folders.write_model(made, tokenizer, folder)

    def _transplant(self, folder: Path, setting: Setting, tell: Callable[[int, int], None]) -> None:
        from research.derivations import folders
        from research.derivations.corpus import corpus
        from research.derivations.transplant import transplant
        from research.experiments.strangers import bpe

        text = corpus()[1]
        words = bpe(text, NEW_WORDS)
        ids = np.array(words.encode(self.tokenizer.decode(self.texts.new.tolist())).ids)
        made = transplant(self.model, self.tokenizer, words, ids, setting, tell)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / folders.TOKENIZER
            made.tokenizer.save(str(file), pretty=False)
            folders.write_model(made.model, file, folder)

    def steps(self, job: Job) -> int:
        return (LARGE_STEPS if self.base == LARGE else TINY_STEPS).get(job.derivation, 0)

    def measured(self, job: Job, tell: Callable[[int, int], None]) -> dict:
        """Make the model unless its folder is there, and measure what the folder holds."""
        from tokenizers import Tokenizer

        from research.derivations import folders
        from research.derivations.measures import parameter_distance, public_sketch

        folder = self.models / job.name
        start = time.process_time()
        if not (folder / "config.json").exists():
            self.made(job, tell)
        seconds = time.process_time() - start
        model = folders.read_model(folder)
        other = job.derivation == TRANSPLANT
        tokenizer = Tokenizer.from_file(str(folder / folders.TOKENIZER)) if other else None
        change, pcs = parameter_distance(self.model, model)
        # Another tokenizer's common tokens are others; `compare` matches them by text.
        mine = None if other else public_sketch(folder)
        return {
            "name": job.name,
            "base": self.base,
            "derivation": job.derivation,
            "source_paper": job.source_paper,
            "expected_detected": job.expected_detected,
            "steps": self.steps(job),
            "cpu_seconds": round(seconds, 1),
            "loss_before": self.loss,
            "loss_after": self.held_out(model, tokenizer),
            "relative_change": change,
            "pcs": pcs,
            "ics_base": None if mine is None else ics(self.sketch, mine),
            "ics_unrelated": None if mine is None else ics(self.unrelated, mine),
        }
