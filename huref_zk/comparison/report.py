"""A comparison as one HTML file: no scripts, nothing from elsewhere, everything escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from huref_zk import __version__
from huref_zk.comparison.comparison import TERM_NAMES, Comparison
from huref_zk.comparison.drawings import data_uri, heat_map, null_plot, scale
from huref_zk.comparison.null import unrelated_pairs, unrelated_table
from huref_zk.comparison.words import (
    REARRANGED_NOTE,
    VARIANT_WORDS,
    VERDICTS,
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
    "The rate of false positives is that of a distribution fitted to a table of small models that "
    "were trained independently. It extrapolates far beyond the pairs measured. Large unrelated "
    "models may be more alike than those, or less.",
    "“Independent training” means that nothing was found. A model distilled from another has "
    "weights of its own and is not recognised.",
    "The sketch's seed is public, so a model's weights can be tuned until its sketch changes. The "
    "exact figures and a fresh seed are not fooled by that.",
    "What a saved fingerprint says was believed. Nothing ties it, or a name in this report, to a "
    "model; a commitment with a proof does.",
    "Of saved fingerprints there are no exact figures, no parameters and, if both are saved, no "
    "shuffled tokens; such a verdict rests on the table of unrelated pairs alone.",
    "Pictures show the last two layers only, and look alike by the eye of whoever looks; the "
    "figures count.",
)


@dataclass(frozen=True)
class Shown:
    """What the report shows of one side: its facts, and its picture, uint8 (H, W, 3), or else why
    there is none."""

    facts: Mapping[str, int | str]
    picture: np.ndarray | None
    why: str = ""


def write_report(path: Path, c: Comparison, sides: tuple[Shown, Shown]) -> None:
    """Write the report, whole or not at all. Raises InputError where it cannot be written."""
    write_atomically(path, report(c, sides).encode())


def report(c: Comparison, sides: tuple[Shown, Shown]) -> str:
    """The report's HTML; the same input gives the same text. sides: what to show of A and of B."""
    sections = [
        _pictures(c, sides),
        "<h2>Figures</h2>" + _figures(c),
        "<h2>ICS of the last matched layers</h2>" + _ics(c),
        "<h2>ICS of every two layers</h2>" + _layers(c),
        "<h2>How surprising the score is</h2>" + _nulls(c),
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
        f"<strong>{_safe(words[0].upper() + words[1:])}.</strong> Score {c.score:.4f}; pairs are "
        f"called related from {v.threshold:.4f} on, at a rate of false positives of {v.rate:.0e} "
        f"by the fitted null.{note}"
    )


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


def _figures(c: Comparison) -> str:
    v = c.verdict
    by = {"text": "by their text", "number": "by their number only, as no tokenizer was known"}
    shuffled = "none: both sides are saved" if v.p_shuffled is None else p_words(v.p_shuffled)
    rows = [
        ("score (1 for a copy, about 0 for strangers)", f"{c.score:.6f}"),
        ("p-value among unrelated pairs", p_words(v.p_pairs)),
        ("p-value among shuffled tokens", shuffled),
        ("PCS of the raw parameters", pcs_words(c)),
        ("rearranged parameters", "yes" if c.rearranged else "no sign of it"),
        ("tokens in common", f"{c.tokens}, matched {by[c.tokens_by]}"),
        ("layers of A, of B", f"{c.matrix.shape[0]}, {c.matrix.shape[1]}"),
        ("matched layers, A→B", matched_words(c.pairs)),
    ]
    return _table(("figure", "value"), [[_safe(cell) for cell in row] for row in rows])


def _ics(c: Comparison) -> str:
    rows = []
    for name, layers in c.variants.items():
        for row in layers:
            cells = [f"{row.a}→{row.b}", *(f"{t:.4f}" for t in row.terms), f"{row.mean:.4f}"]
            rows.append([_safe(VARIANT_WORDS.get(name, name)), *cells])
        overall = c.overall(name)
        mean = "none" if overall is None else f"<strong>{overall:.4f}</strong>"
        rows.append([_safe(VARIANT_WORDS.get(name, name)), "overall", "", "", "", mean])
    if c.whole is not None:
        cells = [*(f"{t:.4f}" for t in c.whole), f"<strong>{sum(c.whole) / 3:.4f}</strong>"]
        rows.append(["whole models, as their pictures show them", "all in one", *cells])
    return _table(("variant", "layers A→B", "QK", "VO", "FFN", "mean"), rows)


def _layers(c: Comparison) -> str:
    mean = c.matrix.mean(axis=2)
    terms = "".join(
        f"<figure>{heat_map(c.matrix[..., t], c.pairs, f'ICS of {name.upper()}', 280)}"
        f"<figcaption>{name.upper()}</figcaption></figure>"
        for t, name in enumerate(TERM_NAMES)
    )
    rows = [
        [f"{i}→{j}", *(f"{value:.4f}" for value in (*c.matrix[i, j], mean[i, j]))]
        for i, j in c.pairs
    ]
    numbers = _table(("layers A→B", "QK", "VO", "FFN", "mean"), rows)
    return (
        f"<figure>{heat_map(mean, c.pairs, 'mean ICS', 640)}<figcaption>Mean of the three terms, "
        "sketched; matched layers are framed. Where layers are many, a cell stands for several and "
        f"shows the value furthest from 0.</figcaption></figure>{scale()}"
        f'<div class="row">{terms}</div><p>Matched layers in numbers:</p>{numbers}'
    )


def _nulls(c: Comparison) -> str:
    table, v = unrelated_pairs(), c.verdict
    scores = [pair["score"] for pair in unrelated_table()]
    rows = [_null_row("unrelated pairs", table, v.p_pairs)]
    plot = null_plot(c.score, table, scores, v.threshold, "score among unrelated pairs")
    figures = [
        f"<figure>{plot}<figcaption>Unrelated pairs: scores of {table.count} pairs of models "
        "trained independently (ticks) and the distribution fitted to them.</figcaption></figure>"
    ]
    if c.shuffled is not None and v.p_shuffled is not None:
        rows.append(_null_row("shuffled tokens", c.shuffled, v.p_shuffled))
        plot = null_plot(c.score, c.shuffled, (), None, "score among shuffled tokens")
        figures.append(
            f"<figure>{plot}<figcaption>Shuffled tokens: the distribution fitted to the scores of "
            f"these very models in {c.shuffled.count} random orders of one's tokens."
            "</figcaption></figure>"
        )
    return "".join(figures) + _table(("null", "mean", "sd", "measured", "p-value"), rows)


def _null_row(name: str, null, p: float) -> list[str]:
    return [name, f"{null.mean:.5f}", f"{null.sd:.5f}", str(null.count), p_words(p)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already, the head's words are not."""
    titles = "".join(f"<th>{_safe(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_safe(item)}</li>' for item in items)}</ul>"


def _safe(value: object) -> str:
    """Text for HTML: escaped, and nothing in it that is not printable."""
    return escape(quoted(value))
