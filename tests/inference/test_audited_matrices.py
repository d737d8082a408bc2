"""What is committed of an audited layer: the model's own weights, gains folded in, rounded."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from huref_zk.commitment.audited import BITS, LIMIT, MAX_LAYERS, audited_matrices, rounded
from huref_zk.commitment.descriptor import Audited
from huref_zk.errors import InputError
from huref_zk.models.families import family_for
from huref_zk.models.load import EMBEDDED, open_model
from huref_zk.render.tensors_file import write_safetensors

IDS = np.arange(20, 52)


def made(ref, layers=(0, 1), output=True):
    model = open_model(str(ref))
    return audited_matrices(model, family_for(model), layers, output, IDS)


@pytest.fixture(scope="module")
def tensors(tied_model):
    from safetensors.numpy import load_file

    return load_file(tied_model / "model.safetensors")


def test_the_models_weights(tied_model, tensors):
    """Every block over its scale is a weight times the gain before it, within half a unit."""
    matrices, audited, scales = made(tied_model)
    assert audited == (Audited(0, 16, 24), Audited(1, 16, 24))
    for part in audited:
        name, i = f"model.layers.{part.layer}.", part.layer
        before = tensors[name + "input_layernorm.weight"]
        middle = tensors[name + "post_attention_layernorm.weight"]
        q, k, v, o = (tensors[f"{name}self_attn.{x}_proj.weight"] for x in "qkvo")
        up, gate, down = (tensors[f"{name}mlp.{x}_proj.weight"] for x in ("up", "gate", "down"))
        k, v = (np.repeat(w.reshape(2, 4, 16), 2, axis=0).reshape(16, 16) for w in (k, v))
        for matrix, start, block, wanted in (
            ("qv", 0, "qv{}.q", (q * before).T),
            ("qv", 16, "qv{}.v", (v * before).T),
            ("ko", 0, "ko{}.k", (k * before).T),
            ("ko", 16, "ko{}.o", o),
            ("up", 0, "up{}", (up * middle).T),
            ("gate", 0, "gate{}", (gate * middle).T),
            ("down", 0, "down{}", down),
        ):
            scale = float(scales[block.format(i)])
            found = matrices[f"{matrix}{i}"][:, start : start + wanted.shape[1]]
            assert np.abs(found - scale * wanted).max() <= 0.5
            assert math.log2(scale) == round(math.log2(scale))
            assert 2 ** (BITS - 1) < np.sqrt(np.mean(found.astype(float) ** 2)) < 2 ** (BITS + 1)
    gain, embedding = (tensors[f"model.{n}.weight"] for n in ("norm", "embed_tokens"))
    assert np.abs(matrices["O"] - float(scales["O"]) * embedding[IDS] * gain).max() <= 0.5


def test_an_output_matrix_of_its_own():
    """demo-base is not tied: O is of lm_head; alone, without any audited layer."""
    from safetensors.numpy import load_file

    tensors = load_file(EMBEDDED["demo-base"] / "model.safetensors")
    matrices, audited, scales = made("demo-base", (), True)
    assert (list(matrices), audited, list(scales)) == (["O"], (), ["O"])
    head, gain = (tensors[n].astype(np.float32) for n in ("lm_head.weight", "model.norm.weight"))
    assert np.abs(matrices["O"] - float(scales["O"]) * head[IDS] * gain).max() <= 0.51
    assert made("demo-base", (3,), False)[0].keys() == {"qv3", "ko3", "up3", "gate3", "down3"}


def test_outliers_are_not_clipped():
    values = np.full((512, 512), 1e-3, dtype=np.float32)
    _, scale = rounded(values, "a block")
    values[3, 5] = -40.0
    found, smaller = rounded(values, "a block")
    assert LIMIT / 2 < -int(found.min()) <= LIMIT
    assert float(smaller) < float(scale) and abs(found[3, 5] / float(smaller) + 40) < 0.01
    with pytest.raises(InputError, match="zero throughout"):
        rounded(values * 0, "a block")


@pytest.fixture
def edited(tied_model, tensors, tmp_path):
    """Writes the tied model with other tensors or another config."""

    def write(more, **config):
        path = tmp_path / "edited"
        path.mkdir()
        write_safetensors(path / "model.safetensors", tensors | more, {})
        given = json.loads((tied_model / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(given | config))
        return path

    return write


def test_what_cannot_be_audited(edited, tied_model):
    for layers in ((2,), (0, -1)):
        with pytest.raises(InputError, match="has layers 0 to 1"):
            made(tied_model, layers)
    with pytest.raises(InputError, match=f"at most {MAX_LAYERS}"):
        made(tied_model, range(MAX_LAYERS + 1))
    bias = {"model.layers.1.self_attn.q_proj.bias": np.zeros(16, np.float32)}
    path = edited(bias)
    made(path, (0,))
    with pytest.raises(InputError, match="bias cannot be audited"):
        made(path, (0, 1))


def test_another_family(edited):
    norms = {
        f"model.layers.{i}.self_attn.{x}_norm.weight": np.ones(4, np.float32)
        for i in (0, 1)
        for x in "qk"
    }
    with pytest.raises(InputError, match="'qwen3' cannot be audited"):
        made(edited(norms, model_type="qwen3"))


def test_weights_that_are_none(edited, tensors):
    name = "model.layers.0.mlp.up_proj.weight"
    broken = tensors[name].copy()
    broken[0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        made(edited({name: broken}))
