"""What could be read in two ways is refused, and names both; what is not read is told."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from huref_zk.errors import InputError
from huref_zk.invariants.recipes import compute_cores
from huref_zk.models.families import family_for
from huref_zk.models.load import open_model
from tests.support.tiny_llama import VOCAB, build, cores, edit_json, refused, same

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
UP = "model.layers.3.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"


def notes(folder: Path, **options) -> str:
    return " | ".join(cores(folder, **options).warnings)


def change(folder: Path, alter) -> None:
    """``alter(name -> array)`` applied to the single file's tensors."""
    tensors = {name: values.copy() for name, values in load_file(folder / SINGLE).items()}
    alter(tensors)
    save_file(tensors, folder / SINGLE)


def thrice(name: str, other: str):
    return lambda tensors: tensors.update({other: tensors[name] * 3})


# --- which files --------------------------------------------------------------------------------


def test_a_single_file_beside_shards(sharded, saved):
    """The stolen weights in one file, which transformers takes; innocent ones in the index."""
    good = cores(sharded)
    shutil.copy(saved / SINGLE, sharded / SINGLE)
    refused("model.safetensors beside model.safetensors.index.json", sharded)
    (sharded / INDEX).unlink()
    assert same(cores(sharded), good)
    assert "not read, though they lie beside the weights: model-0" in notes(sharded)


def test_an_index_of_the_single_file_is_the_same_reading(folder):
    """As some programs write it."""
    good = cores(folder)
    names = list(load_file(folder / SINGLE))
    where = {"weight_map": dict.fromkeys(names, SINGLE)}
    (folder / INDEX).write_text(json.dumps(where))
    assert same(cores(folder), good)
    assert not cores(folder).warnings[:-2]
    where["weight_map"].pop(UP)
    (folder / INDEX).write_text(json.dumps(where))
    refused("up_proj.weight is in model.safetensors but .*index.json looks for it else", folder)


def test_a_shard_that_holds_more_than_the_index_says(sharded):
    """Transformers takes all that a shard holds, the last one's where two hold it."""
    good = cores(sharded)
    where = json.loads((sharded / INDEX).read_text())["weight_map"]
    other = sharded / where[EMBEDDING]
    assert where[UP] != other.name
    kept = load_file(other)
    save_file({**kept, UP: np.ones((96, 64), np.float32)}, other, metadata={"format": "pt"})
    refused(f"{UP} is in {other.name} but", sharded)
    save_file(kept, other, metadata={"format": "pt"})
    assert same(cores(sharded), good)


def test_an_adapter_beside_its_base(folder):
    good = cores(folder)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    refused("holds model.safetensors and adapter_config.json", folder)
    (folder / "adapter_config.json").unlink()
    assert same(cores(folder), good)


def test_a_config_that_points_to_other_weights(folder):
    good = cores(folder)
    shutil.copy(folder / SINGLE, folder / "other.safetensors")
    edit_json(folder / "config.json", transformers_weights="other.safetensors")
    refused("holds model.safetensors, but its config.json points to 'other.safetensors'", folder)
    edit_json(folder / "config.json", transformers_weights=SINGLE)
    assert same(cores(folder), good)
    assert "other.safetensors" in notes(folder)


def test_a_pickle_beside_is_told(folder):
    assert "pytorch_model.bin" not in notes(folder)
    (folder / PICKLE).write_bytes(b"not read")
    assert "beside the weights: pytorch_model.bin" in notes(folder)


def test_json_that_says_a_thing_twice(folder, sharded):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("{", '{"num_hidden_layers": 2,', 1))
    refused("config.json says 'num_hidden_layers' twice", folder)
    text = (sharded / INDEX).read_text()
    (sharded / INDEX).write_text(text.replace('"weight_map": {', f'"weight_map": {{"{UP}": "x",'))
    refused(f"index.json says '{UP}' twice", sharded)


# --- which tensors ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [EMBEDDING, UP, "model.layers.0.input_layernorm.weight"])
@pytest.mark.parametrize("prefix", ["", "language_model.model."])
def test_one_tensor_under_two_prefixes(folder, name, prefix):
    good = cores(folder)
    other = prefix + name.removeprefix("model.")
    change(folder, thrice(name, other))
    refused("under two prefixes, model.*which are the model's", folder)
    change(folder, lambda tensors: tensors.pop(other))
    assert same(cores(folder), good)


