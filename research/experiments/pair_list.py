"""All pairs that `pairs` and `rivals` look at: related ones by what was done, unrelated ones."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huref_zk.errors import EnvironmentLacks, InputError
from research.experiments.derivations_table import related_pairs
from research.experiments.models import gemma3, smollm2

Progress = Callable[[str, int, int], None]
ATTACKED = ("demo-base", "demo-stranger")
SEED = 1
COUSINS = ("sft", "lora", "continued", "gblm-50", "llm-pruner", "minitron", "upcycled", "distil")
"""The same done to two bases, on the same text: as alike as strangers get."""
LARGE = ("SmolLM2-135M", "Gemma-3-270M")
PARTNERS = ("demo-base", "demo-stranger", "llama-a", "qwen2-a", *LARGE)
"""Roots that the large ones are paired with: reading one of those takes many times longer."""
RELATED, UNRELATED, MISS = "related", "unrelated", "expected miss"


@dataclass(frozen=True)
class Pair:
    """Two references as ``load.open_model`` takes them. kind: RELATED, UNRELATED, or MISS (related,
    but not to be detected); group: what sort; what: which derivation or attack."""

    kind: str
    group: str
    what: str
    a: str
    b: str

    @property
    def key(self) -> tuple[str, str, str]:
        return (short(self.a), short(self.b), self.what)


def short(ref: str) -> str:
    """A reference as tables show it."""
    return Path(ref).name.removesuffix(".gguf")


def all_pairs(out: Path, progress: Progress) -> list[Pair]:
    """Related pairs of every derivation and attack whose models are there (attacked ones are made),
    then unrelated ones: every two roots, and cousins."""
    return [*_derived(out), *_attacked(out, progress), *_unrelated(out, progress)]


def _derived(out: Path) -> list[Pair]:
    from research.experiments.long_training import marked_pairs

    found = [Pair(RELATED, "derivation", "fine-tune", "demo-base", "demo-child")]
    for a, b, what, expected in related_pairs(out):
        found.append(Pair(RELATED if expected else MISS, "derivation", what, a, b))
    found += [Pair(RELATED, "long training", what, a, b) for a, b, what in marked_pairs(out)]
    return found


def _attacked(out: Path, progress: Progress) -> list[Pair]:
    """Every attack of the package at its default strength, on the embedded bases."""
    from huref_zk.attacks import ATTACKS, attack, read_checkpoint, write_checkpoint

    found = []
    for base in ATTACKED:
        original = None
        for number, (name, entry) in enumerate(ATTACKS.items()):
            folder = out / "models" / "attacked" / f"{base}-{name}"
            if not (folder / "config.json").exists():
                progress(f"attack {name} on {base}", number, len(ATTACKS))
                original = original or read_checkpoint(base)
                folder.parent.mkdir(parents=True, exist_ok=True)
                try:
                    write_checkpoint(folder, attack(name, original, seed=SEED))
                except InputError:
                    continue  # one that this model does not allow
            group = "attack, exact" if entry.exact else "attack, inexact"
            found.append(Pair(RELATED, group, name, base, str(folder)))
    return found


def roots(out: Path, progress: Progress) -> dict[str, str]:
    """Models of independent origin, by name."""
    from research.experiments.strangers import train_strangers

    strangers = train_strangers(out / "models" / "strangers", progress)
    found = {"demo-base": "demo-base", "demo-stranger": "demo-stranger"}
    found |= {folder.name: str(folder) for folder in strangers} | {"SmolLM2-135M": smollm2()}
    with contextlib.suppress(EnvironmentLacks):
        found["Gemma-3-270M"] = gemma3(out / "models")
    return found


def _unrelated(out: Path, progress: Progress) -> list[Pair]:
    names = roots(out, progress)
    found = []
    for a, b in itertools.combinations(names, 2):
        if b in LARGE and a not in PARTNERS:
            continue
        twins = all(n.startswith("twin") or n == "demo-base" for n in (a, b))
        what = "same first embeddings" if twins else "independent"
        found.append(Pair(UNRELATED, what, what, names[a], names[b]))
    models = out / "models"
    for name in COUSINS:
        one, two = (models / f"{base}-{name}" for base in ATTACKED)
        if (one / "config.json").exists() and (two / "config.json").exists():
            found.append(Pair(UNRELATED, "cousins", f"cousins, {name}", str(one), str(two)))
    return found


def row_by_row(
    pairs: Sequence[Pair],
    log: Path,
    measured: Callable[[Pair], dict],
    words: str,
    progress: Progress,
) -> list[dict]:
    """One row a pair: what it is, and what ``measured`` says of it; from the log where it is there
    already. words: what progress hears, with {a} and {b}."""
    done = {}
    if log.exists():
        rows = (json.loads(line) for line in log.read_text().splitlines())
        done = {(row["a"], row["b"], row["what"]): row for row in rows}
    out = []
    for number, pair in enumerate(pairs):
        if pair.key not in done:
            a, b = short(pair.a), short(pair.b)
            progress(words.format(a=a, b=b), number, len(pairs))
            row = {"kind": pair.kind, "group": pair.group, "what": pair.what, "a": a, "b": b}
            row |= measured(pair)
            with open(log, "a") as file:
                file.write(json.dumps(row) + "\n")
            done[pair.key] = row
        out.append(done[pair.key])
    return out
