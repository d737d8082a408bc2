"""What the documentation points to exists: files, tests, headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACE = re.compile(r"`((?:tests|soundness|huref_zk|research|circuits|keys/verifying)/[\w./*-]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be reached by."""
    found = set()
    for title in HEADING.findall(page.read_text("utf-8")):
        plain = re.sub(r"[`*()]", "", title).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text("utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, fragment = target.partition("#")
        other = page if not path else (page.parent / path).resolve()
        assert other.exists(), f"{page.name} links to {target}"
        if fragment:
            assert fragment in anchors(other), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    """A claim that names its test names one that is there."""
    for place in PLACE.findall(page.read_text("utf-8")):
        where = place.split("::")[0].rstrip("/.").replace("NAME", "*")
        assert list(ROOT.glob(where)), f"{page.name} names {place}"


def test_the_control():
    assert len(PAGES) > 15
    assert "the-product-argument" in anchors(ROOT / "docs" / "protocol.md")
    assert not list(ROOT.glob("tests/no_such_test.py"))
