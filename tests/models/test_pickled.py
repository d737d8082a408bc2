"""Pickled checkpoints: only when asked for, and even then nothing in them is executed."""

from __future__ import annotations

import json
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


# --- older and sharded files --------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_older_form(pickled, saved, kind):
    """Of torch before 1.6: no archive, but pickles one after the other."""
    state = {n: t.to(kind) for n, t in torch.load(pickled / NAME).items()}
    torch.save(state, pickled / NAME, _use_new_zipfile_serialization=False)
    assert not (pickled / NAME).read_bytes().startswith(b"PK")
    model = open_model(str(pickled), allow_pickle=True)
    for name, tensor in state.items():
        assert np.array_equal(model.tensor(name), tensor.float().numpy()), name
    assert same(cores(pickled, allow_pickle=True), cores(saved)) == (kind == torch.float32)


@pytest.mark.parametrize("how", ["cut", "longer", "hostile"])
def test_damaged_older_files(pickled, tmp_path, how):
    state = torch.load(pickled / NAME)
    if how == "hostile":
        state["x"] = Hostile(tmp_path / "executed")
    torch.save(state, pickled / NAME, _use_new_zipfile_serialization=False)
    data = (pickled / NAME).read_bytes()
    if how == "cut":
        (pickled / NAME).write_bytes(data[:-1000])
    if how == "longer":
        at = data.rindex((64).to_bytes(8, "little"))
        (pickled / NAME).write_bytes(data[:at] + (1 << 60).to_bytes(8, "little") + data[at + 8 :])
    refused("is not a plain checkpoint", pickled, allow_pickle=True)
    assert not (tmp_path / "executed").exists()


def test_strides_and_views(pickled):
    """Tensors that share a storage, begin inside of it, or lie in it by columns."""
    whole = torch.arange(24.0)
    state = {"a": whole[4:].reshape(4, 5), "b": whole.reshape(4, 6).T, "c": whole[::3]}
    for zipped in (True, False):
        torch.save(state, pickled / NAME, _use_new_zipfile_serialization=zipped)
        model = open_model(str(pickled), allow_pickle=True)
        for name, tensor in state.items():
            assert np.array_equal(model.tensor(name), tensor.numpy())


def test_shards_by_their_index(pickled, saved):
    good = cores(pickled, allow_pickle=True)
    state = torch.load(pickled / NAME)
    names = sorted(state)
    parts = {f"pytorch_model-0000{n + 1}-of-00003.bin": names[n::3] for n in range(3)}
    for part, held in parts.items():
        torch.save({name: state[name] for name in held}, pickled / part)
    where = {name: part for part, held in parts.items() for name in held}
    index = pickled / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    refused("pytorch_model.bin beside pytorch_model.bin.index.json", pickled, allow_pickle=True)
    (pickled / NAME).unlink()
    assert same(cores(pickled, allow_pickle=True), good)
    refused("holds only pickled weights", pickled)
    moved = {**where, LAST_UP: next(p for p in parts if p != where[LAST_UP])}
    index.write_text(json.dumps({"weight_map": moved}))
    refused("up_proj.weight is ", pickled, allow_pickle=True)
    index.write_text(json.dumps({"weight_map": where}))
    (pickled / where[LAST_UP]).unlink()
    refused("the shard .* is missing", pickled, allow_pickle=True)


def program(*codes: bytes) -> bytes:
    return b"\x80\x02" + b"".join(codes) + b"."


@pytest.mark.parametrize(
    "data",
    [
        program(b"}", b")\x85" + b"\x85" * 200_000, b"K\x01s"),  # a deep tuple for a name
        program(b"}", b"r\xff\xff\xff\x7f"),  # a memo of two thousand million places
        program(b"\x96" + (1 << 40).to_bytes(8, "little")),  # a terabyte of bytes
        program(b"cbuiltins\neval\n", b"X\x01\x00\x00\x001", b"\x85R"),
        program(b"ctorch\nSize\n", b"K\x01\x85R"),
        program(b"]" + b"(" * 100_000),
        program(b"ccollections\nOrderedDict\n)R", b"}X\x01\x00\x00\x00aK\x01sb"),
    ],
    ids=["hash", "memo", "bytes", "eval", "size", "marks", "state"],
)
def test_programs_that_do_harm_elsewhere(pickled, data):
    import zipfile

    with zipfile.ZipFile(pickled / NAME, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")
    refused("is not a plain checkpoint|is missing|no state dict", pickled, allow_pickle=True)


def test_a_compressed_archive_is_refused(pickled):
    """Its entries could grow a thousandfold."""
    import zipfile

    with zipfile.ZipFile(pickled / NAME) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(pickled / NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    refused("archive is compressed", pickled, allow_pickle=True)
