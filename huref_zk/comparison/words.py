"""A comparison in words: what `compare` and `registry` print and the report says."""

from __future__ import annotations

from collections.abc import Sequence

from huref_zk.comparison.comparison import Comparison

VERDICTS = {
    "related": "statistically consistent with common descent",
    "unrelated": "statistically consistent with independent training",
    "cannot tell": "cannot tell",
}
VARIANT_WORDS = {
    "canonical": "canonical form, all tokens",
    "official": "the authors' terms, all tokens",
    "matched": "sketch that layers are matched by",
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
        f"score {c.score:.4f}; called related from {v.threshold:.4f} on, where the rate of false "
        f"positives is {v.rate:.0e} by the fitted null",
        f"p-values: {p_words(v.p_pairs)} among unrelated pairs, "
        + (
            "none by shuffled tokens (that takes a model)"
            if v.p_shuffled is None
            else f"{p_words(v.p_shuffled)} among shuffled tokens"
        ),
        f"tokens: {c.tokens} in common, matched by {c.tokens_by}",
        f"matched layers: {matched_words(c.pairs)} (of {c.matrix.shape[0]} and "
        f"{c.matrix.shape[1]})",
    ]
    for name, rows in c.variants.items():
        overall = c.overall(name)
        lines.append(
            f"ICS, {VARIANT_WORDS.get(name, name)}: "
            + ("none" if overall is None else f"{overall:.4f}")
        )
        for row in rows:
            qk, vo, ffn = row.terms
            lines.append(f"  layers {row.a}→{row.b}: QK {qk:.4f}, VO {vo:.4f}, FFN {ffn:.4f}")
    if c.whole is not None:
        qk, vo, ffn = c.whole
        lines.append(
            f"ICS of the whole models, all layers in one: {sum(c.whole) / 3:.4f} "
            f"(QK {qk:.4f}, VO {vo:.4f}, FFN {ffn:.4f})"
        )
    lines.append(f"PCS of the raw parameters: {pcs_words(c)}")
    if c.rearranged:
        lines.append(REARRANGED_NOTE)
    return lines


def pcs_words(c: Comparison) -> str:
    """The PCS, or why there is none."""
    if c.pcs is not None:
        return f"{c.pcs:.4f}"
    if "canonical" not in c.variants:
        return "none (a saved fingerprint has no parameters)"
    return "none (the parameters differ in shape)"


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
