"""The report: one file, everything escaped, the comparison's own numbers in it."""

from __future__ import annotations

import base64
import datetime
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from huref_zk.comparison.compare import Side, compare, open_side
from huref_zk.comparison.comparison import Comparison
from huref_zk.comparison.drawings import MAX_CELLS, colour, heat_map, null_plot, scale
from huref_zk.comparison.null import Null, unrelated_table
from huref_zk.comparison.report import Shown, report, write_report
from huref_zk.comparison.views import LayerMap
from huref_zk.comparison.words import VERDICTS, comparison_in_words, matched_words, p_words, quoted
from huref_zk.errors import InputError
from tests.support.saved_fingerprints import near, random_fingerprint

HOSTILE = "<script>alert(1)</script>\" onload='x' $title &amp; \x1b]0;\u202e"
NOTHING = Shown({}, None, "none was made", "ab" * 32)
WHEN = datetime.datetime(2031, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
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


def told(c: Comparison, *sides: Shown) -> str:
    return report(c, sides or (NOTHING, NOTHING), WHEN)


@pytest.fixture(scope="module")
def of_models() -> Comparison:
    return compare(open_side("demo-base"), open_side("demo-child"))


@pytest.fixture(scope="module")
def of_saved() -> Comparison:
    base = random_fingerprint("base")
    return compare(Side("base", None, base), Side("copy", None, near(base, "copy")))


def test_all_numbers_are_in_it(of_models):
    page = told(of_models)
    text = Checked(page).text
    wanted = [f"{of_models.score:.6f}", f"{of_models.pcs:.4f}", p_words(of_models.verdict.p)]
    for j in of_models.views:
        wanted += [f"{j.view.score:.4f}", p_words(j.p), p_words(j.p_pairs), p_words(j.p_shuffled)]
        wanted += [f"{j.shuffled.mean:.5f}", f"{j.shuffled.sd:.5f}"]
        wanted += [x for n, s in j.view.frames.items() for x in (n, f"{s:.4f}")]
    wanted += [x for f in of_models.findings for x in (f.name, f.words, f"{f.confidence:.2f}")]
    layers = of_models.layers
    wanted += [f"{x:.4f}" for pair in layers.pairs for x in layers.matrix[pair]]
    wanted += ["0-3→0-3", "matched by their text", "1e-06", "2031-02-03 04:05 UTC", "ab" * 32]
    assert [w for w in wanted if w not in text] == []
    assert "Statistically consistent with common descent." in text
    # Another comparison's page has other numbers.
    other = replace(of_models, verdict=replace(of_models.verdict, score=0.5))
    assert f"{of_models.score:.6f}" not in Checked(told(other)).text
    assert told(of_models) == page


def test_it_can_be_read_on_a_telephone(of_models):
    """Nothing but drawings that shrink and tables that scroll by themselves is wider."""
    page = told(of_models)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert page.count("<table>") == page.count('<div class="wide"><table>') > 5
    assert "svg { max-width: 100%; height: auto }" in page and ".wide { overflow-x: auto }" in page


@pytest.mark.parametrize("word", VERDICTS)
def test_each_verdict_has_its_words(of_saved, word):
    changed = replace(of_saved, verdict=replace(of_saved.verdict, word=word))
    verdicts = re.findall(r'class="verdict"><strong>(.*?)</strong>', told(changed))
    words = "cannot be told" if word == "cannot tell" else VERDICTS[word][1:]
    assert len(verdicts) == 1 and words in verdicts[0]
    assert comparison_in_words(changed)[0].endswith(VERDICTS[word])


def test_rearranged_parameters_are_said(of_saved):
    assert "rearranged: the invariants" not in told(of_saved)
    flagged = replace(of_saved, rearranged=True)
    assert "rearranged: the invariants" in told(flagged)
    assert any("somebody permuted" in line for line in comparison_in_words(flagged))


def test_nothing_hostile_gets_through(of_saved):
    facts = {HOSTILE: HOSTILE, "hidden_size": 8}
    sides = (Shown(facts, None, HOSTILE), Shown(facts, np.zeros((4, 4, 3), np.uint8)))
    page = told(replace(of_saved, a=HOSTILE, b=HOSTILE), *sides)
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
    page = told(of_models, Shown({"a": 1}, picture), Shown({}, picture))
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
    text = Checked(told(of_saved)).text
    for words in (
        "Common descent is no theft",
        "distilled",
        "Nothing can be said without the weights of both models",
        "No picture: none was made",
        "not a proof",
    ):
        assert words in text


def test_it_is_written_whole_or_not_at_all(of_saved, tmp_path):
    write_report(tmp_path / "r.html", of_saved, (NOTHING, NOTHING))
    written = (tmp_path / "r.html").read_text(encoding="utf-8")
    date = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", written)[0]
    assert written.replace(date, "2031-02-03 04:05 UTC") == told(of_saved)
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
    assert f"here {score:.3g}" in texts and "related from 0.08" in texts
    bare = drawn(null_plot(score, null, (), None, "n"))
    assert not [line for line in bare.findall("line") if line.get("class") == "threshold"]


def test_the_tables_pairs_are_all_drawn(of_saved):
    wanted = sum(j.view.name in p["statistics"] for p in unrelated_table() for j in of_saved.views)
    assert told(of_saved).count('y2="163"/>') == wanted > 0


# --- words ---------------------------------------------------------------------------------------


def test_matched_layers_in_short():
    assert matched_words([]) == "none"
    assert matched_words([(3, 5)]) == "3→5"
    pairs = [(i, i) for i in range(15)] + [(i, i + 2) for i in range(15, 30)] + [(33, 40)]
    assert matched_words(pairs) == "0-14→0-14, 15-29→17-31, 33→40"


def test_words_hold_every_figure(of_models, of_saved):
    text = "\n".join(comparison_in_words(of_models))
    figures = [of_models.score, of_models.pcs, *(j.view.score for j in of_models.views)]
    assert all(f"{figure:.4f}" in text for figure in figures)
    for j in of_models.views:
        assert p_words(j.p_pairs) in text and p_words(j.p_shuffled) in text
    assert p_words(of_models.verdict.p) in text
    assert all(f.words in text for f in of_models.findings) and of_models.findings
    assert quoted("a\nb") == r"'a\nb'" and quoted("é") == "é"
    assert p_words(0.0) == "below 1e-300" and p_words(0.01234) == "0.012"
    noted = replace(of_saved, notes=("two\nlines",))
    assert comparison_in_words(noted)[-1] == r"NOTE: 'two\nlines'"


def test_nothing_matched_can_be_reported(of_saved):
    layers = LayerMap(np.full((2, 3, 3), -0.1), ())
    c = replace(of_saved, layers=layers, pcs=None, tokens_by="number")
    text = Checked(told(c)).text
    assert "by their number only" in text and "the parameters differ in shape" in text
