"""What derivations do to a model, its parameters and its fingerprint: real ones at small scale.

Every derivation of two embedded models, and of SmolLM2-135M those that two cores manage in
minutes. The models stay in ``out/models``, one folder each, and are not made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from huref_zk.errors import EnvironmentLacks
from huref_zk.files.writing import write_atomically
from research.experiments import derivations_bench as bench
from research.experiments.derivations_bench import LARGE, Bench, Job
from research.experiments.models import smollm2

Progress = Callable[[str, int, int], None]
COLUMNS = ("loss_before", "loss_after", "relative_change", "pcs", "ics_base", "ics_unrelated")


def jobs() -> list[Job]:
    """All that ``run`` makes, in its order. EnvironmentLacks without torch and transformers."""
    try:
        from research.derivations.table import DERIVATIONS, MERGERS
    except ImportError as e:
        raise EnvironmentLacks(
            f"derivations need torch and transformers ({e}); install the extra 'train'"
        ) from e
    out = []
    for base in bench.UNRELATED:
        large = base == LARGE
        out += [
            Job(base, d.name, d.source_paper, d.expected_detected)
            for d in DERIVATIONS
            if not large or d.name in bench.LARGE_STEPS
        ]
        if not large:
            out += [
                Job(base, m.name, m.source_paper, m.expected_detected, m.from_donor)
                for m in MERGERS
            ]
            out.append(Job(base, bench.TRANSPLANT, bench.TOKENIZER_PAPER, True))
    return out


def related_pairs(out: Path) -> list[tuple[str, str, str, bool]]:
    """(base, derived folder, derivation, expected_detected) of every model that ``run(out)`` made,
    and of the donors that went into some.

    References as ``load.open_model`` takes them; SmolLM2's is its GGUF file.
    """
    found = []
    for job in jobs():
        folder = out / "models" / job.name
        if (folder / "config.json").exists():
            base = smollm2() if job.base == LARGE else job.base
            found.append((base, str(folder), job.derivation, job.expected_detected))
            if job.from_donor:
                donor = bench.UNRELATED[job.base]
                found.append((donor, str(folder), f"{job.derivation}, its donor", True))
    return found


def run(out: Path, progress: Progress) -> dict:
    """Make and measure every derivation (resumable: folders, derivations.jsonl); write
    derivations.jsonl and derivations.md. Returns {"rows": [...]}, one a derivation."""
    todo = jobs()
    log = out / "derivations.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    done = {}
    if log.exists():
        done = {row["name"]: row for row in map(json.loads, log.read_text().splitlines())}
    for base in bench.UNRELATED:
        here = [job for job in todo if job.base == base]
        left = [
            job
            for job in here
            if job.name not in done or not (out / "models" / job.name / "config.json").exists()
        ]
        if left:
            subject = Bench(base, out)
            for job in left:
                number = todo.index(job)

                def tell(i: int, n: int, job: Job = job, number: int = number) -> None:
                    progress(f"{job.name}, step {i} of {n}", number, len(todo))

                progress(job.name, number, len(todo))
                row = subject.measured(job, tell)
                done[job.name] = row
                with open(log, "a") as file:
                    file.write(json.dumps(row) + "\n")
    rows = [done[job.name] for job in todo]
    write_atomically(log, "".join(json.dumps(row) + "\n" for row in rows).encode())
    write_atomically(out / "derivations.md", page(rows).encode())
    progress("derivations", len(todo), len(todo))
    return {"rows": rows}


def page(rows: list[dict]) -> str:
    """The part of the results page."""
    lines = [
        "## Derivations",
        "",
        "Losses on held-out text, in nats a token. Change: |derived - base| / |base|; PCS: cosine "
        "of the parameters, both over those of the same shape. ICS: sketches of the whole model "
        "under the public seed, with the base and with an unrelated model; blank where the "
        "tokenizer is another, so that only `compare`, which matches tokens by text, can tell.",
        "",
        "| base | derivation | source | steps | loss before | after | change | PCS | ICS base "
        "| ICS unrelated | to be detected |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["base"], row["derivation"], row["source_paper"], str(row["steps"] or "")]
        cells += ["" if row[c] is None else f"{row[c]:.3f}" for c in COLUMNS]
        cells.append("yes" if row["expected_detected"] else "no")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
