"""The command `compare`: two models, or saved fingerprints, and how alike they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.outputs import IN, REFERENCE, Writes, force_option

if TYPE_CHECKING:
    from huref_zk.comparison.comparison import Side
    from huref_zk.comparison.report import Shown
    from huref_zk.render import Generator


@click.command()
@click.argument("a", type=REFERENCE)
@click.argument("b", type=REFERENCE)
@click.option("--html", type=Writes(".html", ".htm"), help="Also write a report, one file.")
@force_option
@click.option("--generator", type=IN, help="Draws the report's pictures.")
@click.option("--revision-a", help="Revision of A on the hub (a full commit hash).")
@click.option("--revision-b", help="Revision of B on the hub.")
@click.option("--map-a", type=IN, help="As --map of other commands, of A.")
@click.option("--map-b", type=IN, help="As --map of other commands, of B.")
@click.option("--allow-pickle", is_flag=True, help="Read pickled checkpoints, safely.")
@with_output
def compare(
    output: Output,
    a: str,
    b: str,
    html: Path | None,
    generator: Path | None,
    revision_a: str | None,
    revision_b: str | None,
    map_a: Path | None,
    map_b: Path | None,
    allow_pickle: bool,
) -> None:
    """Compare A and B: models, or saved fingerprints (.hzf), in any mixture.

    The exit code says whether they could be compared, not what came out.
    """
    from huref_zk.comparison.compare import compare as compare_sides
    from huref_zk.comparison.compare import open_side
    from huref_zk.comparison.report import write_report
    from huref_zk.comparison.words import VERDICTS, comparison_in_words
    from huref_zk.render import load_generator

    network = None
    if html:
        network = load_generator(generator)
    options: list[dict[str, Any]] = [
        {"revision": revision, "allow_pickle": allow_pickle, "map_file": map_file}
        for revision, map_file in ((revision_a, map_a), (revision_b, map_b))
    ]
    sides = [open_side(ref, **chosen) for ref, chosen in zip((a, b), options, strict=True)]
    with output.tasks("comparing") as stage:
        comparison = compare_sides(sides[0], sides[1], stage)
    if html and network:
        shown = [
            _shown(output, ref, side, network, chosen)
            for ref, side, chosen in zip((a, b), sides, options, strict=True)
        ]
        write_report(html, comparison, (shown[0], shown[1]))
    data = comparison.describe()
    data["statement"] = VERDICTS[comparison.verdict.word]
    data["html"] = None if html is None else str(html)
    report = [] if html is None else [f"report: {html}"]
    output.result(data, [*comparison_in_words(comparison), *report])


def _shown(
    output: Output, ref: str, side: Side, network: Generator, options: dict[str, Any]
) -> Shown:
    """A side's facts and picture; a model that cannot be drawn can be reported all the same."""
    from huref_zk.comparison.report import Shown
    from huref_zk.errors import InputError
    from huref_zk.invariants.sketch import PUBLIC_SEED
    from huref_zk.proofs.prepare import fingerprint_vector, prepare
    from huref_zk.render import render

    facts: dict[str, int | str] = {}
    try:
        if side.saved is not None:
            facts = side.saved.facts
            if side.saved.v is None:
                return Shown(facts, None, "the saved fingerprint has no vector")
            return Shown(facts, render(side.saved.v, network))
        with output.progress(f"picture of {side.name}") as progress:
            prepared = prepare(ref, progress=progress, **options)
        facts = prepared.cores.facts
        v = fingerprint_vector(prepared.quantised, prepared.shape, PUBLIC_SEED)
        return Shown(facts, render(v, network))
    except InputError as e:
        return Shown(facts, None, str(e))
