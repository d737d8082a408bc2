"""StyleGAN2 in numpy: one definition of the arithmetic, run plainly or exactly.

``FLOAT32`` and ``FLOAT64`` run the definition in that type. ``EXACT`` runs it in float64 such that
every bit of the picture is the same on every machine, whatever BLAS, kernel or thread count: what a
verifier re-renders must equal what the owner published. Three rules make it so.

1. *Elementwise* operations are + - * / sqrt, comparisons and rounding to an integer, one numpy call
   each. IEEE 754 fixes the result of each; across calls nothing is fused. No exp, log, pow.
2. *Small sums* (fully connected layers, normalisation, demodulation) are elementwise products added
   in the fixed order of ``ordered_sum``. Rule 1 then fixes them. np.sum, np.dot and einsum, whose
   order depends on the machine, are not used.
3. *Convolutions* are matrix products by BLAS, which adds in any order, with or without fused
   multiply-add. Both operands are put on dyadic grids so coarse that no partial sum needs
   rounding, and then the order cannot matter. Activations are multiples of 2^-18 (ACTIVATION_BITS)
   and at most 2^8 (ACTIVATION_LIMIT) in size, so |x| <= 2^26 steps. The weights of one output
   channel, n of them, have sum |w_j| <= B before rounding; rounding to multiples of 2^-q adds at
   most n 2^-(q+1) to it, which is below n/1024 as q >= 9 is required. With
   B (1 + 2^-10) + n/1024 <= 2^e and q = 27 - e, every partial sum of products, in steps of
   2^-(18+q), is at most 2^26 * 2^e * 2^q = 2^53. Integers up to 2^53 are float64 values, so every
   intermediate result is exact. (1 + 2^-10 also covers the float64 rounding of B itself.)
   B is known for each kind of layer:
   - demodulated 3 x 3 convolutions divide by sqrt(sum w_j^2 + 1e-8), so sum w_j^2 <= 1 and, by
     Cauchy-Schwarz, B = sqrt(n) whatever the weights: e <= 7 up to 1024 channels, q >= 20;
   - RGB convolutions are not demodulated: B is their actual largest sum |w_j|, computed under
     rules 1 and 2. A generator whose B needs q < 9 (B above about 2^18) is refused.
   The taps of an upsampling convolution are separate matrix products added elementwise: partial
   sums of the same sum. What follows a convolution (resampling, noise, bias, leaky ReLU, clamp) is
   elementwise, and its result is rounded to the activation grid and clamped once more.

Rounding to 2^-18 and clamping at 256 (NVIDIA's own clamp in its releases) move pixels by far less
than a grey level; ``tests/render/test_conformance.py`` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from huref_zk.errors import InputError
from huref_zk.render import architecture as arch
from huref_zk.render.config import RenderConfig
from huref_zk.render.generator import Generator

ACTIVATION_BITS = 18
ACTIVATION_LIMIT = 256.0
# 2^53 / (2^18 * 2^8): what is left for the weights, in bits.
WEIGHT_BITS = 53 - ACTIVATION_BITS - 8
MIN_GRID_BITS = 9
# Size of the unfolded input one matrix product reads: small enough to stay in cache.
_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True)
class Arithmetic:
    """A numpy float type, and whether the grids of rule 3 apply."""

    dtype: type[np.floating]
    exact: bool


FLOAT32 = Arithmetic(np.float32, exact=False)
FLOAT64 = Arithmetic(np.float64, exact=False)
EXACT = Arithmetic(np.float64, exact=True)


def synthesise(
    generator: Generator,
    z: np.ndarray,
    config: RenderConfig,
    arithmetic: Arithmetic = EXACT,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Picture of the latent ``z`` (shape (z_dim,)): float array (3, R, R), nominally in [-1, 1].

    Raises InputError when z has another shape or is not finite, or the generator overflows.
    """
    if z.shape != (generator.z_dim,) or not np.isfinite(z).all():
        raise InputError(f"a latent is {generator.z_dim} finite numbers; got shape {z.shape}")
    with np.errstate(all="ignore"):  # overflow is looked for below, and is an InputError
        w = map_latent(generator, z, arithmetic)
        w_avg = generator.params["mapping.w_avg"].astype(arithmetic.dtype)
        truncated = w_avg + config.psi * (w - w_avg)
        cutoff = generator.num_ws if config.cutoff is None else config.cutoff

        x = generator.params["synthesis.b4.const"].astype(arithmetic.dtype)
        if arithmetic.exact:
            x = _to_activation_grid(x)
        image: np.ndarray | None = None
        layers = arch.synthesis_layers(generator.channels)
        for done, layer in enumerate(layers):
            if progress is not None:
                progress(done, len(layers))
            style = _style(generator, layer, truncated if layer.w_index < cutoff else w)
            if layer.kind == "conv":
                x = _conv_layer(generator, layer, x, style, config.noise, arithmetic)
            else:
                rgb = _rgb_layer(generator, layer, x, style, arithmetic)
                image = rgb if image is None else _upsample(image) + rgb
    assert image is not None
    return image


