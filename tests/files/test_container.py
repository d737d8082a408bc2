import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.errors import InputError
from huref_zk.files import container
from huref_zk.files.container import (
    canonical_json,
    pack_container,
    parse_canonical_json,
    read_container,
)

MAGIC = b"TESTFILE"
leaves = st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.text(max_size=8))
headers = st.dictionaries(
    st.text(max_size=6),
    st.recursive(
        leaves,
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)


def lengths(header):
    return [2, 3]


def parse(data):
    return read_container(data, MAGIC, lengths)


@given(headers, st.binary(min_size=2, max_size=2), st.binary(min_size=3, max_size=3))
@settings(max_examples=50, deadline=None)
def test_round_trip(header, a, b):
    try:
        data = pack_container(MAGIC, header, [a, b])
    except InputError:  # nested deeper than allowed
        return
    assert parse(data) == (header, [a, b])


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_random_bytes_are_refused_politely(data):
    for candidate in (data, MAGIC + data, MAGIC + len(data).to_bytes(4, "big") + data):
        try:
            header, sections = parse(candidate)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert pack_container(MAGIC, header, sections) == candidate


def raw(body, rest=b"aabbb"):
    return MAGIC + len(body).to_bytes(4, "big") + body + rest


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "other bytes"),
        (b"TESTFILF" + raw(b"{}")[8:], "other bytes"),
        (raw(b"{}")[:11], "header's length"),
        (MAGIC + b"\xff\xff\xff\xff" + b"{}", "at most 65536"),
        (MAGIC + b"\0\0\0\x09" + b"{}aabbb", "inside its header"),
        (raw(b"{}", b"aabb"), "too short"),
        (raw(b"{}", b"aabbbb"), "too long"),
        (raw(b"[]"), "not a JSON object"),
        (raw(b"{"), "not JSON"),
        (raw(b"{} "), "canonical form"),
        (raw(b'{"b":1,"a":1}'), "canonical form"),
        (raw(b'{"a":1,"a":1}'), "canonical form"),
        (raw(b'{"a": 1}'), "canonical form"),
        (raw(b'{"a":-0}'), "canonical form"),
        (raw(b'{"a":"\\u0041"}'), "canonical form"),
        (raw(b'{"a":1.0}'), "holds a float"),
        (raw(b'{"a":1e400}'), "holds a float"),
        (raw(b'{"a":NaN}'), "holds a float"),
        (raw(b'{"a":true}'), "holds a bool"),
        (raw(b'{"a":null}'), "holds a NoneType"),
        (raw(b'{"a":9223372036854775808}'), "64 bits"),
        (raw('{"a":"é"}'.encode()), "not JSON in ASCII"),
        (raw(b'{"a":' + b"[" * 30000 + b"]" * 30000 + b"}"), "not JSON|nested"),
        (raw(b'{"a":' + b"[" * 20 + b"]" * 20 + b"}"), "nested too deeply"),
        (raw(b'{"a":' + b"9" * 60000 + b"}"), "not JSON|64 bits"),
    ],
)
def test_malformed(data, words):
    assert parse(raw(b'{"a":1,"b":"x"}'))[0] == {"a": 1, "b": "x"}  # the control
    with pytest.raises(InputError, match=words):
        parse(data)


def test_canonical_json_is_the_only_way_to_write_it():
    assert canonical_json({"b": [1, "é"], "a": {}}) == b'{"a":{},"b":[1,"\\u00e9"]}'
    assert parse_canonical_json(b'{"a":{},"b":[1,"\\u00e9"]}') == {"a": {}, "b": [1, "é"]}
    for bad in ({"a": 0.5}, {"a": None}, {1: 2}, {"a": {2: 3}}, {"a": 1 << 63}, {"a": False}):
        with pytest.raises(InputError):
            canonical_json(bad)


def test_header_too_large():
    with pytest.raises(InputError, match="at most 65536"):
        pack_container(MAGIC, {"a": "x" * 70000}, [])


def test_read_bounded(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert container.read_bounded(path, 5) == b"12345"
    with pytest.raises(InputError, match="larger than 4"):
        container.read_bounded(path, 4)
    with pytest.raises(InputError, match="cannot read"):
        container.read_bounded(tmp_path / "missing", 4)
    with pytest.raises(InputError, match="not a regular file"):
        container.read_bounded(tmp_path, 4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        container.read_bounded(tmp_path / "pipe", 4)


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "new" / "f"
    container.write_container(path, MAGIC, {"a": 1}, [b"aa", b"bbb"])
    assert parse(path.read_bytes()) == ({"a": 1}, [b"aa", b"bbb"])
    with pytest.raises(InputError):
        container.write_container(path, MAGIC, {"a": 1.5}, [])
    assert parse(path.read_bytes())[0] == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["f"]
    with pytest.raises(InputError, match="cannot write"):
        container.write_atomically(path / "below-a-file", b"")
