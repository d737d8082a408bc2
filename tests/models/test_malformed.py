"""Malformed checkpoints: each ends in one clear error; put back, the model loads as before."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.support.tiny_llama import HIDDEN, LAYERS, VOCAB, cores, edit_json, refused, same

LAST = f"model.layers.{LAYERS - 1}."
EMBEDDING = "model.embed_tokens.weight"


def damaged(folder: Path, damage, message: str) -> None:
    """``folder`` loads; after ``damage(folder)`` it is refused; put back, it loads as before."""
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    good = cores(folder)
    damage(folder)
    refused(message, folder)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    assert same(cores(folder), good)


def tensors(change):
    """A damage: ``change(name -> array)`` applied to the single file's tensors."""

    def apply(folder: Path) -> None:
        path = folder / "model.safetensors"
        data = {name: values.copy() for name, values in load_file(path).items()}
        change(data)
        save_file(data, path)

    return apply


def put(name, place, value):
    def change(data):
        data[name][place] = value

    return tensors(change)


def drop(name):
    return tensors(lambda data: data.pop(name))


def reshape(name, shape):
    def change(data):
        data[name] = np.ones(shape, dtype=np.float32)

    return tensors(change)


def retype(name, kind):
    def change(data):
        data[name] = data[name].astype(kind)

    return tensors(change)


@pytest.mark.parametrize(
    "damage, message",
    [
        (put(LAST + "mlp.up_proj.weight", (3, 5), np.nan), "up_proj.*NaN or infinite"),
        (put(LAST + "mlp.down_proj.weight", (0, 0), np.inf), "down_proj.*NaN or infinite"),
        (put(LAST + "self_attn.o_proj.weight", (1, 1), -np.inf), "o_proj.*NaN or infinite"),
        (put(LAST + "input_layernorm.weight", 7, np.nan), "input_layernorm.*NaN or infinite"),
        (put(EMBEDDING, (VOCAB - 1, 0), np.inf), "embed_tokens.*NaN or infinite"),
        (drop(LAST + "self_attn.k_proj.weight"), "k_proj.weight is missing"),
        (drop(LAST + "post_attention_layernorm.weight"), "post_attention_layernorm.* is missing"),
        (drop(EMBEDDING), "embed_tokens.weight is missing"),
        (reshape(EMBEDDING, (VOCAB - 1, HIDDEN)), "embed_tokens.weight has shape"),
        (reshape(EMBEDDING, (VOCAB * HIDDEN,)), "embed_tokens.weight has shape"),
        (reshape(LAST + "self_attn.v_proj.weight", (HIDDEN, HIDDEN)), "v_proj.weight has shape"),
        (reshape(LAST + "mlp.up_proj.weight", (HIDDEN, 96)), "up_proj.weight has shape"),
        (reshape(LAST + "input_layernorm.weight", (1, HIDDEN)), "input_layernorm.weight has shape"),
        (reshape(LAST + "input_layernorm.weight", ()), "input_layernorm.weight has shape"),
        (retype(LAST + "mlp.up_proj.weight", np.int8), "up_proj.weight has type I8"),
        (retype(EMBEDDING, np.int64), "embed_tokens.weight has type I64"),
    ],
)
def test_tensors(folder, damage, message):
    damaged(folder, damage, message)


def test_a_product_that_overflows(folder):
    """The gain is finite and so is the weight; what is fingerprinted, their product, is not."""

    def change(data):
        data[LAST + "post_attention_layernorm.weight"][...] = 1e30
        data[LAST + "mlp.up_proj.weight"][...] = 1e30

    damaged(folder, tensors(change), "layer 3's term f holds NaN or infinite")
    tensors(change)(folder)
    refused("up_proj.*gain.* holds NaN or infinite", folder, recipe="last-two")


