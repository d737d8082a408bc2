"""Pickled checkpoints: only when asked for, and even then nothing in them is executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from huref_zk.errors import InputError
from huref_zk.models.load import open_model
from tests.support.tiny_llama import LAYERS, build, cores, edit_json, refused, same

NAME = "pytorch_model.bin"
LAST_UP = f"model.layers.{LAYERS - 1}.mlp.up_proj.weight"


@pytest.fixture
def pickled(folder, llama) -> Path:
    (folder / "model.safetensors").unlink()
    torch.save(llama.state_dict(), folder / NAME)
    return folder


def test_refused_unless_asked_for(pickled, saved):
    refused("holds only pickled weights; --allow-pickle", pickled)
    assert same(cores(pickled, allow_pickle=True), cores(saved))


def test_safetensors_are_preferred(saved, folder):
    """A pickle beside them is not even opened."""
    (folder / NAME).write_bytes(b"not a pickle")
    assert same(cores(folder, allow_pickle=True), cores(saved))


def test_parameters_that_want_gradients(pickled, llama, saved):
    parameters = dict(llama.named_parameters())
    assert parameters[LAST_UP].requires_grad
    torch.save(parameters, pickled / NAME)
    assert same(cores(pickled, allow_pickle=True), cores(saved))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision(pickled, kind):
    half = build().to(kind)
    torch.save(half.state_dict(), pickled / NAME)
    model = open_model(str(pickled), allow_pickle=True)
    expected = half.state_dict()[LAST_UP].float().numpy()
    assert np.array_equal(model.tensor(LAST_UP), expected)
    assert np.array_equal(model.rows(LAST_UP, np.array([5, 2])), expected[[5, 2]])


class Hostile:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("how", ["torch", "pickle", "nested"])
def test_a_hostile_pickle_is_not_executed(pickled, tmp_path, how):
    mark = tmp_path / "executed"
    good = (pickled / NAME).read_bytes()
    if how == "torch":
        torch.save(Hostile(mark), pickled / NAME)
    elif how == "nested":
        torch.save({LAST_UP: {"deep": [Hostile(mark)]}}, pickled / NAME)
    else:
        (pickled / NAME).write_bytes(pickle.dumps(Hostile(mark)))
    refused("is not a plain checkpoint", pickled, allow_pickle=True)
    assert not mark.exists()
    # The file is dangerous indeed: a loader that trusts it runs what it says.
    if how == "pickle":
        pickle.loads((pickled / NAME).read_bytes())
    else:
        torch.load(pickled / NAME, weights_only=False)
    assert mark.exists()
    (pickled / NAME).write_bytes(good)
    cores(pickled, allow_pickle=True)


def save(change):
    """A damage: the state dict after ``change``."""

    def apply(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        torch.save(change(state), path)

    return apply


def replace(name, value):
    return save(lambda state: {**state, name: value(state[name])})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


# Torch says of compressed sparse rows that they are in beta.
@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:Casting complex")
@pytest.mark.parametrize(
    "damage, message",
    [
        (cut, "is not a plain checkpoint"),
        (lambda path: path.write_bytes(b""), "is not a plain checkpoint"),
        (lambda path: path.write_bytes(os.urandom(1000)), "is not a plain checkpoint"),
        (save(lambda state: list(state.values())), "holds no state dict"),
        (save(lambda state: state[LAST_UP]), "holds no state dict"),
        (save(lambda state: {"state_dict": dict(state)}), "is missing"),
        (replace(LAST_UP, lambda t: None), "up_proj.weight is no dense"),
        (replace(LAST_UP, lambda t: "weights"), "up_proj.weight is no dense"),
        (replace(LAST_UP, lambda t: t.T.contiguous()), "up_proj.weight has shape"),
        (replace(LAST_UP, lambda t: t * float("nan")), "NaN or infinite"),
        (replace(LAST_UP, lambda t: t.to_sparse()), "up_proj.weight is no dense"),
        (replace(LAST_UP, lambda t: t.to_sparse_csr()), "up_proj.weight is no dense"),
        (replace(LAST_UP, lambda t: t.to("meta")), "up_proj.weight is no dense"),
        (replace(LAST_UP, lambda t: t.to(torch.int32)), "up_proj.weight has type I32"),
        (replace(LAST_UP, lambda t: t.to(torch.complex64)), "up_proj.weight is no dense"),
        (
            replace(LAST_UP, lambda t: torch.zeros(1).expand(1 << 20, 1 << 20)),
            "up_proj.weight claims shape",
        ),
    ],
)
def test_malformed_pickles(pickled, damage, message):
    path = pickled / NAME
    kept, good = path.read_bytes(), cores(pickled, allow_pickle=True)
    damage(path)
    refused(message, pickled, allow_pickle=True)
    path.write_bytes(kept)
    assert same(cores(pickled, allow_pickle=True), good)


def test_special_ids_come_from_the_tokenizer(pickled):
    model = open_model(str(pickled), allow_pickle=True)
    assert (model.special_ids(), model.tokenizer_size()) == (frozenset(), None)
    (pickled / "tokenizer.json").write_text('{"added_tokens": [{"id": 5}]}')
    model = open_model(str(pickled), allow_pickle=True)
    assert (model.special_ids(), model.tokenizer_size()) == ({5}, 6)


def test_the_config_is_checked_as_elsewhere(pickled):
    cores(pickled, allow_pickle=True)
    edit_json(pickled / "config.json", model_type="mamba")
    with pytest.raises(InputError, match="not supported"):
        cores(pickled, allow_pickle=True)
