"""Both back ends against arrays computed with NVIDIA's stylegan2-ada-pytorch."""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.render import stylegan2_numpy
from huref_zk.render.config import RenderConfig
from huref_zk.render.generator import build_generator
from huref_zk.render.stylegan2_numpy import EXACT, FLOAT32, FLOAT64, Arithmetic, synthesise

TOLERANCE = 1e-4

CASES = {
    "images_psi1": RenderConfig(),
    "images_psi0.5": RenderConfig(psi_percent=50),
    "images_psi1_noise_none": RenderConfig(noise="none"),
    "images_psi0.5_cutoff8": RenderConfig(psi_percent=50, cutoff=8),
}
ARITHMETICS = {"float32": FLOAT32, "float64": FLOAT64, "exact": EXACT}


def cases_of(data) -> list[str]:
    """The cases that this reference has images of: two or more."""
    found = [case for case in CASES if case in data]
    assert len(found) >= 2
    return found


@pytest.mark.parametrize("arithmetic", ARITHMETICS.values(), ids=ARITHMETICS.keys())
def test_numpy_matches_the_reference(reference, arithmetic: Arithmetic) -> None:
    generator, data = reference
    for case in cases_of(data):
        got = np.stack([synthesise(generator, z, CASES[case], arithmetic) for z in data["z"]])
        assert got.dtype == arithmetic.dtype
        assert np.abs(got - data[case]).max() <= TOLERANCE, case


def test_torch_matches_the_reference(reference) -> None:
    import torch

    from huref_zk.render import stylegan2_torch

    generator, data = reference
    params = stylegan2_torch.parameters(generator)
    for case in cases_of(data):
        got = stylegan2_torch.synthesise(params, torch.tensor(data["z"]), CASES[case]).numpy()
        assert got.dtype == np.float32
        assert np.abs(got - data[case]).max() <= TOLERANCE, case


def test_every_case_is_in_some_reference(references) -> None:
    assert {case for data in references for case in cases_of(data)} == set(CASES)


def test_the_cases_differ_from_each_other(reference) -> None:
    """Control: psi, cutoff and noise each move the picture by far more than the tolerance."""
    _, data = reference
    images = [data[case] for case in cases_of(data)]
    for i, a in enumerate(images):
        for b in images[:i]:
            assert np.abs(a - b).max() > 1000 * TOLERANCE


def test_w_matches_the_reference(reference) -> None:
    generator, data = reference
    w = np.stack([stylegan2_numpy.map_latent(generator, z, FLOAT64) for z in data["z"]])
    assert np.abs(w - data["w_psi1"]).max() <= TOLERANCE


# conv_clamp is not in the reference arrays: a second, plainer implementation stands in for them.


def plain_conv(x: np.ndarray, weight: np.ndarray, pad: int) -> np.ndarray:
    """Correlation of x (I, H, W) with weight (O, I, k, k), zero padding, one output at a time."""
    k = weight.shape[2]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    out = np.empty((len(weight), x.shape[1] - k + 1, x.shape[2] - k + 1))
    for y in range(out.shape[1]):
        for c in range(out.shape[2]):
            out[:, y, c] = (weight * x[None, :, y : y + k, c : c + k]).sum((1, 2, 3))
    return out


def zeros_between(x: np.ndarray) -> np.ndarray:
    out = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))
    out[:, ::2, ::2] = x
    return out


FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16


def smooth(x: np.ndarray, before: int, after: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (before, after), (before, after)))
    return np.concatenate([plain_conv(channel[None], FILTER[None, None], 0) for channel in x])


def plain_synthesis(p: dict[str, np.ndarray], w: np.ndarray, clamp: float | None) -> np.ndarray:
    """StyleGAN2 at psi 1 by the textbook: zero insertion, whole filters, explicit loops."""
    p = {name: value.astype(np.float64) for name, value in p.items()}
    limit = np.inf if clamp is None else clamp
    x, image = p["synthesis.b4.const"], np.zeros((3, 2, 2))
    for res in (4, 8, 16):
        for conv in ("conv0", "conv1") if res > 4 else ("conv1",):
            name = f"synthesis.b{res}.{conv}"
            style = p[f"{name}.affine.weight"] @ w / np.sqrt(len(w)) + p[f"{name}.affine.bias"]
            weight = p[f"{name}.weight"] * style[None, :, None, None]
            weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
            if conv == "conv0":  # a true convolution of the spread input, then the filter
                spread = zeros_between(x)[:, :-1, :-1]
                x = smooth(plain_conv(spread, weight[:, :, ::-1, ::-1], 2), 1, 1)
            else:
                x = plain_conv(x, weight, 1)
            x = x + p[f"{name}.noise_const"] * p[f"{name}.noise_strength"]
            x = x + p[f"{name}.bias"][:, None, None]
            x = np.clip(np.where(x < 0, 0.2 * x, x) * np.sqrt(2), -limit, limit)
        name = f"synthesis.b{res}.torgb"
        style = p[f"{name}.affine.weight"] @ w / np.sqrt(len(w)) + p[f"{name}.affine.bias"]
        weight = p[f"{name}.weight"] * style[None, :, None, None] / np.sqrt(len(style))
        rgb = plain_conv(x, weight, 0) + p[f"{name}.bias"][:, None, None]
        image = smooth(zeros_between(image), 2, 1) + np.clip(rgb, -limit, limit)
    return image


@pytest.mark.parametrize("clamp", [None, 256.0, 1.0, 0.5])
def test_conv_clamp(small_params, clamp: float | None) -> None:
    params = small_params()
    generator = build_generator(params, conv_clamp=clamp)
    z = np.random.default_rng(5).standard_normal(8)
    w = stylegan2_numpy.map_latent(generator, z, FLOAT64)
    expected = plain_synthesis(params, w, clamp)
    for arithmetic in ARITHMETICS.values():
        got = synthesise(generator, z, RenderConfig(), arithmetic)
        assert np.abs(got - expected).max() <= TOLERANCE
    import torch

    from huref_zk.render import stylegan2_torch

    latents = torch.tensor(z, dtype=torch.float32)[None]
    image = stylegan2_torch.synthesise(
        stylegan2_torch.parameters(generator), latents, RenderConfig(), conv_clamp=clamp
    )
    assert np.abs(image[0].numpy() - expected).max() <= TOLERANCE


def test_a_small_conv_clamp_binds(small_params) -> None:
    """Control of the test above: 0.5 changes the picture, 256 does not."""
    z = np.random.default_rng(5).standard_normal(8)
    images = [
        synthesise(build_generator(small_params(), conv_clamp=c), z, RenderConfig())
        for c in (None, 256.0, 0.5)
    ]
    assert np.array_equal(images[0], images[1])
    assert np.abs(images[0] - images[2]).max() > 0.1
