"""huref-zk registry, compare and fingerprint --save."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from huref_zk.cli import main
from huref_zk.comparison.saved import read_fingerprint
from huref_zk.paths import default_registry


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def told(*arguments: object) -> dict:
    """The JSON of a command that succeeds."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    data = json.loads(done.stdout)
    return {k: v for k, v in data.items() if k not in ("command", "format", "seconds")}


def refused(*arguments: object, words: str, code: int = 2) -> None:
    """The command fails with this exit code and one line, and says the same as JSON."""
    done = run(*arguments, "--quiet")
    assert (done.exit_code, len(done.stderr.splitlines())) == (code, 1), done.output
    assert words in done.stderr
    data = json.loads(run(*arguments, "--json").stdout)
    assert data["exit_code"] == code and words in data["error"] and "valid" not in data


@pytest.fixture(scope="module")
def db(tmp_path_factory) -> Path:
    """A registry of base and stranger."""
    path = tmp_path_factory.mktemp("registry") / "r.sqlite"
    told("registry", "add", "demo-base", "--note", "the base", "--db", path)
    told("registry", "add", "demo-stranger", "--name", "nobody", "--db", path)
    return path


@pytest.fixture(scope="module")
def child_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "child.hzf"
    assert told("fingerprint", "demo-child", "--save", path) == {"fingerprint": str(path)}
    return path


ENTRY = {"name", "added", "note", "root", "model", "layers", "tokens"}
COMPARISON = {
    *("a", "b", "tokens", "score", "verdict", "views", "layers", "pcs", "rearranged"),
    *("parts", "findings", "warnings"),
}


# --- registry ------------------------------------------------------------------------------------


def test_the_default_is_in_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_registry().is_relative_to(tmp_path)
    told("registry", "add", "demo-base")
    assert default_registry().is_file()
    assert [e["name"] for e in told("registry", "list")["entries"]] == ["demo-base"]


def test_search_by_model(db):
    data = told("registry", "search", "demo-child", "--db", db)
    assert set(data) == {
        *("model", "db", "compared", "skipped", "chance_of_a_false_positive", "hits")
    }
    assert [hit["entry"]["name"] for hit in data["hits"]] == ["demo-base", "nobody"]
    first, second = data["hits"]
    assert set(first) == {"entry", "statement", "comparison"}
    assert set(first["entry"]) == ENTRY and set(first["comparison"]) == COMPARISON
    assert first["statement"] == "statistically consistent with common descent"
    assert second["statement"] == "statistically consistent with independent training"
    assert first["comparison"]["verdict"]["p"] < 1e-6 < 0.01
    assert second["comparison"]["verdict"]["p"] > 0.01
    lines = run("registry", "search", "demo-child", "--db", db).stdout.splitlines()
    assert lines[0].startswith("1. demo-base: score 0.9") and "common descent" in lines[0]
    assert "p-value" in lines[1] and lines[2].startswith("2. nobody:")
    top = told("registry", "search", "demo-child", "--top", 1, "--db", db)
    assert len(top["hits"]) == 1 and top["compared"] == 2


def test_search_by_saved_fingerprint(db, child_file):
    data = told("registry", "search", child_file, "--db", db)
    assert data["model"] == "demo-child"
    assert [hit["entry"]["name"] for hit in data["hits"]] == ["demo-base", "nobody"]
    assert data["hits"][0]["comparison"]["parts"] is None


def test_what_was_skipped_is_said(db, child_file, tmp_path):
    from dataclasses import replace

    from huref_zk.comparison.saved import write_fingerprint

    saved = read_fingerprint(child_file)
    write_fingerprint(tmp_path / "other.hzf", replace(saved, seed=bytes(32)))
    done = run("registry", "search", tmp_path / "other.hzf", "--db", db)
    assert "no entry could be compared" in done.stdout
    assert "2 not compared: they are over other tokens; give the model" in done.stdout
    assert "not compared" not in run("registry", "search", child_file, "--db", db).stdout


