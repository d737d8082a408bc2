"""`huref-zk demo`: the whole chain on the embedded family, from weights to a refused forgery."""

from __future__ import annotations

import os
from pathlib import Path

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.owner import TEST_SETUP_NOTE, keys_option, load
from huref_zk.errors import HurefError, NotValid

MODELS = ("demo-base", "demo-child", "demo-stranger")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True)
@keys_option
@with_output
def demo(output: Output, out: Path, cache: Path) -> None:
    """Fingerprint three tiny models, prove one, verify it, and show a forgery being refused."""
    from huref_zk.circuit import keys
    from huref_zk.commitment.file import write_commitment
    from huref_zk.commitment.secret import create_secret
    from huref_zk.invariants.prepare import commit_model, fingerprint_vector, sketch_of
    from huref_zk.invariants.sketch import PUBLIC_SEED, ics
    from huref_zk.proofs.picture.file import write_bundle
    from huref_zk.proofs.picture.prove import prove
    from huref_zk.proofs.picture.verify import Policy, verify_file
    from huref_zk.render import load_generator, render
    from huref_zk.render.image import contact_sheet, write_png
    from huref_zk.srs.trust import find_srs

    out.mkdir(parents=True, exist_ok=True)
    generator = load_generator(None)
    prepared = [load(output, name) for name in MODELS]
    vectors = [fingerprint_vector(p, PUBLIC_SEED) for p in prepared]
    sketches = [sketch_of(p, PUBLIC_SEED) for p in prepared]
    similarity = [ics(sketches[0], s) for s in sketches]
    pictures = [render(v, generator) for v in vectors]
    for name, picture in zip(MODELS, pictures, strict=True):
        write_png(out / f"{name}.png", picture)
    labels = [f"{n[5:]} (ICS {s:.3f})" for n, s in zip(MODELS, similarity, strict=True)]
    write_png(out / "sheet.png", contact_sheet(pictures, labels, 3))
    output.say(f"pictures of {', '.join(MODELS)}: {out / 'sheet.png'}")

    base = prepared[0]
    with output.progress("test SRS") as progress:
        srs = find_srs(base.shape.k, cache, make_test=True, progress=progress)
    with output.stages("deriving keys") as stage:
        keys.derive(base.shape, srs, cache, stage)
    secret = os.urandom(32)
    with output.progress("committing to demo-base") as progress:
        commitment = commit_model(base, secret, srs, progress)
    create_secret(out / "secret.key", secret, force=True)
    write_commitment(out / "commitment.hzc", commitment)
    with output.stages("proving") as stage:
        bundle, picture = prove(
            base, commitment, secret, PUBLIC_SEED, srs, cache, generator, stage=stage
        )
    write_png(out / "fp.png", picture)
    write_bundle(out / "fp.hzp", bundle)

    policy = Policy(allow_test_setup=True)
    root = commitment.root_hex
    with output.progress("verifying"):
        report = verify_file(out / "fp.hzp", root, out / "fp.png", policy, cache)
    for step in report.steps:
        output.say(f"  {step.number} {step.name}: {step.detail}")
    tampered = picture.copy()
    tampered[0, 0, 0] ^= 1
    write_png(out / "tampered.png", tampered)
    try:
        verify_file(out / "fp.hzp", root, out / "tampered.png", policy, cache)
    except NotValid as e:
        refusal = str(e)
    else:
        raise HurefError("a picture with one changed pixel was accepted; please report this")
    data = {
        "root": root,
        "ics": dict(zip(MODELS, similarity, strict=True)),
        "bundle": str(out / "fp.hzp"),
        "image": str(out / "fp.png"),
        "sheet": str(out / "sheet.png"),
        "verified": True,
        "tampered_refused": refusal,
    }
    lines = [
        f"verified: {out / 'fp.png'} is the fingerprint of the model committed to in root {root}",
        f"one pixel changed: refused ({refusal})",
        f"look at {out / 'sheet.png'}; files are in {out}",
        TEST_SETUP_NOTE,
    ]
    output.result(data, lines)
