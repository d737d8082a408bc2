"""Commands of a model owner: setup, fingerprint, commit, prove."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from huref_zk.circuit.shape import CircuitShape
from huref_zk.cli.common import Output, check_targets, layers_option, seed_option, with_output
from huref_zk.errors import InputError
from huref_zk.paths import default_cache


def model_options(command):
    """Options that choose the model's tokens and layers, and how it is loaded."""
    for option in reversed(
        (
            click.option("--revision", help="Revision of a hub model (a full commit hash)."),
            click.option("--allow-pickle", is_flag=True, help="Read pickled checkpoints, safely."),
            layers_option("The two layers to use, for example 28,29."),
            click.option(
                "--tokens",
                type=click.Path(path_type=Path),
                help="File of token ids sorted by rising frequency; default: the last learnt.",
            ),
            click.option("--count", default=4096, show_default=True, help="K: how many tokens."),
            click.option(
                "--map",
                "map_file",
                type=click.Path(path_type=Path),
                help="JSON file that says how to read an architecture (docs/families.md).",
            ),
        )
    ):
        command = option(command)
    return command


keys_option = click.option(
    "--keys",
    "cache",
    type=click.Path(path_type=Path),
    default=default_cache,
    help="Folder of derived keys and SRS files.",
)


def _parse_digests(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch("[0-9a-fA-F]{64}", value):
            raise click.BadParameter("a SHA-256 is 64 hex digits")
    return values


trust_option = click.option(
    "--trust-srs",
    "trusted",
    multiple=True,
    callback=_parse_digests,
    metavar="SHA256",
    help="Also accept the SRS file of this digest (docs/srs.md).",
)


def load(output: Output, model: str, **options):
    """Open, canonicalise and quantise ``model`` behind a progress bar."""
    from huref_zk.invariants.prepare import prepare

    with output.progress("reading the model") as progress:
        prepared = prepare(model, progress=progress, **options)
    for warning in prepared.warnings:
        output.say(f"note: {warning}")
    return prepared


@click.command()
@click.argument("model")
@keys_option
@trust_option
@model_options
@with_output
def setup(output: Output, model: str, cache: Path, trusted: tuple[str, ...], **options) -> None:
    """Derive and cache the keys of MODEL's circuit shape (MODEL may be a .hzc or .hzp file)."""
    if Path(model).suffix in (".hzc", ".hzp") and Path(model).is_file():
        from huref_zk.proofs.picture.verify import shape_of_file

        shape = shape_of_file(Path(model))
    else:
        shape = load(output, model, **options).shape
    report_keys(output, shape, cache, trusted)


def report_keys(
    output: Output, shape: CircuitShape, cache: Path, trusted: tuple[str, ...] = ()
) -> None:
    """Derive the keys of ``shape`` unless they are in ``cache``, and say where they are."""
    from huref_zk.circuit import keys
    from huref_zk.srs.trust import find_srs

    with output.progress("structured reference string") as progress:
        srs = find_srs(shape.k, cache, True, progress, trusted)
    found = keys.find_proving(shape, srs.sha256, cache)
    already = found is not None
    if found is None:
        with output.stages("deriving keys") as stage:
            found = keys.derive(shape, srs, cache, stage)
    note = [TEST_SETUP_NOTE] if srs.id.kind == "test" else []
    output.result(
        {
            "shape": shape.name,
            "circuit": shape.digest,
            "srs": {"kind": srs.id.kind, "sha256": srs.id.sha256},
            "vk": found.record.vk,
            "folder": str(found.folder),
            "already": already,
        },
        [f"keys of {shape.name} {'were already' if already else 'are'} in {found.folder}", *note],
    )


TEST_SETUP_NOTE = (
    "NOTE: this is a TEST setup whose secret is public: anybody can forge proofs under it. "
    "For real use put a ceremony file into the key folder first (docs/protocol.md)."
)


@click.command()
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path), help="The picture (PNG).")
@click.option("--vector", type=click.Path(path_type=Path), help="Also write v, as JSON.")
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    help="Also write a saved fingerprint (.hzf), of all layers, for compare and registry.",
)
@click.option("--generator", type=click.Path(path_type=Path), help="A StyleGAN2 generator file.")
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
    **options,
) -> None:
    """Compute MODEL's fingerprint picture, without a proof."""
    import json

    from huref_zk.files.container import write_atomically
    from huref_zk.invariants.prepare import fingerprint_vector
    from huref_zk.render import load_generator, render
    from huref_zk.render.image import write_png

    check_targets(*(path for path in (out, vector, save) if path))
    if not (out or vector or save):
        raise InputError("say what to write: --out, --vector or --save")
    loaded = load_generator(generator) if out or vector else None
    if save:
        _save(output, model, save, seed, **options)
    if loaded is None:
        output.result({"fingerprint": str(save)}, [f"fingerprint of {model}: {save}"])
        return
    prepared = load(output, model, **options)
    v = fingerprint_vector(prepared, seed)
    if out:
        write_png(out, render(v, loaded))
    if vector:
        write_atomically(vector, json.dumps({"v": v, "seed": seed.hex()}).encode() + b"\n")
    data = {
        "image": str(out) if out else None,
        "fingerprint": str(save) if save else None,
        "seed": seed.hex(),
        "generator": loaded.digest,
        "layers": list(prepared.canonical.layer_ids),
        "v": v,
    }
    written = ", ".join(str(path) for path in (out, vector, save) if path)
    output.result(data, [f"fingerprint of {model}: {written}"])


