"""The registry: what it ranks first, what it refuses, and that no two writers harm each other."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from huref_zk.comparison import compare as compare_module
from huref_zk.comparison import registry, registry_file
from huref_zk.comparison.compare import Side, compare, open_side
from huref_zk.comparison.saved import make_fingerprint, serialise_fingerprint
from huref_zk.comparison.tokens import TokenList
from huref_zk.errors import InputError
from huref_zk.files.formats import FINGERPRINT
from tests.support.random_llm import llama
from tests.support.saved_fingerprints import TOKENS, near, random_fingerprint


@pytest.fixture(scope="module")
def family():
    return {name: make_fingerprint(f"demo-{name}", name) for name in ("base", "stranger")}


@pytest.fixture
def db(tmp_path):
    return tmp_path / "r.sqlite"


def names(found) -> list[str]:
    return [hit.entry["name"] for hit in found.hits]


# --- search --------------------------------------------------------------------------------------


def test_a_child_finds_its_base(db, family):
    for saved in (family["stranger"], family["base"]):
        registry.add(db, saved)
    found = registry.search(db, open_side("demo-child"))
    assert names(found) == ["base", "stranger"]
    assert [hit.comparison.verdict.word for hit in found.hits] == ["related", "unrelated"]
    assert (found.compared, found.skipped) == (2, ())
    assert found.chance == pytest.approx(2e-6)
    assert found.hits[0].comparison.verdict.p < 1e-20
    # As compare says, entry by entry.
    alone = compare(open_side("demo-child"), Side("base", None, family["base"]))
    hit = found.hits[0].comparison
    assert hit.score == pytest.approx(alone.score, abs=1e-5)  # kept in half precision
    assert (hit.layers.pairs, hit.tokens, hit.b) == (alone.layers.pairs, alone.tokens, "base")
    # The stranger finds itself first, and no kin.
    other = registry.search(db, open_side("demo-stranger"))
    assert names(other) == ["stranger", "base"]
    assert [hit.comparison.verdict.word for hit in other.hits] == ["related", "unrelated"]


def test_a_saved_fingerprint_is_searched_for_without_its_model(db, family):
    registry.add(db, family["base"])
    registry.add(db, family["stranger"])
    registry.add(db, random_fingerprint("over other tokens"))
    child = make_fingerprint("demo-child")
    found = registry.search(db, Side("child", None, child))
    assert names(found) == ["base", "stranger"]
    assert (found.compared, found.skipped) == (2, ("over other tokens",))
    assert found.hits[0].comparison.verdict.word == "related"


def test_a_model_is_surveyed_once_for_all_entries_over_the_same_tokens(db, family, monkeypatch):
    base = family["base"]
    for i in range(3):
        registry.add(db, near(base, f"kin {i}", 0.1 * i, seed=i))
    few = TokenList(base.tokens.ids + 1, base.tokens.sizes, base.tokens.texts)
    registry.add(db, replace(base, name="over other numbers", tokens=few))
    unknown = TokenList(np.arange(TOKENS), (TOKENS,), tuple(f"nobody's {i}" for i in range(TOKENS)))
    for i in range(2):
        registry.add(db, random_fingerprint(f"nobody's {i}", tokens=unknown))
    surveyed = []

    def counted(a, b, stage=None):
        surveyed.append(b.name)
        return compare_module.survey_over(a, b, stage)

    monkeypatch.setattr(registry, "survey_over", counted)
    heard = []
    found = registry.search(db, open_side("demo-child"), lambda *args: heard.append(args))
    assert len(surveyed) == 2
    assert found.compared == 4 and found.skipped == ("nobody's 0", "nobody's 1")
    assert [hit.comparison.score for hit in found.hits] == sorted(
        (hit.comparison.score for hit in found.hits), reverse=True
    )
    assert heard[0] == ("comparing", 0, 6) and heard[-1] == ("comparing", 6, 6)
    # The survey over one basis is not taken for another's.
    side = open_side("demo-child")
    one = compare_module.survey_over(side, base)
    with pytest.raises(ValueError, match="other tokens"):
        compare_module.compare_surveyed(side, one, replace(base, tokens=few))


def test_an_unreadable_model_is_an_error_and_no_reason_to_skip(db, family):
    registry.add(db, family["base"])
    strange = llama(1)
    strange.config = {**strange.config, "model_type": "nobody knows"}
    with pytest.raises(InputError, match="nobody knows"):
        registry.search(db, Side("strange", strange, None))
    assert registry.search(db, Side("m", llama(1), None)).compared == 1  # by number: no tokenizer


def test_an_empty_registry_finds_nothing(db, family):
    registry.add(db, family["base"])
    registry.remove(db, "base")
    found = registry.search(db, Side("base", None, family["base"]))
    assert (found.hits, found.compared, found.chance) == ((), 0, 0.0)


# --- add, remove ---------------------------------------------------------------------------------


def test_entries_are_kept_as_they_were(db):
    saved, other = random_fingerprint("b", 1), random_fingerprint("a", 2)
    root = "0f" * 32
    made = registry.add(db, saved, note="found in the wild", root=root)
    registry.add(db, other)
    first, second = registry.entries(db)
    assert [first.name, second.name] == ["a", "b"]
    assert second.describe() == made.describe()
    assert (second.note, second.root, first.note, first.root) == (made.note, root, "", None)
    assert serialise_fingerprint(registry.entry(db, "b").saved) == serialise_fingerprint(saved)
    assert second.describe()["tokens"]["digest"] == saved.token_digest
    assert registry.named(saved, "other").name == "other"
    assert registry.named(saved, None) is saved


def test_names_are_taken_once(db):
    registry.check_free(db, "a", False)  # no file yet
    registry.add(db, random_fingerprint("a", 1))
    for refused in (
        lambda: registry.add(db, random_fingerprint("a", 2)),
        lambda: registry.check_free(db, "a", False),
    ):
        with pytest.raises(InputError, match="--replace"):
            refused()
    assert registry.entry(db, "a").saved.v == random_fingerprint("a", 1).v
    registry.check_free(db, "a", True)
    registry.add(db, random_fingerprint("a", 2), replace=True)
    assert registry.entry(db, "a").saved.v == random_fingerprint("a", 2).v
    assert len(list(registry.entries(db))) == 1


def test_what_is_not_there_is_said(db):
    for act in (registry.entry, registry.remove):
        with pytest.raises(InputError, match="there is no registry"):
            act(db, "a")
    assert not db.exists()
    registry.add(db, random_fingerprint("b"))
    for act in (registry.entry, registry.remove):
        with pytest.raises(InputError, match="no entry 'a'"):
            act(db, "a")
    registry.remove(db, "b")
    assert list(registry.entries(db)) == []


@pytest.mark.parametrize("note", ["two\nlines", "x" * 1001, "\x1b[2J"])
def test_notes_are_one_printable_line(db, note):
    with pytest.raises(InputError, match="one line"):
        registry.add(db, random_fingerprint(), note=note)
    assert not db.exists()
    registry.add(db, random_fingerprint(), note="x" * 1000)


def test_a_failure_within_a_transaction_leaves_nothing(db, monkeypatch):
    registry.add(db, random_fingerprint("a"))
    before = db.read_bytes()
    with pytest.raises(RuntimeError), registry_file.opened(db, write=True) as connection:
        connection.execute("DELETE FROM entries")
        raise RuntimeError("cut off")
    assert db.read_bytes() == before
    with registry_file.opened(db, write=True) as connection:
        connection.execute("DELETE FROM entries")
    assert list(registry.entries(db)) == []


ADD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.support.saved_fingerprints import random_fingerprint
from huref_zk.comparison import registry
for i in range(5):
    registry.add(Path(sys.argv[1]), random_fingerprint(f"{sys.argv[3]} {i}"))
"""


