"""Commands of a third party: verify, inspect."""

from __future__ import annotations

from pathlib import Path

import click

from huref_zk.cli.common import Output, layers_option, seed_option, with_output
from huref_zk.cli.owner import keys_option


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--commitment",
    "expected",
    required=True,
    metavar="FILE_OR_ROOT",
    help="What you trust: the owner's commitment.hzc, or its root.",
)
@click.option("--image", type=click.Path(path_type=Path), required=True, help="The picture (PNG).")
@click.option("--generator", type=click.Path(path_type=Path), help="A StyleGAN2 generator file.")
@click.option(
    "--allow-test-setup", is_flag=True, help="Accept a proof under the insecure test SRS."
)
@layers_option("Demand these layers, for example 28,29.")
@click.option("--tokens-digest", help="Demand these token ids, by SHA-256.")
@seed_option
@keys_option
@with_output
def verify(
    output: Output,
    bundle: Path,
    expected: str,
    image: Path,
    generator: Path | None,
    allow_test_setup: bool,
    layers: tuple[int, ...] | None,
    tokens_digest: str | None,
    seed: bytes,
    cache: Path,
) -> None:
    """Check that a picture is the fingerprint of a committed model. Exit code 1 if it is not."""
    from huref_zk.verify import Policy, verify_file

    policy = Policy(seed, allow_test_setup, layers, tokens_digest)
    report = verify_file(
        bundle,
        expected,
        image,
        policy,
        cache,
        generator,
        heard=lambda step: output.say(f"  {step.number} {step.name}: {step.detail}"),
    )
    steps = [{"step": s.number, "name": s.name, "detail": s.detail} for s in report.steps]
    warning = (
        []
        if not allow_test_setup
        else ["accepted under --allow-test-setup, if a test setup it was"]
    )
    output.result(
        {"valid": True, "steps": steps},
        ["VALID: the picture is the fingerprint of the committed model", *warning],
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_output
def inspect(output: Output, file: Path) -> None:
    """Show what a commitment (.hzc) or bundle (.hzp) claims, without judging it."""
    from huref_zk.bundle import MAGIC, MAX_BYTES, parse_bundle
    from huref_zk.commit.commitment import parse_commitment
    from huref_zk.container import read_bounded

    data = read_bounded(file, MAX_BYTES)
    claims: dict = {}
    if data[:7] == MAGIC[:7]:
        bundle = parse_bundle(data)
        claims = {"kind": "proof bundle", "bundle": bundle.header}
        data = bundle.commitment
    else:
        claims = {"kind": "commitment"}
    commitment = parse_commitment(data)
    claims |= {"commitment": commitment.descriptor, "recomputed_root": commitment.root_hex}
    lines = [f"{file}: a {claims['kind']}. Nothing below has been verified."]
    lines += [f"root: {commitment.root_hex}"]
    for title in ("commitment", "bundle"):
        for key, value in sorted(claims.get(title, {}).items()):
            lines.append(f"{title} {key}: {value}")
    output.result(claims, lines)