def _save(output: Output, model: str, path: Path, seed: bytes, **options) -> None:
    from huref_zk.comparison.saved import make_fingerprint, write_fingerprint
    from huref_zk.invariants.sketch import PUBLIC_SEED

    if seed != PUBLIC_SEED:
        raise InputError("saved fingerprints compare under the public seed only: drop --seed")
    with output.progress("sketching all layers") as progress:
        write_fingerprint(path, make_fingerprint(model, progress=progress, **options))


@click.command()
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--force", is_flag=True, help="Overwrite an existing secret.key and commitment.")
@keys_option
@trust_option
@model_options
@with_output
def commit(
    output: Output,
    model: str,
    out: Path,
    force: bool,
    cache: Path,
    trusted: tuple[str, ...],
    **options,
) -> None:
    """Commit to MODEL: writes OUT/commitment.hzc (public) and OUT/secret.key (keep it)."""
    from huref_zk.commitment.file import write_commitment
    from huref_zk.commitment.secret import create_secret
    from huref_zk.invariants.prepare import commit_model
    from huref_zk.srs.trust import find_srs

    secret_path, public_path = out / "secret.key", out / "commitment.hzc"
    for path in (secret_path, public_path):
        if path.exists() and not force:
            raise InputError(f"{path} exists; --force overwrites it (the old commitment is lost)")
    check_targets(secret_path, public_path, make_folder=True)
    prepared = load(output, model, **options)
    with output.progress("structured reference string") as progress:
        srs = find_srs(prepared.shape.k, cache, True, progress, trusted)
    secret = os.urandom(32)
    with output.progress("committing") as progress:
        commitment = commit_model(prepared, secret, srs, progress)
    # The key first: a commitment without its key would be useless, a key without one is only a key.
    create_secret(secret_path, secret, force)
    write_commitment(public_path, commitment)
    note = [TEST_SETUP_NOTE] if srs.id.kind == "test" else []
    root = commitment.root_hex
    data = {"root": root, "commitment": str(public_path), "secret": str(secret_path)}
    lines = [f"root {root}", f"public: {public_path}", f"secret: {secret_path} (never share it)"]
    output.result(data, [*lines, *note])


@click.command()
@click.argument("model")
@click.option("--commitment", type=click.Path(path_type=Path), required=True)
@click.option("--secret", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle (.hzp).")
@click.option("--image", type=click.Path(path_type=Path), required=True, help="The picture (PNG).")
@click.option("--generator", type=click.Path(path_type=Path), help="A StyleGAN2 generator file.")
@seed_option
@keys_option
@trust_option
@model_options
@with_output
def prove(
    output: Output,
    model: str,
    commitment: Path,
    secret: Path,
    out: Path,
    image: Path,
    generator: Path | None,
    seed: bytes,
    cache: Path,
    trusted: tuple[str, ...],
    **options,
) -> None:
    """Prove that the picture is the fingerprint of the committed MODEL."""
    from huref_zk.commitment.file import read_commitment
    from huref_zk.commitment.secret import read_secret
    from huref_zk.proofs.picture.file import write_bundle
    from huref_zk.proofs.picture.prove import prove as make_proof
    from huref_zk.render import load_generator
    from huref_zk.render.image import write_png
    from huref_zk.srs.trust import find_srs

    check_targets(out, image)
    committed, key = read_commitment(commitment), read_secret(secret)
    loaded = load_generator(generator)
    prepared = load(output, model, **options)
    srs = find_srs(prepared.shape.k, cache, trusted=trusted)
    with output.stages("proving") as stage:
        bundle, pixels = make_proof(prepared, committed, key, seed, srs, cache, loaded, stage)
    write_png(image, pixels)
    write_bundle(out, bundle)
    data = {"bundle": str(out), "image": str(image), "root": bundle.header["root"]}
    output.result(data, [f"proof: {out}", f"picture: {image}"])
