"""`.hzf` files: what is written is read back, and nothing malformed is."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from huref_zk.comparison.saved import (
    _BOUNDS,
    _FIELDS,
    Saved,
    make_fingerprint,
    parse_fingerprint,
    read_fingerprint,
    serialise_fingerprint,
    short_name,
    write_fingerprint,
)
from huref_zk.comparison.tokens import TokenList
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json, pack, unpack
from huref_zk.files.formats import BUNDLE, FINGERPRINT
from tests.support.saved_fingerprints import LAYERS, TOKENS, P, random_fingerprint

MAPS_BYTES = 4 * LAYERS * 3 * P * P


def taken_apart(saved: Saved) -> tuple[dict, bytes, bytes, bytes, bytes]:
    """Header and the sections maps, ids, texts, v of a serialised fingerprint."""
    header, sections = unpack(FINGERPRINT, serialise_fingerprint(saved))
    return header, *sections


@pytest.fixture(scope="module")
def saved() -> Saved:
    return random_fingerprint()


def same(x: Saved, y: Saved) -> bool:
    return (
        (x.name, x.facts, x.seed, x.v, x.tokens.texts)
        == (y.name, y.facts, y.seed, y.v, y.tokens.texts)
        and np.array_equal(x.maps, y.maps)
        and np.array_equal(x.tokens.ids, y.tokens.ids)
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"v": None}, {"tokens": TokenList(np.arange(TOKENS)[::-1].copy(), None)}],
    ids=["all", "no v", "no texts"],
)
def test_what_is_written_is_read_back(changes, tmp_path):
    saved = random_fingerprint("ein Modell, überall", **changes)
    write_fingerprint(tmp_path / "x.hzf", saved)
    back = read_fingerprint(tmp_path / "x.hzf")
    assert same(back, saved)
    assert serialise_fingerprint(back) == (tmp_path / "x.hzf").read_bytes()
    assert back.basis == saved.basis
    assert not same(back, random_fingerprint(seed=2))


def test_texts_of_any_kind_survive(saved):
    texts = ("\ud800", "\x00", '"', "\u202e", *(f"é{i}" for i in range(TOKENS - 4)))
    odd = random_fingerprint(tokens=TokenList(np.arange(TOKENS), texts))
    assert parse_fingerprint(serialise_fingerprint(odd)).tokens.texts == texts


def changed_header(**changes):
    def change(header, *sections):
        new = {k: v for k, v in {**header, **changes}.items() if v is not None}
        return pack(FINGERPRINT, new, sections)

    return change


def changed_section(index: int, make):
    def change(header, *sections):
        sections = list(sections)
        sections[index] = make(sections[index])
        return pack(FINGERPRINT, header, sections)

    return change


def with_bytes(new: bytes, at: int = 0):
    return lambda data: data[:at] + new + data[at + len(new) :]


NAN, INF = (np.array(x, dtype="<f4").tobytes() for x in (np.nan, np.inf))
TEXTS = [f"t{i}" for i in range(TOKENS)]
MALFORMED = {
    "other magic": (lambda h, *s: pack(BUNDLE, h, s), "other bytes"),
    "other version": (
        lambda h, *s: pack(FINGERPRINT, h, s).replace(b"\x02", b"\x03", 1),
        "of version 3; this program reads version 2",
    ),
    "a field lacks": (changed_header(seed=None), "lacks the field 'seed'"),
    "a field too many": (changed_header(more=1), "unknown field 'more'"),
    "no layers": (changed_header(layers=0), "layers must be"),
    "too many layers": (changed_header(layers=4097), "layers must be"),
    "layers as text": (changed_header(layers="3"), "layers must be"),
    "p too large": (changed_header(p=65), "p must be"),
    "negative p": (changed_header(p=-16), "p must be"),
    "no tokens": (changed_header(tokens=0), "tokens must be"),
    "too many tokens": (changed_header(tokens=(1 << 16) + 2), "tokens must be"),
    "odd tokens": (changed_header(tokens=TOKENS - 1), "odd in number"),
    "texts too long": (changed_section(2, lambda d: d + b" " * (16 << 20)), "texts have more than"),
    "empty name": (changed_header(name=""), "name must be"),
    "long name": (changed_header(name="x" * 201), "name must be"),
    "name of two lines": (changed_header(name="a\nb"), "name must be"),
    "name that turns": (changed_header(name="a\u202eb"), "name must be"),
    "name as number": (changed_header(name=1), "name must be"),
    "short seed": (changed_header(seed="00" * 31), "seed must be"),
    "upper-case seed": (changed_header(seed="AB" * 32), "seed must be"),
    "model as text": (changed_header(model="llama"), "object of at most"),
    "too many facts": (changed_header(model={str(i): i for i in range(33)}), "object of at most"),
    "nested fact": (changed_header(model={"a": [1]}), "integers or printable texts"),
    "long fact": (changed_header(model={"a": "x" * 201}), "integers or printable texts"),
    "v of another length": (
        changed_section(3, lambda d: d[:-8]),
        "section v has 4088 bytes, not 0",
    ),
    "maps of another length": (changed_section(0, lambda d: d[:-4]), "section maps has"),
    "fewer ids": (changed_section(1, lambda d: d[:-8]), "section ids has"),
    "cut off": (lambda h, *s: pack(FINGERPRINT, h, s)[:-1], "too short"),
    "longer": (lambda h, *s: pack(FINGERPRINT, h, s) + b"\0", "too long"),
    "NaN": (changed_section(0, with_bytes(NAN, 40)), "NaN or infinite"),
    "infinite": (changed_section(0, with_bytes(INF, MAPS_BYTES - 4)), "NaN or infinite"),
    "a token twice": (changed_section(1, lambda d: d[:-8] + d[:8]), "not distinct"),
    "a negative token": (changed_section(1, with_bytes(b"\xff" * 8, 8)), "not distinct"),
    "texts no JSON": (changed_section(2, lambda d: b"[" + d), "no JSON list"),
    "a text lacks": (changed_section(2, lambda d: canonical_json(TEXTS[1:])), "no JSON list"),
    "a text is a number": (
        changed_section(2, lambda d: canonical_json([1, *TEXTS[1:]])),
        "no JSON list",
    ),
    "texts an object": (changed_section(2, lambda d: b"{}"), "no JSON list"),
    "texts nested deeply": (changed_section(2, lambda d: b"[" * 100_000), "no JSON list"),
    "texts with spaces": (
        changed_section(2, lambda d: d.replace(b",", b", ")),
        "not in canonical form",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused(case, saved):
    change, words = MALFORMED[case]
    parts = taken_apart(saved)
    with pytest.raises(InputError, match=words):
        parse_fingerprint(change(*parts))
    # The same parts, put together unchanged, are read.
    assert same(parse_fingerprint(pack(FINGERPRINT, parts[0], parts[1:])), saved)


def test_a_file_too_large_is_not_read(tmp_path, saved, monkeypatch):
    write_fingerprint(tmp_path / "x.hzf", saved)
    size = (tmp_path / "x.hzf").stat().st_size
    where = "huref_zk.comparison.saved.FINGERPRINT"
    monkeypatch.setattr(where, replace(FINGERPRINT, max_bytes=size - 1))
    with pytest.raises(InputError, match="larger than"):
        read_fingerprint(tmp_path / "x.hzf")
    monkeypatch.setattr(where, replace(FINGERPRINT, max_bytes=size))
    assert same(read_fingerprint(tmp_path / "x.hzf"), saved)


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines", "\x1b[31mred"])
def test_no_file_is_written_that_could_not_be_read(name, tmp_path):
    with pytest.raises(InputError, match="name must be"):
        write_fingerprint(tmp_path / "x.hzf", random_fingerprint(name))
    assert not list(tmp_path.iterdir())
    write_fingerprint(tmp_path / "x.hzf", random_fingerprint("x" * 200))


def test_the_basis_is_what_sketches_depend_on(saved):
    tokens = saved.tokens
    other = [
        random_fingerprint(seed=3, facts={"hidden_size": 1}, v=None),  # none of these matters
        random_fingerprint(maps=saved.maps[..., :8, :8].copy()),
        random_fingerprint(tokens=TokenList(tokens.ids + 1, tokens.texts)),
        random_fingerprint(tokens=TokenList(tokens.ids, None)),
        random_fingerprint(tokens=TokenList(tokens.ids, tuple(reversed(tokens.texts)))),
    ]
    assert other[0].basis == saved.basis
    assert len({saved.basis, *(x.basis for x in other[1:])}) == 5


def test_the_file_is_the_documented_one(saved):
    doc = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    header, maps, ids, texts, v = taken_apart(saved)
    table = doc.split("<!-- fields: fingerprint -->\n", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(header) == set(_FIELDS)
    for name, bound in _BOUNDS.items():
        assert f"{bound:,}" in next(line for line in table.splitlines() if f"`{name}`" in line)
    assert maps == b"".join(struct.pack("<f", x) for x in saved.maps.ravel())
    assert ids == struct.pack(f"<{TOKENS}q", *saved.tokens.ids)
    assert texts == canonical_json(list(saved.tokens.texts))
    assert v == struct.pack("<512q", *saved.v)


def test_a_models_fingerprint_tells_no_path(tmp_path, monkeypatch):
    made = make_fingerprint("demo-base")
    assert (made.name, made.maps.shape, made.facts["layers_total"]) == (
        "demo-base",
        (4, 3, 32, 32),
        4,
    )
    assert made.v is not None and len(made.tokens.ids) == len(made.tokens.texts) == 4096
    assert same(parse_fingerprint(serialise_fingerprint(made)), made)
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert short_name(str(tmp_path / "model")) == short_name("model/") == "model"
    assert short_name(".") == tmp_path.name
    assert short_name("owner/name") == "owner/name"
