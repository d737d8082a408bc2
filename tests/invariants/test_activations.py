"""Activations and their slopes: transformers' own, and autograd's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.activations import ACT2FN, XIELUActivation

from huref_zk.invariants.activations import BENT, xielu
from huref_zk.models.families import ACTIVATIONS


def test_every_name_has_one():
    assert set(BENT) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_it_is_transformers(name):
    z = np.concatenate([np.linspace(-12, 12, 401), [0.013, -100.0, 100.0]]).astype(np.float32)
    z = z[z != 0]  # where relu has no slope
    x = torch.from_numpy(z.astype(np.float64)).requires_grad_()
    # Its numbers are parameters, in bfloat16 unless told otherwise.
    act = XIELUActivation(dtype=torch.float64) if name == "xielu" else ACT2FN[name]
    y = act(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    found, bent = BENT[name](z)
    assert found.dtype == bent.dtype == np.float32
    assert np.allclose(found, y.detach().numpy(), rtol=2e-6, atol=2e-6)
    assert np.allclose(bent, slope.numpy(), rtol=2e-5, atol=2e-5)


def test_xielu_has_numbers_of_its_own():
    z = np.linspace(-3, 3, 61).astype(np.float32)
    act = XIELUActivation(alpha_p_init=1.3, alpha_n_init=0.9, beta=0.4, dtype=torch.float64)
    y = act(torch.from_numpy(z.astype(np.float64))).detach().numpy()
    found, _ = xielu(float(act.alpha_p), float(act.alpha_n), 0.4)(z)
    assert np.allclose(found, y, rtol=2e-6, atol=2e-6)
    assert np.abs(xielu()(z)[0] - y).max() > 0.1  # control: the default is another one


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_large_inputs_stay_finite(name):
    with np.errstate(over="raise", invalid="raise"):
        found = BENT[name](np.array([-1e4, 1e4, 0], np.float32))
    assert all(np.isfinite(values).all() for values in found)
