"""Commands of a third party: verify, challenge, inspect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.options import (
    bounds_options,
    commitment_option,
    generator_option,
    nonce_option,
    policy_options,
    prompt_options,
    reading_options,
    sample_option,
    setup_options,
    tokens_option,
)
from huref_zk.cli.outputs import IN, REFERENCE
from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.proofs.kernel import Policy, Setup

# What belongs to one kind of file only, by the parameter's name.
_OPTIONS = {
    "BUNDLE": ("image", "generator"),
    "SIMILARITY": ("at_least", "at_most", "any_bounds"),
    "OPENING": ("sample", "nonce", "model", "tokens", "revision", "allow_pickle", "map_file"),
    "AUDIT": (
        *("nonce", "prompt", "prompt_ids", "tokenizer", "positions", "all_positions", "logits"),
    ),
}


def _list_steps(ctx: click.Context, param: click.Parameter, kind: str | None) -> None:
    from huref_zk.proofs.kernel import STEPS

    if kind is None:
        return
    steps = [
        {"step": number, "name": name, "holds": holds}
        for number, (name, holds) in enumerate(STEPS[kind])
    ]
    lines = [f"{s['step']} {s['name']}: {s['holds']}" for s in steps]
    Output(bool(ctx.meta.get("json")), False).result({"kind": kind, "steps": steps}, lines)
    ctx.exit()


@click.command()
@click.argument("file", type=IN)
@commitment_option(
    multiple=True,
    required=True,
    help="What you trust: the owner's commitment.hzc, or its root. Twice for a .hzs file.",
)
@click.option("--image", type=IN, help="The published picture (PNG) that a .hzp file is to prove.")
@generator_option
@bounds_options
@click.option(
    "--any-bounds", is_flag=True, help="Demand no bound of a .hzs file; be told what it shows."
)
@sample_option
@nonce_option()
@click.option("--model", type=REFERENCE, help="Demand an opening's rows to be this model's.")
@tokens_option
@reading_options
@prompt_options
@click.option("--tokenizer", type=IN, help="Your own tokenizer.json, for --prompt.")
@click.option("--logits", type=IN, help="What a service said, to be compared with an audit.")
@policy_options
@setup_options
@click.option(
    "--steps",
    type=click.Choice(("picture", "similarity", "opening", "inference")),
    is_eager=True,
    expose_value=False,
    callback=_list_steps,
    help="Only list the steps of this kind of verification.",
)
@with_output
def verify(
    output: Output,
    file: Path,
    expected: tuple[str, ...],
    policy: Policy,
    setup: Setup,
    **demands: Any,
) -> None:
    """Verify FILE, whatever it is. Exit code 1 if it does not hold.

    FILE is the proof of a picture (.hzp), a proof of similarity of two models (.hzs), an opening of
    rows (.hzo) or an audit of an inference (.hza). The program looks at its first bytes, not at its
    name.
    """
    from huref_zk.files import formats
    from huref_zk.files.container import read_start

    if not file.exists():
        raise InputError(f"{file} is missing")
    kind = formats.format_of(read_start(file, 8))
    known = next((name for name in _OPTIONS if getattr(formats, name) is kind), None)
    if known is None:
        raise InputError(f"{file}: there is nothing to verify in a {kind.name}")
    for name, value in demands.items():
        if name not in _OPTIONS[known] and value not in (None, False):
            option = "map" if name == "map_file" else name.replace("_", "-")
            raise InputError(f"--{option} says nothing about a {kind.name}")
    given = {name: demands[name] for name in _OPTIONS[known]}
    count = 2 if known == "SIMILARITY" else 1
    if len(expected) != count:
        times = "twice, in the file's order" if count == 2 else "once"
        raise InputError(f"a {kind.name} needs --commitment {times}")
    _HANDLERS[known](output, file, expected, policy, setup, **given)


def _verify_picture(
    output: Output,
    file: Path,
    expected: tuple[str, ...],
    policy: Policy,
    setup: Setup,
    image: Path | None,
    generator: Path | None,
) -> None:
    from huref_zk.cli.verdicts import about, heard, show
    from huref_zk.proofs.picture.verify import verify_file

    report = verify_file(file, expected[0], setup, policy, image, generator, heard(output))
    drawn = report.facts["image"]["digest"]
    headline = (
        f"the proof holds; its vector draws a picture of digest {drawn} (none was given to compare)"
        if image is None
        else f"{image} is the picture of what is committed to under the expected root"
    )
    show(output, report, headline, about(report.facts))


def _verify_pair(*arguments: Any, **demands: Any) -> None:
    from huref_zk.cli.similarity import verify_pair

    verify_pair(*arguments, **demands)


def _verify_opening(*arguments: Any, **demands: Any) -> None:
    from huref_zk.cli.opening import verify_opening

    verify_opening(*arguments, **demands)


def _verify_audit(*arguments: Any, **demands: Any) -> None:
    from huref_zk.cli.audit import verify_audit

    verify_audit(*arguments, **demands)


_HANDLERS = {
    "BUNDLE": _verify_picture,
    "SIMILARITY": _verify_pair,
    "OPENING": _verify_opening,
    "AUDIT": _verify_audit,
}


@click.command()
@with_output
def challenge(output: Output) -> None:
    """Draw a fresh seed. Name it to an owner who has committed; then demand it of the proof.

    The public seed is known to whoever trains a model, so weights can be tuned against it; nobody
    can tune weights that are already committed against a seed that is drawn afterwards.
    """
    seed = os.urandom(32).hex()
    if output.quiet and not output.json:
        click.echo(seed)  # it is the result, and all that there is to say
    output.result({"seed": seed}, [seed])


@click.command()
@click.argument("file", type=IN)
@with_output
def inspect(output: Output, file: Path) -> None:
    """Show what a file claims, without judging it.

    FILE is a commitment (.hzc), a proof (.hzp, .hzs), an opening (.hzo), an audit (.hza), a saved
    fingerprint (.hzf) or an owner's witness (.hzw), of which only the descriptor is shown.
    """
    from huref_zk.cli.shown import describe

    output.result(*describe(file))
