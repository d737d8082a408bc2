"""StyleGAN2 (Karras et al., arXiv 1912.04958), skip architecture, to be trained on a CPU.

The state dict has the names and meaning of stylegan2-ada-pytorch's ``G_ema`` (arXiv 2006.06676).
Activations are modulated and demodulated instead of weights, which is the same function (arXiv
1912.04958, section 2.2) without a weight per sample.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = {4: 192, 8: 192, 16: 128, 32: 96, 64: 48, 128: 24}
Z_DIM, W_DIM = 512, 256
MAPPING_LAYERS = 3
MAPPING_LR_MULTIPLIER = 0.01  # NVIDIA's storage convention, not a learning rate
LEAKY_GAIN = math.sqrt(2.0)


class Dense(nn.Module):
    """Equalised-rate linear layer: effective weight = weight * multiplier / sqrt(fan_in)."""

    def __init__(self, n_in: int, n_out: int, multiplier: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / multiplier)
        self.bias = nn.Parameter(torch.full((n_out,), bias / multiplier))
        self.gain, self.multiplier = multiplier / math.sqrt(n_in), multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.multiplier)


class Mapping(nn.Module):
    """z (B, z_dim) -> w (B, w_dim)."""

    def __init__(self, z_dim: int, w_dim: int, layers: int):
        super().__init__()
        self.layers = layers
        for k in range(layers):
            self.add_module(
                f"fc{k}", Dense(z_dim if k == 0 else w_dim, w_dim, MAPPING_LR_MULTIPLIER)
            )
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        return self.after_first(self.fc0(x))

    def after_first(self, x: Tensor) -> Tensor:
        """w from the first layer's output before its activation."""
        for k in range(1, self.layers):
            x = getattr(self, f"fc{k}")(F.leaky_relu(x, 0.2) * LEAKY_GAIN)
        return F.leaky_relu(x, 0.2) * LEAKY_GAIN


class _FirUp(torch.autograd.Function):
    """The [1, 3, 3, 1] filter after zero insertion, gain 4: (B, C, 2H+1, 2W+1) -> (B, C, 2H, 2W).

    Written out because the filter is symmetric: its adjoint is itself, with wider padding.
    """

    @staticmethod
    def _filter(x: Tensor, padding: int) -> Tensor:
        taps = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=x.dtype)
        kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
        return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[override]
        return _FirUp._filter(x, 1)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[override]
        return _FirUp._filter(grad, 2)


def upsample_rgb(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 3, 2H, 2W): zero insertion and the same filter, in polyphase form."""
    for dim in (2, 3):
        n = x.shape[dim]
        p = F.pad(x, (0, 0, 1, 1) if dim == 2 else (1, 1, 0, 0))
        before, here, after = (p.narrow(dim, k, n) for k in range(3))
        pair = torch.stack((before * 0.25 + here * 0.75, here * 0.75 + after * 0.25), dim + 1)
        x = pair.flatten(dim, dim + 1)
    return x


class SynthesisLayer(nn.Module):
    """3 x 3 modulated, demodulated convolution, constant noise, bias, leaky ReLU."""

    def __init__(self, c_in: int, c_out: int, w_dim: int, resolution: int, up: bool, noise: bool):
        super().__init__()
        self.up = up
        self.affine = Dense(w_dim, c_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(c_out))
        shape = (resolution, resolution)
        self.register_parameter("noise_strength", nn.Parameter(torch.zeros([])) if noise else None)
        self.register_buffer("noise_const", torch.zeros(shape) if noise else None)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w)
        demod = torch.rsqrt(style.square() @ self.weight.square().sum((2, 3)).T + 1e-8)
        x = x * style[:, :, None, None]
        if self.up:
            x = _FirUp.apply(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2))
        else:
            x = F.conv2d(x, self.weight, padding=1)
        # The activation's gain is put in front of it: leaky ReLU is positively homogeneous.
        x = torch.addcmul(
            LEAKY_GAIN * self.bias[:, None, None], x, LEAKY_GAIN * demod[:, :, None, None]
        )
        if self.noise_strength is not None:
            x = x + LEAKY_GAIN * self.noise_const * self.noise_strength
        return F.leaky_relu_(x, 0.2)


class ToRGB(nn.Module):
    """1 x 1 modulated convolution to three channels, not demodulated, linear."""

    def __init__(self, c_in: int, w_dim: int):
        super().__init__()
        self.affine = Dense(w_dim, c_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, c_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain = 1 / math.sqrt(c_in)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * self.gain
        weight = self.weight[:, :, 0, 0] * style[:, None, :]  # (B, 3, C)
        rgb = weight @ x.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)
        return rgb.view(x.shape[0], 3, *x.shape[2:]) + self.bias[:, None, None]


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, w_dim: int, resolution: int, noise: bool):
        super().__init__()
        if c_in == 0:
            self.const = nn.Parameter(torch.randn(c_out, 4, 4))
        else:
            self.conv0 = SynthesisLayer(c_in, c_out, w_dim, resolution, True, noise)
        self.conv1 = SynthesisLayer(c_out, c_out, w_dim, resolution, False, noise)
        self.torgb = ToRGB(c_out, w_dim)


class Synthesis(nn.Module):
    """w copies (B, num_ws, w_dim) -> picture (B, 3, R, R)."""

    def __init__(self, w_dim: int, channels: dict[int, int], noise: bool):
        super().__init__()
        self.channels = channels
        before = 0
        for resolution, width in channels.items():
            self.add_module(f"b{resolution}", Block(before, width, w_dim, resolution, noise))
            before = width

    def forward(self, ws: Tensor, stop: int | None = None) -> Tensor:
        """``stop``: give the picture of the blocks up to this resolution only."""
        x, image, k = None, None, 0
        for resolution in self.channels:
            block = getattr(self, f"b{resolution}")
            if x is None:
                x = block.const.expand(ws.shape[0], -1, -1, -1)
            else:
                x = block.conv0(x, ws[:, k])
                k += 1
            x = block.conv1(x, ws[:, k])
            k += 1
            rgb = block.torgb(x, ws[:, k])
            image = rgb if image is None else upsample_rgb(image) + rgb
            if resolution == stop:
                break
        assert image is not None
        return image


class Generator(nn.Module):
    """StyleGAN2, skip architecture, unconditional."""

    def __init__(
        self,
        channels: dict[int, int] = CHANNELS,
        z_dim: int = Z_DIM,
        w_dim: int = W_DIM,
        mapping_layers: int = MAPPING_LAYERS,
        noise: bool = False,
    ):
        super().__init__()
        self.num_ws = 2 * len(channels)
        self.mapping = Mapping(z_dim, w_dim, mapping_layers)
        self.synthesis = Synthesis(w_dim, channels, noise)

    def forward(
        self, z: Tensor, psi: float = 1.0, cutoff: int | None = None, stop: int | None = None
    ) -> Tensor:
        ws = self.mapping(z)[:, None].repeat(1, self.num_ws, 1)
        if psi != 1.0:
            average = self.mapping.w_avg
            ws[:, :cutoff] = average + psi * (ws[:, :cutoff] - average)
        return self.synthesis(ws, stop)
