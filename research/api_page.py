"""Makes docs/api.md from the docstrings of the public face: ``python -m research.api_page``."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import huref_zk
from huref_zk.files.writing import write_atomically

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
VERBS = ("prepare", "fingerprint", "commit", "prove", "verify", "compare")
HEAD = """\
# The library

`from huref_zk import ...` gives these names and no others; each is loaded when it is first used, so
a verifier imports nothing that only owners need. Files and folders are `str` or `Path`, nothing is
printed, all errors are `HurefError`s. This page is made from the docstrings
(`python -m research.api_page`; `tests/test_api.py` holds that it is current and that the example
runs).

```python
{example}
```

What commands print with `--json` has a version (`format`) and a JSON Schema,
`huref_zk/data/output.schema.json`; the tests hold every object that they see to it.
"""
EXAMPLE = """\
from huref_zk import Setup, commit, prove, verify

commitment = commit("demo-base", "mine")
prove("mine", "fp.hzp", "fp.png", derive=True)
setup = Setup(allow_test=True)
report = verify("fp.hzp", commitment.root_hex, image="fp.png", setup=setup)
for step in report.steps:
    print(step.number, step.name, step.detail)"""


def page() -> str:
    """The whole page."""
    parts = [HEAD.format(example=EXAMPLE), "## Verbs\n"]
    parts += [_function(name) for name in VERBS]
    kinds = [getattr(huref_zk, name) for name in huref_zk.__all__ if name not in VERBS]
    parts.append("## What they take and give\n")
    parts += [_record(kind) for kind in kinds if not issubclass(kind, Exception)]
    parts.append("## Errors\n")
    parts += [_error(kind) for kind in kinds if issubclass(kind, Exception)]
    return "\n".join(parts)


def _function(name: str) -> str:
    function = getattr(huref_zk, name)
    signature = inspect.signature(function)
    lines = [f"    {parameter}," for parameter in _parameters(signature)]
    shown = "\n".join([f"{name}(", *lines, f") -> {_plain(signature.return_annotation)}"])
    return f"### {name}\n\n```python\n{shown}\n```\n\n{_told(function)}\n"


def _parameters(signature: inspect.Signature) -> list[str]:
    """As they are written, with the star before those that need their names."""
    out, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            out.append("*")
            starred = True
        out.append(_plain(str(parameter)))
    return out


def _record(kind: type) -> str:
    lines = [f"### {kind.__name__}\n", f"{_told(kind)}\n"]
    if dataclasses.is_dataclass(kind):
        fields = [f"{f.name}: {_plain(f.type)}" for f in dataclasses.fields(kind)]
        lines.append("\n".join(["```python", *fields, "```\n"]))
    methods = [
        (name, member)
        for name, member in vars(kind).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    ]
    for name, member in methods:
        lines.append(f"- `{name}`: {_told(member)}")
    return "\n".join(lines) + ("\n" if methods else "")


def _error(kind: type) -> str:
    return f"- **{kind.__name__}**: {_told(kind)}"


def _told(thing: object) -> str:
    text = inspect.getdoc(thing) or ""
    return re.sub(r"``([^`]*)``", r"`\1`", text)


def _plain(text: object) -> str:
    return re.sub(r"'([^']*)'", r"\1", str(text)) if "'" in str(text) else str(text)


if __name__ == "__main__":
    write_atomically(PAGE, page().encode())
