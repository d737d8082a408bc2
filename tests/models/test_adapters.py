"""LoRA adapters: base and adapter together are the merged model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from huref_zk.errors import InputError
from huref_zk.models.load import open_model
from tests.support.tiny_llama import HIDDEN, VOCAB, cores, edit_json, refused, same

PREFIX = "base_model.model."
Q = "model.layers.{i}.self_attn.q_proj"
UP = "model.layers.{i}.mlp.up_proj"
WEIGHTS, ADAPTER, CONFIG = "model.safetensors", "adapter_model.safetensors", "adapter_config.json"


def adapter(folder: Path, **config) -> dict[str, np.ndarray]:
    """An adapter of two matrices of every layer."""
    folder.mkdir()
    rng, tensors = np.random.default_rng(1), {}
    for i in range(4):
        for template, rows in ((Q, 64), (UP, 96)):
            stem = PREFIX + template.format(i=i)
            tensors[f"{stem}.lora_A.weight"] = rng.normal(size=(4, HIDDEN)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = rng.normal(size=(rows, 4)).astype(np.float32) * 0.1
    save_file(tensors, folder / ADAPTER)
    told = {"peft_type": "LORA", "lora_alpha": 16, "r": 4, "base_model_name_or_path": "some/base"}
    (folder / CONFIG).write_text(json.dumps({**told, **config}))
    return tensors


def merged(base: Path, out: Path, tensors, scale: float) -> Path:
    """By the plain formula, W + scale B A."""
    import shutil

    shutil.copytree(base, out)
    weights = {name: w.copy() for name, w in load_file(base / WEIGHTS).items()}
    for name in tensors:
        if name.endswith("lora_A.weight"):
            stem = name.removesuffix("lora_A.weight")
            delta = tensors[stem + "lora_B.weight"] @ tensors[name]
            weights[stem.removeprefix(PREFIX) + "weight"] += np.float32(scale) * delta
    save_file(weights, out / WEIGHTS)
    return out


@pytest.mark.parametrize(
    "config, scale",
    [({}, 4.0), ({"use_rslora": True}, 8.0), ({"lora_alpha": 2, "alpha_pattern": {}}, 0.5)],
)
def test_merged_on_the_fly(saved, tmp_path, config, scale):
    tensors = adapter(tmp_path / "lora", **config)
    whole = merged(saved, tmp_path / "merged", tensors, scale)
    ref = f"{tmp_path / 'lora'}+{saved}"
    model, expected = open_model(ref), open_model(str(whole))
    for name in expected.names():
        assert np.allclose(model.tensor(name), expected.tensor(name), atol=1e-6), name
    name = UP.format(i=1) + ".weight"
    some = np.array([5, 6, 2])
    assert np.allclose(model.rows(name, some), model.tensor(name)[some], atol=1e-6)
    form, theirs = cores(ref), cores(whole)
    assert np.allclose(form.sets[0], theirs.sets[0], atol=1e-4 * np.abs(theirs.sets[0]).max())
    assert not same(form, cores(saved))  # it changes something
    assert "8 matrices is merged" in form.warnings[0] and "'some/base'" in form.warnings[0]


def test_the_alone_adapter_asks_for_its_base(saved, tmp_path):
    adapter(tmp_path / "lora")
    refused(
        "name the model that it belongs to with --base, or write ADAPTER.BASE", tmp_path / "lora"
    )
    with pytest.raises(InputError, match="is no adapter's folder"):
        open_model(f"{saved}+{saved}")
    with pytest.raises(InputError, match="there is no model"):
        open_model(f"{tmp_path / 'lora'}+nothing")


def test_a_scale_of_one_module(saved, tmp_path):
    tensors = adapter(tmp_path / "lora", alpha_pattern={"layers.1.mlp.up_proj": 32})
    model, base = open_model(f"{tmp_path / 'lora'}+{saved}"), open_model(str(saved))
    for i, scale in ((0, 4.0), (1, 8.0)):
        stem = PREFIX + UP.format(i=i)
        name = UP.format(i=i) + ".weight"
        delta = tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"]
        assert np.allclose(model.tensor(name) - base.tensor(name), scale * delta, atol=1e-5)


def test_embeddings_whole_modules_and_lengths(saved, tmp_path):
    """An embedding's factors, a matrix saved whole, and DoRA's lengths of rows."""
    tensors = adapter(tmp_path / "lora")
    rng = np.random.default_rng(2)
    stem = PREFIX + UP.format(i=2)
    more = {
        f"{PREFIX}model.embed_tokens.lora_embedding_A": rng.normal(size=(3, VOCAB)),
        f"{PREFIX}model.embed_tokens.lora_embedding_B": rng.normal(size=(HIDDEN, 3)),
        f"{PREFIX}lm_head.weight": rng.normal(size=(VOCAB, HIDDEN)),
        f"{stem}.lora_magnitude_vector": rng.uniform(1, 2, 96),
    }
    more = {name: w.astype(np.float32) for name, w in more.items()}
    save_file({**tensors, **more}, tmp_path / "lora" / ADAPTER)
    model, base = open_model(f"{tmp_path / 'lora'}+{saved}"), open_model(str(saved))
    name = "model.embed_tokens.weight"
    down, up, head, sizes = more.values()
    expected = base.tensor(name) + (up @ down).T * np.float32(16 / 3)
    assert np.allclose(model.tensor(name), expected, atol=1e-5)
    some = np.array([7, 3, 4])
    assert np.allclose(model.rows(name, some), expected[some], atol=1e-5)
    assert np.array_equal(model.tensor("lm_head.weight"), head)
    assert np.array_equal(model.rows("lm_head.weight", some), head[some])
    found = model.tensor(UP.format(i=2) + ".weight")
    assert np.allclose(np.linalg.norm(found, axis=1), sizes, rtol=1e-5)
    plain = base.tensor(UP.format(i=2) + ".weight")
    plain = plain + 4 * tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"]
    assert np.allclose(found / found[:, :1], plain / plain[:, :1], rtol=1e-2, atol=1e-3)


def test_a_pickled_adapter(saved, tmp_path):
    tensors = adapter(tmp_path / "lora")
    ref = f"{tmp_path / 'lora'}+{saved}"
    good = cores(ref)
    (tmp_path / "lora" / ADAPTER).unlink()
    refused("holds neither", ref)
    torch.save({n: torch.from_numpy(w) for n, w in tensors.items()}, tmp_path / "lora" / "x")
    (tmp_path / "lora" / "x").rename(tmp_path / "lora" / "adapter_model.bin")
    refused("only a pickled adapter; --allow-pickle", ref)
    assert same(cores(ref, allow_pickle=True), good)


def change(alter):
    def apply(folder: Path) -> None:
        tensors = {name: w.copy() for name, w in load_file(folder / ADAPTER).items()}
        alter(tensors)
        save_file({n: np.ascontiguousarray(w) for n, w in tensors.items()}, folder / ADAPTER)

    return apply


def config(**changes):
    return lambda folder: edit_json(folder / CONFIG, **changes)


STEM = PREFIX + Q.format(i=0)


@pytest.mark.parametrize(
    "damage, message",
    [
        (config(peft_type="IA3"), "of type 'IA3'; read is LORA"),
        (config(peft_type=...), "of type 'None'"),
        (config(lora_alpha="x"), "lora_alpha is x"),
        (config(lora_alpha=1e999), "lora_alpha is inf|not valid JSON"),
        (config(alpha_pattern={"(a+)+$": 3}), "which is no name"),
        (config(layer_replication=[[0, 1]]), "layer_replication is not read"),
        (config(target_parameters=["x"]), "target_parameters is not read"),
        (config(fan_in_fan_out=True), "changes a matrix of shape"),
        (change(lambda t: t.pop(STEM + ".lora_B.weight")), "has one factor of two"),
        (change(lambda t: t.update({"x.y.z": np.ones(3)})), "what x.y.z does is not known"),
        (
            change(lambda t: t.update({STEM + ".lora_B.weight": np.ones((64, 5), np.float32)})),
            "factors of .* do not fit",
        ),
        (
            change(lambda t: t.update({STEM + ".lora_B.weight": np.ones((32, 4), np.float32)})),
            "changes a matrix of shape",
        ),
        (
            change(lambda t: t.update({"model.other.lora_A.weight": np.ones((4, 4), np.float32)})),
            "has one factor of two",
        ),
        (
            change(lambda t: t.update({"model.other.weight": np.ones((4, 4), np.float32)})),
            "changes model.other.weight, which .* lacks",
        ),
    ],
)
def test_adapters_that_are_refused(saved, tmp_path, damage, message):
    adapter(tmp_path / "lora")
    ref = f"{tmp_path / 'lora'}+{saved}"
    cores(ref)
    damage(tmp_path / "lora")
    refused(message, ref)
