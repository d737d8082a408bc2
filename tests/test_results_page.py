"""The page of results, and what its figures of pairs mean."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.comparison import verdict
from huref_zk.comparison.null import ExtremeNull, fit_extreme, unrelated_table
from huref_zk.comparison.views import View
from research.experiments import EXPERIMENTS, assemble, pairs
from research.experiments.__main__ import experiment
from research.experiments.pair_list import MISS, RELATED, UNRELATED, Pair
from research.experiments.strangers import STRANGERS, config_of

VIEWS = ("whole", "layers", "no tokens", "parts")


def row(kind, b, statistic, **changes):
    return {
        "kind": kind,
        "group": "g",
        "what": "w",
        "a": "demo-base",
        "b": b,
        "statistics": dict.fromkeys(VIEWS, statistic),
        "scores": dict.fromkeys(VIEWS, statistic),
        "p_shuffled": dict.fromkeys(VIEWS, 1e-30),
        "pcs": None,
        "rearranged": False,
        "findings": ["copy"],
        "seconds": 1.0,
        **changes,
    }


@pytest.fixture
def strangers():
    """80 pairs of 80 models."""
    scores = np.random.default_rng(0).gumbel(0.012, 0.006, 80)
    return [row(UNRELATED, f"m{i}", s, a=f"n{i}") for i, s in enumerate(scores)]


def test_separate_scores_give_an_auc_of_one(strangers, tmp_path):
    rows = [row(RELATED, "x", 0.5), row(RELATED, "y", 0.9), row(MISS, "z", 0.02), *strangers]
    pairs.judge_all(rows)
    figures = pairs.figures_of(rows)
    assert (figures["auc"], figures["tpr_at_zero_fp"], figures["called_related"]) == (1, 1, 2)
    assert (figures["related"], figures["unrelated"], figures["false_positives"]) == (2, 80, 0)
    assert [m["b"] for m in figures["missed"]] == ["z"]
    assert figures["called_unrelated"] > 60
    page = pairs.page(rows, figures)
    assert "AUC **1.0000**" in page and "demo-base and z" in page and "(not to be detected)" in page
    pairs._plot(rows, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_an_overlap_is_seen(strangers):
    rows = [row(RELATED, "x", 0.9), row(RELATED, "y", -0.01), *strangers]
    pairs.judge_all(rows)
    figures = pairs.figures_of(rows)
    assert 0.5 < figures["auc"] < 0.8 and figures["tpr_at_zero_fp"] == 0.5
    assert len(figures["missed"]) == 1


def test_whoever_shuffles_as_high_is_not_called_related(strangers):
    """The control of the one above: the table alone would say related."""
    sure, unsure = row(RELATED, "x", 0.9), row(RELATED, "y", 0.9)
    unsure["p_shuffled"] = dict.fromkeys(VIEWS, 0.01)
    pairs.judge_all([sure, unsure, *strangers])
    assert (sure["verdict"], unsure["verdict"]) == (RELATED, "unrelated")


def test_the_highest_unrelated_pair_is_no_rarer_than_one_in_the_table():
    """A few pairs of a sort of their own widen the null; of one sort, the moments do."""
    values = np.random.default_rng(0).gumbel(0.012, 0.006, 300)
    sd = values.std(ddof=1)
    assert sd <= fit_extreme(values).sd < 2 * sd
    mixed = fit_extreme([*values, 0.2])
    assert mixed.p_value(0.2) == pytest.approx(1 / 302, rel=0.05)
    # The control: by moments alone it would be called related.
    moments = ExtremeNull(mixed.mean, np.std([*values, 0.2], ddof=1), 301)
    assert moments.p_value(0.2) < 1e-6


def test_no_unrelated_pair_is_judged_by_a_table_that_has_its_models(strangers):
    """One high pair among strangers: its own model's other pairs do not excuse it."""
    high = [row(UNRELATED, f"m{i}", 0.5, a="odd") for i in range(5)]
    rows = [*strangers, *high]
    pairs.judge_all(rows)
    assert all(r["verdict"] == RELATED for r in high)  # false positives, and counted as such
    assert (
        pairs.figures_of([row(RELATED, "x", 0.9, p=0.0, verdict=RELATED), *rows])["false_positives"]
        == 5
    )


def test_cousins_are_judged_but_no_part_of_the_table(strangers):
    cousins = row(UNRELATED, "demo-stranger-sft", 0.02, a="demo-base-sft", group="cousins")
    table = pairs.table_of([cousins, *strangers])
    assert len(table["pairs"]) == 80
    assert pairs.origin("demo-base-sft") == "demo-base" and pairs.origin("qwen2-a") == "qwen2-a"


def test_verdicts_are_those_of_compare(strangers, monkeypatch):
    """The same numbers through comparison/verdict.py."""
    table = pairs.table_of(strangers)["pairs"]
    monkeypatch.setattr(verdict, "unrelated_pairs", pairs.nulls_of(table).get)
    for statistic, spread in ((0.5, 1e-3), (0.03, 1e-2), (0.012, 1e-2), (0.06, 1e-3)):
        shuffled = np.random.default_rng(1).normal(0, spread, 32)
        views = [View(name, statistic, statistic, shuffled, {}) for name in VIEWS]
        _, told = verdict.judge(views)
        mine = row(RELATED, "x", statistic)
        p = verdict.fit(shuffled).p_value(statistic)
        mine["p_shuffled"] = dict.fromkeys(VIEWS, p)
        pairs.judge(mine, pairs.nulls_of(table))
        assert (mine["verdict"], mine["p"]) == (told.word, pytest.approx(told.p))
        assert mine["score"] == pytest.approx(told.score)


def test_finished_comparisons_are_not_made_again(tmp_path):
    jobs = [Pair(RELATED, "g", "w", "demo-base", ref) for ref in ("demo-child", "demo-stranger")]
    log, heard = tmp_path / "pairs.jsonl", []
    first = pairs.logged(jobs[:1], log, lambda *told: heard.append(told))
    both = pairs.logged(jobs, log, lambda *told: heard.append(told))
    assert both[0] == first[0] and len(heard) == 2
    lines = log.read_text().splitlines()
    assert [json.loads(line)["b"] for line in lines] == ["demo-child", "demo-stranger"]
    assert first[0]["score"] > 0.8 > 0.2 > both[1]["score"]


def test_the_page_has_the_parts_that_are_there_in_order(tmp_path):
    (tmp_path / "pairs.md").write_text("## Pairs\n\n![plot](pairs.png)\n")
    (tmp_path / "derivations.md").write_text("## Derivations\n")
    page = assemble(tmp_path)
    assert page.index("## Derivations") < page.index("## Pairs")
    assert "](results/pairs.png)" in page


def test_the_command_lists_and_refuses():
    listed = CliRunner().invoke(experiment, ["--json"])
    assert set(json.loads(listed.output)["experiments"]) == set(EXPERIMENTS)
    unknown = CliRunner().invoke(experiment, ["nothing"])
    assert unknown.exit_code == 2 and "known: evasion" in unknown.output


def test_the_bundled_table_is_of_these_strangers():
    names = {name for pair in unrelated_table() for name in (pair["a"], pair["b"])}
    assert names >= {s.name for s in STRANGERS}
    assert not any({"demo-base", "demo-child"} == {p["a"], p["b"]} for p in unrelated_table())


@pytest.mark.parametrize("spec", STRANGERS, ids=lambda s: s.name)
def test_configurations_are_ones_that_transformers_takes(spec):
    config = config_of(spec)
    assert config.model_type == spec.kind
    assert config.vocab_size == spec.vocab and config.num_hidden_layers == spec.layers
