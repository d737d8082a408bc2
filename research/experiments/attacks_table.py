"""What each attack does to a model's parameters, to its function, and to its fingerprint.

Both embedded and real: demo-base and SmolLM2-135M. Tokens of the attacked model are those with the
texts of the original's common ones; the official variant takes the same token numbers and the last
two layers, as the authors' program does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.attacks import ATTACKS, Checkpoint, attack, read_checkpoint, write_checkpoint
from huref_zk.attacks.checkpoint import EMBEDDING, HEAD
from huref_zk.circuit.shape import shape_for
from huref_zk.comparison.tokens import TokenList, ids_in, token_list
from huref_zk.files.writing import write_atomically
from huref_zk.invariants.quantise import quantise
from huref_zk.invariants.recipes import Cores, compute_cores
from huref_zk.invariants.sketch import PUBLIC_SEED, exact_ics_of, ics, sketch
from huref_zk.invariants.tokens import choose_tokens
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.model import Model
from huref_zk.proofs.prepare import fingerprint_vector
from huref_zk.render import load_generator, metrics, render
from research.experiments import Progress
from research.experiments.models import smollm2
from research.rivals.variants import exact_ics

MODELS = ("demo-base", "SmolLM2-135M")
SEED = 1
TEXT = 64  # tokens whose logits are compared
# Beyond the defaults: (attack, strength)
STRONGER = (
    ("gain-rescaling", 3.0),
    ("value-mixing", 1.0),
    ("value-mixing", 2.0),
    ("query-turning", 2.0),
    ("ffn-scaling", 2.0),
    ("global-scale", 1000.0),
)
NOISES = (0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Job:
    """A line of the table. default_tokens: the attacked model's own choice of tokens is taken, not
    the original's tokens found by text."""

    model: str
    attack: str
    strength: float | None = None
    default_tokens: bool = False

    @property
    def key(self) -> tuple:
        return (self.model, self.attack, self.strength, self.default_tokens)

    @property
    def label(self) -> str:
        strength = ATTACKS[self.attack].strength
        text = self.attack
        if self.strength is not None and strength is not None:
            text += f", {strength.keyword} {self.strength:g}"
        return text + (", default tokens" if self.default_tokens else "")


@dataclass(frozen=True)
class View:
    """What is compared of a checkpoint: cores, sketch float64 (6, 16, 16), vector v, picture."""

    cores: Cores
    sketch: np.ndarray
    vector: np.ndarray
    picture: np.ndarray


def jobs() -> list[Job]:
    """All lines, in the table's order."""
    out = []
    for model in MODELS:
        for name, entry in ATTACKS.items():
            if not entry.exact:
                continue
            default = None if entry.strength is None else entry.strength.default
            out.append(Job(model, name, default))
            out += [Job(model, n, s) for n, s in STRONGER if n == name]
            if name == "vocabulary-renumbering":
                out.append(Job(model, name, default, default_tokens=True))
        out += [Job(model, "weight-noise", s) for s in NOISES]
    return out


def attacked_pairs(out: Path) -> list[tuple[str, str, str, bool]]:
    """(reference of the original, folder of the attacked model, what, True) of the pairs that
    `run` has left below ``out``/models."""
    found = []
    for job in jobs():
        if (folder := _folder(job, out)) is not None and (folder / "config.json").exists():
            found.append((job.model, str(folder), job.label, True))
    return found


def run(out: Path, progress: Progress) -> dict:
    """Attack and measure (resumable: attacks.jsonl, one line a job), write attacks.md. Returns
    {"rows": [...]}."""
    out.mkdir(parents=True, exist_ok=True)
    log, todo = out / "attacks.jsonl", jobs()
    done = _logged(log)
    for model in MODELS:
        left = [job for job in todo if job.model == model and job.key not in done]
        bench = Bench(model, out) if left else None
        for job in left:
            assert bench is not None
            progress(f"{model}: {job.label}", todo.index(job), len(todo))
            done[job.key] = row = bench.measured(job, _folder(job, out))
            with open(log, "a") as file:
                file.write(json.dumps(row) + "\n")
    rows = [done[job.key] for job in todo]
    write_atomically(out / "attacks.md", page(rows).encode())
    progress("attacks", len(todo), len(todo))
    return {"rows": rows}


def _tokens(model: Model, vocab: int) -> TokenList:
    return token_list(model, choose_tokens(model, vocab)[0])


