"""Which tokens should a model be asked about? ICS of the recipe `whole` for four choices of them,
under derivations that a model survives, and with the embeddings of rare tokens drawn anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from huref_zk.files.writing import write_atomically
from huref_zk.invariants.recipes import Cores, compute_cores
from huref_zk.invariants.sketch import exact_ics_of
from huref_zk.models.families import family_for
from huref_zk.models.load import open_model
from huref_zk.models.model import Model
from huref_zk.models.tokenizer import Tokenizer
from research.experiments.models import smollm2

Progress = Callable[[str, int, int], None]
CHOICES = ("common", "middle", "even", "rare")
SHARE = 8
"""An eighth of a small vocabulary, as 4,096 are of a large one."""
MOST = 4096
SHARES = (1 / 12, 1 / 4, 1 / 2, 5 / 6)
"""Of all tokens, the rarest: how many rows are drawn anew."""


def choices(model: Model) -> dict[str, np.ndarray]:
    """Token ids by choice, out of those that the tokenizer learnt, in the order of learning."""
    order = model.token_order()
    assert order is not None, "this experiment needs the order in which tokens were learnt"
    learnt = np.array(order[model.alphabet() :])
    n = len(learnt)
    count = min(MOST, n // SHARE) // 2 * 2
    middle = (n - count) // 2
    return {
        "common": learnt[:count],
        "middle": learnt[middle : middle + count],
        "even": learnt[np.linspace(0, n - 1, count).astype(int)],
        "rare": learnt[-count:],
    }


class Redrawn(Model):
    """A model whose embeddings of some tokens are random, of the size of its others; what reads
    them elsewhere (a tied output matrix) is thought to be kept."""

    def __init__(self, model: Model, ids: np.ndarray, seed: int = 0):
        self.config, self.source, self._model = model.config, model.source, model
        self._embedding = family_for(model).embedding
        self._ids, self._seed = ids, seed

    def shape(self, name: str) -> tuple[int, ...]:
        return self._model.shape(name)

    def tensor(self, name: str) -> np.ndarray:
        return self._model.tensor(name)

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        rows = self._model.rows(name, ids)
        if name == self._embedding:
            hit = np.isin(ids, self._ids)
            rng = np.random.default_rng(self._seed)
            rows[hit] = rows.std() * rng.normal(size=(int(hit.sum()), rows.shape[1]))
        return rows

    @property
    def tokenizer(self) -> Tokenizer:  # type: ignore[override]
        return self._model.tokenizer


def cores_of(model: Model, ids: np.ndarray) -> Cores:
    return compute_cores(model, tokens=len(ids), token_ids=ids.tolist())


def table(base: Model, others: dict[str, Model], progress: Progress) -> list[dict]:
    """One row for each of ``others``, derived from ``base`` or not: ICS (a, b, f) by choice."""
    chosen = choices(base)
    rows: list[dict] = [{"what": name} for name in others]
    total = len(chosen) * (1 + len(others))
    done = 0
    for choice, ids in chosen.items():
        mine = cores_of(base, ids)
        done += 1
        for row, (name, other) in zip(rows, others.items(), strict=True):
            progress(f"{name}, {choice}", done, total)
            row[choice] = exact_ics_of(mine, cores_of(other, ids)).round(4).tolist()
            done += 1
    return rows


def redrawn(base: Model) -> dict[str, Model]:
    """The base with the rows of its rarest tokens drawn anew."""
    order = base.token_order()
    assert order is not None
    counts = [round(share * len(order)) for share in SHARES]
    return {f"rarest {n:,} re-drawn": Redrawn(base, np.array(order[-n:])) for n in counts}


def run(out: Path, progress: Progress) -> dict:
    """Measure over the models that `derivations` made (and the embedded child); write tokens.json
    and tokens.md. What another machine measured of SmolLM2 (tokens-smollm2.json) is kept."""
    from research.experiments.derivations_table import related_pairs

    found: dict[str, list[dict]] = {}
    pairs = related_pairs(out)
    for name, ref in (("demo-base", "demo-base"), ("SmolLM2-135M", smollm2())):
        base = open_model(ref)
        others = {what: open_model(folder) for of, folder, what, _ in pairs if of == ref}
        if name == "demo-base":
            others = {"child (embedded)": open_model("demo-child"), **others}
        unrelated = {"unrelated: demo-stranger": open_model("demo-stranger")}
        others |= redrawn(base) | (unrelated if name == "demo-base" else {})
        found[name] = table(base, others, progress)
    kept = out / "tokens-smollm2.json"
    if kept.exists():
        found["SmolLM2-135M, trained on another machine"] = json.loads(kept.read_text())
    write_atomically(out / "tokens.json", (json.dumps(found, indent=1) + "\n").encode())
    write_atomically(out / "tokens.md", page(found).encode())
    return found


def page(found: dict[str, list[dict]]) -> str:
    """The part of the results page."""
    lines = [
        "## Tokens",
        "",
        "ICS (QK, VO, FFN) of the recipe `whole` over an eighth of the tokens, 4,096 at most, by "
        "which tokens those are: the first learnt, the middle ones, even ones, the last learnt.",
    ]
    for name, rows in found.items():
        lines += ["", f"| {name} | " + " | ".join(CHOICES) + " |", "|---" * 5 + "|"]
        for row in rows:
            cells = [" / ".join(f"{x:.3f}" for x in row[c]) for c in CHOICES]
            lines.append("| " + " | ".join([row["what"], *cells]) + " |")
    return "\n".join(lines) + "\n"
