"""Commands of a third party: verify, challenge, inspect."""

from __future__ import annotations

import os
from pathlib import Path

import click

from huref_zk.cli.common import Output, layers_option, seed_option, with_output
from huref_zk.cli.owner import keys_option, trust_option
from huref_zk.cli.similarity import bounds_options, verify_pair
from huref_zk.errors import InputError


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--commitment",
    "expected",
    required=True,
    multiple=True,
    metavar="FILE_OR_ROOT",
    help="What you trust: the owner's commitment.hzc, or its root. Twice for a .hzs file.",
)
@click.option("--image", type=click.Path(path_type=Path), help="The picture (PNG) of a .hzp file.")
@click.option("--generator", type=click.Path(path_type=Path), help="A StyleGAN2 generator file.")
@click.option(
    "--allow-test-setup", is_flag=True, help="Accept a proof under the insecure test SRS."
)
@layers_option("Demand these layers, for example 28,29.")
@click.option("--tokens-digest", help="Demand these token ids, by SHA-256.")
@bounds_options
@seed_option
@keys_option
@trust_option
@with_output
def verify(
    output: Output,
    bundle: Path,
    expected: tuple[str, ...],
    image: Path | None,
    generator: Path | None,
    allow_test_setup: bool,
    layers: tuple[int, ...] | None,
    tokens_digest: str | None,
    at_least: float | None,
    at_most: float | None,
    seed: bytes,
    cache: Path,
    trusted: tuple[str, ...],
) -> None:
    """Check that a picture is the fingerprint of a committed model. Exit code 1 if it is not.

    Or, given a .hzs file, how similar two committed models are.
    """
    from huref_zk.proofs.picture.verify import Policy, verify_file
    from huref_zk.proofs.similarity.file import is_pair_file

    policy = Policy(seed, allow_test_setup, layers, tokens_digest, trusted)
    if is_pair_file(bundle):
        if image or generator:
            raise InputError("a proof of similarity has no picture")
        return verify_pair(output, bundle, expected, policy, at_least, at_most, cache)
    if image is None:
        raise click.UsageError("Missing option '--image'.")
    if len(expected) != 1 or at_least is not None or at_most is not None:
        raise InputError(f"{bundle} is no proof of similarity: one --commitment, and no bounds")
    report = verify_file(
        bundle,
        expected[0],
        image,
        policy,
        cache,
        generator,
        heard=lambda step: output.say(f"  {step.number} {step.name}: {step.detail}"),
    )
    steps = [{"step": s.number, "name": s.name, "detail": s.detail} for s in report.steps]
    note = ["NOTE: it was made under the TEST setup: anybody could have made it"]
    output.result(
        {"valid": True, "test_setup": report.test_setup, "steps": steps},
        [
            "VALID: the picture is the fingerprint of the committed model",
            *(note if report.test_setup else []),
        ],
    )


@click.command()
@with_output
def challenge(output: Output) -> None:
    """Draw a fresh seed. Name it to an owner who has committed; then demand it of the proof.

    The public seed is known to whoever trains a model, so weights can be tuned against it; nobody
    can tune weights that are already committed against a seed that is drawn afterwards.
    """
    seed = os.urandom(32).hex()
    output.result({"seed": seed}, [seed])


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_output
def inspect(output: Output, file: Path) -> None:
    """Show what a file claims, without judging it.

    FILE is a commitment (.hzc), a proof (.hzp, .hzs), a saved fingerprint (.hzf), an opening (.hzo)
    or an inference audit (.hza).
    """
    from huref_zk.cli.shown import describe

    output.result(*describe(file))