def test_list_show_export_remove(db, tmp_path):
    mine = tmp_path / "mine.sqlite"
    mine.write_bytes(db.read_bytes())
    listed = told("registry", "list", "--db", mine)
    assert [e["name"] for e in listed["entries"]] == ["demo-base", "nobody"]
    assert all(set(e) == ENTRY for e in listed["entries"])
    shown = told("registry", "show", "demo-base", "--db", mine)
    assert shown == listed["entries"][0] and shown["note"] == "the base"
    assert shown["model"]["layers_total"] == 4
    out = tmp_path / "x.hzf"
    assert told("registry", "export", "nobody", "--out", out, "--db", mine)["name"] == "nobody"
    assert read_fingerprint(out).name == "nobody"
    assert told("registry", "remove", "nobody", "--db", mine)["removed"] == "nobody"
    refused("registry", "show", "nobody", "--db", mine, words="no entry 'nobody'")
    told("registry", "add", out, "--db", mine)
    told("registry", "add", out, "--name", "twice", "--db", mine)
    assert [e["name"] for e in told("registry", "list", "--db", mine)["entries"]] == [
        *("demo-base", "nobody", "twice")
    ]
    lines = run("registry", "list", "--db", mine).stdout.splitlines()
    assert lines[0].startswith("demo-base: llama, 4 layers, 2") and "(the base)" in lines[0]
    assert "3 entries" in lines[-1]
    words = run("registry", "show", "demo-base", "--db", mine).stdout
    count = shown["tokens"]["count"]
    assert f"{count} tokens" in words and "none given" in words


def test_names_are_refused_before_the_work(db, monkeypatch):
    monkeypatch.setattr("huref_zk.comparison.saved.make_fingerprint", None)  # a TypeError
    refused("registry", "add", "demo-base", "--db", db, words="--replace")
    refused("registry", "add", "demo-base", "--name", "a\tb", "--db", db, words="name must be")
    done = run("registry", "add", "demo-base", "--replace", "--db", db)
    assert done.exit_code == 3 and "TypeError" in done.stderr  # the control: now it works


def test_a_commitments_root_is_kept_and_another_models_refused(chain, tmp_path):
    db, model = tmp_path / "r.sqlite", chain.model
    given = ("--commitment", chain.commitment_file, "--db", db)
    told("registry", "add", model, *given)
    shown = told("registry", "show", "model", "--db", db)
    assert shown["root"] == chain.commitment.root_hex
    refused("registry", "add", "demo-base", *given, words="to another model: its ffn is 24")
    assert len(told("registry", "list", "--db", db)["entries"]) == 1
    told("registry", "add", "demo-base", "--db", db)


def test_bad_input_exits_with_2(db, tmp_path):
    none, foreign = tmp_path / "none.sqlite", tmp_path / "foreign"
    foreign.write_text("no database, but long enough to look at " * 30)
    for command in (("list",), ("show", "x"), ("remove", "x"), ("search", "demo-base")):
        refused("registry", *command, "--db", none, words="there is no registry")
        refused("registry", *command, "--db", foreign, words="not a database")
    refused("registry", "add", "no/such/model", "--db", none, words="no/such/model")
    assert not none.exists()
    refused("registry", "search", tmp_path / "x.hzf", "--db", db, words="there is no model")
    (tmp_path / "x.hzf").write_bytes(b"HUREFZF\x03")
    refused("registry", "search", tmp_path / "x.hzf", "--db", db, words="ends inside")
    refused("registry", "add", tmp_path / "x.hzf", "--db", db, words="ends inside")
    (tmp_path / "d.hzf").mkdir()
    to_a_folder = ("registry", "export", "nobody", "--out", tmp_path / "d.hzf", "--db", db)
    refused(*to_a_folder, words="is a folder")
    data = json.loads(run("registry", "nothing", "--json").stdout)
    assert data["exit_code"] == 2


# --- compare -------------------------------------------------------------------------------------


