"""The bundle file: what is written is what is read, and each malformed form has its own error."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json
from huref_zk.proofs.picture.file import (
    FIELDS,
    FORMAT,
    MAGIC,
    MAX_BYTES,
    SECTIONS,
    V_LENGTH,
    Bundle,
    decode_v,
    encode_v,
    parse_bundle,
    read_bundle,
    write_bundle,
)

HALF = R // 2


def example() -> Bundle:
    """A well-formed bundle that claims nonsense."""
    hexes = {name for name, (_, bound) in FIELDS.items() if bound == 64}
    header = {name: f"{i:064x}" for i, name in enumerate(sorted(hexes))}
    v = (0, 1, -1, HALF, -HALF, *range(V_LENGTH - 5))
    full = {**header, "format": FORMAT, "ezkl": "1.2.3"}
    return Bundle(full, b"a commitment", b"a projection", v, b"a proof")


def parts() -> tuple[dict, list[bytes]]:
    """The example's full header and its sections, in the file's order."""
    bundle = example()
    sections = [bundle.commitment, bundle.projection, encode_v(bundle.v), bundle.proof]
    lengths = {f"{n}_bytes": len(s) for n, s in zip(SECTIONS, sections, strict=True)}
    return {**bundle.header, **lengths}, sections


def packed(header: dict | bytes, sections: list[bytes]) -> bytes:
    body = header if isinstance(header, bytes) else _json(header)
    return MAGIC + len(body).to_bytes(4, "big") + body + b"".join(sections)


def _json(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_round_trip(tmp_path):
    path = tmp_path / "b.hzp"
    write_bundle(path, example())
    read = read_bundle(path)
    header, _ = parts()
    assert read == replace(example(), header=header)
    assert parse_bundle(path.read_bytes()) == read
    write_bundle(tmp_path / "again.hzp", read)
    assert (tmp_path / "again.hzp").read_bytes() == path.read_bytes()


def test_the_bytes_are_the_documented_ones(tmp_path):
    path = tmp_path / "b.hzp"
    write_bundle(path, example())
    data = path.read_bytes()
    header, sections = parts()
    body = canonical_json(header)
    assert data[:8] == MAGIC == b"HUREFZP\x01"
    assert int.from_bytes(data[8:12], "big") == len(body)
    assert data[12 : 12 + len(body)] == body
    assert data[12 + len(body) :] == b"".join(sections)
    assert len(sections[2]) == 32 * V_LENGTH
    assert sections[2][32:96] == (1).to_bytes(32, "big") + (R - 1).to_bytes(32, "big")


def test_lengths_are_the_sections_own(tmp_path):
    """What a header in memory says of lengths or format is not written."""
    path = tmp_path / "b.hzp"
    write_bundle(path, replace(example(), header={**example().header, "proof_bytes": 3}))
    assert read_bundle(path).proof == b"a proof"


@given(st.lists(st.integers(-HALF, HALF), min_size=V_LENGTH, max_size=V_LENGTH))
@settings(max_examples=5, deadline=None)
def test_v_round_trip(v):
    assert decode_v(encode_v(v)) == tuple(v)


@pytest.mark.parametrize("number", [R, R + 1, 2 * R, (1 << 256) - 1])
@pytest.mark.parametrize("place", [0, 300, V_LENGTH - 1])
def test_v_has_one_form(number, place):
    good = encode_v(example().v)
    bad = good[: 32 * place] + number.to_bytes(32, "big") + good[32 * place + 32 :]
    with pytest.raises(InputError, match=f"entry {place} of v"):
        decode_v(bad)
    largest = good[: 32 * place] + (R - 1).to_bytes(32, "big") + good[32 * place + 32 :]
    assert decode_v(largest)[place] == -1  # the control


@pytest.mark.parametrize("length", [0, 32, 32 * V_LENGTH - 1, 32 * V_LENGTH + 32])
def test_v_has_512_entries(length):
    with pytest.raises(InputError, match=f"v has {length} bytes"):
        decode_v(bytes(length))
    assert decode_v(bytes(32 * V_LENGTH)) == (0,) * V_LENGTH


def with_field(**fields) -> bytes:
    header, sections = parts()
    return packed({**header, **fields}, sections)


def without(name: str) -> bytes:
    header, sections = parts()
    return packed({k: v for k, v in header.items() if k != name}, sections)


def doubled(name: str) -> bytes:
    header, sections = parts()
    field = _json({name: header[name]})[1:-1]
    return packed(_json(header).replace(field, field + b"," + field), sections)


WHOLE = packed(*parts())
MALFORMED = [
    (b"", "starts with other bytes"),
    (b"HUREFZP\x02" + WHOLE[8:], "starts with other bytes"),
    (b"HUREFZKC" + WHOLE[8:], "starts with other bytes"),
    (WHOLE[:10], "header's length"),
    (WHOLE[:100], "inside its header"),
    (MAGIC + b"\xff" * 4 + WHOLE[12:], "at most 65536"),
    (WHOLE[:-1], "too short"),
    (WHOLE + b"\0", "too long"),
    (packed(b"", []), "not JSON"),
    (packed(b"[]", []), "not a JSON object"),
    (packed(b"{}", []), "lacks format"),
    (packed(b" " + _json(parts()[0]), parts()[1]), "canonical form"),
    *((without(name), f"lacks {name}") for name in FIELDS),
    *((doubled(name), "canonical form") for name in FIELDS),
    *((with_field(**{name: []}), f"lacks {name}") for name in FIELDS),
    *((with_field(**{name: None}), "NoneType") for name in FIELDS),
    *((with_field(**{name: True}), "bool") for name in FIELDS),
    (with_field(more=1), "unknown field 'more'"),
    (with_field(format="huref-zk bundle 2"), "this program reads"),
    *(
        (with_field(**{name: bad}), f"{name} is not 64 lower-case hex")
        for name, (kind, bound) in FIELDS.items()
        if kind is str and bound == 64
        for bad in ("", "0" * 63, "0" * 65, "A" * 64, "g" * 64, " " * 64)
    ),
    *((with_field(ezkl=bad), "printable ASCII") for bad in ("x" * 65, "\n", "\x1b", "é", "\ud800")),
    *(
        (with_field(**{f"{name}_bytes": bad}), f"{name}_bytes is {bad}")
        for name in SECTIONS
        for bad in (0, -1, MAX_BYTES + 1)
    ),
    (with_field(v_bytes=32 * V_LENGTH + 1), "v_bytes is"),
    (with_field(proof_bytes=(4 << 20) + 1), "proof_bytes is"),
    *((with_field(**{f"{name}_bytes": 5}), "the file is too long") for name in SECTIONS),
    (with_field(v_bytes=32 * V_LENGTH - 32, proof_bytes=len(b"a proof") + 32), "v has"),
]


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_malformed(number):
    data, words = MALFORMED[number]
    with pytest.raises(InputError, match=words) as caught:
        parse_bundle(data)
    assert "\n" not in str(caught.value)
    assert parse_bundle(WHOLE) == replace(example(), header=parts()[0])  # the control


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"header": {**example().header, "root": "0"}}, "root is not 64"),
        ({"header": {**example().header, "note": "x"}}, "unknown field 'note'"),
        ({"header": {}}, "lacks root"),
        ({"proof": b""}, "proof_bytes is 0"),
        ({"proof": bytes((4 << 20) + 1)}, "proof_bytes is"),
    ],
)
def test_writing_checks_as_reading_does(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        write_bundle(tmp_path / "b.hzp", replace(example(), **change))
    assert not any(tmp_path.iterdir())
    write_bundle(tmp_path / "b.hzp", example())  # the control


def test_files_that_cannot_be_bundles(tmp_path):
    path = tmp_path / "b.hzp"
    with pytest.raises(InputError, match="cannot read"):
        read_bundle(path)
    with pytest.raises(InputError, match="not a regular file"):
        read_bundle(tmp_path)
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        read_bundle(path)
    path.unlink()
    path.write_bytes(b"")
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(InputError, match="larger than"):
        read_bundle(path)
    path.write_bytes(WHOLE)
    assert read_bundle(path) == parse_bundle(WHOLE)
