"""Every kind of file this program writes: the one table of magics, sections and limits."""

from __future__ import annotations

from huref_zk.errors import InputError
from huref_zk.files.container import Format

COMMITMENT = Format("commitment", ".hzc", b"HUREFZC", ("points",), 1 << 23)
WITNESS = Format("witness", ".hzw", b"HUREFZW", ("integers", "checkpoint_salt"), 1 << 33)
BUNDLE = Format(
    "proof bundle", ".hzp", b"HUREFZP", ("commitment", "projection", "v", "proof"), 1 << 25
)
SIMILARITY = Format(
    "proof of similarity",
    ".hzs",
    b"HUREFZS",
    ("first", "second", "first_projection", "second_projection", "proof"),
    1 << 25,
)
OPENING = Format("opening", ".hzo", b"HUREFZO", ("places", "rows", "leaves"), 1 << 29)
AUDIT = Format(
    "inference audit",
    ".hza",
    b"HUREFZA",
    ("commitment", "ids", "tokens", "claims", "proof"),
    1 << 30,
)
FINGERPRINT = Format(
    "saved fingerprint",
    ".hzf",
    b"HUREFZF",
    ("maps", "sizes", "gram", "parameters", "shapes", "ids", "texts", "v"),
    1 << 29,
    version=3,
)
FORMATS = (COMMITMENT, WITNESS, BUNDLE, SIMILARITY, OPENING, AUDIT, FINGERPRINT)


def format_of(start: bytes) -> Format:
    """The kind of a file that begins with these (at least seven) bytes. InputError for others."""
    for fmt in FORMATS:
        if fmt.starts(start):
            return fmt
    known = ", ".join(f"{fmt.name} ({fmt.suffix})" for fmt in FORMATS)
    raise InputError(f"not a file of this program; it writes: {known}")
