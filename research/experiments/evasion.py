"""The cheapest way out: what attacks cost a model, and what is still seen of it.

    evasion.jsonl          every attack at every strength (research/evasion/plan.py), on both models
    evasion-search.jsonl   combinations that a search tried under a budget, on the small one
    evasion-driven.jsonl   weights driven away from their fingerprint by training, on the small one
    evasion-verdicts.jsonl what `compare` says of the small model's

One line a measurement; what is there is not made again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huref_zk.attacks import attack
from huref_zk.files.writing import write_atomically
from research.evasion.plan import SMALL, jobs
from research.experiments import Progress

SEED = 1
Row = dict[str, Any]


def run(out: Path, progress: Progress) -> dict:
    """Measure what is missing and write evasion.md and evasion.svg into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for only in (measure_attacks, measure_search, measure_driven, measure_verdicts):
        only(out, progress)
    rows = every_row(out)
    from research.evasion.page import page, plot

    plot(rows, out / "evasion.svg")
    write_atomically(out / "evasion.md", page(rows).encode())
    return {"rows": rows}


LOGS = ("evasion.jsonl", "evasion-search.jsonl", "evasion-driven.jsonl")
VERDICTS = "evasion-verdicts.jsonl"


def measure_attacks(out: Path, progress: Progress, model: str | None = None) -> None:
    """Every job of the plan, or those on one model."""
    log = out / LOGS[0]
    done = {(r["model"], r["attack"], r["strength"]) for r in logged(log)}
    todo = [job for job in jobs() if job.key not in done and model in (None, job.model)]
    benches: dict[str, Any] = {}
    for number, job in enumerate(todo):
        progress(f"{job.model}: {job.attack} {job.strength or ''}", number, len(todo))
        bench = benches.setdefault(job.model, None) or bench_of(job.model, out)
        benches = {job.model: bench}
        attacked = attack(job.attack, bench.original, seed=SEED, strength=job.strength)
        found = bench.measured(attacked)
        add(log, {"model": job.model, "attack": job.attack, "strength": job.strength} | found)


def measure_search(out: Path, progress: Progress) -> None:
    from research.evasion.search import BUDGETS, climb

    log = out / LOGS[1]
    done = {row["budget"] for row in logged(log) if row.get("last")}
    for number, budget in enumerate(b for b in BUDGETS if b not in done):
        progress(f"search, budget {budget:g} nats", number, len(BUDGETS))
        for row in climb(bench_of(SMALL, out), budget):
            add(log, {"model": SMALL, "attack": "search", "budget": budget} | row)


def measure_driven(out: Path, progress: Progress) -> None:
    from research.evasion.driven import WEIGHTS, drive

    log = out / LOGS[2]
    done = {row["weight"] for row in logged(log) if row.get("last")}
    for number, weight in enumerate(w for w in WEIGHTS if w not in done):
        progress(f"driven away, weight {weight:g}", number, len(WEIGHTS))
        for row in drive(bench_of(SMALL, out), weight, out / "models" / "evasion"):
            add(log, {"model": SMALL, "attack": "driven", "weight": weight} | row)


def measure_verdicts(out: Path, progress: Progress) -> None:
    """What `compare` says of each model measured: of a search, of the best it kept."""
    log = out / VERDICTS
    todo = [row for row in every_row(out) if "verdict" not in row and judged(row)]
    for number, row in enumerate(todo):
        progress(f"compare: {row['attack']} {row['strength'] or ''}", number, len(todo))
        bench = bench_of(row["model"], out)
        told = bench.compared(rebuilt(bench.original, row, out))
        add(log, {"of": key_of(row)} | told)


def judged(row: Row) -> bool:
    """The large model's comparisons are left to the other experiments; a search's tries, out."""
    return bool(row["model"] == SMALL and (row["attack"] != "search" or row["kept"]))


def rebuilt(original: Any, row: Row, out: Path) -> Any:
    """The attacked checkpoint that a row is about."""
    from huref_zk.attacks import read_checkpoint
    from research.evasion.search import applied

    if row["attack"] == "search":
        return applied(original, [(name, strength) for name, strength in row["steps"]])
    if row["attack"] == "driven":
        folder = out / "models" / "evasion" / f"driven-{row['weight']:g}-{row['tokens']}"
        return read_checkpoint(str(folder))
    return attack(row["attack"], original, seed=SEED, strength=row["strength"])


def every_row(out: Path) -> list[Row]:
    """All rows, with what `compare` said where that is known."""
    told = {tuple(r.pop("of")): r for r in logged(out / VERDICTS)}
    rows = [row for name in LOGS for row in logged(out / name)]
    return [row | told.get(tuple(key_of(row)), {}) for row in rows]


def key_of(row: Row) -> list[str]:
    names = ("model", "attack", "strength", "budget", "weight", "tokens", "steps")
    return [json.dumps(row.get(name)) for name in names]


def bench_of(model: str, out: Path) -> Any:
    from research.evasion.bench import Bench
    from research.experiments.models import smollm2_folder

    return Bench(model if model == SMALL else str(smollm2_folder(out)))


def logged(log: Path) -> list[Row]:
    """The rows of a log; a last line that an interruption cut short does not count."""
    if not log.exists():
        return []
    text = log.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def add(log: Path, row: Row) -> None:
    with open(log, "a") as file:
        file.write(json.dumps(row) + "\n")
