"""The registry: a SQLite file of saved fingerprints, and the search for a model's next of kin.

An entry holds a name, the fingerprint (the bytes of a `.hzf` file, saved.py), when it
was added (UTC), a note, and the root of a commitment if one was given. Never weights.

The file may come from anybody: what its rows hold is parsed as strictly as a file.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huref_zk.commitment.file import Commitment
from huref_zk.comparison.compare import (
    Stage,
    Surveyed,
    compare,
    compare_surveyed,
    same_tokens,
    survey_over,
)
from huref_zk.comparison.comparison import Comparison, Side
from huref_zk.comparison.registry_file import opened
from huref_zk.comparison.saved import (
    Saved,
    check_name,
    parse_fingerprint,
    serialise_fingerprint,
)
from huref_zk.comparison.tokens import ids_in
from huref_zk.errors import InputError
from huref_zk.files.formats import FINGERPRINT

MAX_NOTE = 1000
_ADDED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_HEX64 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """added: UTC, as 2025-01-31T23:59:59Z; root: 64 hex digits, what the one who added it named as
    the root of a commitment to this model, or None; saved.name is the entry's name."""

    added: str
    note: str
    root: str | None
    saved: Saved

    @property
    def name(self) -> str:
        return self.saved.name

    def describe(self) -> dict:
        """Everything but the survey, for JSON."""
        return {
            "name": self.name,
            "added": self.added,
            "note": self.note,
            "root": self.root,
            "model": self.saved.facts,
            "layers": self.saved.layers,
            "tokens": {"count": len(self.saved.tokens.ids), "digest": self.saved.token_digest},
        }


@dataclass(frozen=True)
class Hit:
    """An entry, described (Entry.describe), and its comparison with what was looked for (as a)."""

    entry: dict
    comparison: Comparison


@dataclass(frozen=True)
class Found:
    """hits: best first; compared: how many entries were; skipped: names of those over other tokens;
    chance: upper bound on the rate of searches that call any unrelated entry related."""

    hits: tuple[Hit, ...]
    compared: int
    skipped: tuple[str, ...]
    chance: float


def add(
    path: Path, saved: Saved, *, note: str = "", root: str | None = None, replace: bool = False
) -> Entry:
    """Add a fingerprint under its name, making the file if there is none.

    InputError when the name is taken and not to be replaced, and for a file that is no registry.
    """
    if len(note) > MAX_NOTE or not note.isprintable():
        raise InputError(f"a note is one line of at most {MAX_NOTE} printable characters")
    blob = serialise_fingerprint(saved)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    row = (saved.name, now, note, root, saved.basis, blob)
    with opened(path, create=True) as db:
        _refuse_taken(db, saved.name, replace)
        db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
    return Entry(now, note, root, saved)


def check_free(path: Path, name: str, replace: bool) -> None:
    """InputError now, and not after minutes of work, when `add` would refuse the name."""
    check_name(name)
    if path.exists():
        with opened(path) as db:
            _refuse_taken(db, name, replace)


def check_commitment(commitment: Commitment, saved: Saved) -> str:
    """The commitment's root. InputError when its descriptor is one of another kind of model.

    The root itself cannot be checked against a fingerprint: that takes the secret key.
    """
    claimed = commitment.descriptor.model
    for fact, value in sorted(saved.facts.items()):
        if claimed.get(fact, value) != value:
            raise InputError(
                f"the commitment is to another model: its {fact} is {claimed[fact]!r}, "
                f"the fingerprint's {value!r}"
            )
    return commitment.root_hex


def entries(path: Path) -> Iterator[Entry]:
    """All entries, by name. InputError for a file that is no registry or holds malformed rows."""
    for name in _names(path, "name"):
        entry = _read(path, name)
        if entry is not None:  # removed by somebody since
            yield entry


def entry(path: Path, name: str) -> Entry:
    """One entry. InputError when there is none of that name."""
    found = _read(path, name)
    if found is None:
        raise InputError(f"the registry {path} has no entry {name!r}")
    return found


def remove(path: Path, name: str) -> None:
    """Remove an entry. InputError when there is none of that name."""
    with opened(path, write=True) as db:
        if db.execute("DELETE FROM entries WHERE name = ?", (name,)).rowcount != 1:
            raise InputError(f"the registry {path} has no entry {name!r}")


