"""The command `experiment`: makes the tables and plots of docs/results.md."""

from __future__ import annotations

from pathlib import Path

import click

from huref_zk.cli.common import Output, failures_reported, with_output
from huref_zk.errors import EnvironmentLacks, InputError


@click.command()
@click.argument("name", required=False)
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    default=Path("docs"),
    show_default=True,
    help="Folder that gets results.md and results/.",
)
@with_output
def experiment(output: Output, name: str | None, docs: Path) -> None:
    """Run experiment NAME (without NAME: list them; `all` runs every one) and write results.md.

    Interrupted experiments go on where they were. They need the extras prove, train and test.
    """
    with failures_reported(output.json):
        _make(output, name, docs)


def _make(output: Output, name: str | None, docs: Path) -> None:
    from research.experiments import EXPERIMENTS, run

    if name is None:
        known = {key: what for key, (_, what) in EXPERIMENTS.items()}
        output.result({"experiments": known}, [f"{key:12} {what}" for key, what in known.items()])
        return
    if name != "all" and name not in EXPERIMENTS:
        raise InputError(f"there is no experiment {name!r}; known: {', '.join(EXPERIMENTS)}, all")
    figures = {}
    for key in EXPERIMENTS if name == "all" else (name,):
        with output.tasks(key) as progress:
            try:
                figures[key] = run(key, docs, progress)
            except ImportError as e:
                raise EnvironmentLacks(
                    f"experiments need torch, transformers, scipy and matplotlib ({e}); "
                    "install the extras prove, train and test"
                ) from e
    output.result(figures, [f"wrote {docs / 'results.md'}"])


if __name__ == "__main__":
    experiment()
