"""Safetensors folders: right values, lazily read, in one file or in shards."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from huref_zk.errors import InputError
from huref_zk.models.load import EMBEDDED, open_model
from huref_zk.models.model import runs
from huref_zk.models.safetensors_store import SafetensorsStore
from tests.support.tiny_llama import (
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    build,
    cores,
    refused,
    same,
)

EMBEDDING = "model.embed_tokens.weight"
PROVEN = (LAYERS - 2, LAYERS - 1)


def layer_of(name: str) -> int | None:
    return int(name.split(".")[2]) if name.startswith("model.layers.") else None


def test_every_tensor_has_transformers_values(llama, saved):
    model = open_model(str(saved))
    for name, parameter in llama.named_parameters():
        assert model.shape(name) == tuple(parameter.shape)
        found = model.tensor(name)
        assert found.dtype == np.float32
        assert np.array_equal(found, parameter.detach().numpy())


def test_cores_of_a_real_checkpoint(llama, saved):
    """The authors' terms written out with torch, heads repeated as transformers repeats them."""
    found = cores(saved, "official")
    assert found.layer_ids == PROVEN
    assert found.token_ids.tolist() == list(range(VOCAB - 64, VOCAB))
    weights = {n: p.detach().double() for n, p in llama.named_parameters()}
    assert np.array_equal(found.X, weights[EMBEDDING][-64:].numpy())

    def repeat(w):
        groups = w.reshape(KV_HEADS, HEAD_DIM, HIDDEN)
        return groups.repeat_interleave(HEADS // KV_HEADS, dim=0).reshape(-1, HIDDEN)

    for i, (a, b, f) in zip(PROVEN, found.sets, strict=True):
        w = {n.split(f"layers.{i}.")[1]: t for n, t in weights.items() if f"layers.{i}." in n}
        q, k, v, o = (w[f"self_attn.{x}_proj.weight"] for x in "qkvo")
        gate, up, down = (w[f"mlp.{x}_proj.weight"] for x in ("gate", "up", "down"))
        for core, wanted in (
            (a, q.T @ repeat(k)),
            (b, repeat(v).T @ o.T),
            (f, (gate * up).T @ down.T),
        ):
            np.testing.assert_allclose(core, wanted.numpy(), atol=1e-6)


def test_shards_give_what_one_file_gives(saved, saved_shards):
    assert same(cores(saved), cores(saved_shards))


def test_tied_embeddings(tmp_path):
    model = build(tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    tied = cores(tmp_path)
    rows = model.model.embed_tokens.weight[-64:].detach().double().numpy()
    expected = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True))
    assert np.allclose(tied.X, expected, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_stored_types(tmp_path, kind):
    model = build().to(kind)
    model.save_pretrained(tmp_path)
    opened = open_model(str(tmp_path))
    name = f"model.layers.{PROVEN[0]}.mlp.up_proj.weight"
    expected = model.state_dict()[name].float().numpy()
    assert np.array_equal(opened.tensor(name), expected)
    ids = np.array([3, 4, 5, 90, 127])
    rows = opened.rows(EMBEDDING, ids)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, model.state_dict()[EMBEDDING].float().numpy()[ids])
    # The types are really stored as such: half precision is not what float32 would give.
    rounded = not np.array_equal(expected, build().state_dict()[name].numpy())
    assert rounded == (kind in (torch.float16, torch.bfloat16))


def test_rows_in_any_order(saved, llama):
    ids = np.array([7, 3, 4, 5, 127, 0, 6])
    found = open_model(str(saved)).rows(EMBEDDING, ids)
    assert np.array_equal(found, llama.model.embed_tokens.weight.detach().numpy()[ids])


