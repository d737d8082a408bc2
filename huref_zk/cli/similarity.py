"""prove-similarity, a command about a pair of committed models; and verify's part for the `.hzs`
files that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import TEST_SETUP_NOTE, Output, with_output
from huref_zk.cli.options import bounds_options, keys_option, seed_option
from huref_zk.cli.outputs import OWNER, Writes, force_option
from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.proofs.kernel import Policy, Setup
    from huref_zk.proofs.similarity.exact import Range


def parse_bounds(least: float | None, most: float | None) -> Range | None:
    """The range within both bounds, or None if there are none. InputError."""
    from huref_zk.proofs.similarity.exact import ANY, Range, at_least, at_most

    if least is None and most is None:
        return None
    low = ANY.low if least is None else at_least(least).low
    high = ANY.high if most is None else at_most(most).high
    if low > high:
        raise InputError(f"no similarity is at least {least} and at most {most}")
    return Range(low, high)


@click.command("prove-similarity")
@click.argument("first", type=OWNER)
@click.argument("second", type=OWNER)
@click.option("--out", type=Writes(".hzs"), required=True, help="The proof (.hzs).")
@force_option
@bounds_options
@seed_option
@keys_option
@with_output
def prove_similarity(
    output: Output,
    first: Path,
    second: Path,
    out: Path,
    at_least: float | None,
    at_most: float | None,
    seed: bytes,
    cache: Path,
) -> None:
    """Prove how alike two committed models are: the sketched ICS, or only a bound on it.

    FIRST and SECOND are folders that commit made; one of them may be that of a public model. With
    --at-least, --at-most or both the proof shows the bound and nothing else, without them the
    similarity itself. Keys of the pair's circuit are derived where they are missing.
    """
    from huref_zk.circuit import keys as circuit_keys
    from huref_zk.commitment.commit import read_owner
    from huref_zk.proofs.similarity import prove
    from huref_zk.proofs.similarity.file import write_bundle
    from huref_zk.proofs.similarity.verify import pair_of
    from huref_zk.srs.trust import own_srs

    bounds = parse_bounds(at_least, at_most)
    owners = read_owner(first), read_owner(second)
    pair = pair_of((owners[0].commitment, owners[1].commitment))
    srs = own_srs(owners[0].descriptor.srs, cache)
    with output.stages("proving") as stage:
        circuit_keys.derive(pair, srs, cache, stage)
        bundle = prove.prove_similarity(owners, seed, srs, cache, bounds, stage)
    write_bundle(out, bundle)
    test = srs.kind == "test"
    data = {
        "proof": str(out),
        "roots": list(bundle.claim.roots),
        "seed": seed.hex(),
        "test_setup": test,
        **bounds_data(bundle.claim.bounds),
    }
    lines = [f"proof: {out}", f"it shows {bundle.claim.bounds.words}"]
    output.result(data, [*lines, *([TEST_SETUP_NOTE] if test else [])])


def bounds_data(bounds: Range) -> dict[str, Any]:
    """What a proof shows, for --json: words, and the bounds where there are any."""
    from huref_zk.proofs.similarity.shape import CELL_BITS, TOP

    data: dict[str, Any] = {"shown": bounds.words}
    if bounds.low == bounds.high:
        data["similarity"] = bounds.low / (1 << CELL_BITS)
    if bounds.low > -TOP:
        data["at_least"] = bounds.low / (1 << CELL_BITS)
    if bounds.high < TOP:
        data["at_most"] = bounds.high / (1 << CELL_BITS)
    return data


def verify_pair(
    output: Output,
    file: Path,
    expected: tuple[str, ...],
    policy: Policy,
    setup: Setup,
    at_least: float | None,
    at_most: float | None,
    any_bounds: bool,
) -> None:
    """`verify` for a `.hzs` file. What must be proven has to be said: no bound is implied."""
    from huref_zk.cli.verdicts import heard, seed_lines, show
    from huref_zk.proofs.similarity.verify import verify_file

    demanded = parse_bounds(at_least, at_most)
    if (demanded is None) != any_bounds:
        raise InputError(
            "say what must be proven of the similarity: --at-least, --at-most or both; or "
            "--any-bounds, to be told what was"
        )
    if len(expected) != 2:
        raise InputError("a proof of similarity needs --commitment twice, in the proof's order")
    report = verify_file(
        file, (expected[0], expected[1]), setup, demanded, policy, heard=heard(output)
    )
    facts = report.facts
    asked = "no bound was demanded" if demanded is None else f"demanded was {demanded.words}"
    headline = f"the similarity of the two committed models: {facts['shown']} ({asked})"
    lines = [_about(name, facts[name]) for name in ("first", "second")]
    show(output, report, headline, [*lines, *seed_lines(facts)])


def _about(name: str, facts: dict[str, Any]) -> str:
    """One line on one of the models."""
    from huref_zk.cli.verdicts import RECIPES, ranges

    kind = "a public model (recommit shows of which)" if facts["public"] else "a closed model"
    standard = "" if facts["standard"] else "; recipe and tokens are NOT the standard ones"
    recipe = facts["recipe"]
    return (
        f"  {name}: root {facts['root'][:16]}; as its commitment has it, {kind}, recipe "
        f"{recipe} ({RECIPES[recipe]}), layers {ranges(facts['layers'])}{standard}"
    )
