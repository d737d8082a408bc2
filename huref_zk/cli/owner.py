"""Commands of a model owner: fingerprint, commit, prove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import TEST_SETUP_NOTE, Output, with_output
from huref_zk.cli.options import (
    generator_option,
    keys_option,
    model_argument,
    model_options,
    owner_argument,
    parse_layers,
    seed_option,
    trust_option,
)
from huref_zk.cli.outputs import OUT, PICTURE, Writes, force_option
from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.commitment.file import Commitment

READING = ("revision", "allow_pickle", "map_file")


@click.command()
@model_argument
@click.option("--out", type=PICTURE, help="The picture (PNG).")
@click.option("--vector", type=OUT, help="Also write v, as JSON.")
@click.option(
    "--save",
    type=Writes(".hzf"),
    help="Also write a saved fingerprint (.hzf), of all layers, for compare and registry.",
)
@force_option
@generator_option
@seed_option
@model_options
@with_output
def fingerprint(
    output: Output,
    model: str,
    out: Path | None,
    vector: Path | None,
    save: Path | None,
    generator: Path | None,
    seed: bytes,
    **options: Any,
) -> None:
    """Compute MODEL's fingerprint picture, without a proof."""
    from huref_zk import api
    from huref_zk.files.writing import write_together
    from huref_zk.proofs.kernel import facts_of_seed
    from huref_zk.render.image import png_bytes

    if not (out or vector or save):
        raise InputError("say what to write: --out, --vector or --save")
    if save:
        _save(output, model, save, seed, {name: options[name] for name in READING})
    if not (out or vector):
        output.result({"fingerprint": str(save)}, [f"fingerprint of {model}: {save}"])
        return
    with output.tasks("fingerprint") as progress:
        found = api.fingerprint(model, seed=seed, generator=generator, progress=progress, **options)
    for warning in found.warnings:
        output.say(f"note: {warning}")
    files = {}
    if out:
        files[out] = png_bytes(found.pixels)
    if vector:
        files[vector] = json.dumps({"v": found.v, "seed": seed.hex()}).encode() + b"\n"
    write_together(files)
    data = {
        "image": str(out) if out else None,
        "fingerprint": str(save) if save else None,
        "seed": facts_of_seed(seed),
        "generator": found.generator,
        "recipe": found.recipe,
        "layers": list(found.layers),
        "v": list(found.v),
        "warnings": list(found.warnings),
    }
    written = ", ".join(str(path) for path in (out, vector, save) if path)
    output.result(data, [f"fingerprint of {model}: {written}"])


def _save(output: Output, model: str, path: Path, seed: bytes, reading: dict[str, Any]) -> None:
    from huref_zk.comparison.saved import make_fingerprint, write_fingerprint
    from huref_zk.invariants.sketch import PUBLIC_SEED

    if seed != PUBLIC_SEED:
        raise InputError("saved fingerprints compare under the public seed only: drop --seed")
    with output.progress("sketching all layers") as progress:
        write_fingerprint(path, make_fingerprint(model, progress=progress, **reading))


@click.command()
@model_argument
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The owner's folder.")
@click.option(
    "--audit-layers",
    callback=parse_layers,
    help="Also commit to these layers' own matrices, so that inference can be audited: 28,29.",
)
@click.option("--audit-output", is_flag=True, help="Also commit to the tokens' output rows.")
@click.option(
    "--public",
    is_flag=True,
    help="Commit without a secret: everybody gets the same root.",
)
@click.option(
    "--force", is_flag=True, help="Replace the commitment in the folder, under the secret there."
)
@keys_option
@trust_option
@model_options
@with_output
def commit(
    output: Output,
    model: str,
    out: Path,
    audit_layers: tuple[int, ...] | None,
    audit_output: bool,
    public: bool,
    force: bool,
    cache: Path,
    trusted: tuple[str, ...],
    **options: Any,
) -> None:
    """Commit to MODEL: writes the owner's folder, from which everything is proven.

    commitment.hzc is public; secret.key and witness.hzw are not. An interrupted commit goes on
    where it stopped when it is called again with the same --out.
    """
    from huref_zk.proofs import folder

    folder.check_folder(out, public=public, force=force)
    request = folder.Request(
        model,
        {name: options.pop(name) for name in READING},
        options,
        audit_layers or (),
        audit_output,
        public,
    )
    warnings: list[str] = []
    with output.tasks("committing") as stage:
        made = folder.commit_to_folder(
            request, out, cache, trusted, force=force, stage=stage, warned=warnings.append
        )
    for warning in warnings:
        output.say(f"note: {warning}")
    _report_commitment(output, out, made, warnings)


def _report_commitment(output: Output, out: Path, made: Commitment, warnings: list[str]) -> None:
    """Say what `commit` wrote."""
    from huref_zk.proofs.kernel import facts_of

    root, srs = made.root_hex, made.descriptor.srs
    secret = None if made.descriptor.public else out / "secret.key"
    data = {
        **facts_of(made.descriptor),
        "root": root,
        "folder": str(out),
        "commitment": str(out / "commitment.hzc"),
        "secret": None if secret is None else str(secret),
        "witness": str(out / "witness.hzw"),
        "srs": {"kind": srs.kind, "k": srs.k, "sha256": srs.sha256},
        "test_setup": srs.kind == "test",
        "warnings": warnings,
    }
    lines = [f"root {root}", f"public: {out / 'commitment.hzc'}"]
    if secret is not None:
        lines.append(f"private: {secret}, {out / 'witness.hzw'} (keep both, share neither)")
    output.result(data, [*lines, *([TEST_SETUP_NOTE] if srs.kind == "test" else [])])


@click.command()
@owner_argument
@click.option("--out", type=Writes(".hzp"), required=True, help="The proof (.hzp).")
@click.option("--image", type=PICTURE, required=True, help="The picture (PNG).")
@force_option
@generator_option
@seed_option
@keys_option
@with_output
def prove(
    output: Output,
    owner: Path,
    out: Path,
    image: Path,
    generator: Path | None,
    seed: bytes,
    cache: Path,
) -> None:
    """Prove the picture of what FOLDER, made by commit, committed to."""
    from huref_zk import api
    from huref_zk.proofs.kernel import facts_of_seed

    with output.stages("proving") as stage:
        made = api.prove(owner, out, image, seed=seed, generator=generator, keys=cache, stage=stage)
    data = {
        **made.facts,
        "bundle": str(out),
        "image": {"file": str(image), "digest": made.image},
        "root": made.root,
        "seed": facts_of_seed(seed),
        "test_setup": made.test_setup,
    }
    note = [TEST_SETUP_NOTE] if made.test_setup else []
    output.result(data, [f"proof: {out}", f"picture: {image}", *note])
