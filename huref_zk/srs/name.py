"""What a commitment calls the SRS it was made under."""

from __future__ import annotations

from dataclasses import dataclass

SRS_KINDS = ("ceremony", "test", "named")
"""A known ceremony's; the test one, whose secret is public; one that its user has to name."""


@dataclass(frozen=True)
class SrsName:
    """kind: one of SRS_KINDS; k: 2^k rows; sha256: of the file, hex."""

    kind: str
    k: int
    sha256: str
