"""Every architecture of GGUF that is read: a model as a folder, and as llama.cpp keeps it."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import quants

from huref_zk.errors import InputError
from huref_zk.invariants.recipes import compute_cores
from huref_zk.models.families import FAMILIES, family_for
from huref_zk.models.gguf_architectures import ARCHITECTURES
from huref_zk.models.load import open_model
from tests.support import typed_models
from tests.support.gguf_files import converted, header_of, write_gguf

# Changes to typed_models.SMALL, for those whose rows are paired or whose sizes are bound.
CONFIGS: dict[str, dict] = {
    "bloom": {"num_key_value_heads": None},
    "stablelm": {"use_qkv_bias": True},
    "gpt-oss": {"layer_types": ["full_attention"] * 2},
    "llama": {"mlp_bias": False},
}
REMOTE = ("baichuan", "chatglm", "internlm2", "qwen")  # whose code transformers does not have
ALSO = ("qwen2vl", "qwen3vl", "qwen3vlmoe")  # the text part of what stands here already
KNOWN = {t for f in FAMILIES for t in f.model_types}
TRIED = [n for n in ARCHITECTURES if n not in (*REMOTE, *ALSO)]
TRIED = [n for n in TRIED if ARCHITECTURES[n].model_type in KNOWN]


def pair(arch: str, folder: Path, model_type: str | None = None, **changes) -> tuple[Path, Path]:
    """A tiny model as a folder and as a GGUF file."""
    model_type = model_type or ARCHITECTURES[arch].model_type
    model_type = "gemma3_text" if arch == "gemma3" else model_type
    case = typed_models.Type(config={**CONFIGS.get(arch, {}), **changes})
    model = typed_models.build(model_type, case)
    tensors = typed_models.saved(model, folder / "hf")
    config = {**model.config.to_dict(), "model_type": model_type}
    path = write_gguf(folder / "m.gguf", arch, header_of(config), converted(arch, config, tensors))
    return folder / "hf", path


def alike(one: Path, other: Path) -> None:
    """The two give the same cores, of the same sizes."""
    ids = list(range(64))
    a, b = (compute_cores(open_model(str(path)), tokens=64, token_ids=ids) for path in (one, other))
    assert a.facts == b.facts
    for x, y in zip((a.X, *a.sets), (b.X, *b.sets), strict=True):
        assert np.abs(x - y).max() <= 1e-4 * np.abs(x).max()


@pytest.mark.parametrize("arch", TRIED)
def test_a_file_is_the_folder(tmp_path, arch):
    alike(*pair(arch, tmp_path))


def test_a_mixtral(tmp_path):
    """Which llama.cpp calls llama."""
    one, other = pair("llama", tmp_path, "mixtral")
    assert family_for(open_model(str(other))).name == "mixtral"
    alike(one, other)


@pytest.mark.parametrize(
    "changes",
    [
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_attention_heads": 4},
        {"new_decoder_architecture": False, "multi_query": True, "parallel_attn": True},
    ],
)
def test_falcons(tmp_path, changes):
    alike(*pair("falcon", tmp_path, **changes))


def test_a_stablelm_with_parallel_blocks(tmp_path):
    alike(*pair("stablelm", tmp_path, use_parallel_residual=True, qk_layernorm=True))


@pytest.mark.parametrize("name", ["baichuan", "internlm2"])
def test_fused_here_and_in_three_there(tmp_path, name):
    """A LLaMA under the names of remote code, whose converter takes the fused matrix apart."""
    from tests.support.family_models import CASES, build, config_of, tensors_of
    from tests.support.gguf_files import LLAMA_NAMES, interleaved
    from tests.support.random_llm import MemoryModel

    case = CASES[name]
    model = build(case)
    config = config_of(case, model)
    memory = MemoryModel(config, tensors_of(case, model))
    twin = model.config.to_dict()
    heads, kv = twin["num_attention_heads"], twin["num_key_value_heads"]
    state = {n: t.detach().float().numpy() for n, t in model.state_dict().items()}
    stored = {}
    for theirs, ours in LLAMA_NAMES.items():
        for i in range(2) if "{i}" in theirs else [0]:
            w = state[theirs.format(i=i)]
            w = interleaved(w, heads) if "q_proj" in theirs else w
            w = interleaved(w, kv) if "k_proj" in theirs else w
            stored[ours.format(i=i)] = np.ascontiguousarray(w)
    path = write_gguf(tmp_path / "m.gguf", name, header_of(twin), stored)
    found = open_model(str(path))
    family = family_for(found)
    for i in range(2):
        fused = family.qkv.replace("{i}", str(i))
        assert np.allclose(found.tensor(fused), memory.tensor(fused), atol=1e-6)
        assert found.shape(fused) == memory.shape(fused)
    ids = list(range(64))
    a, b = (compute_cores(m, tokens=64, token_ids=ids) for m in (memory, found))
    assert np.allclose(a.sets[0], b.sets[0], atol=1e-4 * np.abs(a.sets[0]).max())


@pytest.mark.parametrize("arch", ["bloom", "gpt2", "gemma2", "qwen2moe", "stablelm", "phi3"])
def test_transformers_reads_the_same_file_alike(tmp_path, arch):
    """What this test's own converter does is what transformers undoes."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    one, other = pair(arch, tmp_path)
    shell = typed_models.build(
        ARCHITECTURES[arch].model_type, typed_models.Type(config=CONFIGS.get(arch, {}))
    )
    found = load_gguf_checkpoint(str(other), return_tensors=True, model_to_load=shell)["tensors"]
    folder = open_model(str(one))
    compared = 0
    for name, tensor in found.items():
        if folder.has(name):
            assert np.allclose(folder.tensor(name), tensor.float().numpy(), atol=1e-6), name
            compared += 1
    assert compared > 8


