"""A comparison in words: what `compare` and `registry` print and the report says."""

from __future__ import annotations

from collections.abc import Sequence

from huref_zk.comparison.comparison import Comparison
from huref_zk.comparison.verdict import Judged
from huref_zk.comparison.views import LAYERS, NO_TOKENS, PARTS, WHOLE

VERDICTS = {
    "related": "statistically consistent with common descent",
    "unrelated": "statistically consistent with independent training",
    "cannot tell": "cannot tell",
}
VIEW_WORDS = {
    WHOLE: "whole models, all layers in one",
    LAYERS: "layer by layer",
    NO_TOKENS: "without embeddings",
    PARTS: "neuron by neuron",
}
REARRANGED_NOTE = (
    "rearranged: the invariants agree better than the raw parameters do, which training does not "
    "bring about; somebody permuted, rotated or rescaled parameters"
)


def comparison_in_words(c: Comparison) -> list[str]:
    """One line a topic, the verdict first."""
    v = c.verdict
    lines = [
        f"{quoted(c.a)} and {quoted(c.b)}: {VERDICTS[v.word]}",
        f"score {c.score:.4f} ({VIEW_WORDS[v.view]}; 1 for a copy, about 0 for strangers)",
        f"p-value {p_words(v.p)}, the best of {len(c.views)} views, corrected for their number; "
        f"called related from {v.rate:.0e} on",
        *(f"  {view_in_words(judged)}" for judged in c.views),
        f"tokens: {c.tokens} in common, matched by {c.tokens_by}",
        f"matched layers: {matched_words(c.layers.pairs)} (of {c.layers.matrix.shape[0]} and "
        f"{c.layers.matrix.shape[1]})",
        *(f"{finding.words} (confidence {finding.confidence:.2f})" for finding in c.findings),
        f"PCS of the raw parameters: {pcs_words(c)}",
    ]
    if c.rearranged:
        lines.append(REARRANGED_NOTE)
    return [*lines, *(f"NOTE: {quoted(note)}" for note in c.notes)]


def view_in_words(judged: Judged) -> str:
    """A view's score and p-values, and in which frame it was seen best."""
    view = judged.view
    best = max(view.frames, key=view.frames.__getitem__) if view.frames else ""
    where = f", best in {best}" if best else ""
    nulls = [
        (judged.p_pairs, "among unrelated pairs"),
        (judged.p_shuffled, "among shuffled tokens" if view.name != NO_TOKENS else "by chance"),
    ]
    told = ", ".join(f"{p_words(p)} {what}" for p, what in nulls if p is not None)
    return f"{VIEW_WORDS[view.name]}: {view.score:.4f}{where}; p {told}"


def pcs_words(c: Comparison) -> str:
    """The PCS, or why there is none."""
    if c.pcs is not None:
        return f"{c.pcs:.4f}"
    return "none (the parameters differ in shape, or no layers match)"


def p_words(p: float) -> str:
    """A p-value with two digits; one too small for a float as a bound."""
    return f"{p:.2g}" if p > 0 else "below 1e-300"


def matched_words(pairs: Sequence[tuple[int, int]]) -> str:
    """Matched layers with runs put together: 0-14→0-14, 15-29→17-31; "none" without any."""
    runs: list[list[tuple[int, int]]] = []
    for i, j in pairs:
        if runs and runs[-1][-1] == (i - 1, j - 1):
            runs[-1].append((i, j))
        else:
            runs.append([(i, j)])
    words = [f"{_span(run[0][0], run[-1][0])}→{_span(run[0][1], run[-1][1])}" for run in runs]
    return ", ".join(words) or "none"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def quoted(text: object) -> str:
    """A text from a file, escaped if it could act on a terminal or pass for several lines."""
    value = str(text)
    return value if value.isprintable() else ascii(value)
