"""`huref-zk demo`: the whole chain on the embedded family, from weights to a refused forgery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import TEST_SETUP_NOTE, Output, with_output
from huref_zk.cli.options import keys_option
from huref_zk.cli.outputs import check_outputs
from huref_zk.errors import HurefError, NotValid

if TYPE_CHECKING:
    import numpy as np

    from huref_zk.proofs.kernel import Setup

MODELS = ("demo-base", "demo-child", "demo-stranger")
FILES = ("fp.hzp", "fp.png", "tampered.png", "sheet.png", *(f"{name}.png" for name in MODELS))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True)
@keys_option
@with_output
def demo(output: Output, out: Path, cache: Path) -> None:
    """Fingerprint three tiny models, prove one, verify it, and show a forgery being refused.

    Writes to a folder of its own, whose files are replaced.
    """
    from huref_zk import api
    from huref_zk.proofs.kernel import Setup

    check_outputs([out / name for name in FILES], force=True, make_folders=True)
    owner, bundle, image = out / "owner", out / "fp.hzp", out / "fp.png"
    similarity = _pictures(output, out)
    with output.tasks("committing to demo-base") as progress:
        commitment = api.commit("demo-base", owner, force=True, keys=cache, progress=progress)
    root = commitment.root_hex
    with output.stages("proving") as stage:
        made = api.prove(owner, bundle, image, derive=True, keys=cache, stage=stage)
    setup = Setup(cache, allow_test=True)
    report = api.verify(bundle, root, image=image, setup=setup)
    for step in report.steps:
        output.say(f"  {step.number} {step.name}: {step.detail}")
    refusal = _refused(bundle, root, made.pixels, out / "tampered.png", setup)
    data: dict[str, Any] = {
        "root": root,
        "ics": similarity,
        "bundle": str(bundle),
        "image": str(image),
        "sheet": str(out / "sheet.png"),
        "verified": True,
        "tampered_refused": refusal,
        "test_setup": made.test_setup,
    }
    lines = [
        f"verified: {image} is the picture of what is committed to under root {root}",
        f"one pixel changed: refused ({refusal})",
        f"look at {out / 'sheet.png'}; files are in {out}",
    ]
    output.result(data, [*lines, *([TEST_SETUP_NOTE] if made.test_setup else [])])


def _pictures(output: Output, out: Path) -> dict[str, float]:
    """Draw the three models and the sheet; the ICS of each to the first."""
    from huref_zk import api
    from huref_zk.invariants.sketch import PUBLIC_SEED, ics
    from huref_zk.proofs.prepare import fingerprint_vector, sketch_of
    from huref_zk.render import load_generator, render
    from huref_zk.render.image import contact_sheet, write_png

    generator = load_generator(None)
    pictures, sketches = [], []
    for name in MODELS:
        with output.tasks(name) as progress:
            prepared = api.prepare(name, progress=progress)
            v = fingerprint_vector(prepared.quantised, prepared.shape, PUBLIC_SEED)
            progress("drawing", 0, 0)
            pictures.append(render(v, generator))
        sketches.append(sketch_of(prepared, PUBLIC_SEED))
        write_png(out / f"{name}.png", pictures[-1])
    similarity = {n: ics(sketches[0], s) for n, s in zip(MODELS, sketches, strict=True)}
    labels = [f"{name[5:]} (ICS {value:.3f})" for name, value in similarity.items()]
    write_png(out / "sheet.png", contact_sheet(pictures, labels, len(MODELS)))
    output.say(f"pictures of {', '.join(MODELS)}: {out / 'sheet.png'}")
    return similarity


def _refused(bundle: Path, root: str, pixels: np.ndarray, path: Path, setup: Setup) -> str:
    """Change one pixel of the picture; what the verifier has against it."""
    from huref_zk import api
    from huref_zk.render.image import write_png

    tampered = pixels.copy()
    tampered[0, 0, 0] ^= 1
    write_png(path, tampered)
    try:
        api.verify(bundle, root, image=path, setup=setup)
    except NotValid as e:
        return str(e)
    raise HurefError("a picture with one changed pixel was accepted; please report this")
