"""The report: one file, everything escaped, the comparison's own numbers in it."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from huref_zk.comparison.compare import Comparison, LayerIcs, Side, compare, open_side
from huref_zk.comparison.drawings import MAX_CELLS, colour, heat_map, null_plot, scale
from huref_zk.comparison.null import Null, judge, unrelated_table
from huref_zk.comparison.report import Shown, report, write_report
from huref_zk.comparison.words import VERDICTS, comparison_in_words, matched_words, p_words, quoted
from huref_zk.errors import InputError
from tests.support.saved_fingerprints import near, random_fingerprint

HOSTILE = "<script>alert(1)</script>\" onload='x' $title &amp; \x1b]0;\u202e"
NOTHING = Shown({}, None, "none was made")
VOID = {"meta", "img", "br"}


class Checked(HTMLParser):
    """Collects tags and attributes; fails where tags do not pair up."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def of_models() -> Comparison:
    return compare(open_side("demo-base"), open_side("demo-child"))


@pytest.fixture(scope="module")
def of_saved() -> Comparison:
    base = random_fingerprint("base")
    return compare(Side("base", None, base), Side("copy", None, near(base, "copy")))


def test_all_numbers_are_in_it(of_models):
    page = report(of_models, (NOTHING, NOTHING))
    text = Checked(page).text
    for name in of_models.variants:
        for row in of_models.variants[name]:
            assert all(f"{t:.4f}" in text for t in (*row.terms, row.mean))
        assert f"{of_models.overall(name):.4f}" in text
    assert all(f"{x:.4f}" in text for x in (*of_models.whole, sum(of_models.whole) / 3))
    assert f"{sum(of_models.whole) / 3:.4f}" in "\n".join(comparison_in_words(of_models))
    v, shuffled = of_models.verdict, of_models.shuffled
    wanted = [f"{of_models.score:.6f}", f"{of_models.pcs:.4f}", f"{v.threshold:.4f}"]
    wanted += [p_words(v.p_pairs), p_words(v.p_shuffled), "0-3→0-3", "4096, matched by their text"]
    wanted += [f"{shuffled.mean:.5f}", f"{shuffled.sd:.5f}", "1e-06"]
    wanted += [f"{x:.4f}" for pair in of_models.pairs for x in of_models.matrix[pair]]
    assert [w for w in wanted if w not in text] == []
    assert "Statistically consistent with common descent." in text
    # Another comparison's page has other numbers.
    other = replace(of_models, score=0.5)
    assert f"{of_models.score:.6f}" not in Checked(report(other, (NOTHING, NOTHING))).text
    assert report(of_models, (NOTHING, NOTHING)) == page


@pytest.mark.parametrize("word", VERDICTS)
def test_each_verdict_has_its_words(of_saved, word):
    changed = replace(of_saved, verdict=replace(of_saved.verdict, word=word))
    verdicts = re.findall(
        r'class="verdict"><strong>(.*?)</strong>', report(changed, 2 * (NOTHING,))
    )
    words = "cannot be told" if word == "cannot tell" else VERDICTS[word][1:]
    assert len(verdicts) == 1 and words in verdicts[0]
    assert comparison_in_words(changed)[0].endswith(VERDICTS[word])


def test_rearranged_parameters_are_said(of_saved):
    assert "rearranged: the invariants" not in report(of_saved, (NOTHING, NOTHING))
    flagged = replace(of_saved, rearranged=True)
    assert "rearranged: the invariants" in report(flagged, (NOTHING, NOTHING))
    assert any("somebody permuted" in line for line in comparison_in_words(flagged))


def test_nothing_hostile_gets_through(of_saved):
    facts = {HOSTILE: HOSTILE, "hidden_size": 8}
    sides = (Shown(facts, None, HOSTILE), Shown(facts, np.zeros((4, 4, 3), np.uint8)))
    page = report(replace(of_saved, a=HOSTILE, b=HOSTILE), sides)
    checked = Checked(page)
    assert "script" not in checked.tags
    assert not [name for name, _ in checked.attributes if name.startswith("on")]
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    # It is there all the same, as text.
    assert checked.text.count("<script>alert(1)</script>") >= 6
    assert "$title" in checked.text
    control = Checked(page.replace("<h2>Limits", "<script></script><h2>Limits"))
    assert "script" in control.tags


def test_it_needs_nothing_from_elsewhere(of_models):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    page = report(of_models, (Shown({"a": 1}, picture), Shown({}, picture)))
    checked = Checked(page)
    assert checked.tags.isdisjoint({"script", "link", "iframe", "object", "form", "a"})
    sources = [value for name, value in checked.attributes if name in ("src", "href", "xlink:href")]
    assert len(sources) == 2 and all(s.startswith("data:image/png;base64,") for s in sources)
    assert "url(" not in page and "@import" not in page and "http://" not in page
    png = base64.b64decode(sources[0].split(",", 1)[1])
    assert np.array_equal(np.asarray(Image.open(BytesIO(png))), picture)
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in (
        checked.attributes
    )


