"""StyleGAN2 in torch float32, batched and differentiable: for training and for GPUs.

The same definition as ``stylegan2_numpy`` without its grids, so close to it but not bit for bit;
verification never uses it. Walks the same ``architecture`` list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from huref_zk.render import architecture as arch
from huref_zk.render.config import RenderConfig
from huref_zk.render.generator import Generator


def parameters(generator: Generator, device: str = "cpu") -> dict[str, torch.Tensor]:
    """The generator's parameters as float32 tensors on ``device``."""
    return {name: torch.tensor(value, device=device) for name, value in generator.params.items()}


def synthesise(
    params: Mapping[str, torch.Tensor],
    z: torch.Tensor,
    config: RenderConfig,
    conv_clamp: float | None = None,
    lr_multiplier: float = 0.01,
) -> torch.Tensor:
    """Pictures of the latents ``z`` (N, z_dim): (N, 3, R, R), nominally in [-1, 1].

    ``params`` are named as in a ``G_ema`` state dict; layers without noise parameters have none.
    """
    w = map_latents(params, z, lr_multiplier)
    w_avg = params["mapping.w_avg"]
    truncated = w_avg + config.psi * (w - w_avg)
    channels = _channels(params)
    cutoff = arch.num_ws(2 ** (len(channels) + 1)) if config.cutoff is None else config.cutoff

    x = params["synthesis.b4.const"].expand(len(z), -1, -1, -1)
    image: torch.Tensor | None = None
    for layer in arch.synthesis_layers(channels):
        style = _style(params, layer, truncated if layer.w_index < cutoff else w)
        if layer.kind == "conv":
            x = _conv_layer(params, layer, x, style, config.noise, conv_clamp)
        else:
            rgb = F.conv2d(x * style[:, :, None, None], params[f"{layer.name}.weight"])
            rgb = _clamp(rgb + params[f"{layer.name}.bias"][:, None, None], conv_clamp)
            image = rgb if image is None else _upsample(image) + rgb
    assert image is not None
    return image


def map_latents(
    params: Mapping[str, torch.Tensor], z: torch.Tensor, lr_multiplier: float = 0.01
) -> torch.Tensor:
    """w (N, w_dim) of z (N, z_dim)."""
    x = z / (z.square().mean(1, keepdim=True) + arch.EPSILON).sqrt()
    k = 0
    while f"mapping.fc{k}.weight" in params:
        weight = params[f"mapping.fc{k}.weight"] * (lr_multiplier / math.sqrt(x.shape[1]))
        x = _leaky_relu(F.linear(x, weight, params[f"mapping.fc{k}.bias"] * lr_multiplier))
        k += 1
    return x


def _channels(params: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    channels: list[int] = []
    while (name := f"synthesis.b{2 ** (len(channels) + 2)}.conv1.weight") in params:
        channels.append(params[name].shape[0])
    return tuple(channels)


def _style(params: Mapping[str, torch.Tensor], layer: arch.Layer, w: torch.Tensor) -> torch.Tensor:
    """Scale of each input channel, (N, c_in)."""
    weight = params[f"{layer.name}.affine.weight"] * (1 / math.sqrt(w.shape[1]))
    style = F.linear(w, weight, params[f"{layer.name}.affine.bias"])
    return style / math.sqrt(layer.c_in) if layer.kind == "rgb" else style


def _conv_layer(
    params: Mapping[str, torch.Tensor],
    layer: arch.Layer,
    x: torch.Tensor,
    style: torch.Tensor,
    noise: str,
    conv_clamp: float | None,
) -> torch.Tensor:
    """(N, c_in, H, W) to (N, c_out, H, W) or, upsampling, (N, c_out, 2H, 2W).

    Scaling inputs and outputs of one shared convolution equals modulating its weights per sample.
    """
    weight = params[f"{layer.name}.weight"]
    energy = style.square() @ weight.square().sum((2, 3)).T
    x = x * style[:, :, None, None]
    if layer.up:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = _filter4(_filter4(F.pad(x, (1, 1, 1, 1)), 3), 2)
    else:
        x = F.conv2d(x, weight, padding=1)
    x = x * (energy + arch.EPSILON).rsqrt()[:, :, None, None]
    strength = params.get(f"{layer.name}.noise_strength")
    if noise == "const" and strength is not None:
        x = x + params[f"{layer.name}.noise_const"] * strength
    return _clamp(_leaky_relu(x + params[f"{layer.name}.bias"][:, None, None]), conv_clamp)


def _leaky_relu(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, arch.LEAKY_SLOPE) * arch.LEAKY_GAIN


def _clamp(x: torch.Tensor, limit: float | None) -> torch.Tensor:
    return x if limit is None else x.clamp(-limit, limit)


def _filter4(x: torch.Tensor, axis: int) -> torch.Tensor:
    """(x[i] + 3 x[i+1] + 3 x[i+2] + x[i+3]) / 4 along ``axis``; three shorter."""
    length = x.shape[axis] - 3
    a, b, c, d = (x.narrow(axis, k, length) for k in range(4))
    return (a + d + 3 * (b + c)) / 4


def _upsample(image: torch.Tensor) -> torch.Tensor:
    """Twice the size: zeros between samples, then [1, 3, 3, 1] / 4 along both axes."""
    n, c, h, w = image.shape
    spread = image.new_zeros(n, c, 2 * h + 3, 2 * w + 3)
    spread[:, :, 2 : 2 * h + 2 : 2, 2 : 2 * w + 2 : 2] = image
    return _filter4(_filter4(spread, 3), 2)
