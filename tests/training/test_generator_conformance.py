"""The training-time generator against pictures made with the original StyleGAN2 code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from research.training.stylegan2 import Generator

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "stylegan2"
# name: channels per resolution, mapping layers
REFERENCES = {
    "stylegan2_ref_1": ({4: 32, 8: 32, 16: 32, 32: 32}, 8),
    "stylegan2_ref_2": ({4: 64, 8: 64, 16: 64, 32: 64, 64: 32}, 2),
}
CASES = [
    ("stylegan2_ref_1", "images_psi1", 1.0, None, True),
    ("stylegan2_ref_1", "images_psi0.5", 0.5, None, True),
    ("stylegan2_ref_1", "images_psi1_noise_none", 1.0, None, False),
    ("stylegan2_ref_2", "images_psi1", 1.0, None, True),
    ("stylegan2_ref_2", "images_psi0.5", 0.5, None, True),
    ("stylegan2_ref_2", "images_psi0.5_cutoff8", 0.5, 8, True),
]


def _generator(name: str, noise: bool) -> tuple[Generator, dict[str, np.ndarray]]:
    with np.load(FIXTURES / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    channels, layers = REFERENCES[name]
    generator = Generator(channels, w_dim=512, mapping_layers=layers, noise=noise)
    state = {
        key[3:]: torch.from_numpy(value.astype(np.float32))
        for key, value in arrays.items()
        if key.startswith("sd/")
        and not key.endswith("resample_filter")
        and (noise or ".noise_" not in key)
    }
    generator.load_state_dict(state)  # strict: every name and shape must agree
    return generator.eval(), arrays


@pytest.mark.parametrize(("name", "key", "psi", "cutoff", "noise"), CASES)
def test_pictures_match_the_reference(name, key, psi, cutoff, noise):
    generator, arrays = _generator(name, noise)
    with torch.no_grad():
        images = generator(torch.from_numpy(arrays["z"]).float(), psi=psi, cutoff=cutoff)
    assert np.abs(images.numpy() - arrays[key]).max() <= 1e-4


def test_a_changed_weight_is_noticed():
    generator, arrays = _generator("stylegan2_ref_1", True)
    with torch.no_grad():
        generator.synthesis.b8.conv0.weight[0, 0, 0, 0] += 0.5
        images = generator(torch.from_numpy(arrays["z"]).float())
    assert np.abs(images.numpy() - arrays["images_psi1"]).max() > 1e-4