def map_latent(generator: Generator, z: np.ndarray, arithmetic: Arithmetic = EXACT) -> np.ndarray:
    """w (shape (w_dim,)) of the latent ``z``: second moment set to 1, then the mapping layers."""
    x = z.astype(arithmetic.dtype)
    x = x / np.sqrt(ordered_sum(x * x) / len(x) + arch.EPSILON)
    for k in range(generator.mapping_layers):
        weight = generator.params[f"mapping.fc{k}.weight"].astype(arithmetic.dtype)
        bias = generator.params[f"mapping.fc{k}.bias"].astype(arithmetic.dtype)
        gain = generator.lr_multiplier / math.sqrt(len(x))
        x = ordered_sum(weight * gain * x) + bias * generator.lr_multiplier
        x = _leaky_relu(x)
    if not np.isfinite(x).all():
        raise InputError("the generator's mapping network overflows")
    return x


def ordered_sum(a: np.ndarray) -> np.ndarray:
    """Sum over the last axis in one fixed order: halves added elementwise until one is left."""
    while a.shape[-1] > 1:
        half = a.shape[-1] // 2
        folded = a[..., :half] + a[..., half : 2 * half]
        if a.shape[-1] % 2:
            folded[..., 0] += a[..., -1]
        a = folded
    return a[..., 0]


def _style(generator: Generator, layer: arch.Layer, w: np.ndarray) -> np.ndarray:
    """Scale of each input channel, (c_in,)."""
    weight = generator.params[f"{layer.name}.affine.weight"].astype(w.dtype)
    bias = generator.params[f"{layer.name}.affine.bias"].astype(w.dtype)
    style = ordered_sum(weight * (1 / math.sqrt(len(w))) * w) + bias
    return style * (1 / math.sqrt(layer.c_in)) if layer.kind == "rgb" else style


def _conv_layer(
    generator: Generator,
    layer: arch.Layer,
    x: np.ndarray,
    style: np.ndarray,
    noise: str,
    arithmetic: Arithmetic,
) -> np.ndarray:
    """(c_in, H, W) to (c_out, H, W) or, upsampling, (c_out, 2H, 2W)."""
    # Channels last, so that modulation runs along memory: (c_out, 3, 3, c_in).
    weight = generator.params[f"{layer.name}.weight"].transpose(0, 2, 3, 1)
    weight = weight.astype(arithmetic.dtype, order="C") * style
    flat = weight.reshape(layer.c_out, -1)
    energy = ordered_sum(flat * flat)
    if not np.isfinite(energy).all():
        raise InputError(f"the generator's layer {layer.name} overflows")
    flat *= (1 / np.sqrt(energy + arch.EPSILON))[:, None]
    if arithmetic.exact:
        _to_weight_grid(layer.name, flat, bound=math.sqrt(flat.shape[1]))
    y = _upsampling_conv(x, weight) if layer.up else _conv3x3(x, weight)

    strength = generator.params.get(f"{layer.name}.noise_strength")
    if noise == "const" and strength is not None:
        const = generator.params[f"{layer.name}.noise_const"].astype(arithmetic.dtype)
        y += const * arithmetic.dtype(strength)
    y += generator.params[f"{layer.name}.bias"].astype(arithmetic.dtype)[:, None, None]
    y = _leaky_relu(y)
    if generator.conv_clamp is not None:
        np.clip(y, -generator.conv_clamp, generator.conv_clamp, out=y)
    return _to_activation_grid(y) if arithmetic.exact else y


def _rgb_layer(
    generator: Generator,
    layer: arch.Layer,
    x: np.ndarray,
    style: np.ndarray,
    arithmetic: Arithmetic,
) -> np.ndarray:
    """(c_in, H, W) to (3, H, W)."""
    weight = generator.params[f"{layer.name}.weight"][:, :, 0, 0].astype(arithmetic.dtype) * style
    if arithmetic.exact:
        _to_weight_grid(layer.name, weight, bound=float(ordered_sum(np.abs(weight)).max()))
    y = (weight @ x.reshape(layer.c_in, -1)).reshape(-1, *x.shape[1:])
    y += generator.params[f"{layer.name}.bias"].astype(arithmetic.dtype)[:, None, None]
    if generator.conv_clamp is not None:
        np.clip(y, -generator.conv_clamp, generator.conv_clamp, out=y)
    return y


def _to_activation_grid(x: np.ndarray) -> np.ndarray:
    """Round to multiples of 2^-18 within [-256, 256], in place (rule 3)."""
    x *= 2.0**ACTIVATION_BITS
    np.rint(x, out=x)
    limit = ACTIVATION_LIMIT * 2.0**ACTIVATION_BITS
    np.clip(x, -limit, limit, out=x)
    x *= 2.0**-ACTIVATION_BITS
    return x