def test_limits_and_missing_parts_are_said(of_saved):
    text = Checked(report(of_saved, (NOTHING, NOTHING))).text
    for words in (
        "Common descent is no theft",
        "distilled",
        "none: both sides are saved",
        "a saved fingerprint has no parameters",
        "No picture: none was made",
        "not a proof",
    ):
        assert words in text
    assert "among shuffled tokens" in text and "score among shuffled tokens" not in text


def test_it_is_written_whole_or_not_at_all(of_saved, tmp_path):
    write_report(tmp_path / "r.html", of_saved, (NOTHING, NOTHING))
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == report(of_saved, (NOTHING, NOTHING))
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write"):
        write_report(tmp_path / "file" / "r.html", of_saved, (NOTHING, NOTHING))


# --- drawings ------------------------------------------------------------------------------------


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # raises unless it is well-formed


def test_a_heat_map_has_a_cell_for_every_two_layers():
    values = np.array([[1.0, -0.25, 0.0], [0.5, 0.125, -1.0]])
    svg = drawn(heat_map(values, [(0, 0), (1, 2)], "a <b>", 300))
    rects = svg.findall("rect")
    cells = [r for r in rects if r.get("class") is None]
    assert [r.findtext("title") for r in cells] == [
        f"A {i}, B {j}: {values[i, j]:.3f}" for i in range(2) for j in range(3)
    ]
    assert [r.get("fill") for r in cells] == [colour(x) for x in values.ravel()]
    frames = [r for r in rects if r.get("class") == "frame"]
    assert [(f.get("x"), f.get("y")) for f in frames] == [
        (cells[k].get("x"), cells[k].get("y")) for k in (0, 5)
    ]
    assert "0.12" in [t.text for t in svg.findall("text")]
    assert svg.get("aria-label") == "a <b>"


def test_many_layers_share_cells():
    values = np.zeros((3, 2 * MAX_CELLS + 1))
    values[2, 5] = -0.75
    cells = drawn(heat_map(values, [(2, 5)], "many", 600)).findall("rect")
    titles = [c.findtext("title") for c in cells if c.get("class") is None]
    assert len(titles) == 1 * (2 * MAX_CELLS // 3 + 1)
    assert [t for t in titles if not t.endswith(": 0.000")] == ["A 0-2, B 3-5: -0.750"]


def test_colours_tell_signs_and_sizes_apart():
    assert colour(0) == "#ffffff"
    assert colour(1) == colour(7) == "#2166ac" and colour(-1) == "#b35806"
    ramp = [int(colour(x / 10)[1:3], 16) for x in range(11)]
    assert ramp == sorted(ramp, reverse=True) and len(set(ramp)) == 11
    drawn(scale())


@pytest.mark.parametrize("score", [-0.5, 0.01, 0.03, 1.0])
def test_a_null_is_drawn_with_score_and_threshold(score):
    null, measured = Null(0.02, 0.01, 30), [0.01, 0.02, 0.03]
    svg = drawn(null_plot(score, null, measured, 0.08, "n"))
    at = {}
    for line in svg.findall("line"):
        at.setdefault(line.get("class"), []).append(float(line.get("x1")))
    assert all(0 <= x <= 660 for xs in at.values() for x in xs)
    assert (at["score"][0] < at["threshold"][0]) == (score < 0.08)
    texts = [t.text for t in svg.findall("text")]
    assert f"score {score:.4f}" in texts and "related from 0.0800" in texts
    bare = drawn(null_plot(score, null, (), None, "n"))
    assert not [line for line in bare.findall("line") if line.get("class") == "threshold"]


def test_the_tables_pairs_are_all_drawn(of_saved):
    page = report(of_saved, (NOTHING, NOTHING))
    assert page.count('y2="163"/>') == len(unrelated_table())


# --- words ---------------------------------------------------------------------------------------


def test_matched_layers_in_short():
    assert matched_words([]) == "none"
    assert matched_words([(3, 5)]) == "3→5"
    pairs = [(i, i) for i in range(15)] + [(i, i + 2) for i in range(15, 30)] + [(33, 40)]
    assert matched_words(pairs) == "0-14→0-14, 15-29→17-31, 33→40"


def test_words_hold_every_figure(of_models, of_saved):
    text = "\n".join(comparison_in_words(of_models))
    for figure in (of_models.score, of_models.pcs, of_models.verdict.threshold):
        assert f"{figure:.4f}" in text
    assert p_words(of_models.verdict.p_pairs) in text
    assert "none by shuffled tokens" in "\n".join(comparison_in_words(of_saved))
    assert quoted("a\nb") == r"'a\nb'" and quoted("é") == "é"
    assert p_words(0.0) == "below 1e-300" and p_words(0.01234) == "0.012"


def test_nothing_matched_can_be_reported():
    c = Comparison(
        a="a",
        b="b",
        tokens=64,
        tokens_by="number",
        score=0.0,
        pairs=(),
        matrix=np.full((2, 3, 3), -0.1),
        variants={"matched": (), "canonical": (LayerIcs(0, 0, (0.0, 0.0, 0.0)),)},
        whole=None,
        pcs=None,
        rearranged=False,
        shuffled=None,
        verdict=judge(0.0, None),
    )
    text = Checked(report(c, (NOTHING, NOTHING))).text
    assert "by their number only" in text and "the parameters differ in shape" in text
