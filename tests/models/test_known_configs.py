"""Configs of years ago, of models that are known by other ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import typed_models
from tests.support.tiny_llama import cores, same


def saved(folder: Path, model_type: str, **changes) -> Path:
    model = typed_models.build(model_type, typed_models.Type(config=changes))
    typed_models.saved(model, folder)
    return folder


def rewrite(folder: Path, renamed: dict[str, str], drop=(), **more) -> None:
    """The config with some keys renamed, some dropped, others set."""
    config = json.loads((folder / "config.json").read_text())
    config = {renamed.get(key, key): value for key, value in config.items() if key not in drop}
    (folder / "config.json").write_text(json.dumps({**config, **more}))


FALCON = {"num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}


@pytest.mark.parametrize(
    "model_type, changes, drop",
    [
        ("RefinedWebModel", {"multi_query": True, "parallel_attn": True}, ()),
        ("RefinedWebModel", {"multi_query": False, "parallel_attn": False}, ()),
        ("RefinedWeb", {"new_decoder_architecture": True, "num_kv_heads": 2}, ("multi_query",)),
    ],
)
def test_falcons_of_2023(tmp_path, model_type, changes, drop):
    changes = {"new_decoder_architecture": False, **changes}
    folder = saved(tmp_path / "m", "falcon", **changes)
    good = cores(folder)
    kv = {"n_head_kv": 2} if model_type == "RefinedWeb" else {}
    dropped = ("new_decoder_architecture", "num_ln_in_parallel_attn", "num_kv_heads", *drop)
    rewrite(folder, FALCON, dropped, model_type=model_type, **kv)
    assert same(cores(folder), good)


def test_bloom_with_n_embed(tmp_path):
    folder = saved(tmp_path / "m", "bloom", num_key_value_heads=None)
    good = cores(folder)
    rewrite(folder, {"hidden_size": "n_embed"})
    assert same(cores(folder), good)