@pytest.mark.parametrize("prefix", ["", "language_model.model.", "model.language_model."])
def test_one_prefix_of_any_kind(folder, prefix):
    good = cores(folder)

    def rename(tensors):
        for name in list(tensors):
            if name.startswith("model."):
                tensors[prefix + name.removeprefix("model.")] = tensors.pop(name)

    change(folder, rename)
    assert same(cores(folder), good)


def test_dense_and_expert_tensors_in_one_block(tmp_path):
    folder = mixture(tmp_path)
    good = cores(folder)
    gate = "model.layers.1.mlp.gate_proj.weight"
    change(folder, lambda t: t.update({gate: np.ones((96, 64), np.float32)}))
    refused("layer 1 has a feed-forward block in two forms, model.layers.1.mlp.gate_proj", folder)
    change(folder, lambda t: t.pop(gate))
    assert same(cores(folder), good)


def test_experts_both_fused_and_apart(tmp_path):
    folder = mixture(tmp_path)
    good = cores(folder)
    fused = "model.layers.0.mlp.experts.down_proj"
    change(folder, lambda t: t.update({fused: np.ones((4, 64, 32), np.float32)}))
    refused("layer 0 has a feed-forward block in two forms", folder)
    change(folder, lambda t: t.pop(fused))
    assert same(cores(folder), good)


def test_more_experts_than_the_config_says(tmp_path):
    folder = mixture(tmp_path)
    good = cores(folder)
    edit_json(folder / "config.json", num_local_experts=3)
    refused("config says 3 experts, but there is model.layers.0.mlp.experts.3", folder)
    edit_json(folder / "config.json", num_local_experts=4)
    assert same(cores(folder), good)


def mixture(path: Path) -> Path:
    """A tiny Qwen 3 mixture of experts, each in tensors of its own."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        moe_intermediate_size=32,
        num_hidden_layers=2,
        num_experts=4,
        num_experts_per_tok=2,
        intermediate_size=96,
    )
    Qwen3MoeForCausalLM(config).save_pretrained(path)
    assert "model.layers.1.mlp.experts.3.up_proj.weight" in load_file(path / SINGLE)
    return path


def test_more_layers_than_the_config_says(folder):
    """Transformers runs the first ones only; so may a thief who shows the config's."""
    good = cores(folder)
    edit_json(folder / "config.json", num_hidden_layers=3)
    refused("config says 3 layers, but there is model.layers.3", folder)
    edit_json(folder / "config.json", num_nextn_predict_layers=1)
    assert "not read: 1 layers behind the last" in notes(folder)
    edit_json(folder / "config.json", num_hidden_layers=4, num_nextn_predict_layers=...)
    assert same(cores(folder), good)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_layer": 2}, "num_hidden_layers = 4 and n_layer = 2"),
        ({"n_embd": 32}, "hidden_size = 64 and n_embd = 32"),
        ({"kv_channels": 8}, "head_dim = 16 and kv_channels = 8"),
        ({"text_config": {"num_hidden_layers": 2}}, "4 and text_config.num_hidden_layers = 2"),
    ],
)
def test_a_config_that_says_a_count_in_two_ways(folder, changes, message):
    edit_json(folder / "config.json", n_layers=4, text_config={"hidden_size": 64})
    cores(folder)  # said twice, but alike
    edit_json(folder / "config.json", **changes)
    refused(message, folder)


@pytest.mark.parametrize(
    "name, shape",
    [
        ("model.layers.2.mlp.up_proj.lora_A.weight", (4, 64)),
        ("base_model.model.model.layers.2.self_attn.q_proj.lora_B.default.weight", (64, 4)),
        ("model.layers.2.mlp.up_proj.base_layer.weight", (96, 64)),
    ],
)
def test_an_adapter_among_the_weights(folder, name, shape):
    change(folder, lambda t: t.update({name: np.ones(shape, np.float32)}))
    refused("an adapter within its weights", folder)


