"""What is written is read, whatever it says; and a container has one way to say it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.errors import InputError
from huref_zk.files.container import (
    MAX_DEPTH,
    Format,
    canonical_json,
    pack,
    parse_canonical_json,
    unpack,
)

leaf = st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=8)
value = st.recursive(
    leaf, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3)
)
header = st.dictionaries(st.text(max_size=5), value, max_size=4)
sections = st.lists(st.binary(max_size=40), max_size=5)


def depth(v) -> int:
    inner = v.values() if isinstance(v, dict) else v if isinstance(v, list) else ()
    return 1 + max(map(depth, inner)) if inner else 0


def fmt(count: int) -> Format:
    return Format("file", ".any", b"HUREFZX", tuple(f"s{i}" for i in range(count)), 1 << 20)


@settings(max_examples=150, deadline=None)
@given(header.filter(lambda h: depth(h) <= MAX_DEPTH), sections)
def test_round_trip(said, parts):
    kind = fmt(len(parts))
    data = pack(kind, said, parts)
    read, found = unpack(kind, data)
    assert (read, list(found)) == (said, parts)
    assert pack(kind, read, found) == data
    for other in (fmt(len(parts) + 1), *([fmt(len(parts) - 1)] if parts else [])):
        with pytest.raises(InputError):
            unpack(other, data)
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(InputError):
            unpack(kind, wrong)


@settings(max_examples=200, deadline=None)
@given(sections, st.data())
def test_changed_bytes_are_another_file_or_none(parts, draw):
    """One byte changed anywhere: refused, or read as something else."""
    kind = fmt(len(parts))
    data = bytearray(pack(kind, {"a": 1}, parts))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    try:
        read, found = unpack(kind, bytes(data))
    except InputError:
        return
    assert (read, list(found)) != ({"a": 1}, parts)
    assert pack(kind, read, found) == bytes(data)


@settings(max_examples=150, deadline=None)
@given(header.filter(lambda h: h and depth(h) <= MAX_DEPTH))
def test_other_ways_to_write_the_same_are_refused(said):
    written = canonical_json(said)
    assert parse_canonical_json(written) == said
    for other in (
        json.dumps(said).encode(),
        json.dumps(said, sort_keys=True, indent=1).encode(),
        b" " + written,
        written + b"\n",
        written[:-1] + b"," + written[1:],  # every key twice
        written[:-1] + b"",
    ):
        if other != written:
            with pytest.raises(InputError):
                parse_canonical_json(other)


@settings(max_examples=300, deadline=None)
@given(header.filter(lambda h: depth(h) <= MAX_DEPTH), st.data())
def test_changed_bytes_are_another_header_or_none(said, draw):
    data = bytearray(canonical_json(said))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    try:
        read = parse_canonical_json(bytes(data))
    except InputError:
        return
    assert read != said and canonical_json(read) == bytes(data)
