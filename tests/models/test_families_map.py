"""Families described by hand: --map FILE."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.errors import InputError
from huref_zk.invariants.recipes import compute_cores
from huref_zk.models.families import FAMILIES, Family, family_for, flaw, read_map
from huref_zk.models.families.listing import known, page
from tests.support.random_llm import MemoryModel, form, llama, llama_config, llama_tensors, maps

FIELDS = {f.name: f for f in dataclasses.fields(Family)}


def entry(family: Family) -> dict:
    """What a file says that describes this family; defaults left out."""
    said = {}
    for name, field in FIELDS.items():
        value = getattr(family, name)
        empty = field.default_factory is not dataclasses.MISSING  # an object
        if value != ({} if empty else field.default):
            said[name] = list(value) if isinstance(value, tuple) else value
    return said


def written(tmp_path, data) -> object:
    path = tmp_path / "map.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_every_entry_can_be_written_as_a_file(family, tmp_path):
    assert read_map(written(tmp_path, entry(family))) == family


def strange() -> tuple[dict, dict, dict]:
    """A LLaMA under names of its own: (config, tensors, its map)."""
    tensors = {n.replace("model.layers", "my.blocks"): w for n, w in llama_tensors().items()}
    tensors["my.words"] = tensors.pop("model.embed_tokens.weight")
    said = entry(next(f for f in FAMILIES if f.name == "llama"))
    for name, value in said.items():
        if isinstance(value, str):
            said[name] = value.replace("model.layers", "my.blocks")
    said |= {"name": "mine", "embedding": "my.words", "prefixes": ["my."]}
    del said["model_types"]
    return llama_config(model_type="strange"), tensors, said


def test_a_map_reads_an_unknown_architecture(tmp_path):
    config, tensors, said = strange()
    model = MemoryModel(config, tensors)
    with pytest.raises(InputError, match=r"'strange' is not supported.* --map FILE"):
        form(model)
    family = family_for(model, written(tmp_path, said))
    assert np.array_equal(maps(form(model, family=family)), maps(form(llama())))
    found, plain = compute_cores(model, tokens=64, family=family), compute_cores(llama(), tokens=64)
    assert np.array_equal(found.sets, plain.sets)
    assert found.facts["architecture"] == "mine"


def test_the_command_takes_a_map(tmp_path):
    from safetensors.numpy import save_file

    config, tensors, said = strange()
    (tmp_path / "config.json").write_text(json.dumps(config))
    single = {n: w.astype(np.float32) for n, w in tensors.items()}
    save_file(single, tmp_path / "model.safetensors")
    picture = tmp_path / "out.png"
    words = ["fingerprint", str(tmp_path), "--out", str(picture), "--count", "64"]
    told = CliRunner().invoke(main, words)
    assert (told.exit_code, picture.exists()) == (2, False)
    assert "'strange' is not supported" in told.stderr
    told = CliRunner().invoke(main, [*words, "--map", str(written(tmp_path, said))])
    assert (told.exit_code, picture.exists()) == (0, True), told.output


@pytest.mark.parametrize(
    "change, words",
    [
        ({"colour": "red", "size": 1}, "unknown fields: colour, size"),
        ({"q": 3}, "q must be a string"),
        ({"q": ["x"]}, "q must be a string"),
        ({"embedding": None}, "embedding must be a string"),
        ({"layer_norm": 1}, "layer_norm must be true or false"),
        ({"layer_norm": "true"}, "layer_norm must be true or false"),
        ({"norm_offset": True}, "norm_offset must be a number"),
        ({"norm_offset": "1"}, "norm_offset must be a number"),
        ({"ffn_keys": "intermediate_size"}, "ffn_keys must be a list of strings"),
        ({"ffn_keys": [1]}, "ffn_keys must be a list of strings"),
        ({"defaults": [1]}, "defaults must be an object"),
        ({"defaults": {"head_dim": [8]}}, "defaults must be an object"),
        ({"name": "A name"}, "name must be up to 40"),
        ({"name": "x" * 41}, "name must be up to 40"),
        ({"prefixes": []}, "prefixes must not be empty"),
        ({"prefixes": ["model.decoder."]}, "does not begin with 'model.decoder.'"),
        ({"qkv_layout": "mixed"}, "qkv_layout must be one of stacked, per_head, grouped"),
        ({"qkv": "model.layers.{i}.qkv"}, "either q, k and v, or qkv"),
        ({"k": None}, "either q, k and v, or qkv"),
        ({"down": None}, "either up or gate_up, and down"),
        ({"gate_up": "model.layers.{i}.x"}, "either up or gate_up, and down"),
        ({"qk_norm": "row"}, "qk_norm must be one of head, whole"),
        ({"qk_norm": "head", "q_norm": "model.layers.{i}.x"}, "qk_norm, q_norm and k_norm go"),
        ({"q_norm": "model.layers.{i}.x"}, "qk_norm, q_norm and k_norm go together"),
        ({"o": "model.layers.0.o"}, "o must have {i} in its name"),
        ({"embedding": "model.{i}"}, "embedding must not have {i} in its name"),
        ({"o": "model.layers.{i}.{e}"}, "o must not have {e} in its name"),
        ({"expert_up": "model.layers.{i}.x"}, "experts need a router"),
        (
            {"expert_up": "model.layers.{i}.x", "router": "model.layers.{i}.r"},
            "expert_up must have {e} in its name",
        ),
        ({"activation": "softplus"}, "activation must be one of gelu, .*silu"),
        ({"positions_start": 1.5}, "positions_start must be a whole number"),
        ({"positions_start": -1}, "positions_start must not be negative"),
        ({"embedding_positions": "model.{i}"}, "embedding_positions must not have {i}"),
    ],
)
def test_maps_that_are_refused(change, words, tmp_path):
    said = entry(next(f for f in FAMILIES if f.name == "llama"))
    read_map(written(tmp_path, said))
    with pytest.raises(InputError, match=words):
        read_map(written(tmp_path, {**said, **change}))


@pytest.mark.parametrize("name", ["name", "embedding", "o"])
def test_what_a_map_must_say(name, tmp_path):
    said = entry(next(f for f in FAMILIES if f.name == "llama"))
    del said[name]
    with pytest.raises(InputError, match=f"lacks {name}"):
        read_map(written(tmp_path, said))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": "a", "name": "b"}', "{}" + " " * 70000])
def test_files_that_are_no_map(text, tmp_path):
    with pytest.raises(InputError):
        read_map(written(tmp_path, text))


def test_a_name_is_never_a_format(tmp_path):
    """Templates come from files, so they are filled in by replacing, not by str.format."""
    config, tensors, said = strange()
    said["o"] = "my.blocks.{i}.{i.__class__}"
    family = family_for(MemoryModel(config, tensors), written(tmp_path, said))
    with pytest.raises(InputError, match=r"my.blocks.3.{i.__class__} is missing"):
        compute_cores(MemoryModel(config, tensors), tokens=64, layers=[3], family=family)


def test_the_table_has_no_flaw_and_a_flaw_is_seen():
    assert [flaw(f) for f in FAMILIES] == [None] * len(FAMILIES)
    assert flaw(dataclasses.replace(FAMILIES[-1], o="x")) is not None


PAGE = Path(__file__).parents[2] / "docs" / "families.md"


def test_the_example_of_the_documentation_is_a_map(tmp_path):
    text = PAGE.read_text()
    example = text[text.index("    {\n") : text.index("\n    }\n") + len("\n    }")]
    family = read_map(written(tmp_path, example))
    assert (family.name, family.layer_norm, family.gate) == ("mine", True, None)


def test_the_documentation_has_the_table_as_it_is():
    """Made by huref_zk.models.families.listing."""
    text = PAGE.read_text()
    assert page(text) == text
    assert page(text.replace("| mixtral | mixtral", "| mixtral | mistral")) == text  # the control
    told = {t for k in known() for t in k.model_types}
    assert told == {t for f in FAMILIES for t in f.model_types if not f.refused}
