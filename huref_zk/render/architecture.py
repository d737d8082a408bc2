"""The StyleGAN2 generator as a list of layers: what runs, in which order, on which parameters.

Both back ends walk this one list. It is the skip architecture of StyleGAN2-ada (Karras et al.,
arXiv 2006.06676; weight demodulation and skip outputs from arXiv 1912.04958, sections 2.2 and 4.1):
a mapping network of fully connected layers, then one block per resolution 4, 8, ..., R with an
upsampling convolution (absent at 4), a convolution, and a 1 x 1 convolution to RGB that is added to
the upsampled picture of the blocks before. Parameter names are those of a ``G_ema`` state dict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# What a generator may look like; anything larger is refused before memory is spent on it.
MAX_RESOLUTION = 1024
MAX_WIDTH = 1024  # channels, z and w dimensions
MAX_MAPPING_LAYERS = 16
IMAGE_CHANNELS = 3

# Constants of the arithmetic, shared by both back ends.
LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2.0)
EPSILON = 1e-8  # inside the square roots of normalisation and demodulation
FIR = (1.0, 3.0, 3.0, 1.0)  # the one resampling filter StyleGAN2 uses, per axis, sum 8


@dataclass(frozen=True)
class Layer:
    """One synthesis layer.

    ``name`` prefixes its parameters, ``w_index`` says which of the num_ws copies of w it reads,
    ``resolution`` is that of its output, and ``kind`` is ``conv`` (3 x 3, demodulated, noise,
    leaky ReLU) or ``rgb`` (1 x 1, not demodulated, linear). ``up`` doubles the resolution first.
    """

    name: str
    kind: str
    up: bool
    w_index: int
    resolution: int
    c_in: int
    c_out: int


def resolutions(resolution: int) -> list[int]:
    """[4, 8, ..., resolution]."""
    return [2**k for k in range(2, resolution.bit_length())]


def synthesis_layers(channels: tuple[int, ...]) -> list[Layer]:
    """Layers in the order they run; ``channels[k]`` is the width at resolution 2**(k+2)."""
    layers: list[Layer] = []
    w_index = 0
    for k, width in enumerate(channels):
        res = 2 ** (k + 2)
        block = f"synthesis.b{res}"
        if k > 0:
            before = channels[k - 1]
            layers.append(Layer(f"{block}.conv0", "conv", True, w_index, res, before, width))
            w_index += 1
        layers.append(Layer(f"{block}.conv1", "conv", False, w_index, res, width, width))
        w_index += 1
        # The RGB layer shares its w with the first convolution of the next block.
        layers.append(Layer(f"{block}.torgb", "rgb", False, w_index, res, width, IMAGE_CHANNELS))
    return layers


def num_ws(resolution: int) -> int:
    """How many copies of w the synthesis network reads: 2 log2(resolution) - 2."""
    return 2 * (resolution.bit_length() - 1) - 2


def parameter_shapes(
    z_dim: int, w_dim: int, mapping_layers: int, channels: tuple[int, ...]
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """(required, optional) parameter names with their shapes.

    Optional are the resampling filters (always [1, 3, 3, 1]) and the noise of a layer that has
    none (``use_noise=False``).
    """
    required: dict[str, tuple[int, ...]] = {"mapping.w_avg": (w_dim,)}
    optional: dict[str, tuple[int, ...]] = {}
    for k in range(mapping_layers):
        required[f"mapping.fc{k}.weight"] = (w_dim, z_dim if k == 0 else w_dim)
        required[f"mapping.fc{k}.bias"] = (w_dim,)
    required["synthesis.b4.const"] = (channels[0], 4, 4)
    for layer in synthesis_layers(channels):
        size = 3 if layer.kind == "conv" else 1
        required[f"{layer.name}.weight"] = (layer.c_out, layer.c_in, size, size)
        required[f"{layer.name}.bias"] = (layer.c_out,)
        required[f"{layer.name}.affine.weight"] = (layer.c_in, w_dim)
        required[f"{layer.name}.affine.bias"] = (layer.c_in,)
        if layer.kind == "conv":
            optional[f"{layer.name}.resample_filter"] = (4, 4)
            optional[f"{layer.name}.noise_strength"] = ()
            optional[f"{layer.name}.noise_const"] = (layer.resolution, layer.resolution)
        else:
            optional[f"{layer.name.rsplit('.', 1)[0]}.resample_filter"] = (4, 4)
    return required, optional
