"""huref-zk models."""

from __future__ import annotations

from tests.support.commands import json_of, run


def test_it_lists_what_is_read_and_what_is_not():
    data = json_of("models", expect=0)
    types = {t: f["name"] for f in data["families"] for t in f["model_types"]}
    assert len(types) > 120 and types["deepseek_v3"] == "deepseek_v3"
    assert types["mistral"] == "llama"
    reasons = {r["type"]: r["reason"] for r in data["refused"]}
    assert "state spaces" in reasons["mamba2"] and not set(reasons) & set(types)
    text = run("models", expect=0).stdout
    assert all(name in text for name in (*types, *reasons))
    assert f"{len(types)} types in {len(data['families'])} families" in text


def test_one_type_or_two():
    data = json_of("models", "Qwen3", "bert", expect=0)
    assert [f["name"] for f in data["families"]] == ["qwen3"]
    assert [r["type"] for r in data["refused"]] == ["bert"]
    assert "'nonsense' is no type" in json_of("models", "nonsense", expect=2)["error"]
