"""What is known, in words: for `huref-zk models` and the table of docs/families.md.

    python -m huref_zk.models.families.listing docs/families.md

writes the table anew, between its two marks.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from huref_zk.models.families.family import Family
from huref_zk.models.families.refusals import REFUSALS
from huref_zk.models.families.table import FAMILIES

REMOTE = ("baichuan", "chatglm", "internlm", "internlm2", "kimi_k2", "qwen")
"""Types whose code is not transformers' own: a model that it knows is brought into their layout."""
MARKS = ("<!-- the table: made by huref_zk.models.families.listing -->", "<!-- its end -->")


@dataclass(frozen=True)
class Known:
    """One family of the table: what it is made of, in words, and how it is tested."""

    name: str
    model_types: tuple[str, ...]
    attention: str
    feed_forward: str
    norms: str
    tested: str


def known() -> list[Known]:
    """The families, entries of one name together, in the order of the table."""
    groups: dict[str, list[Family]] = {}
    for family in FAMILIES:
        if family.refused is None:
            groups.setdefault(family.name, []).append(family)
    return [
        Known(
            name,
            tuple(dict.fromkeys(t for f in entries for t in f.model_types)),
            _together(_attention, entries),
            _together(_feed_forward, entries),
            _together(_norms, entries),
            _tested(entries),
        )
        for name, entries in groups.items()
    ]


def refused() -> dict[str, str]:
    """Types, and variants of types that are known, with the reason why they are not read."""
    variants = {
        f"{f.name} with {', '.join(f'{k} = {v}' for k, v in f.when.items())}": f.refused
        for f in FAMILIES
        if f.refused is not None
    }
    return {**REFUSALS, **variants}


def _together(words, entries: list[Family]) -> str:
    return "; or ".join(dict.fromkeys(words(f) for f in entries))


def _attention(f: Family) -> str:
    if f.kv_b is not None:
        said = "by latents"
    elif f.qkv is not None:
        said = f"fused, {f.qkv_layout.replace('_', ' ')}"
    else:
        said = "q, k, v apart"
    said += ", one key and value head" if f.multi_query else ""
    said += ", gated" if f.attention_gate or f.gated_q else ""
    said += ", of sizes that vary" if f.sizes_vary else ""
    return said + (", in some layers" if f.partial else "")


def _feed_forward(f: Family) -> str:
    experts = f.expert_up or f.experts_up or f.experts_gate_up
    gated = f.gate or f.gate_up or f.expert_gate or f.experts_gate_up
    said = ("experts" if experts else "") + (" and a shared one" if f.shared_down else "")
    if experts and f.down:
        said += ", or dense"
    said = (said + ": " if said else "") + ("gated" if gated else "plain")
    return said + (", normalised inside" if f.ffn_sub_norm else "")


def _norms(f: Family) -> str:
    said = "LayerNorm" if f.layer_norm else "RMS"
    if f.bare_norms or (f.layer_norm and not f.attention_norm):
        said += " without weights"
    elif f.attention_norm is None:
        said += " after each block"
    said += f", {f.norm_offset:g} + weight" if f.norm_offset else ""
    if f.attention_norm is not None:
        said += ", one for both blocks" if f.attention_norm == f.ffn_norm else ""
        said += ", also after each block" if f.attention_post_norm else ""
    if f.qk_norm is not None:
        said += "; queries and keys " + ("by head" if f.qk_norm == "head" else "over their width")
    return said + ("; values too" if f.value_norm else "")


def _tested(entries: list[Family]) -> str:
    types = {t for f in entries for t in f.model_types}
    if types <= {*REMOTE, "RefinedWeb", "RefinedWebModel"}:
        return "a twin in transformers"
    return "transformers' own class"


def table() -> str:
    """The families as a table in Markdown."""
    lines = [
        "| family | `model_type` | attention | feed-forward | norms |",
        "|---|---|---|---|---|",
    ]
    for k in known():
        types = ", ".join(f"{t} (remote code)" if t in REMOTE else t for t in k.model_types)
        lines.append(f"| {k.name} | {types} | {k.attention} | {k.feed_forward} | {k.norms} |")
    lines += ["", "| not read | why |", "|---|---|"]
    reasons: dict[str, list[str]] = {}
    for name, reason in refused().items():
        reasons.setdefault(reason, []).append(name)
    lines += [f"| {', '.join(names)} | {reason} |" for reason, names in reasons.items()]
    return "\n".join(lines)


def page(text: str) -> str:
    """A page with the table between its marks made anew."""
    start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    return f"{text[:start]}\n{table()}\n{text[end:]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page(path.read_text("utf-8")), "utf-8")
