"""The table of derivations, their folders, and the two experiments, each on a little text."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from huref_zk.invariants.sketch import PUBLIC_SEED, ics
from huref_zk.models.load import EMBEDDED, open_model
from huref_zk.proofs.prepare import prepare, sketch_of
from research.derivations import corpus, folders, measures
from research.derivations.corpus import Pair, Texts
from research.derivations.finetune import continued
from research.derivations.table import DERIVATIONS, MERGERS
from research.derivations.train import Setting
from research.experiments import derivations_bench, derivations_table, necessity
from tests.support.toy_llama import VOCAB, chain, tiny

CODE = """
def f(a):
    'Add one.'
    for b in range(3):
        a = a + b
    return a + 1

"""


@pytest.fixture
def little_text(monkeypatch):
    monkeypatch.setattr(corpus, "corpus", lambda: (CODE * 200, CODE * 1000))


@pytest.fixture(scope="module")
def wide():
    """Wide enough for groups of 64, and texts for it."""
    model = tiny(5, hidden_size=64, intermediate_size=64, num_attention_heads=4, head_dim=16)
    pair = Pair(np.arange(2, 12), np.arange(12, 20))
    return model, Texts(chain(1), chain(2), chain(3), (pair,) * 20)


@pytest.mark.parametrize("derivation", DERIVATIONS, ids=lambda d: d.name)
def test_every_derivation_makes_another_model(wide, derivation):
    model, texts = wide
    before = {name: value.clone() for name, value in model.state_dict().items()}
    how = Setting(steps=2, batch=4, context=16, rate=1e-3, seed=1)
    made = derivation.make(model, texts, how, None)
    ids = torch.arange(2, 30)[None]
    with torch.no_grad():
        wanted, given = (m(input_ids=ids).logits for m in (model, made))
    assert torch.isfinite(given).all() and given.shape == wanted.shape
    assert not torch.equal(given, wanted)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("merger", MERGERS, ids=lambda m: m.name)
def test_every_merger_makes_a_model_of_both(wide, merger):
    model, texts = wide
    sizes = {"hidden_size": 64, "intermediate_size": 64, "head_dim": 16}
    donor = tiny(5, seed=7, num_attention_heads=4, **sizes)
    how = Setting(steps=2, batch=4, context=16, rate=1e-4, seed=1)
    made = merger.make(model, donor, texts, how, None)
    distances = [measures.parameter_distance(m, made)[0] for m in (model, donor)]
    between = measures.parameter_distance(model, donor)[0]
    assert min(distances) > 0.3 * between  # neither of them alone
    plain = continued(model, texts.seen, how)  # the control: training alone moves little
    assert measures.parameter_distance(model, plain)[0] < 0.03 * between


def test_the_table_is_complete():
    names = [d.name for d in DERIVATIONS]
    assert len(set(names)) == len(names) >= 14
    assert [d.name for d in DERIVATIONS if not d.expected_detected] == ["distil"]
    assert all("arXiv" in d.source_paper for d in DERIVATIONS)
    names += [m.name for m in MERGERS] + [derivations_bench.TRANSPLANT]
    assert set(derivations_bench.TINY_STEPS) | set(derivations_bench.LARGE_STEPS) <= set(names)


def test_a_folder_holds_the_model(tmp_path):
    model = tiny(3)
    tokenizer = EMBEDDED["demo-base"] / "tokenizer.json"
    folder = tmp_path / "models" / "one"
    folders.write_model(model, tokenizer, folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert list(folder.parent.iterdir()) == [folder]  # nothing temporary is left
    again = folders.read_model(folder)
    for a, b in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b.half().float())
    assert torch.equal(
        torch.from_numpy(open_model(str(folder)).tensor("model.layers.2.mlp.up_proj.weight")),
        again.model.layers[2].mlp.up_proj.weight.detach(),
    )


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(OSError):
        folders.write_model(tiny(1), tmp_path / "no tokenizer.json", tmp_path / "models" / "one")
    assert list((tmp_path / "models").iterdir()) == []


def test_distance_and_cosine_of_parameters():
    one, two = tiny(2), tiny(2)
    assert measures.parameter_distance(one, two) == (0.0, pytest.approx(1.0))
    with torch.no_grad():
        for p in two.parameters():
            p *= -2
    assert measures.parameter_distance(one, two) == (pytest.approx(3), pytest.approx(-1))
    other = tiny(2, seed=5, intermediate_size=40)  # what has another shape does not count
    with torch.no_grad():
        for name, p in other.named_parameters():
            if p.shape == one.get_parameter(name).shape:
                p.copy_(one.get_parameter(name))
    assert measures.parameter_distance(one, other) == (0.0, pytest.approx(1.0))
    wide = tiny(2, hidden_size=40, vocab_size=VOCAB + 1)
    assert measures.parameter_distance(one, wide) == (None, None)


def test_the_sketch_is_the_fingerprints():
    wanted = sketch_of(prepare("demo-base"), PUBLIC_SEED)
    assert np.array_equal(measures.public_sketch("demo-base"), wanted)


def test_the_table_is_made_once(tmp_path, monkeypatch, little_text):
    monkeypatch.setattr(derivations_bench, "UNRELATED", {"demo-base": "demo-stranger"})
    monkeypatch.setattr(derivations_bench, "TINY_STEPS", {"sft": 2, "crash-drop": 1})
    every = derivations_table.jobs()
    assert len(every) == len(DERIVATIONS) + len(MERGERS) + 1
    few = [j for j in every if j.derivation in ("int8", "sft", "crash-drop")]
    monkeypatch.setattr(derivations_table, "jobs", lambda: few)
    told = []
    rows = derivations_table.run(tmp_path, lambda *step: told.append(step))["rows"]
    assert [r["name"] for r in rows] == [f"demo-base-{n}" for n in ("sft", "crash-drop", "int8")]
    sft, dropped, int8 = rows
    assert int8["ics_base"] > 0.99 > 0.3 > int8["ics_unrelated"]
    assert int8["pcs"] > 0.999 and 0 < int8["relative_change"] < 0.05
    # The cores are sums over layers: a model that lost one can be compared.
    assert 0.3 < dropped["ics_base"] < 0.99 and dropped["pcs"] > 0.9
    assert sft["steps"] == 2 and sft["loss_before"] == int8["loss_before"]
    folder = tmp_path / "models" / "demo-base-int8"
    theirs = sketch_of(prepare(str(folder)), PUBLIC_SEED)
    own = sketch_of(prepare("demo-base"), PUBLIC_SEED)
    assert int8["ics_base"] == pytest.approx(ics(own, theirs), abs=1e-6)
    assert derivations_table.related_pairs(tmp_path) == [
        ("demo-base", str(tmp_path / "models" / r["name"]), r["derivation"], True) for r in rows
    ]
    page = (tmp_path / "derivations.md").read_text()
    assert all(f"| {r['derivation']} |" in page for r in rows)
    lines = (tmp_path / "derivations.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows

    # A second run makes nothing, and one without a folder makes that.
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("models/*/model.safetensors")}
    assert derivations_table.run(tmp_path, lambda *step: None)["rows"] == rows
    shutil.rmtree(folder)
    derivations_table.run(tmp_path, lambda *step: None)
    now = {p: p.stat().st_mtime_ns for p in tmp_path.glob("models/*/model.safetensors")}
    assert now.keys() == stamps.keys()
    assert [p.parent for p in now if now[p] != stamps[p]] == [folder]


def test_direction_is_the_cosine():
    one, two = (list(tiny(1, seed).parameters()) for seed in (0, 1))
    a, b = (torch.cat([p.flatten() for p in w]) for w in (one, two))
    wanted = torch.nn.functional.cosine_similarity(a, b, dim=0)
    assert torch.allclose(necessity.direction(one, two), wanted, atol=1e-6)
    assert float(necessity.direction(one, one).detach()) == pytest.approx(1)


def test_necessity_drives_the_direction_away(tmp_path, monkeypatch, little_text):
    monkeypatch.setattr(necessity, "WEIGHTS", (0.0, 100.0))
    monkeypatch.setattr(necessity, "STEPS", 12)
    monkeypatch.setattr(necessity, "MEASURE_EVERY", 10)
    monkeypatch.setattr(necessity, "RATE", 5e-3)
    monkeypatch.setattr(necessity, "BATCH", 4)
    monkeypatch.setattr(necessity, "WINDOWS", 4)
    control, driven = (r["points"] for r in necessity.run(tmp_path, lambda *step: None)["runs"])
    assert [p["step"] for p in control] == [p["step"] for p in driven] == [0, 10, 12]
    assert control[0] == driven[0] and control[0]["pcs"] == pytest.approx(1)
    assert driven[-1]["pcs"] < control[-1]["pcs"] - 0.005
    assert control[-1]["loss"] < control[0]["loss"]
    assert (tmp_path / "necessity.png").stat().st_size > 5000
    assert "| 100 |" in (tmp_path / "necessity.md").read_text()
    # A finished weight is not run again; the files of the others are made anew.
    (tmp_path / "necessity-0.json").unlink()
    made = []
    monkeypatch.setattr(necessity, "_points", lambda out, w, *rest: made.append(w) or control)
    again = necessity.run(tmp_path, lambda *step: None)
    assert made == [0.0] and [r["points"] for r in again["runs"]] == [control, driven]


def test_another_tokenizer_and_a_donor(tmp_path, monkeypatch, little_text):
    """What a transplant's folder holds, and that a donor counts as an origin."""
    monkeypatch.setattr(derivations_bench, "UNRELATED", {"demo-base": "demo-stranger"})
    monkeypatch.setattr(derivations_bench, "TINY_STEPS", {"transplant": 1, "franken": 1})
    every = derivations_table.jobs()
    few = [j for j in every if j.derivation in ("franken", "transplant")]
    monkeypatch.setattr(derivations_table, "jobs", lambda: few)
    franken, moved = derivations_table.run(tmp_path, lambda *step: None)["rows"]
    assert moved["ics_base"] is None and moved["pcs"] > 0.99
    assert moved["loss_after"] > 0
    model = open_model(str(tmp_path / "models" / "demo-base-transplant"))
    assert len(model.vocabulary()) < 3000 and model.token_order() is not None
    assert model.shape("model.embed_tokens.weight")[0] == model.tokenizer_size()
    # Half of its layers are the base's. The donor's half read another stream: the tokens of the
    # base tell nothing of it, only views of `compare` without embeddings can.
    assert 0.2 < franken["ics_base"] < 0.95 and franken["ics_unrelated"] < 0.2
    folder = str(tmp_path / "models" / "demo-base-franken")
    assert derivations_table.related_pairs(tmp_path)[:2] == [
        ("demo-base", folder, "franken", True),
        ("demo-stranger", folder, "franken, its donor", True),
    ]