def search(path: Path, side: Side, stage: Stage | None = None) -> Found:
    """All entries ranked by their score with ``side``; see Found. ``stage`` hears progress.

    A model is surveyed once for all entries over the same tokens. InputError for a model that
    cannot be read and a file that is no registry.
    """
    if side.model is not None:
        _ = side.opened  # an unknown architecture is an error, not a reason to skip
    # Those over the same tokens one after the other, so that one survey at a time is kept.
    names = _names(path, "basis, name")
    hits: list[Hit] = []
    skipped: list[str] = []
    basis, surveyed = "", None
    for done, name in enumerate(names):
        _tell(stage, done, len(names))
        found = _read(path, name)
        if found is None:
            continue
        saved = found.saved
        if side.model is None:
            assert side.saved is not None
            fits = same_tokens(side.saved, saved)
        else:
            if saved.basis != basis:
                basis, surveyed = saved.basis, _survey(side, saved, stage)
            fits = surveyed is not None
        if not fits:
            skipped.append(name)
            continue
        if surveyed is not None:
            comparison = compare_surveyed(side, surveyed, saved)
        else:
            comparison = compare(side, Side(name, None, saved))
        hits.append(Hit(found.describe(), comparison))
    _tell(stage, len(names), len(names))
    hits.sort(key=lambda hit: (-hit.comparison.score, hit.entry["name"]))
    rate = hits[0].comparison.verdict.rate if hits else 0.0
    return Found(tuple(hits), len(hits), tuple(sorted(skipped)), min(1.0, rate * len(hits)))


def _survey(side: Side, saved: Saved, stage: Stage | None) -> Surveyed | None:
    """None when the model has too few of the fingerprint's tokens to be compared."""
    assert side.model is not None
    vocab = side.opened.dims.vocab
    try:
        ids_in(side.model, vocab, saved.tokens)
    except InputError:
        return None
    return survey_over(side, saved, stage)


def _names(path: Path, order: str) -> list[str]:
    with opened(path) as db:
        return [_text(row[0]) for row in db.execute(f"SELECT name FROM entries ORDER BY {order}")]


def _read(path: Path, name: str) -> Entry | None:
    with opened(path) as db:
        query = "SELECT length(fingerprint) FROM entries WHERE name = ?"
        length = db.execute(query, (name,)).fetchone()
        if length is None:
            return None
        if length[0] > FINGERPRINT.max_bytes:  # before it is read into memory
            raise InputError(
                f"the registry's entry {name!r} is larger than {FINGERPRINT.max_bytes} bytes"
            )
        query = "SELECT added, note, root, basis, fingerprint FROM entries WHERE name = ?"
        added, note, root, basis, blob = db.execute(query, (name,)).fetchone()
    try:
        return _parse(name, added, note, root, basis, blob)
    except InputError as error:
        raise InputError(f"the registry's entry {name!r} is malformed: {error}") from None


def _parse(name: str, added, note, root, basis, blob) -> Entry:
    if not isinstance(blob, bytes):
        raise InputError("its fingerprint is no blob")
    if not _ADDED.fullmatch(_text(added)):
        raise InputError("its date is none")
    if len(_text(note)) > MAX_NOTE or not note.isprintable():
        raise InputError(f"its note is not one line of at most {MAX_NOTE} printable characters")
    if root is not None and not _HEX64.fullmatch(_text(root)):
        raise InputError("its root is not 64 hex digits")
    saved = parse_fingerprint(blob)
    if (saved.name, saved.basis) != (name, basis):
        raise InputError("its columns say something else than its fingerprint")
    return Entry(added, note, root, saved)


def _text(value) -> str:
    if not isinstance(value, str):
        raise InputError("the registry holds something else where text must be")
    return value


def _refuse_taken(db: sqlite3.Connection, name: str, replace: bool) -> None:
    if not replace and db.execute("SELECT 1 FROM entries WHERE name = ?", (name,)).fetchone():
        raise InputError(f"the registry has an entry {name!r} already; --replace overwrites it")


def named(saved: Saved, name: str | None) -> Saved:
    """The fingerprint under another name, if one is given."""
    return saved if name is None else dataclasses.replace(saved, name=name)


def _tell(stage: Stage | None, done: int, total: int) -> None:
    if stage is not None:
        stage("comparing", done, total)
