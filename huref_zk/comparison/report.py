"""A comparison as one HTML file: no scripts, nothing from elsewhere, everything escaped."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from huref_zk import __version__
from huref_zk.comparison.comparison import TERM_NAMES, Comparison
from huref_zk.comparison.drawings import data_uri, heat_map, null_plot, parts_map, scale
from huref_zk.comparison.null import unrelated_pairs, unrelated_table
from huref_zk.comparison.parts.partners import Parts
from huref_zk.comparison.verdict import Judged
from huref_zk.comparison.views import NO_TOKENS
from huref_zk.comparison.words import (
    REARRANGED_NOTE,
    VERDICTS,
    VIEW_WORDS,
    matched_words,
    p_words,
    pcs_words,
    quoted,
)
from huref_zk.files.writing import write_atomically
from huref_zk.paths import DATA

LIMITS = (
    "“Statistically consistent with” is all it says. Common descent is no theft: licences, "
    "permission and who came first are not in the weights.",
    "The rates of false positives are those of distributions fitted to a table of pairs of models "
    "that were trained independently, most of them small. They extrapolate far beyond the pairs "
    "measured.",
    "“Independent training” means that nothing was found. A model distilled from another has "
    "weights of its own and is not recognised.",
    "The sketches' seed is public, so weights can be tuned until they look otherwise in it.",
    "What a saved fingerprint says was believed. Nothing ties it, or a name in this report, to a "
    "model; a commitment with a proof does.",
    "Of saved fingerprints there are no parts, and nothing is said of what happened.",
    "Pictures look alike by the eye of whoever looks; the figures count.",
)


@dataclass(frozen=True)
class Shown:
    """What the report shows of one side: its facts, its picture, uint8 (H, W, 3), or else why there
    is none, and the SHA-256 of its tensors, or of the saved fingerprint."""

    facts: Mapping[str, int | str]
    picture: np.ndarray | None
    why: str = ""
    digest: str = ""


def write_report(path: Path, c: Comparison, sides: tuple[Shown, Shown]) -> None:
    """Write the report, whole or not at all. Raises InputError where it cannot be written."""
    now = datetime.datetime.now(datetime.timezone.utc)
    write_atomically(path, report(c, sides, now).encode())


def report(c: Comparison, sides: tuple[Shown, Shown], when: datetime.datetime) -> str:
    """The report's HTML; the same input gives the same text. sides: what to show of A and of B."""
    sections = [
        _about(c, sides, when),
        "<h2>What happened</h2>" + _story(c),
        "<h2>Views</h2>" + _views(c),
        "<h2>Layer with layer</h2>" + _layers(c),
        "<h2>How surprising the scores are</h2>" + _nulls(c),
        "<h2>Pictures</h2>" + _pictures(c, sides),
        "<h2>Limits</h2>" + _list(LIMITS),
    ]
    page = Template((DATA / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=_safe(f"{c.a} and {c.b}"),
        verdict=_verdict(c),
        body="\n".join(sections),
        version=_safe(__version__),
    )


def _verdict(c: Comparison) -> str:
    v = c.verdict
    words = VERDICTS[v.word]
    if v.word == "cannot tell":
        words = "it cannot be told whether they have common descent"
    note = f"<br>{_safe(REARRANGED_NOTE)}." if c.rearranged else ""
    return (
        f"<strong>{_safe(words[0].upper() + words[1:])}.</strong> Score {c.score:.4f}, p-value "
        f"{p_words(v.p)} after correction for {len(c.views)} views; pairs are called related at "
        f"{v.rate:.0e}.{note}"
    )


def _about(c: Comparison, sides: tuple[Shown, Shown], when: datetime.datetime) -> str:
    by = {"text": "by their text", "number": "by their number only"}
    rows = [("date", when.strftime("%Y-%m-%d %H:%M UTC"))]
    for letter, name, side in zip("AB", (c.a, c.b), sides, strict=True):
        rows.append((letter, name))
        rows.append((f"SHA-256 of {letter}", side.digest or "none"))
    rows += [
        ("score (1 for a copy, about 0 for strangers)", f"{c.score:.6f}"),
        ("seen", VIEW_WORDS[c.verdict.view]),
        ("tokens in common", f"{c.tokens}, matched {by[c.tokens_by]}"),
        ("matched layers, A→B", matched_words(c.layers.pairs)),
        ("PCS of the raw parameters", pcs_words(c)),
        ("rearranged parameters", "yes" if c.rearranged else "no sign of it"),
        *(("note", note) for note in c.notes),
    ]
    return _table(("", ""), [[_safe(cell) for cell in row] for row in rows])


def _story(c: Comparison) -> str:
    if c.parts is None:
        return "<p>Nothing can be said without the weights of both models.</p>"
    rows = [[_safe(f.name), _safe(f.words), f"{f.confidence:.2f}"] for f in c.findings]
    return _table(("finding", "in words", "confidence"), rows) + _map(c.parts)


def _map(parts: Parts) -> str:
    figures = []
    for name, matches in (("neurons", parts.neurons), ("heads", parts.heads)):
        drawn = parts_map(matches.share_b, f"where B's {name} come from", 640)
        words = (
            f"Of every layer of B, the share of its {name} whose partner is in each layer of A; "
            f"{matches.b.count()} of {matches.b.living()} are found."
        )
        figures.append(f"<figure>{drawn}<figcaption>{words}</figcaption></figure>")
    return "".join(figures)


def _views(c: Comparison) -> str:
    rows = []
    for j in c.views:
        view = j.view
        best = max(view.frames, key=view.frames.__getitem__) if view.frames else ""
        p = [p_words(x) if x is not None else "none" for x in (j.p_pairs, j.p_shuffled, j.p)]
        word = "related" if j.related else ""
        rows.append([_safe(VIEW_WORDS[view.name]), f"{view.score:.4f}", _safe(best), *p, word])
    head = ("view", "score", "best in", "p among unrelated", "p among shuffled", "p", "alone")
    names = dict.fromkeys(name for j in c.views for name in j.view.frames)
    seen = [j for j in c.views if j.view.frames]
    frames = [[_safe(n), *(f"{j.view.frames[n]:.4f}" for j in seen)] for n in names]
    by_frame = _table(("tokens", *(VIEW_WORDS[j.view.name] for j in seen)), frames)
    return _table(head, rows) + f"<p>By groups of tokens:</p>{by_frame}"


def _layers(c: Comparison) -> str:
    matrix, pairs = c.layers.matrix, c.layers.pairs
    mean = matrix.mean(axis=2)
    terms = "".join(
        f"<figure>{heat_map(matrix[..., t], pairs, f'ICS of {name.upper()}', 280)}"
        f"<figcaption>{name.upper()}</figcaption></figure>"
        for t, name in enumerate(TERM_NAMES)
    )
    rows = [
        [f"{i}→{j}", *(f"{value:.4f}" for value in (*matrix[i, j], mean[i, j]))] for i, j in pairs
    ]
    numbers = _table(("layers A→B", "QK", "VO", "FFN", "mean"), rows)
    return (
        f"<figure>{heat_map(mean, pairs, 'mean ICS', 640)}<figcaption>Mean of the three terms; "
        "matched layers are framed. Where layers are many, a cell stands for several and shows the "
        f"value furthest from 0.</figcaption></figure>{scale()}"
        f'<div class="row">{terms}</div><details><summary>Matched layers in numbers</summary>'
        f"{numbers}</details>"
    )


def _nulls(c: Comparison) -> str:
    return "".join(_null(j) for j in c.views)


def _null(j: Judged) -> str:
    name, table = j.view.name, unrelated_pairs(j.view.name)
    rows, figures = [], []
    if table is not None:
        measured = [p["statistics"][name] for p in unrelated_table() if name in p["statistics"]]
        rows.append(_null_row("unrelated pairs", table, j.p_pairs))
        plot = null_plot(j.view.statistic, table, measured, j.threshold, f"{name}: unrelated pairs")
        figures.append(
            f"<figure>{plot}<figcaption>{_safe(VIEW_WORDS[name].capitalize())}: {table.count} "
            "pairs of models trained independently (ticks) and the law fitted to them."
            "</figcaption></figure>"
        )
    if j.shuffled is not None:
        kind = "random signs of cores" if name == NO_TOKENS else "shuffled tokens"
        rows.append(_null_row(kind, j.shuffled, j.p_shuffled))
    return "".join(figures) + _table(("null", "mean", "sd", "measured", "p-value"), rows)


def _null_row(name: str, null, p: float | None) -> list[str]:
    words = "none" if p is None else p_words(p)
    return [name, f"{null.mean:.5f}", f"{null.sd:.5f}", str(null.count), words]


def _pictures(c: Comparison, sides: tuple[Shown, Shown]) -> str:
    figures = []
    for letter, name, side in zip("AB", (c.a, c.b), sides, strict=True):
        caption = f"<figcaption>{letter}: {_safe(name)}</figcaption>"
        if side.picture is None:
            picture = f"<p>No picture: {_safe(side.why)}</p>"
        else:
            picture = f'<img alt="fingerprint of {letter}" src="{data_uri(side.picture)}">'
        rows = [[_safe(key), _safe(value)] for key, value in sorted(side.facts.items())]
        figures.append(f"<figure>{picture}{caption}{_table(('fact', 'value'), rows)}</figure>")
    return f'<div class="row">{"".join(figures)}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already, the head's words are not."""
    titles = "".join(f"<th>{_safe(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{titles}</tr>{body}</table></div>'


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_safe(item)}</li>' for item in items)}</ul>"


def _safe(value: object) -> str:
    """Text for HTML: escaped, and nothing in it that is not printable."""
    return escape(quoted(value))
