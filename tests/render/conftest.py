"""Random-weight generators for the render tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from huref_zk.render import architecture as arch
from huref_zk.render.generator import Generator, build_generator
from huref_zk.render.tensors_file import write_safetensors

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "stylegan2"
# The shape of the embedded generator.
FULL_CHANNELS = (192, 192, 128, 96, 48, 24)

Params = dict[str, np.ndarray]


def make_params(
    channels: tuple[int, ...] = (6, 5, 4),
    z_dim: int = 8,
    w_dim: int = 7,
    mapping_layers: int = 2,
    noise: bool = True,
    seed: int = 0,
) -> Params:
    """float16 parameters like those of an untrained StyleGAN2, biases and noise not zero."""
    rng = np.random.default_rng(seed)
    required, optional = arch.parameter_shapes(z_dim, w_dim, mapping_layers, channels)
    params: Params = {}
    for name, shape in required.items():
        value = rng.standard_normal(shape)
        if name.startswith("mapping.fc"):
            value = value * (100 if name.endswith("weight") else 10)
        elif name.endswith("affine.bias"):
            value = 1 + 0.2 * value
        elif name.endswith("bias") or name == "mapping.w_avg":
            value = 0.2 * value
        params[name] = value.astype(np.float16)
    for name, shape in optional.items() if noise else ():
        if name.endswith("resample_filter"):
            value = np.outer(arch.FIR, arch.FIR) / 64
        else:
            value = rng.standard_normal(shape) * (0.3 if name.endswith("strength") else 1)
        params[name] = np.asarray(value, np.float16)
    return params


@pytest.fixture(scope="session")
def small_params() -> Callable[..., Params]:
    return make_params


@pytest.fixture(scope="session")
def small_generator() -> Generator:
    """16 x 16 pixels, z of 8 numbers."""
    return build_generator(make_params())


@pytest.fixture(scope="session")
def full_generator_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file of the embedded generator's shape (128 x 128) with random weights."""
    path = tmp_path_factory.mktemp("generator") / "full.safetensors"
    params = make_params(FULL_CHANNELS, 512, 256, 3, noise=False)
    write_safetensors(path, params, {"conv_clamp": "256"})
    return path


def reference_arrays(number: int) -> Params:
    with np.load(FIXTURES / f"stylegan2_ref_{number}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session", params=[1, 2])
def reference(request: pytest.FixtureRequest) -> tuple[Generator, Params]:
    """(generator, arrays) computed with NVIDIA's own code: see tests/fixtures/stylegan2."""
    data = reference_arrays(request.param)
    generator = build_generator({k[3:]: v for k, v in data.items() if k.startswith("sd/")})
    return generator, data


@pytest.fixture(scope="session")
def references() -> list[Params]:
    """The arrays of both."""
    return [reference_arrays(number) for number in (1, 2)]
