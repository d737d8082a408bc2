"""The page of results, and what its figures of pairs mean."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.comparison.null import fit_extreme, unrelated_table
from research.experiments import EXPERIMENTS, assemble
from research.experiments.__main__ import experiment
from research.experiments.pairs import _compared, _figures, _page, _plot
from research.experiments.strangers import STRANGERS, config_of


def rows_of(related, unrelated, missed=()):
    kinds = {"related": related, "unrelated": unrelated, "expected miss": missed}
    empty = dict.fromkeys(("canonical", "whole", "official", "pcs"))
    return [
        {"kind": kind, "a": "x", "b": f"{kind} {i}", "what": "w", "score": score, **empty}
        | {"rearranged": False}
        for kind, scores in kinds.items()
        for i, score in enumerate(scores)
    ]


def figures_of(rows):
    return _figures(rows, fit_extreme([r["score"] for r in rows if r["kind"] == "unrelated"]))


@pytest.fixture
def strangers():
    return list(np.random.default_rng(0).gumbel(0.012, 0.006, 80))


def test_separate_scores_give_an_auc_of_one(strangers, tmp_path):
    rows = rows_of([0.5, 0.9], strangers, [0.02])
    figures = figures_of(rows)
    assert (figures["auc"], figures["tpr_at_zero_fp"], figures["tpr_at_threshold"]) == (1, 1, 1)
    assert (figures["related"], figures["unrelated"]) == (2, 80)
    assert [m["score"] for m in figures["misses"]] == [0.02]
    assert figures["fit_p"] > 0.01
    page = _page(rows, figures)
    assert "AUC **1.0000**" in page and "x and expected miss 0" in page
    _plot(rows, fit_extreme(strangers), tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_an_overlap_is_seen(strangers):
    figures = figures_of(rows_of([0.9, min(strangers)], strangers))
    assert figures["auc"] == pytest.approx(0.5 + 0.5 * 0.5 / 80)
    assert figures["tpr_at_zero_fp"] == 0.5
    assert len(figures["misses"]) == 1


def test_finished_comparisons_are_not_made_again(tmp_path):
    jobs = [
        {"kind": "related", "a": "a", "b": b, "what": "w", "refs": ("demo-base", ref)}
        for b, ref in (("b", "demo-child"), ("c", "demo-stranger"))
    ]
    log, heard = tmp_path / "pairs.jsonl", []
    first = _compared(jobs[:1], log, lambda *told: heard.append(told))
    both = _compared(jobs, log, lambda *told: heard.append(told))
    assert both[0] == first[0] and len(heard) == 2
    assert [json.loads(line)["b"] for line in log.read_text().splitlines()] == ["b", "c"]


def test_the_page_has_the_parts_that_are_there_in_order(tmp_path):
    (tmp_path / "pairs.md").write_text("## Pairs\n\n![plot](pairs.png)\n")
    (tmp_path / "attacks.md").write_text("## Attacks\n")
    page = assemble(tmp_path)
    assert page.index("## Attacks") < page.index("## Pairs")
    assert "](results/pairs.png)" in page


def test_the_command_lists_and_refuses():
    listed = CliRunner().invoke(experiment, ["--json"])
    assert set(json.loads(listed.output)["experiments"]) == set(EXPERIMENTS)
    unknown = CliRunner().invoke(experiment, ["nothing"])
    assert unknown.exit_code == 2 and "known: attacks" in unknown.output


def test_the_bundled_table_is_of_these_strangers():
    names = {name for pair in unrelated_table() for name in (pair["a"], pair["b"])}
    assert names >= {s.name for s in STRANGERS}
    assert not any({"demo-base", "demo-child"} == {p["a"], p["b"]} for p in unrelated_table())


@pytest.mark.parametrize("spec", STRANGERS, ids=lambda s: s.name)
def test_configurations_are_ones_that_transformers_takes(spec):
    config = config_of(spec)
    assert config.model_type == spec.kind
    assert config.vocab_size == spec.vocab and config.num_hidden_layers == spec.layers
