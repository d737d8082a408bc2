"""Commands on pictures: render, sheet. Neither needs a model, a key or a proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.options import generator_option
from huref_zk.cli.outputs import IN, PICTURE, REFERENCE, force_option
from huref_zk.errors import InputError
from huref_zk.files.container import load_json
from huref_zk.render import Generator, RenderConfig, load_generator
from huref_zk.render import render as render_vector
from huref_zk.render.image import contact_sheet, read_png, write_png

MAX_VECTOR_BYTES = 1 << 20


@click.command()
@click.argument("vector", type=REFERENCE)
@click.option("--out", type=PICTURE, required=True, help="The PNG to write.")
@force_option
@generator_option
@click.option("--psi", type=click.IntRange(0, 100), help="Truncation psi in percent.")
@click.option("--cutoff", type=click.IntRange(0, 64), help="How many w's are truncated.")
@with_output
def render(
    output: Output,
    vector: str,
    out: Path,
    generator: Path | None,
    psi: int | None,
    cutoff: int | None,
) -> None:
    """Draw VECTOR: a JSON list of integers, or a JSON object with the list under "v"; '-' is stdin.

    The embedded generator draws with psi 100; another one with HuRef's psi 50, cutoff 8.
    """
    network = load_generator(generator)
    chosen = network.default_config
    if psi is not None or cutoff is not None:
        chosen = RenderConfig(chosen.psi_percent if psi is None else psi, cutoff)
    with output.progress("rendering") as progress:
        image = render_vector(read_vector(vector), network, chosen, progress)
    write_png(out, image)
    data: dict[str, Any] = {"image": str(out), "generator": network.digest, **chosen.describe()}
    side = network.resolution
    output.result(data, [f"{out}: {side} x {side}, generator {network.digest[:16]}"])


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=IN)
@click.option("--out", type=PICTURE, required=True, help="The PNG to write.")
@force_option
@click.option("--columns", type=click.IntRange(1, 64), help="Pictures in a row.")
@generator_option
@with_output
def sheet(
    output: Output,
    pictures: tuple[Path, ...],
    out: Path,
    columns: int | None,
    generator: Path | None,
) -> None:
    """Put PICTURES (PNGs, or vectors to draw) on one sheet, each above its file name."""
    images: list[np.ndarray] = []
    network: Generator | None = None
    with output.progress("drawing the sheet") as progress:
        for i, picture in enumerate(pictures):
            progress(i, len(pictures))
            if picture.suffix.lower() == ".png":
                images.append(read_png(picture))
            else:
                network = network or load_generator(generator)
                images.append(render_vector(read_vector(str(picture)), network))
        combined = contact_sheet(images, [picture.stem for picture in pictures], columns)
    write_png(out, combined)
    height, width = combined.shape[:2]
    data = {"image": str(out), "pictures": len(images), "width": width, "height": height}
    output.result(data, [f"{out}: {len(images)} pictures, {width} x {height}"])


def read_vector(source: str) -> list[int]:
    """The integers of a vector file, '-' for stdin. Raises InputError; ``render`` checks ranges."""
    try:
        with click.open_file(source, "rb") as f:
            data = f.read(MAX_VECTOR_BYTES + 1)
    except OSError as e:
        raise InputError(f"cannot read {source}: {e.strerror}") from None
    if len(data) > MAX_VECTOR_BYTES:
        raise InputError(f"{source}: over {MAX_VECTOR_BYTES} bytes, so not a vector")
    try:
        value = load_json(data)
    except ValueError:
        raise InputError(f"{source}: not JSON") from None
    vector = value.get("v") if isinstance(value, dict) else value
    if not isinstance(vector, list) or not all(type(x) is int for x in vector):
        raise InputError(f'{source}: neither a list of integers nor an object with one under "v"')
    return vector