class Bench:
    """An original, and how an attacked one is held against it."""

    def __init__(self, model: str, out: Path):
        self.original = read_checkpoint(_reference(model, out))
        self.generator = load_generator(None)
        vocab = self.original.sizes.vocab
        self.tokens = _tokens(self.original.model(), vocab)
        self.text = np.random.default_rng(0).integers(len(self.tokens.ids), size=TEXT)
        self.view = self.seen(self.original, self.tokens.ids)
        self.logits = self.run_on_text(self.original, self.tokens.ids)

    def measured(self, job: Job, folder: Path | None) -> dict:
        """The figures of one job; the attacked model is written to ``folder`` if one is given."""
        original = self.original
        attacked = attack(job.attack, original, seed=SEED, strength=job.strength)
        if folder is not None and not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            write_checkpoint(folder, attacked)
        model, vocab = attacked.model(), attacked.sizes.vocab
        matched = ids_in(model, vocab, self.tokens)
        ids = matched
        if job.default_tokens:
            ids = _tokens(model, vocab).ids
        view = self.seen(attacked, ids)
        logits_off = np.abs(self.run_on_text(attacked, matched) - self.logits).max()
        a, b = self.view.vector, view.vector
        return {
            "model": job.model,
            "attack": job.attack,
            "strength": job.strength,
            "default_tokens": job.default_tokens,
            "exact": ATTACKS[job.attack].exact,
            "logits_off": float(logits_off / self.logits.std()),
            "parameter_cosine": parameter_cosine(original, attacked),
            "whole_ics": float(exact_ics_of(self.view.cores, view.cores).mean()),
            "sketch_ics": ics(self.view.sketch, view.sketch),
            "official_ics": self.official(attacked),
            "vector_cosine": float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
            "ciede2000": float(
                metrics.thumbnail_difference(
                    metrics.thumbnail(self.view.picture), metrics.thumbnail(view.picture)
                )
            ),
            "one_minus_ms_ssim": 1 - metrics.ms_ssim(self.view.picture, view.picture),
        }

    def seen(self, checkpoint: Checkpoint, ids: np.ndarray) -> View:
        """The fingerprint over the tokens ``ids``, float and quantised."""
        cores = compute_cores(checkpoint.model(), tokens=len(ids), token_ids=ids.tolist())
        shape = shape_for(cores.X.shape[1])
        vector = fingerprint_vector(quantise(cores, shape.shift), shape, PUBLIC_SEED)
        return View(
            cores=cores,
            sketch=sketch(cores, PUBLIC_SEED),
            vector=np.array([float(x) for x in vector]),
            picture=render(vector, self.generator),
        )

    def official(self, attacked: Checkpoint) -> float:
        """Mean exact ICS of the authors' terms: the same token numbers, and the last layers
        whatever they are."""
        sides, last = [], []
        for checkpoint in (self.original, attacked):
            model = checkpoint.model()
            family = family_for(model)
            dims = dimensions(model, family)
            sides.append((model, family, dims, self.tokens.ids))
            last.append((dims.layers - 2, dims.layers - 1))
        pairs = tuple(zip(*last, strict=True))
        return float(exact_ics(sides[0], sides[1], pairs, "official").mean())

    def run_on_text(self, checkpoint: Checkpoint, ids: np.ndarray) -> np.ndarray:
        """Logits float32 (TEXT, K) after random ones of the K tokens ``ids``, for those tokens."""
        from huref_zk.attacks.function import logits

        return logits(checkpoint, ids[self.text])[:, ids]


def parameter_cosine(before: Checkpoint, after: Checkpoint) -> float:
    """PCS (HuRef section 3.2) over all parameters that both have; a tied output counts as the
    embedding once more."""
    dot = left = right = 0.0
    for name in (*before.tensors, *(() if HEAD in before.tensors else (HEAD,))):
        x, y = (np.ravel(c.tensors.get(name, c.tensors[EMBEDDING])) for c in (before, after))
        x, y = x.astype(np.float64), y.astype(np.float64)
        dot, left, right = dot + float(x @ y), left + float(x @ x), right + float(y @ y)
    return dot / (left * right) ** 0.5


def page(rows: list[dict]) -> str:
    """The Markdown part of docs/results.md."""
    lines = [
        "## Attacks",
        "",
        "Rewrites by `huref_zk.attacks`, whose maths is in docs/attacks.md, and the fingerprint "
        "before and after.",
        "ICS: mean over terms, of the whole model; official: of the last two layers; K = 4,096. "
        "Distances of the pictures: mean CIEDE2000 of",
        "thumbnails, and 1 - MS-SSIM. Logits: largest change over their standard deviation.",
    ]
    for model in MODELS:
        lines += [
            "",
            f"### {model}",
            "",
            "| attack | logits | parameters' cosine | ICS | sketched ICS | "
            "official ICS | cosine of v | CIEDE2000 | 1 - MS-SSIM |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            if row["model"] != model:
                continue
            job = Job(row["model"], row["attack"], row["strength"], row["default_tokens"])
            cells = (
                job.label,
                f"{row['logits_off']:.1e}",
                f"{row['parameter_cosine']:.3f}",
                f"{row['whole_ics']:.6f}",
                f"{row['sketch_ics']:.6f}",
                f"{row['official_ics']:.3f}",
                f"{row['vector_cosine']:.6f}",
                f"{row['ciede2000']:.3f}",
                f"{row['one_minus_ms_ssim']:.4f}",
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _folder(job: Job, out: Path) -> Path | None:
    """Where the attacked model is kept; only the small ones are."""
    if job.model != "demo-base" or job.default_tokens:
        return None
    strength = "" if job.strength is None else f"-{job.strength:g}"
    return out / "models" / "attacks" / f"{job.model}-{job.attack}{strength}"


def _reference(model: str, out: Path) -> str:
    """A folder with a tokenizer.json: GGUF files have none to renumber."""
    if model != "SmolLM2-135M":
        return model
    from research.derivations.folders import from_gguf

    folder = out / "models" / "smollm2"  # derivations_table.py uses it too
    if not (folder / "config.json").exists():
        from_gguf(smollm2(), folder)
    return str(folder)


def _logged(log: Path) -> dict[tuple, dict]:
    """Rows by job; a last line that an interruption cut short is left out, and off."""
    done: dict[tuple, dict] = {}
    if not log.exists():
        return done
    text = log.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_atomically(log, whole.encode())
    for row in map(json.loads, whole.splitlines()):
        job = Job(row["model"], row["attack"], row["strength"], row["default_tokens"])
        done[job.key] = row
    return done