@pytest.mark.parametrize("part", ["weight_scale", "qweight", "weight_scale_inv", "scales"])
def test_a_scale_of_a_format_that_is_not_named(folder, part):
    name = f"model.layers.2.mlp.up_proj.{part}"
    change(folder, lambda t: t.update({name: np.ones((96, 1), np.float32)}))
    refused(f"{part}, part of a quantised weight", folder)


def test_what_else_lies_in_a_layer_is_told(folder):
    good = cores(folder)
    change(folder, thrice("model.layers.1.input_layernorm.weight", "model.layers.1.mlp.sub.weight"))
    found = cores(folder)
    assert same(found, good)
    assert "not read, though they lie in its layers: model.layers.1.mlp.sub.w" in notes(folder)


def test_buffers_and_what_lies_outside_of_layers_are_not_told(folder):
    before = notes(folder)
    extra = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32),
        "vision_tower.layers.0.mlp.odd.weight": np.ones(8, np.float32),
    }
    change(folder, lambda t: t.update(extra))
    assert notes(folder) == before


def test_code_of_its_own_is_told(folder):
    assert "auto_map" not in notes(folder)
    edit_json(folder / "config.json", auto_map={"AutoModelForCausalLM": "mine.Model"})
    assert "auto_map" in notes(folder)


# --- known, yet refused before ------------------------------------------------------------------


def test_a_tied_model_saved_with_its_output_matrix_only(tmp_path):
    model = build(tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    good = cores(tmp_path)
    change(tmp_path, lambda t: t.update({"lm_head.weight": t.pop(EMBEDDING)}))
    found = cores(tmp_path)
    assert same(found, good)
    assert "lm_head.weight, which is tied" in found.warnings[0]
    edit_json(tmp_path / "config.json", tie_word_embeddings=False)
    refused("embed_tokens.weight is missing", tmp_path)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark(folder, mark):
    good = cores(folder)
    data = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(mark + data)
    assert same(cores(folder), good)


def test_shards_in_folders_and_behind_links(sharded, tmp_path):
    """As the hub's cache has them: names that are links into a folder of blobs."""
    good = cores(sharded)
    index = json.loads((sharded / INDEX).read_text())
    (sharded / "parts").mkdir()
    for shard in set(index["weight_map"].values()):
        (sharded / shard).rename(sharded / "parts" / shard)
    index["weight_map"] = {n: f"parts/{s}" for n, s in index["weight_map"].items()}
    (sharded / INDEX).write_text(json.dumps(index))
    assert same(cores(sharded), good)
    blobs, snapshot = tmp_path / "m" / "blobs", tmp_path / "m" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    for n, path in enumerate(p for p in sharded.rglob("*") if p.is_file()):
        link = snapshot / path.relative_to(sharded)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, blobs / str(n))
        link.symlink_to(os.path.relpath(blobs / str(n), link.parent))
    assert same(cores(snapshot), good)
    refused("cache folder: give its snapshots/0123", tmp_path / "m")


def test_a_header_of_many_tensors(folder):
    """A hundred thousand of them, in a header of ten megabytes."""
    extra = {f"vision.{'x' * 60}.{n}.weight": np.zeros(1, np.float32) for n in range(100_000)}
    good = cores(folder)
    change(folder, lambda t: t.update(extra))
    with open(folder / SINGLE, "rb") as file:
        assert int.from_bytes(file.read(8), "little") > 10 << 20
    assert same(cores(folder), good)


@pytest.mark.parametrize(
    "name, message",
    [
        ("model.gguf", "holds model.gguf: give that file itself"),
        ("consolidated.00.pth", "Meta's consolidated"),
        ("consolidated.safetensors", "Mistral's consolidated"),
        ("__0_0.distcp", "DCP"),
        ("pytorch_model_fsdp_0/x", "FSDP"),
        ("global_step10/x", "DeepSpeed"),
        ("latest_checkpointed_iteration.txt", "Megatron"),
        ("llama.nemo", "NeMo"),
        ("_CHECKPOINT_METADATA", "Orbax"),
        ("tf_model.h5", "TensorFlow"),
    ],
)
def test_what_a_folder_is_instead(folder, name, message):
    (folder / SINGLE).unlink()
    refused("no pytorch_model.bin", folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    refused(message, folder)


def test_a_pointer_of_git_lfs(folder, sharded):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    (folder / SINGLE).write_bytes(pointer)
    refused("git-lfs pointer", folder)
    (sharded / INDEX).write_bytes(pointer)
    refused("git-lfs pointer", sharded)


# --- random folders against transformers --------------------------------------------------------


def tiny(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=40,
            hidden_size=16,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=24,
            num_hidden_layers=2,
        )
    )


