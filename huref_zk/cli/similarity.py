"""Commands about a pair of committed models: setup-similarity, prove-similarity; and verify's part
for the `.hzs` files that they make."""

from __future__ import annotations

from pathlib import Path

import click

from huref_zk.cli.common import Output, check_targets, seed_option, with_output
from huref_zk.cli.owner import keys_option, report_keys, trust_option
from huref_zk.errors import InputError


def bounds_options(command):
    """--at-least and --at-most, numbers from -1 to 1."""
    for option in (
        click.option("--at-most", type=float, help="A bound on the similarity, from above."),
        click.option("--at-least", type=float, help="A bound on the similarity, from below."),
    ):
        command = option(command)
    return command


def parse_bounds(least: float | None, most: float | None):
    """The range within both bounds, or None if there are none. InputError."""
    from huref_zk.proofs.similarity.exact import Range, at_least, at_most

    if least is None and most is None:
        return None
    low = None if least is None else at_least(least)
    high = None if most is None else at_most(most)
    if low is None or high is None:
        return low or high
    if low.low > high.high:
        raise InputError(f"no similarity is at least {least} and at most {most}")
    return Range(low.low, high.high)


@click.command("setup-similarity")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@keys_option
@trust_option
@with_output
def setup_similarity(
    output: Output, files: tuple[Path, ...], cache: Path, trusted: tuple[str, ...]
) -> None:
    """Derive and cache the keys of a pair's circuit. FILES: two .hzc files, or one .hzs file."""
    from huref_zk.commitment.file import parse_commitment, read_commitment
    from huref_zk.proofs.similarity.file import read_bundle
    from huref_zk.proofs.similarity.verify import pair_of

    if len(files) == 1:
        first, second = (parse_commitment(data) for data in read_bundle(files[0]).commitments)
    elif len(files) == 2:
        first, second = (read_commitment(file) for file in files)
    else:
        raise InputError("name two commitments (.hzc), or one proof of similarity (.hzs)")
    report_keys(output, pair_of((first, second)), cache, trusted)


@click.command("prove-similarity")
@click.argument("models", nargs=2)
@click.option(
    "--commitment",
    "commitments",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Give it twice: the first model's commitment.hzc, then the second's.",
)
@click.option(
    "--secret",
    "secrets",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Give it twice: the first model's secret.key, then the second's.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The proof (.hzs).")
@bounds_options
@click.option("--revision", help="Revision of hub models (a full commit hash).")
@click.option("--allow-pickle", is_flag=True, help="Read pickled checkpoints, safely.")
@click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    help="The file of token ids that both were committed with; default: the last learnt.",
)
@click.option(
    "--map",
    "map_file",
    type=click.Path(path_type=Path),
    help="JSON file that says how to read an architecture (docs/families.md).",
)
@seed_option
@keys_option
@trust_option
@with_output
def prove_similarity(
    output: Output,
    models: tuple[str, str],
    commitments: tuple[Path, ...],
    secrets: tuple[Path, ...],
    out: Path,
    at_least: float | None,
    at_most: float | None,
    seed: bytes,
    cache: Path,
    trusted: tuple[str, ...],
    **options,
) -> None:
    """Prove how similar two committed MODELS are: the sketched ICS, or only a bound on it.

    Layers and the number of tokens are those of the commitments.
    """
    from huref_zk.cli.owner import load
    from huref_zk.commitment.file import read_commitment
    from huref_zk.commitment.secret import read_secret
    from huref_zk.proofs.similarity.file import write_bundle
    from huref_zk.proofs.similarity.prove import Member
    from huref_zk.proofs.similarity.prove import prove_similarity as make_proof
    from huref_zk.proofs.similarity.verify import pair_of
    from huref_zk.srs.trust import find_srs

    check_targets(out)
    bounds = parse_bounds(at_least, at_most)
    if len(commitments) != 2 or len(secrets) != 2:
        raise InputError("give --commitment and --secret twice, in the models' order")
    keys = [read_secret(path) for path in secrets]
    first, second = (read_commitment(path) for path in commitments)
    pair = pair_of((first, second))
    members = []
    for model, committed, key in zip(models, (first, second), keys, strict=True):
        d = committed.descriptor
        chosen = {"layers": tuple(d["layers"]), "count": d["tokens"]["count"]}
        members.append(Member(load(output, model, **chosen, **options), committed, key))
    srs = find_srs(pair.k, cache, trusted=trusted)
    with output.stages("proving") as stage:
        bundle = make_proof((members[0], members[1]), seed, srs, cache, bounds, stage)
    write_bundle(out, bundle)
    data = {
        "proof": str(out),
        "roots": [first.root_hex, second.root_hex],
        "seed": seed.hex(),
        **bounds_data(bundle.bounds),
    }
    output.result(data, [f"proof: {out}", f"it shows {bundle.bounds.words}"])


def bounds_data(bounds) -> dict:
    """What a proof shows, for --json: words, and the bounds where there are any."""
    from huref_zk.proofs.similarity.shape import CELL_BITS, TOP

    data = {"shown": bounds.words}
    if bounds.low == bounds.high:
        data["similarity"] = bounds.low / (1 << CELL_BITS)
    if bounds.low > -TOP:
        data["at_least"] = bounds.low / (1 << CELL_BITS)
    if bounds.high < TOP:
        data["at_most"] = bounds.high / (1 << CELL_BITS)
    return data


def verify_pair(
    output: Output, bundle: Path, expected: tuple[str, ...], policy, least, most, cache: Path
) -> None:
    """`verify` for a `.hzs` file; policy: a verify.Policy for either model."""
    from huref_zk.proofs.similarity.verify import PairPolicy, verify_file

    if len(expected) != 2:
        raise InputError("a proof of similarity needs --commitment twice, in the proof's order")
    report, bounds = verify_file(
        bundle,
        (expected[0], expected[1]),
        PairPolicy(policy, parse_bounds(least, most)),
        cache,
        heard=lambda step: output.say(f"  {step.number} {step.name}: {step.detail}"),
    )
    steps = [{"step": s.number, "name": s.name, "detail": s.detail} for s in report.steps]
    note = ["NOTE: it was made under the TEST setup: anybody could have made it"]
    output.result(
        {"valid": True, "test_setup": report.test_setup, "steps": steps, **bounds_data(bounds)},
        [
            f"VALID: the similarity s of the two committed models: {bounds.words}",
            *(note if report.test_setup else []),
        ],
    )
