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

FRAMES = 3
MAPS_BYTES = 2 * LAYERS * 3 * FRAMES * P * P
MAPS, SIZES, GRAM, PARAMETERS, SHAPES, IDS, TEXT, V = range(8)


def taken_apart(saved: Saved) -> tuple:
    """Header and the sections of a serialised fingerprint."""
    header, sections = unpack(FINGERPRINT, serialise_fingerprint(saved))
    return header, *sections


@pytest.fixture(scope="module")
def saved() -> Saved:
    return random_fingerprint()


def same(x: Saved, y: Saved) -> bool:
    return (
        (x.name, x.facts, x.seed, x.v, x.tokens.texts)
        == (y.name, y.facts, y.seed, y.v, y.tokens.texts)
        and x.tokens.sizes == y.tokens.sizes
        and x.survey.frames == y.survey.frames
        and np.abs(x.survey.maps - y.survey.maps).max()
        < 1e-3 * np.abs(y.survey.maps).max()  # half precision
        and np.array_equal(x.survey.gram.halves, y.survey.gram.halves)
        and np.array_equal(x.tokens.ids, y.tokens.ids)
        and [p.shapes for p in x.survey.parameters] == [p.shapes for p in y.survey.parameters]
        and all(
            np.array_equal(p.sketches, q.sketches)
            for p, q in zip(x.survey.parameters, y.survey.parameters, strict=True)
        )
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"v": None}, {"tokens": TokenList(np.arange(TOKENS)[::-1].copy(), (TOKENS,), None)}],
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
    odd = random_fingerprint(tokens=TokenList(np.arange(TOKENS), (TOKENS,), texts))
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
HALF_NAN = np.array(np.nan, dtype="<f2").tobytes()
TEXTS = [f"t{i}" for i in range(TOKENS)]
MALFORMED = {
    "other magic": (lambda h, *s: pack(BUNDLE, h, s[:4]), "other bytes"),
    "other version": (
        lambda h, *s: pack(FINGERPRINT, h, s).replace(b"\x03", b"\x02", 1),
        "of version 2; this program reads version 3",
    ),
    "a field lacks": (changed_header(seed=None), "lacks the field 'seed'"),
    "a field too many": (changed_header(more=1), "unknown field 'more'"),
    "no layers": (changed_header(layers=0), "layers must be"),
    "too many layers": (changed_header(layers=1025), "layers must be"),
    "layers as text": (changed_header(layers="3"), "layers must be"),
    "another p": (changed_header(p=65), "p must be"),
    "negative p": (changed_header(p=-16), "p must be"),
    "no hidden size": (changed_header(hidden=0), "hidden must be"),
    "no tokens": (changed_header(tokens=""), "tokens are not 1 or 9 even numbers"),
    "tokens as number": (changed_header(tokens=TOKENS), "tokens are not 1 or 9 even"),
    "too many tokens": (changed_header(tokens=str((1 << 16) + 2)), "tokens are not"),
    "odd tokens": (changed_header(tokens=str(TOKENS - 1)), "tokens are not"),
    "two groups": (changed_header(tokens="32,32"), "tokens are not"),
    "a zero before": (changed_header(tokens="064"), "tokens are not"),
    "other digits": (changed_header(tokens="\u0666\u0664"), "tokens are not"),
    "texts too long": (
        changed_section(TEXT, lambda d: d + b" " * (16 << 20)),
        "texts have more than",
    ),
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
        changed_section(V, lambda d: d[:-8]),
        "section v has 4088 bytes, not 0",
    ),
    "maps of another length": (changed_section(MAPS, lambda d: d[:-4]), "section maps has"),
    "fewer ids": (changed_section(IDS, lambda d: d[:-8]), "section ids has"),
    "cut off": (lambda h, *s: pack(FINGERPRINT, h, s)[:-1], "too short"),
    "longer": (lambda h, *s: pack(FINGERPRINT, h, s) + b"\0", "too long"),
    "NaN": (changed_section(MAPS, with_bytes(HALF_NAN, 40)), "maps hold NaN or infinite"),
    "infinite": (changed_section(SIZES, with_bytes(INF, 8)), "sizes hold NaN or infinite"),
    "a last one": (changed_section(MAPS, with_bytes(HALF_NAN, MAPS_BYTES - 2)), "NaN or infinite"),
    "NaN in gram": (changed_section(GRAM, with_bytes(NAN, 4)), "gram hold NaN"),
    "NaN in parameters": (changed_section(PARAMETERS, with_bytes(NAN, 4)), "parameters hold NaN"),
    "fewer shapes": (changed_section(SHAPES, lambda d: d[:-8]), "section shapes has"),
    "negative shapes": (changed_section(SHAPES, with_bytes(b"\xff" * 4)), "shapes are not"),
    "a negative token": (changed_section(IDS, with_bytes(b"\xff" * 8, 8)), "non-negative"),
    "texts no JSON": (changed_section(TEXT, lambda d: b"[" + d), "no JSON list"),
    "a text lacks": (changed_section(TEXT, lambda d: canonical_json(TEXTS[1:])), "no JSON list"),
    "a text is a number": (
        changed_section(TEXT, lambda d: canonical_json([1, *TEXTS[1:]])),
        "no JSON list",
    ),
    "texts an object": (changed_section(TEXT, lambda d: b"{}"), "no JSON list"),
    "texts nested deeply": (changed_section(TEXT, lambda d: b"[" * 100_000), "no JSON list"),
    "texts with spaces": (
        changed_section(TEXT, lambda d: d.replace(b",", b", ")),
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
        random_fingerprint(tokens=TokenList(tokens.ids + 1, tokens.sizes, tokens.texts)),
        random_fingerprint(tokens=TokenList(tokens.ids, tokens.sizes, None)),
        random_fingerprint(tokens=TokenList(tokens.ids, (62, 2), tokens.texts)),
        random_fingerprint(
            tokens=TokenList(tokens.ids, tokens.sizes, tuple(reversed(tokens.texts)))
        ),
        random_fingerprint(**{"seed": 1}, facts=saved.facts),
    ]
    assert other[0].basis == other[-1].basis == saved.basis
    assert len({x.basis for x in other}) == 5