ONE, OTHER = tiny(1), tiny(2)


def write(folder: Path, rng: random.Random) -> None:
    """A folder as a careless or cunning hand may leave it."""
    folder.mkdir()
    state = {n: t.detach().clone().contiguous() for n, t in ONE.state_dict().items()}
    theirs = {n: t.detach().clone().contiguous() for n, t in OTHER.state_dict().items()}
    ONE.config.save_pretrained(folder)
    if rng.random() < 0.3:
        for name in rng.sample(sorted(theirs), 2):
            state[rng.choice(["", "language_model."]) + name.removeprefix("model.")] = theirs[name]
    if rng.random() < 0.2:
        state = {n.removeprefix("model."): t for n, t in state.items()}
    layout = rng.choice(["single", "shards", "pickle", "pickled shards"])
    pickled = layout.startswith("pickle")
    save = torch.save if pickled else save_torch
    suffix = ".bin" if pickled else ".safetensors"
    stem = "pytorch_model" if pickled else "model"
    if "shards" in layout:
        names, where = sorted(state), {}
        held: dict[int, dict] = {0: {}, 1: {}}
        for name in names:
            n = rng.randrange(2)
            where[name] = f"{stem}-0000{n + 1}-of-00002{suffix}"
            held[n][name] = state[name]
        if rng.random() < 0.3:
            name = rng.choice(names)
            held[rng.randrange(2)][name] = theirs.get(name, state[name] * 2)
        if rng.random() < 0.2:
            where.pop(rng.choice(names))
        for n, tensors in held.items():
            save(tensors, folder / f"{stem}-0000{n + 1}-of-00002{suffix}")
        index = {"metadata": {"total_size": 1}, "weight_map": where}
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index))
    if "shards" not in layout or rng.random() < 0.2:
        save(state if "shards" not in layout else theirs, folder / (stem + suffix))
    if rng.random() < 0.2:
        save_torch(theirs, folder / rng.choice([SINGLE, "extra.safetensors"]))
    if rng.random() < 0.2:
        torch.save(theirs, folder / PICKLE)
    if rng.random() < 0.15:
        save_torch(theirs, folder / "hidden.safetensors")
        edit_json(folder / "config.json", transformers_weights="hidden.safetensors")
    if rng.random() < 0.15:
        edit_json(folder / "config.json", num_hidden_layers=rng.choice([1, 3]))
    if rng.random() < 0.1:
        edit_json(folder / "config.json", n_layer=1)


def save_torch(tensors, path):
    from safetensors.torch import save_file

    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.filterwarnings("ignore")
def test_random_folders_are_read_as_transformers_reads_them_or_not_at_all(tmp_path):
    """Every tensor of every layer is the one that transformers runs, or the folder is refused."""
    alike, said_no = 0, 0
    for seed in range(60):
        folder = tmp_path / str(seed)
        write(folder, random.Random(seed))
        try:
            model = open_model(str(folder), allow_pickle=True)
            family = family_for(model)
            compute_cores(model, family=family, tokens=32)
            prefix = family.prefixes[0]
            other = [n for n in model.names() if n.startswith("language_model.")]
            names = set(model.names()) - set(other)
            ours = {n: model.tensor(n) for n in names if n.startswith(prefix + "layers.")}
            ours[family.embedding] = model.tensor(family.embedding)
        except InputError:
            said_no += 1
            continue
        theirs = AutoModelForCausalLM.from_pretrained(folder).model.state_dict()
        assert bool(other) == any("another prefix" in note for note in model.notes)
        assert {n.removeprefix(prefix) for n in ours} == {n for n in theirs if n != "norm.weight"}
        for name, values in ours.items():
            assert np.array_equal(values, theirs[name.removeprefix(prefix)].numpy()), (seed, name)
        alike += 1
    assert alike > 10 and said_no > 10