def config(**changes):
    return lambda folder: edit_json(folder / "config.json", **changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "x"}, "architecture 'x' is not supported; `huref-zk models` lists"),
        ({"model_type": "mamba"}, "mamba models are not supported: their layers are state spaces"),
        ({"model_type": ...}, "architecture 'None' is not supported"),
        ({"model_type": ["llama"]}, "is not supported"),
        ({"model_type": "x" * 10_000}, "is not supported"),
        ({"hidden_size": 0}, "hidden_size = 0"),
        ({"hidden_size": -64}, "hidden_size = -64"),
        ({"hidden_size": 10**30}, "hidden_size = 1000"),
        ({"hidden_size": 64.0}, "hidden_size = 64.0"),
        ({"hidden_size": "64"}, "hidden_size = '64'"),
        ({"hidden_size": True}, "hidden_size = True"),
        ({"hidden_size": ...}, "hidden_size = None"),
        ({"hidden_size": 128}, "embed_tokens.weight has shape"),
        ({"vocab_size": VOCAB + 1}, "embed_tokens.weight has shape"),
        ({"vocab_size": 1 << 24}, "vocab_size"),
        ({"num_attention_heads": 0}, "num_attention_heads = 0"),
        ({"num_attention_heads": 5}, "do not divide"),
        ({"num_attention_heads": 1 << 20, "head_dim": None}, "head_dim = 0"),
        ({"num_key_value_heads": 3}, "do not divide"),
        ({"num_key_value_heads": 4}, "k_proj.weight has shape"),
        ({"head_dim": 32}, "q_proj.weight has shape"),
        ({"head_dim": (1 << 24) - 1}, "q_proj.weight has shape"),
        ({"intermediate_size": 97}, "up_proj.weight has shape"),
        ({"intermediate_size": [96]}, "intermediate_size = "),
        ({"num_hidden_layers": LAYERS + 1}, "missing"),
        ({"num_hidden_layers": (1 << 24) - 1}, "missing"),
    ],
)
def test_configs(folder, changes, message):
    damaged(folder, config(**changes), message)


def write(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def huge_config(folder: Path) -> None:
    with open(folder / "config.json", "ab") as file:
        file.truncate(1 << 32)  # sparse: nothing is written


def config_folder(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


@pytest.mark.parametrize(
    "damage, message",
    [
        (write("config.json", b""), "is not valid JSON"),
        (write("config.json", b"{'model_type': 'llama'}"), "is not valid JSON"),
        (write("config.json", b'{"model_type": "ll'), "is not valid JSON"),
        (write("config.json", b"\xff\xfe\xff{}"), "is not valid JSON"),
        (write("config.json", b"[" * 1_000_000), "is not valid JSON"),
        (write("config.json", b'{"a":' * 200_000), "is not valid JSON"),
        (write("config.json", b'{"hidden_size": ' + b"9" * 100_000 + b"}"), "is not valid JSON"),
        (write("config.json", b'["llama"]'), "holds no JSON object"),
        (write("config.json", b"null"), "holds no JSON object"),
        (huge_config, "is larger than"),
        (config_folder, "is not a regular file"),
    ],
)
def test_configs_that_are_no_json(folder, damage, message):
    damaged(folder, damage, message)


def cut(keep):
    """A damage: the weights' file shortened; a negative ``keep`` counts from its end."""

    def apply(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])

    return apply


def header(change):
    """A damage: the safetensors header's bytes changed, its length kept right."""

    def apply(folder: Path) -> None:
        path = folder / "model.safetensors"
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        new = change(data[8 : 8 + length])
        path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])

    return apply


def offsets(content: bytes) -> bytes:
    table = json.loads(content)
    table[EMBEDDING]["data_offsets"] = [0, 1 << 40]
    return json.dumps(table).encode()


def shape(content: bytes) -> bytes:
    table = json.loads(content)
    table[EMBEDDING]["shape"] = [1 << 40, 1 << 40]
    return json.dumps(table).encode()


