"""Files of real ceremonies, which lie outside the repository, and a made-up one for tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from huref_zk.srs import ceremonies, file, trust
from huref_zk.srs.file import Srs
from huref_zk.srs.layout import g2_points

FOLDER = Path(
    os.environ.get("HUREF_ZK_CEREMONY_FILES")
    or Path(__file__).parents[3] / "shared" / "facts" / "srs"
)
"""Where the real files lie, unless the environment variable says otherwise."""


def ceremony_file(name: str) -> Path:
    """The file ``name`` of a real ceremony; skips the test, saying which file it lacks."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"NOT TESTED: {path} is missing; HUREF_ZK_CEREMONY_FILES may name its folder")
    return path


def make_known(
    monkeypatch: pytest.MonkeyPatch, tau_g2: bytes, listed: dict[int, str] | None = None
) -> None:
    """Let the program know one more ceremony, "made up", by its tau G2 (128 raw bytes).

    listed: SHA-256 (hex) of its files, by k.
    """
    known = (*ceremonies.ceremonies(), ceremonies.Ceremony("made up", tau_g2, listed or {}))
    monkeypatch.setattr(ceremonies, "ceremonies", lambda: known)


def promote(monkeypatch: pytest.MonkeyPatch, srs: Srs) -> None:
    """Let the program take ``srs``, a test one, for the made-up ceremony's."""
    for module in (file, trust):
        monkeypatch.setattr(module, "insecure_sha256", lambda k: None)
    make_known(monkeypatch, g2_points(srs.path, srs.k)[1], {srs.k: srs.sha256})
