"""The library: what the commands do, without a word printed."""

from __future__ import annotations

import numpy as np
import pytest

import huref_zk
from huref_zk import InputError, NotValid, Policy, Setup, StepFailed, paths
from huref_zk.render.image import read_png
from research import api_page
from tests.support.chain import TOKENS

SEED = b"\x11" * 32


@pytest.fixture(autouse=True)
def silence(capfd):
    """Nothing here prints."""
    yield
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


def test_from_a_model_to_a_report(chain, tmp_path):
    """What README's commands do; files as str and as Path."""
    drawing = {"generator": chain.generator_file}
    heard: list[str] = []
    commitment = huref_zk.commit(
        str(chain.model),
        tmp_path / "mine",
        keys=str(chain.cache),
        count=TOKENS,
        progress=lambda what, done, total: heard.append(what),
    )
    proven = huref_zk.prove(
        tmp_path / "mine",
        str(tmp_path / "fp.hzp"),
        tmp_path / "fp.png",
        seed=SEED,
        keys=chain.cache,
        **drawing,
    )
    assert proven.root == commitment.root_hex and proven.test_setup
    assert np.array_equal(read_png(tmp_path / "fp.png"), proven.pixels)
    assert {"reading the model", "committing"} <= set(heard)

    setup = Setup(chain.cache, allow_test=True)
    asked = {"image": str(tmp_path / "fp.png"), "setup": setup, **drawing}
    steps: list[str] = []
    report = huref_zk.verify(
        tmp_path / "fp.hzp",
        commitment.root_hex,
        policy=Policy(seed=SEED),
        heard=lambda step: steps.append(step.name),
        **asked,
    )
    assert steps == [step.name for step in report.steps] == list(report.names)
    assert report.facts["seed"]["class"] == "named" and report.test_setup
    with pytest.raises(StepFailed) as refused:
        huref_zk.verify(tmp_path / "fp.hzp", tmp_path / "mine/commitment.hzc", **asked)
    assert refused.value.name == "policy" and isinstance(refused.value, NotValid)

    found = huref_zk.fingerprint(chain.model, seed=SEED, count=TOKENS, **drawing)
    assert np.array_equal(found.pixels, proven.pixels) and found.v == proven.v
    assert found.layers == (0, 1, 2) and found.recipe == "whole"
    found.save(tmp_path / "again.png")
    assert np.array_equal(read_png(tmp_path / "again.png"), found.pixels)


def test_no_trust_by_default(chain):
    """Neither a test set-up nor another owner's root."""
    drawing = {"generator": chain.generator_file}
    with pytest.raises(StepFailed) as refused:
        huref_zk.verify(
            chain.bundle_file, chain.commitment_file, setup=Setup(chain.cache), **drawing
        )
    assert refused.value.name == "SRS"
    given = {"setup": chain.setup, **drawing}
    assert huref_zk.verify(chain.bundle_file, chain.commitment_file, **given).facts["image"]
    with pytest.raises(StepFailed) as refused:
        huref_zk.verify(chain.bundle_file, "0" * 64, **given)
    assert refused.value.name == "commitment"


def test_prepare_and_compare():
    prepared = huref_zk.prepare("demo-base", count=64, layers=[1, 0])
    assert prepared.cores.layer_ids == (0, 1) and prepared.quantised.E.shape[0] == 64
    comparison = huref_zk.compare("demo-base", "demo-child")
    assert comparison.verdict.word == "related"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: huref_zk.prepare("no such model"), "there is no model"),
        (lambda t: huref_zk.fingerprint("demo-base", seed=b"short"), "32 bytes"),
        (lambda t: huref_zk.prove(t / "none", t / "a.hzp", t / "a.png"), "is not a folder"),
        (lambda t: huref_zk.verify(t / "none", "0" * 64), "cannot read"),
        (lambda t: huref_zk.commit("demo-base", t / "file"), "is not a folder"),
    ],
)
def test_bad_input(tmp_path, call, words):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match=words):
        call(tmp_path)


def test_kinds_of_files_that_are_not_verified(tmp_path, chain):
    with pytest.raises(InputError, match="nothing that can be verified"):
        huref_zk.verify(chain.commitment_file, "0" * 64)
    with pytest.raises(InputError, match="needs one commitment, not 2"):
        huref_zk.verify(chain.bundle_file, ["0" * 64, "1" * 64])


def test_the_page_is_made_from_the_docstrings():
    assert api_page.page() == api_page.PAGE.read_text(), "run python -m research.api_page"


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    """As it stands there, keys and all in folders of its own; it prints the eight steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "CHECKOUT", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told: list[tuple] = []
    exec(api_page.EXAMPLE, {"print": lambda *words: told.append(words)})
    assert [words[0] for words in told] == list(range(8))
    assert {p.name for p in tmp_path.iterdir()} == {"cache", "mine", "fp.hzp", "fp.png"}