def _to_weight_grid(name: str, weight: np.ndarray, bound: float) -> None:
    """Round ``weight`` (c_out, n) in place to the finest grid rule 3 allows.

    ``bound`` is at least the largest sum of |weight| over a row.
    """
    count = weight.shape[1]
    # frexp gives the smallest e with value < 2^e; of inf and nan it gives e = 0, hence the check.
    _, exponent = math.frexp(bound * (1 + 2.0**-10) + count / 1024)
    bits = WEIGHT_BITS - exponent
    if not math.isfinite(bound) or bits < MIN_GRID_BITS:
        raise InputError(
            f"the generator's layer {name} has weights too large to render exactly"
            f" (sum of magnitudes {bound:.3g}; at most {2.0 ** (WEIGHT_BITS - MIN_GRID_BITS):.3g})"
        )
    weight *= 2.0**bits
    np.rint(weight, out=weight)
    weight *= 2.0**-bits


def _leaky_relu(x: np.ndarray) -> np.ndarray:
    """sqrt(2) max(x, 0.2 x)."""
    out = x * arch.LEAKY_SLOPE
    np.maximum(out, x, out=out)
    out *= arch.LEAKY_GAIN
    return out


def _conv3x3(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolution with padding 1. x (c_in, H, W), weight (c_out, 3, 3, c_in)."""
    c_out, (c_in, height, width) = weight.shape[0], x.shape
    padded = np.zeros((c_in, height + 2, width + 2), x.dtype)
    padded[:, 1:-1, 1:-1] = x
    out = np.empty((c_out, height, width), x.dtype)
    matrix = weight.reshape(c_out, -1)
    rows = max(1, min(height, _CHUNK_BYTES // (9 * c_in * width * x.itemsize)))
    for top in range(0, height, rows):
        count = min(rows, height - top)
        unfolded = np.empty((3, 3, c_in, count, width), x.dtype)
        for ky in range(3):
            for kx in range(3):
                tap = padded[:, top + ky : top + ky + count, kx : kx + width]
                unfolded[ky, kx] = tap
        product = matrix @ unfolded.reshape(9 * c_in, -1)
        out[:, top : top + count] = product.reshape(c_out, count, width)
    return out


def _upsampling_conv(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Transposed convolution of stride 2, then the filter [1, 3, 3, 1] / 4 along both axes.

    x (c_in, H, W), weight (c_out, 3, 3, c_in), result (c_out, 2H, 2W). Gain 4 makes up for the
    zeros between samples.
    """
    c_out, (c_in, height, width) = weight.shape[0], x.shape
    # (2H+1, 2W+1) results inside a border of one zero for the filter.
    spread = np.zeros((c_out, 2 * height + 3, 2 * width + 3), x.dtype)
    flat = x.reshape(c_in, -1)
    for ky in range(3):
        for kx in range(3):
            tap = np.ascontiguousarray(weight[:, ky, kx]) @ flat
            rows = slice(1 + ky, 1 + ky + 2 * height, 2)
            columns = slice(1 + kx, 1 + kx + 2 * width, 2)
            spread[:, rows, columns] += tap.reshape(c_out, height, width)
    return _filter4(_filter4(spread, axis=2), axis=1)


def _filter4(x: np.ndarray, axis: int) -> np.ndarray:
    """(x[i] + 3 x[i+1] + 3 x[i+2] + x[i+3]) / 4 along ``axis``; three shorter."""
    length = x.shape[axis] - 3
    parts = [x[(slice(None),) * axis + (slice(k, k + length),)] for k in range(4)]
    out = parts[1] + parts[2]
    out *= 3.0
    out += parts[0]
    out += parts[3]
    out *= 0.25
    return out


def _upsample(image: np.ndarray) -> np.ndarray:
    """Twice the size, (C, H, W) to (C, 2H, 2W): zeros between samples, then [1, 3, 3, 1] / 4."""
    return _upsample_axis(_upsample_axis(image, axis=2), axis=1)


def _upsample_axis(x: np.ndarray, axis: int) -> np.ndarray:
    """out[2m] = (x[m-1] + 3 x[m]) / 4 and out[2m+1] = (3 x[m] + x[m+1]) / 4, zero outside."""
    lead = (slice(None),) * axis
    shape = list(x.shape)
    shape[axis] *= 2
    out = np.empty(shape, x.dtype)
    even, odd = out[(*lead, slice(0, None, 2))], out[(*lead, slice(1, None, 2))]
    even[...] = x * 3.0
    odd[...] = even
    even[(*lead, slice(1, None))] += x[(*lead, slice(0, -1))]
    odd[(*lead, slice(0, -1))] += x[(*lead, slice(1, None))]
    out *= 0.25
    return out
