"""The command `compare`: two models, or saved fingerprints, and how alike they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.outputs import IN, REFERENCE, Writes, force_option

NO_SALT = bytes(32)
ASKED_TO_FAIL = 4
"""Exit code where --fail-on names the verdict."""

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
@click.option(
    "--fail-on",
    type=click.Choice(["related", "unrelated"]),
    help="Leave with exit code 4 when that is the verdict.",
)
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
    fail_on: str | None,
) -> None:
    """Compare A and B: models, or saved fingerprints (.hzf), in any mixture.

    The exit code says whether they could be compared, and nothing of what came out, but for
    --fail-on.
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
    if comparison.verdict.word == fail_on:
        sys.exit(ASKED_TO_FAIL)


def _shown(
    output: Output, ref: str, side: Side, network: Generator, options: dict[str, Any]
) -> Shown:
    """A side's facts and picture; a model that cannot be drawn can be reported all the same."""
    from huref_zk.comparison.report import Shown
    from huref_zk.comparison.saved import digest_of
    from huref_zk.errors import InputError
    from huref_zk.invariants.sketch import PUBLIC_SEED
    from huref_zk.proofs.prepare import checkpoint_digest, fingerprint_vector, prepare
    from huref_zk.render import render

    facts: dict[str, int | str] = {}
    digest = ""
    try:
        if side.saved is not None:
            facts, digest = side.saved.facts, digest_of(side.saved)
            if side.saved.v is None:
                return Shown(facts, None, "the saved fingerprint has no vector", digest)
            return Shown(facts, render(side.saved.v, network), digest=digest)
        assert side.model is not None
        with output.progress(f"digest of {side.name}") as progress:
            digest = checkpoint_digest(side.model, NO_SALT, progress).hex()
        with output.progress(f"picture of {side.name}") as progress:
            prepared = prepare(ref, progress=progress, **options)
        facts = prepared.cores.facts
        v = fingerprint_vector(prepared.quantised, prepared.shape, PUBLIC_SEED)
        return Shown(facts, render(v, network), digest=digest)
    except InputError as e:
        return Shown(facts, None, str(e), digest)