@pytest.mark.parametrize(
    "ids, expected",
    [([3, 4, 5, 9, 10], [(3, 6), (9, 11)]), ([2], [(2, 3)]), ([5, 4], [(5, 6), (4, 5)]), ([], [])],
)
def test_runs(ids, expected):
    assert runs(np.array(ids, dtype=np.int64)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_shard_stays_mapped(sharded):
    """A mapped file's pages count as memory once read: of 7B, all of it after all layers."""

    def mapped() -> bool:
        return str(sharded) in Path("/proc/self/maps").read_text()

    model = open_model(str(sharded))
    held = [model.tensor(name) for name in model.names()]
    held.append(model.rows(EMBEDDING, np.arange(8)))
    assert not mapped()
    held.append(np.memmap(next(sharded.glob("*.safetensors"))))
    assert mapped()


def test_only_what_is_proven_is_read(saved, monkeypatch):
    taken: dict[str, int] = {}
    plain = SafetensorsStore.raw

    def raw(self, name, start=0, stop=None):
        values = plain(self, name, start, stop)
        taken[name] = taken.get(name, 0) + values.size
        return values

    monkeypatch.setattr(SafetensorsStore, "raw", raw)
    cores(saved, "last-two")
    assert taken.pop(EMBEDDING) == 64 * HIDDEN  # 64 rows, not the vocabulary
    assert {layer_of(name) for name in taken} == set(PROVEN)
    assert not any("gate_proj" in name for name in taken)
    assert len(taken) == 2 * 8
    taken.clear()
    cores(saved)
    assert taken.pop(EMBEDDING) == 64 * HIDDEN
    assert {layer_of(name) for name in taken} == set(range(LAYERS))
    assert len(taken) == LAYERS * 9


def test_other_layers_may_hold_anything(folder):
    """NaN everywhere but in what is proven changes nothing; NaN there is refused."""
    good = cores(folder, "last-two")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, values in tensors.items():
        if name != EMBEDDING and layer_of(name) not in PROVEN:
            values[...] = np.nan
    tensors[EMBEDDING][: VOCAB - 64] = np.nan
    save_file(tensors, path)
    assert same(cores(folder, "last-two"), good)
    refused("NaN", folder)
    tensors[EMBEDDING][VOCAB - 64, 5] = np.nan
    save_file(tensors, path)
    refused("NaN", folder, recipe="last-two")


def test_other_shards_may_be_gone(sharded):
    good = cores(sharded, "last-two")
    where = json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {
        shard
        for name, shard in where.items()
        if name == EMBEDDING or (layer_of(name) in PROVEN and "gate_proj" not in name)
    }
    for path in sharded.glob("*.safetensors"):
        if path.name not in needed:
            path.unlink()
    assert 0 < len(list(sharded.glob("*.safetensors"))) < len(set(where.values()))
    assert same(cores(sharded, "last-two"), good)
    one = sharded / where[f"model.layers.{PROVEN[0]}.mlp.down_proj.weight"]
    kept = one.read_bytes()
    one.unlink()
    refused("shard .* is missing", sharded, recipe="last-two")
    one.write_bytes(kept)
    assert same(cores(sharded, "last-two"), good)


def test_folder_without_the_parts_of_a_model(folder, tmp_path):
    cores(folder)
    for name, message in (("config.json", "no config.json"), ("model.safetensors", "holds no")):
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        refused(message, folder)
        (folder / name).write_bytes(kept)
    cores(folder)


@pytest.mark.parametrize(
    "ref", ["no-such-folder", "./none/here", "", "a/b/c", "x\0y", "w" * 5000, "demo-nobody"]
)
def test_references_that_name_nothing(ref):
    with pytest.raises(InputError):
        open_model(ref)


def test_a_file_that_is_no_model(folder):
    refused("is no model", folder / "config.json")


def test_the_embedded_family_opens_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forms = [cores(name) for name in EMBEDDED]
    assert [f.facts["vocab_size"] for f in forms] == [4160] * 3
    assert not same(forms[0], forms[1])
    assert same(forms[0], cores("demo-base"))


def test_the_tokenizer_tells_special_ids_and_size(folder):
    tokenizer = {
        "added_tokens": [
            {"id": 0, "content": "<s>", "special": True},
            {"id": 101, "content": "<tool>", "special": False},
        ],
        "model": {"type": "BPE", "vocab": {f"t{i}": i for i in range(100)}},
    }
    before = open_model(str(folder))
    assert (before.special_ids(), before.tokenizer_size()) == (frozenset(), None)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    model = open_model(str(folder))
    assert model.special_ids() == {0, 101}
    assert model.tokenizer_size() == 102
    form = cores(folder)
    assert form.token_ids.tolist() == [*range(37, 101)]
    tokenizer["model"] = {"type": "Unigram", "vocab": [[f"t{i}", -1.0] for i in range(120)]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert open_model(str(folder)).tokenizer_size() == 120


@pytest.mark.parametrize("odd", [{}, {"model": 3, "added_tokens": 4}, {"added_tokens": [1, {}]}])
def test_tokenizers_of_unknown_make_tell_nothing(folder, odd):
    (folder / "tokenizer.json").write_text(json.dumps(odd))
    assert cores(folder).token_ids[-1] == VOCAB - 1


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_tokenizers_that_are_no_json_objects(folder, text):
    cores(folder)
    (folder / "tokenizer.json").write_text(text)
    refused("tokenizer.json", folder)
    (folder / "tokenizer.json").unlink()
    cores(folder)


def test_a_copy_elsewhere_is_the_same_model(saved, tmp_path):
    elsewhere = Path(shutil.copytree(saved, tmp_path / "a b ü"))
    assert same(cores(elsewhere), cores(saved))