def test_the_file_is_the_documented_one(saved):
    doc = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    header, maps, sizes, gram, parameters, shapes, ids, texts, v = taken_apart(saved)
    table = doc.split("<!-- fields: fingerprint -->\n", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(header) == set(_FIELDS)
    for name, bound in _BOUNDS.items():
        assert f"{bound:,}" in next(line for line in table.splitlines() if f"`{name}`" in line)
    powers = struct.unpack(f"<{LAYERS * 3 * FRAMES}f", sizes)
    for k, m in enumerate(saved.survey.maps.reshape(-1, P, P)):
        assert powers[k] == 2.0 ** np.ceil(np.log2(np.abs(m).max()))
        found = maps[2 * k * P * P : 2 * (k + 1) * P * P]
        assert found == struct.pack(f"<{P * P}e", *(m / powers[k]).ravel())
    halves = saved.survey.gram.halves
    assert gram == struct.pack(f"<{halves.size}f", *halves.ravel())
    first = saved.survey.parameters[0].sketches
    assert parameters[: 4 * first.size] == struct.pack(f"<{first.size}f", *first.ravel())
    assert shapes == struct.pack("<i", 8) * (LAYERS * 7 * 2)
    for name in FINGERPRINT.sections:
        assert f"| {name} |" in doc or f"`{name}`" in doc
    assert ids == struct.pack(f"<{TOKENS}q", *saved.tokens.ids)
    assert texts == canonical_json(list(saved.tokens.texts))
    assert v == struct.pack("<512q", *saved.v)


def test_a_models_fingerprint_tells_no_path(tmp_path, monkeypatch):
    made = make_fingerprint("demo-base")
    assert (made.name, made.layers, made.facts["layers_total"]) == ("demo-base", 4, 4)
    assert made.survey.maps.shape == (4, 3, 11, P, P)
    assert made.v is not None and len(made.tokens.ids) == len(made.tokens.texts)
    assert made.tokens.sizes[0] == 2048 and len(made.tokens.sizes) == 9
    assert same(parse_fingerprint(serialise_fingerprint(made)), made)
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert short_name(str(tmp_path / "model")) == short_name("model/") == "model"
    assert short_name(".") == tmp_path.name
    assert short_name("owner/name") == "owner/name"