@pytest.mark.parametrize(
    "damage",
    [
        cut(0),
        cut(7),
        cut(100),
        cut(-1),
        cut(-10_000),
        write("model.safetensors", b"\xff" * 1000),
        write("model.safetensors", (1 << 62).to_bytes(8, "little") + b"{}"),
        header(lambda content: b"[" * len(content)),
        header(offsets),
        header(shape),
    ],
    ids=["empty", "length", "header", "byte", "tail", "noise", "claim", "nested", "range", "shape"],
)
def test_safetensors_files(folder, damage):
    damaged(folder, damage, "is not a valid safetensors file")


def test_a_folder_in_the_weights_place(folder):
    def apply(place):
        (place / "model.safetensors").unlink()
        (place / "model.safetensors").mkdir()

    damaged(folder, apply, "is not a regular file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "vocab.json", "tokenizer.model"]
)
def test_a_pipe_in_a_files_place(folder, name):
    """Whoever opens one waits for ever."""

    def apply(place):
        (place / name).unlink(missing_ok=True)
        os.mkfifo(place / name)

    damaged(folder, apply, "is not a regular file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors.index.json", "m.gguf"])
def test_a_pipe_as_the_only_weights(folder, name):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / name)
    refused("is not a regular file|holds m.gguf", folder, allow_pickle=True)
    refused("no such folder or file|is not a regular", folder / name)


def index(change):
    """A damage: ``change(index object)`` on the shards' index."""

    def apply(folder: Path) -> None:
        path = folder / "model.safetensors.index.json"
        data = json.loads(path.read_text())
        data = change(data) or data
        path.write_text(json.dumps(data))

    return apply


def point(shard):
    """The last layer's up_proj is said to lie in ``shard``."""
    return index(lambda data: data["weight_map"].update({LAST + "mlp.up_proj.weight": shard}))


@pytest.mark.parametrize(
    "shard",
    [
        *("../outside.safetensors", "/etc/passwd", "a/../b.safetensors", "..", ".", "", "./x", 7),
        *(None, "a//b.safetensors", "a\\b", "c:x", "a/", "nul\0byte", "~/../x"),
    ],
)
def test_an_index_that_points_elsewhere(sharded, shard):
    """Also when what it points to exists and would load."""
    where = json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]
    good = sharded / where[LAST + "mlp.up_proj.weight"]
    shutil.copy(good, sharded.parent / "outside.safetensors")
    damaged(sharded, point(shard), "points outside its folder")


def test_an_absolute_path_into_the_folder_is_refused_too(sharded):
    where = json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]
    damaged(sharded, point(str(sharded / where[LAST + "mlp.up_proj.weight"])), "points outside")


@pytest.mark.parametrize(
    "damage, message",
    [
        (point("model-99999-of-99999.safetensors"), "shard model-99999-of-99999.* is missing"),
        (point("config.json"), "is not a valid safetensors file"),
        (point("a/b.safetensors"), "shard b.safetensors is missing"),
        (index(lambda data: {"weight_map": []}), "has no weight_map"),
        (index(lambda data: {"metadata": {}}), "has no weight_map"),
        (index(lambda data: ["weight_map"]), "holds no JSON object"),
        (
            index(lambda data: data["weight_map"].pop(LAST + "mlp.up_proj.weight") and None),
            "up_proj.weight is missing",
        ),
        (write("model.safetensors.index.json", b"{"), "is not valid JSON"),
    ],
)
def test_indexes(sharded, damage, message):
    damaged(sharded, damage, message)


def test_an_index_that_names_the_wrong_shard(sharded):
    where = json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]
    other = where[EMBEDDING]
    assert where[LAST + "mlp.up_proj.weight"] != other
    damaged(sharded, point(other), "up_proj.weight is missing from its shard|elsewhere")


def test_a_truncated_shard(sharded):
    where = json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]

    def apply(folder):
        path = folder / where[LAST + "mlp.up_proj.weight"]
        path.write_bytes(path.read_bytes()[:-1])

    damaged(sharded, apply, "is not a valid safetensors file")
