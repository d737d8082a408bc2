"""From a fingerprint vector to its picture, the same bytes on every machine.

v (integers) -> latent z -> StyleGAN2 -> uint8 pixels. Needs numpy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from huref_zk.errors import InputError
from huref_zk.render.config import ARITHMETIC_VERSION, RenderConfig
from huref_zk.render.generator import Generator, load_generator
from huref_zk.render.image import pixels
from huref_zk.render.latent import latent_from_v
from huref_zk.render.stylegan2_numpy import EXACT, synthesise

__all__ = [
    "ARITHMETIC_VERSION",
    "Generator",
    "RenderConfig",
    "load_generator",
    "render",
    "render_latent",
]


def render(
    v: Sequence[int],
    generator: Generator,
    config: RenderConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Picture of the vector ``v`` (z_dim integers below 2^128 in size): uint8 (R, R, 3), exact.

    ``config`` defaults to the generator's own. Raises InputError when v has another length, is all
    zero, or the generator cannot be rendered exactly.
    """
    if len(v) != generator.z_dim:
        raise InputError(f"the generator draws {generator.z_dim} numbers; the vector has {len(v)}")
    return render_latent(latent_from_v(v), generator, config, progress)


def render_latent(
    z: np.ndarray,
    generator: Generator,
    config: RenderConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Picture of the latent ``z`` (float64, (z_dim,)): uint8 (R, R, 3), exact."""
    return pixels(synthesise(generator, z, config or generator.default_config, EXACT, progress))
