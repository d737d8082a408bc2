"""The commands `registry add`, `search`, `list`, `show`, `export`, `remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.options import model_argument, reading_options
from huref_zk.cli.outputs import IN, Writes, force_option
from huref_zk.paths import default_registry

db_option = click.option(
    "--db",
    type=IN,
    default=default_registry,
    help="The registry, a SQLite file; default: the user's own.",
)


@click.group()
def registry() -> None:
    """A local file of fingerprints, and the search for a model's next of kin in it.

    It holds fingerprints and what is known of them, never weights.
    """


@registry.command()
@model_argument
@click.option("--name", help="What to call it; default: the model's own name.")
@click.option("--note", default="", help="One line to keep with it.")
@click.option(
    "--commitment",
    type=IN,
    help="A commitment (.hzc) that its owner published: its root is kept with the entry.",
)
@click.option("--replace", is_flag=True, help="Overwrite an entry of that name.")
@db_option
@reading_options
@with_output
def add(
    output: Output,
    model: str,
    name: str | None,
    note: str,
    commitment: Path | None,
    replace: bool,
    db: Path,
    **options: Any,
) -> None:
    """Add MODEL, a model or a saved fingerprint (.hzf)."""
    from huref_zk.commitment.file import read_commitment
    from huref_zk.comparison import registry as entries
    from huref_zk.comparison.saved import make_fingerprint, read_fingerprint, short_name

    committed = None if commitment is None else read_commitment(commitment)
    if _is_saved(model):
        saved = entries.named(read_fingerprint(Path(model)), name)
        entries.check_free(db, saved.name, replace)
    else:
        name = short_name(model) if name is None else name
        entries.check_free(db, name, replace)
        with output.progress(f"sketching {name}") as progress:
            saved = make_fingerprint(model, name, progress, **options)
    root = None if committed is None else entries.check_commitment(committed, saved)
    entry = entries.add(db, saved, note=note, root=root, replace=replace)
    output.result({"db": str(db), "entry": entry.describe()}, [f"added {entry.name} to {db}"])


@registry.command()
@model_argument
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@db_option
@reading_options
@with_output
def search(output: Output, model: str, top: int, db: Path, **options: Any) -> None:
    """Rank the entries by their similarity to MODEL, a model or a saved fingerprint (.hzf)."""
    from huref_zk.comparison import registry as entries
    from huref_zk.comparison.compare import open_side
    from huref_zk.comparison.words import VERDICTS, VIEW_WORDS, p_words, quoted

    side = open_side(model, **options)
    with output.tasks("searching") as stage:
        found = entries.search(db, side, stage)
    shown = found.hits[:top]
    data = {
        "model": side.name,
        "db": str(db),
        "compared": found.compared,
        "skipped": list(found.skipped),
        "chance_of_a_false_positive": found.chance,
        "hits": [
            {
                "entry": hit.entry,
                "statement": VERDICTS[hit.comparison.verdict.word],
                "comparison": hit.comparison.describe(),
            }
            for hit in shown
        ],
    }
    lines = []
    for rank, hit in enumerate(shown, 1):
        c, v = hit.comparison, hit.comparison.verdict
        lines.append(f"{rank}. {hit.entry['name']}: score {c.score:.4f}, {VERDICTS[v.word]}")
        lines.append(f"   p-value {p_words(v.p)}, seen best {VIEW_WORDS[v.view]}")
    lines.append(
        f"{found.compared} entries compared with {quoted(side.name)}; the chance that a search of "
        f"so many calls any unrelated one related is below {found.chance:.0e} by the fitted null"
        if found.compared
        else "no entry could be compared"
    )
    if found.skipped:
        lines.append(
            f"{len(found.skipped)} not compared: they are over other tokens"
            + ("; give the model instead of its fingerprint" if side.model is None else "")
        )
    output.result(data, lines)


@registry.command(name="list")
@db_option
@with_output
def list_entries(output: Output, db: Path) -> None:
    """List all entries."""
    from huref_zk.comparison import registry as entries

    described = [entry.describe() for entry in entries.entries(db)]
    lines = [_line(entry) for entry in described]
    data = {"db": str(db), "entries": described}
    output.result(data, [*lines, f"{len(described)} entries in {db}"])


@registry.command()
@click.argument("name")
@db_option
@with_output
def show(output: Output, name: str, db: Path) -> None:
    """Show what is kept about NAME."""
    from huref_zk.comparison import registry as entries
    from huref_zk.comparison.words import quoted

    entry = entries.entry(db, name).describe()
    facts = ", ".join(f"{quoted(k)} {quoted(v)}" for k, v in sorted(entry["model"].items()))
    output.result(
        entry,
        [
            entry["name"],
            f"added {entry['added']}",
            f"note: {entry['note'] or 'none'}",
            f"model: {facts}",
            f"surveyed: {entry['layers']} layers over {entry['tokens']['count']} tokens, SHA-256 "
            f"of their ids {entry['tokens']['digest']}",
            f"commitment's root: {entry['root'] or 'none given'}",
        ],
    )


@registry.command()
@click.argument("name")
@click.option("--out", type=Writes(".hzf"), required=True, help="The file (.hzf).")
@force_option
@db_option
@with_output
def export(output: Output, name: str, out: Path, db: Path) -> None:
    """Write the fingerprint of NAME to a file."""
    from huref_zk.comparison import registry as entries
    from huref_zk.comparison.saved import write_fingerprint

    write_fingerprint(out, entries.entry(db, name).saved)
    output.result({"name": name, "fingerprint": str(out)}, [f"fingerprint of {name}: {out}"])


@registry.command()
@click.argument("name")
@db_option
@with_output
def remove(output: Output, name: str, db: Path) -> None:
    """Remove NAME."""
    from huref_zk.comparison import registry as entries

    entries.remove(db, name)
    output.result({"removed": name, "db": str(db)}, [f"removed {name} from {db}"])


def _is_saved(model: str) -> bool:
    return Path(model).suffix == ".hzf" and Path(model).is_file()


def _line(entry: dict[str, Any]) -> str:
    from huref_zk.comparison.words import quoted

    architecture = quoted(entry["model"].get("architecture", "unknown"))
    note = f" ({entry['note']})" if entry["note"] else ""
    return f"{entry['name']}: {architecture}, {entry['layers']} layers, {entry['added']}{note}"
