"""The SQLite file of a registry: opened in one transaction, and its schema checked.

The file may come from anybody: it must have exactly our schema, so that no trigger or view of
theirs runs here.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from huref_zk.errors import InputError

SCHEMA_VERSION = 3
APPLICATION_ID = 0x48524647
"""SQLite's mark of whose file this is: "HRFG"."""
WAIT_S = 30.0
"""How long a writer waits for another one."""
_SCHEMA = (
    "CREATE TABLE entries (name TEXT PRIMARY KEY NOT NULL, added TEXT NOT NULL, "
    "note TEXT NOT NULL, root TEXT, basis TEXT NOT NULL, fingerprint BLOB NOT NULL)"
)


@contextlib.contextmanager
def opened(
    path: Path, *, write: bool = False, create: bool = False
) -> Iterator[sqlite3.Connection]:
    """The registry's connection, in one transaction: all of the body happens, or nothing of it.

    InputError for every failure of SQLite and every file that is not a registry of this version.
    """
    if not path.is_file():
        if path.exists():
            raise InputError(f"{path} is no file, so not a registry")
        if not create:
            raise InputError(f"there is no registry {path}; `registry add` makes one")
        path.parent.mkdir(parents=True, exist_ok=True)
    mode = "rwc" if create else "rw"  # of a file that may not be written, SQLite can still read
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        db = sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None)
        with contextlib.closing(db):
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("PRAGMA cell_size_check = ON")
            db.execute("BEGIN IMMEDIATE" if write or create else "BEGIN")
            try:
                _check_schema(db, path, create)
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be used as a registry: {error}") from None


def _check_schema(db: sqlite3.Connection, path: Path, create: bool) -> None:
    (version,), (owner,) = (
        db.execute(f"PRAGMA {pragma}").fetchone() for pragma in ("user_version", "application_id")
    )
    schema = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    if create and (version, owner, schema) == (0, 0, []):
        db.execute(_SCHEMA)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        return
    if owner != APPLICATION_ID:
        raise InputError(f"{path} is a SQLite file, but no registry of this program")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"the registry {path} has version {version}, this program reads {SCHEMA_VERSION}; "
            "use the release that made it"
        )
    expected = {
        ("table", "entries", "entries", _SCHEMA),
        ("index", "sqlite_autoindex_entries_1", "entries", None),
    }
    if len(schema) != len(expected) or set(schema) != expected:
        raise InputError(f"the registry {path} does not have the tables that it must have")