def test_compare_two_models_with_a_report(tmp_path):
    page = tmp_path / "r.html"
    data = told("compare", "demo-base", "demo-child", "--html", page)
    assert set(data) == COMPARISON | {"statement", "html"}
    assert data["statement"] == "statistically consistent with common descent"
    assert data["html"] == str(page) and data["verdict"]["word"] == "related"
    assert data["layers"]["matched"] == [[i, i] for i in range(4)]
    assert set(data["views"]) == {"whole", "layers", "no tokens", "parts"}
    assert all(v["p"] < 1e-6 and v["related"] for v in data["views"].values())
    assert data["findings"] and data["parts"]["neurons"]["share_of_b_found"] > 0.9
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 2 and f"{data['score']:.6f}" in text
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_stranger_exits_with_0_too():
    data = told("compare", "demo-base", "demo-stranger")
    assert data["statement"] == "statistically consistent with independent training"
    assert data["html"] is None
    done = run("compare", "demo-base", "demo-stranger")
    assert done.exit_code == 0
    for word, code in (("unrelated", 4), ("related", 0)):
        failing = run("compare", "demo-base", "demo-stranger", "--fail-on", word)
        assert failing.exit_code == code and failing.stdout == done.stdout
    assert done.stdout.splitlines()[0] == (
        "demo-base and demo-stranger: statistically consistent with independent training"
    )


def test_compare_saved_fingerprints(child_file, tmp_path):
    told("fingerprint", "demo-base", "--save", tmp_path / "base.hzf")
    page = tmp_path / "r.html"
    both = told("compare", tmp_path / "base.hzf", child_file, "--html", page)
    assert (both["a"], both["b"]) == ("demo-base", "demo-child")
    assert both["pcs"] > 0.9 and both["parts"] is None
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 2
    one = told("compare", "demo-base", child_file)
    assert one["views"]["whole"]["shuffled"]["count"] >= 30
    assert one["score"] == pytest.approx(both["score"], abs=1e-4)
    assert {both["verdict"]["word"], one["verdict"]["word"]} == {"related"}


def test_a_model_without_a_picture_is_reported_all_the_same(tmp_path, monkeypatch):
    from huref_zk.errors import InputError

    def cannot(*args, **options):
        raise InputError("its layers are <too> many")

    page = tmp_path / "r.html"
    monkeypatch.setattr("huref_zk.proofs.prepare.prepare", cannot)
    told("compare", "demo-base", "demo-child", "--html", page)
    text = page.read_text(encoding="utf-8")
    assert "No picture: its layers are &lt;too&gt; many" in text and "data:image" not in text


def test_compare_refuses_what_it_cannot_read_or_write(child_file, tmp_path, monkeypatch):
    refused("compare", "demo-base", "no/model", words="no/model")
    refused("compare", child_file, tmp_path / "none.hzf", words="there is no model")
    (tmp_path / "bad.hzf").write_bytes(child_file.read_bytes()[:-1])
    refused("compare", child_file, tmp_path / "bad.hzf", words="too short")
    monkeypatch.setattr("huref_zk.comparison.compare.compare", None)  # would be a TypeError
    bad = tmp_path / "none" / "r.html"
    refused("compare", "demo-base", "demo-child", "--html", bad, words="none is not a folder")
    html = ("--html", tmp_path / "r.html")
    missing = ("--generator", tmp_path / "none.pkl")
    refused("compare", "demo-base", "demo-child", *html, *missing, words="no such generator")


# --- fingerprint --save --------------------------------------------------------------------------


def test_save_goes_with_a_picture_and_alone(tmp_path, child_file):
    picture, saved = tmp_path / "p.png", tmp_path / "s.hzf"
    data = told("fingerprint", "demo-child", "--out", picture, "--save", saved)
    assert (data["image"], data["fingerprint"]) == (str(picture), str(saved))
    assert list(read_fingerprint(saved).v) == data["v"]
    assert saved.read_bytes() == child_file.read_bytes()
    again = told("fingerprint", "demo-child", "--out", picture, "--force")
    assert again["fingerprint"] is None


def test_save_refuses_another_seed_and_nothing_to_write(tmp_path):
    saved = tmp_path / "s.hzf"
    seeded = ("fingerprint", "demo-base", "--save", saved, "--seed")
    refused(*seeded, "11" * 32, words="public seed only")
    assert not saved.exists()
    refused("fingerprint", "demo-base", words="say what to write")
    refused("fingerprint", "demo-base", "--save", tmp_path / "n/x.hzf", words="is not a folder")
    told(*seeded[:-1])