# --- files --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(header, tensors) of a LLaMA."""
    folder = tmp_path_factory.mktemp("small")
    model = typed_models.build("llama", typed_models.Type(config={"hidden_size": 256}))
    tensors = typed_models.saved(model, folder)
    config = model.config.to_dict()
    return header_of(config), converted("llama", config, tensors)


def refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        compute_cores(open_model(str(path)), tokens=64)
    assert "\n" not in str(caught.value)


def test_a_file_without_its_suffix(tmp_path, small):
    path = write_gguf(tmp_path / "blob", "llama", *small)
    compute_cores(open_model(str(path)), tokens=64)


def test_a_big_endian_file_is_refused_by_name(tmp_path, small):
    path = write_gguf(tmp_path / "m.gguf", "llama", *small)
    data = path.read_bytes()
    path.write_bytes(data[:4] + data[4:8][::-1] + data[8:])
    refused(path, "is big-endian")


def test_split_files(tmp_path, small):
    says, tensors = small
    names = sorted(tensors)
    whole = write_gguf(tmp_path / "m.gguf", "llama", says, tensors)
    parts = []
    for n in range(3):
        more = {"split.no": n, "split.count": 3, "split.tensors.count": len(names)}
        held = {name: tensors[name] for name in names[n::3]}
        path = tmp_path / f"m-{n + 1:05}-of-00003.gguf"
        parts.append(write_gguf(path, "llama", says if n == 0 else {}, held, more=more))
    for path in parts:
        alike(whole, path)
    kept = parts[1].read_bytes()
    parts[1].unlink()
    refused(parts[0], "the part m-00002-of-00003.gguf is missing")
    parts[1].write_bytes(parts[2].read_bytes())
    refused(parts[0], "does not say that it is part 2 of 3")
    parts[1].write_bytes(kept)
    alike(whole, parts[2])
    alone = tmp_path / "alone.gguf"
    alone.write_bytes(parts[0].read_bytes())
    refused(alone, "is one of 3 parts")


def test_an_array_of_sizes_by_layer(tmp_path, small):
    says, tensors = small
    whole = write_gguf(tmp_path / "m.gguf", "llama", says, tensors)
    listed = {**says, "attention.head_count_kv": [says["attention.head_count_kv"]] * 2}
    alike(whole, write_gguf(tmp_path / "n.gguf", "llama", listed, tensors))


def test_an_unknown_architecture_is_told_before_the_rest_is_read(tmp_path, small):
    """Whatever may come behind it."""
    path = write_gguf(tmp_path / "m.gguf", "rwkv7", *small)
    data = path.read_bytes()
    end = data.index(b"rwkv7") + 5
    path.write_bytes(data[:end])
    refused(path, "architecture 'rwkv7' is not supported; `huref-zk models`")


def test_what_is_not_read_of_a_file_is_told_or_refused(tmp_path, small):
    says, tensors = small
    odd = {"blk.0.odd.weight": np.ones(4, np.float32)}
    path = write_gguf(tmp_path / "m.gguf", "llama", says, {**tensors, **odd})
    assert "not read: blk.0.odd.weight" in open_model(str(path)).notes
    path = write_gguf(
        tmp_path / "m.gguf",
        "llama",
        says,
        {**tensors, "blk.0.attn_q.scale": np.ones(1, np.float32)},
    )
    refused(path, "blk.0.attn_q.scale, a scale that is not read")
    path = write_gguf(tmp_path / "m.gguf", "llama", {**says, "block_count": 1}, tensors)
    refused(path, "header says 1 layers, but there is blk.1")


READ = sorted(quants._type_traits, key=lambda kind: kind.name)


@pytest.mark.parametrize("kind", READ)
def test_every_type_that_gguf_knows(tmp_path, small, kind):
    """Any bytes are weights in most of them: what gguf makes of a row is what we read of it."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, rng = 8, np.random.default_rng(1)
    data = rng.integers(0, 255, (rows, 2 * size), dtype=np.uint8)
    says, tensors = small
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
    for key, value in says.items():
        writer.add_uint32(f"llama.{key}", int(value))
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.add_tensor("odd.weight", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = open_model(str(tmp_path / "t.gguf"))
    assert model.shape("odd.weight") == (rows, 2 * block)
    with np.errstate(all="ignore"):
        expected = quants.dequantize(data, kind)
        assert np.array_equal(model.tensor("odd.weight"), expected, equal_nan=True)
        some = np.array([5, 2, 3])
        assert np.array_equal(model.rows("odd.weight", some), expected[some], equal_nan=True)


def test_the_page_names_every_architecture():
    page = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text("utf-8")
    assert [name for name in ARCHITECTURES if f"`{name}`" not in page] == []
    assert "`rwkv7`" not in page