def test_two_writers_at_once_lose_nothing(db, request):
    """Also the file itself is made by both at once."""
    command = [sys.executable, "-c", ADD, str(db), str(request.path.parent)]
    writers = [subprocess.Popen([*command, who]) for who in ("x", "y")]
    assert [w.wait(60) for w in writers] == [0, 0]
    expected = [f"{who} {i}" for who in ("x", "y") for i in range(5)]
    assert [entry.name for entry in registry.entries(db)] == expected


def test_a_writer_waits_for_the_other_and_not_for_ever(db, monkeypatch):
    registry.add(db, random_fingerprint("a"))
    monkeypatch.setattr(registry_file, "WAIT_S", 0.05)
    holder = sqlite3.connect(db, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(InputError, match="locked"):
        registry.add(db, random_fingerprint("b"))
    assert registry.entry(db, "a").name == "a"  # readers do not wait
    monkeypatch.setattr(registry_file, "WAIT_S", 30.0)
    timer = threading.Timer(0.3, lambda: holder.execute("COMMIT"))
    timer.start()
    registry.add(db, random_fingerprint("b"))
    timer.join()
    holder.close()
    assert len(list(registry.entries(db))) == 2


# --- files that are no registry ------------------------------------------------------------------


def altered(*statements: str):
    def alter(db):
        with sqlite3.connect(db) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return alter


FOREIGN = {
    "text": (lambda db: db.write_text("no database " * 50), "not a database"),
    "empty": (lambda db: db.write_bytes(b""), "no registry of this program"),
    "another program's": (altered("PRAGMA application_id = 7"), "no registry of this program"),
    "newer": (altered("PRAGMA user_version = 4"), "has version 4, this program reads 3"),
    "older": (altered("PRAGMA user_version = 2"), "has version 2"),
    "a table more": (altered("CREATE TABLE more (x)"), "tables that it must have"),
    "no table": (altered("DROP TABLE entries"), "tables that it must have"),
    "a trigger": (
        altered(
            "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
        ),
        "tables that it must have",
    ),
    "a view instead": (
        altered(
            "ALTER TABLE entries RENAME TO hidden",
            "CREATE VIEW entries AS SELECT * FROM hidden",
        ),
        "tables that it must have",
    ),
    "a column more": (
        altered("ALTER TABLE entries ADD COLUMN more TEXT"),
        "tables that it must have",
    ),
    "damaged": (
        lambda db: db.write_bytes(db.read_bytes()[:4096] + b"\xff" * (db.stat().st_size - 4096)),
        "cannot be used",
    ),
    "cut off": (lambda db: db.write_bytes(db.read_bytes()[:5000]), "cannot be used"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_files_that_are_no_registry_are_refused_and_left_alone(case, db):
    registry.add(db, random_fingerprint("a"))
    good = db.read_bytes()
    spoil, words = FOREIGN[case]
    spoil(db)
    spoilt = db.read_bytes()
    acts = [
        lambda: list(registry.entries(db)),
        lambda: registry.entry(db, "a"),
        lambda: registry.remove(db, "a"),
        lambda: registry.search(db, Side("x", None, random_fingerprint("x"))),
    ]
    if case != "empty":  # which `add` may fill
        acts.append(lambda: registry.add(db, random_fingerprint("b")))
    for act in acts:
        with pytest.raises(InputError, match=words):
            act()
    assert db.read_bytes() == spoilt
    db.write_bytes(good)
    assert registry.entry(db, "a").name == "a"


def test_folders_and_pipes_are_no_registry(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match="is no file"):
            list(registry.entries(path))
    registry.add(tmp_path / "a" / "b" / "odd ?#% name.sqlite", random_fingerprint())
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["odd ?#% name.sqlite"]


def test_a_registry_that_may_not_be_written_can_be_read(db):
    registry.add(db, random_fingerprint("a"))
    db.chmod(0o444)
    db.parent.chmod(0o555)
    try:
        assert registry.entry(db, "a").name == "a"
    finally:
        db.parent.chmod(0o755)


def set_column(column: str, value):
    def spoil(db):
        with sqlite3.connect(db) as connection:
            connection.execute(f"UPDATE entries SET {column} = ?", (value,))
        connection.close()

    return spoil


OTHER = random_fingerprint("other", 2)
NAN = replace(OTHER, survey=replace(OTHER.survey, maps=np.full_like(OTHER.survey.maps, np.nan)))
ROWS = {
    "blob as text": (set_column("fingerprint", "text"), "no blob"),
    "blob as number": (set_column("fingerprint", 5), "no blob"),
    "blob of noise": (set_column("fingerprint", b"\x00" * 500), "other bytes"),
    "blob of another": (
        set_column("fingerprint", serialise_fingerprint(OTHER)),
        "something else than its fingerprint",
    ),
    "blob with NaN": (set_column("fingerprint", serialise_fingerprint(NAN)), "NaN or infinite"),
    "blob cut off": (
        set_column("fingerprint", serialise_fingerprint(random_fingerprint("a"))[:-1]),
        "too short",
    ),
    "basis of another": (set_column("basis", "00" * 32), "something else than its fingerprint"),
    "date": (set_column("added", "yesterday"), "date"),
    "date as number": (set_column("added", b"2025"), "where text must be"),
    "note of two lines": (set_column("note", "a\nb"), "one line"),
    "long note": (set_column("note", "x" * 1001), "one line"),
    "root": (set_column("root", "AB" * 32), "64 hex digits"),
    "root as blob": (set_column("root", b"\x00" * 32), "where text must be"),
    "name as blob": (set_column("name", b"a"), "where text must be"),
    "another name": (set_column("name", "b"), "something else than its fingerprint"),
}


@pytest.mark.parametrize("case", ROWS)
def test_hostile_rows_are_refused(case, db):
    registry.add(db, random_fingerprint("a"), note="n", root="ab" * 32)
    good = db.read_bytes()
    spoil, words = ROWS[case]
    spoil(db)
    for act in (
        lambda: list(registry.entries(db)),
        lambda: registry.search(db, Side("x", None, random_fingerprint("x"))),
    ):
        with pytest.raises(InputError, match=words):
            act()
    db.write_bytes(good)
    assert [entry.name for entry in registry.entries(db)] == ["a"]


def test_a_blob_too_large_is_not_read(db, monkeypatch):
    registry.add(db, random_fingerprint("a"))
    size = len(serialise_fingerprint(random_fingerprint("a")))
    monkeypatch.setattr(registry, "FINGERPRINT", replace(FINGERPRINT, max_bytes=size - 1))
    with pytest.raises(InputError, match="is larger than"):
        registry.entry(db, "a")
    monkeypatch.setattr(registry, "FINGERPRINT", replace(FINGERPRINT, max_bytes=size))
    assert registry.entry(db, "a").name == "a"


def test_the_file_is_the_documented_one(db):
    doc = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text("utf-8")
    entry = registry.add(db, random_fingerprint("a"))
    connection = sqlite3.connect(db)
    (schema,) = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchone()
    assert f"    {schema}\n" in doc and schema.endswith("BLOB NOT NULL)")
    (basis,) = connection.execute("SELECT basis FROM entries").fetchone()
    connection.close()
    tokens = entry.saved.tokens
    ids = hashlib.sha256(b"".join(struct.pack("<q", i) for i in tokens.ids)).hexdigest()
    parts = {
        "ids": ids,
        "p": 64,
        "seed": entry.saved.seed.hex(),
        "sizes": [TOKENS],
        "texts": list(tokens.texts),
    }
    text = json.dumps(parts, separators=(",", ":"))
    assert basis == hashlib.sha256(text.encode()).hexdigest()


def test_an_entry_holds_no_weights(db, family):
    """Its size is that of the survey, the tokens and v: not that of the weights, of which a large
    model has many times more."""
    registry.add(db, family["base"])
    size = len(serialise_fingerprint(family["base"]))
    assert size < db.stat().st_size < size + 40_000
    assert size < 4 * (2 * 3 * 11 * 64**2 + 4 * 7 * 32**2) + 300_000  # 300 kB a layer
