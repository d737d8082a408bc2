import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.errors import InputError
from huref_zk.files import container
from huref_zk.files.container import (
    MAX_HEADER,
    VERSION,
    Format,
    canonical_json,
    pack,
    parse_canonical_json,
    unpack,
)

FMT = Format("test file", ".tst", b"TESTFIL", ("first", "second"), 1 << 17)


def length(data):
    return len(data).to_bytes(8, "big")


def raw(body, first=b"aa", second=b"bbb"):
    """A file as anybody can write it, checking nothing."""
    start = FMT.magic + len(body).to_bytes(4, "big") + body
    return start + length(first) + first + length(second) + second


def test_layout():
    data = pack(FMT, {"b": [1], "a": "é"}, [b"xy", b""])
    assert data == raw(b'{"a":"\\u00e9","b":[1]}', b"xy", b"")
    assert unpack(FMT, data) == ({"a": "é", "b": [1]}, (b"xy", b""))


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_random_bytes_are_refused_politely(data):
    for candidate in (data, FMT.magic + data, FMT.magic + len(data).to_bytes(4, "big") + data):
        try:
            header, sections = unpack(FMT, candidate)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert pack(FMT, header, sections) == candidate


GOOD = raw(b"{}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a test file \\(.tst\\)"),
        (b"TESTFI", "other bytes"),
        (b"TESTFIM" + GOOD[7:], "other bytes"),
        (GOOD[:7], "header's length"),
        (GOOD[:11], "header's length"),
        (GOOD[:7] + b"\1" + GOOD[8:], "of version 1; this program reads version 2"),
        (GOOD[:7] + b"\3" + GOOD[8:], "of version 3"),
        (FMT.magic + b"\xff\xff\xff\xff" + b"{}", "at most 65536"),
        (FMT.magic + (MAX_HEADER + 1).to_bytes(4, "big") + b"{}", "at most 65536"),
        (FMT.magic + b"\0\0\0\x29" + GOOD[12:], "inside its header"),
        (GOOD[:-1], "inside its section 'second'"),
        (GOOD[:-3], "inside its section 'second'"),
        (GOOD[:-4], "inside its section 'second'"),
        (GOOD[:-11], "inside its section 'second'"),
        (GOOD[:-12], "inside its section 'first'"),
        (GOOD[:14], "inside its section 'first'"),
        (GOOD + b"\0", "too long: 1 bytes follow"),
        (raw(b"[]"), "not a JSON object"),
        (raw(b""), "not JSON"),
        (raw(b"{"), "not JSON"),
        (raw(b"{} "), "canonical form"),
        (raw(b'{"b":1,"a":1}'), "canonical form"),
        (raw(b'{"a":1,"a":1}'), "canonical form"),
        (raw(b'{"a": 1}'), "canonical form"),
        (raw(b'{"a":-0}'), "canonical form"),
        (raw(b'{"a":"\\u0041"}'), "canonical form"),
        (raw(b'{"a":"\\u00E9"}'), "canonical form"),
        (raw(b'{"a":1.0}'), "holds a float"),
        (raw(b'{"a":1e400}'), "holds a float"),
        (raw(b'{"a":NaN}'), "holds a float"),
        (raw(b'{"a":true}'), "holds a bool"),
        (raw(b'{"a":null}'), "holds a NoneType"),
        (raw(b'{"a":9223372036854775808}'), "64 bits"),
        (raw(b'{"a":-9223372036854775808}'), "64 bits"),
        (raw('{"a":"é"}'.encode()), "not JSON in ASCII"),
        (raw(b"\xef\xbb\xbf{}"), "not JSON in ASCII"),
        (raw(b'{"a":' + b"[" * 30000 + b"]" * 30000 + b"}"), "not JSON|nested"),
        (raw(b'{"a":' + b"[" * 20 + b"]" * 20 + b"}"), "nested too deeply"),
        (raw(b'{"a":' + b"9" * 60000 + b"}"), "not JSON|64 bits"),
    ],
)
def test_malformed(data, words):
    assert unpack(FMT, raw(b'{"a":1,"b":"x"}'))[0] == {"a": 1, "b": "x"}  # the control
    with pytest.raises(InputError, match=words):
        unpack(FMT, data)


@pytest.mark.parametrize("claim", [(1 << 64) - 1, 1 << 63, 6, 1 << 40])
def test_a_section_that_claims_more_than_there_is(claim):
    """Nothing is made of that size first."""
    at = len(GOOD) - 3 - 8
    with pytest.raises(InputError, match="inside its section 'second'"):
        unpack(FMT, GOOD[:at] + claim.to_bytes(8, "big") + GOOD[at + 8 :])


def test_where_one_section_ends_is_said():
    """The same bytes cut elsewhere are other sections, never the same file."""
    one, other = pack(FMT, {}, [b"ab", b"c"]), pack(FMT, {}, [b"a", b"bc"])
    assert one != other and unpack(FMT, one)[1] == (b"ab", b"c")


def test_the_largest_file():
    rest = len(pack(FMT, {}, [b"", b""]))
    fits = pack(FMT, {}, [b"", bytes(FMT.max_bytes - rest)])
    assert len(fits) == FMT.max_bytes and unpack(FMT, fits)[0] == {}
    with pytest.raises(InputError, match="is more than 131072 allowed"):
        pack(FMT, {}, [b"", bytes(FMT.max_bytes - rest + 1)])
    with pytest.raises(InputError, match="has at most 131072 bytes"):
        unpack(FMT, fits + b"\0")


def test_the_largest_header():
    assert len(canonical_json({"a": "x" * (MAX_HEADER - 8)})) == MAX_HEADER
    assert unpack(FMT, pack(FMT, {"a": "x" * (MAX_HEADER - 8)}, [b"", b""]))[1] == (b"", b"")
    with pytest.raises(InputError, match="at most 65536"):
        pack(FMT, {"a": "x" * (MAX_HEADER - 7)}, [b"", b""])


def test_a_writer_must_give_every_section():
    with pytest.raises(ValueError, match="has 2 sections, not 1"):
        pack(FMT, {}, [b""])


def test_versions_and_kinds():
    assert FMT.magic == b"TESTFIL" + bytes([VERSION])
    assert FMT.starts(GOOD) and FMT.starts(b"TESTFIL") and not FMT.starts(b"TESTFI")


def test_canonical_json_is_the_only_way_to_write_it():
    assert canonical_json({"b": [1, "é"], "a": {}}) == b'{"a":{},"b":[1,"\\u00e9"]}'
    assert parse_canonical_json(b'{"a":{},"b":[1,"\\u00e9"]}') == {"a": {}, "b": [1, "é"]}
    for bad in ({"a": 0.5}, {"a": None}, {1: 2}, {"a": {2: 3}}, {"a": 1 << 63}, {"a": False}):
        with pytest.raises(InputError):
            canonical_json(bad)


def test_reading_within_bounds(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert container.read_bounded(path, 5) == b"12345"
    assert container.read_start(path, 3) == b"123" and container.read_start(path, 9) == b"12345"
    with pytest.raises(InputError, match="larger than 4"):
        container.read_bounded(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for place, words in [
        (tmp_path / "missing", "cannot read"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
    ]:
        with pytest.raises(InputError, match=words):
            container.read_bounded(place, 4)
        with pytest.raises(InputError, match=words):
            container.read_start(place, 4)


def test_a_file_that_grows_while_it_is_read(tmp_path, monkeypatch):
    """Its size is asked first; what is read may be one byte more, and is then refused."""
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    honest = os.fstat

    def grow(handle):
        found = honest(handle)
        if found.st_size == 5:
            with open(path, "ab") as file:
                file.write(b"6")
        return found

    monkeypatch.setattr(container.os, "fstat", grow)
    with pytest.raises(InputError, match="larger than 5"):
        container.read_bounded(path, 5)


DEEP = """
import sys
from huref_zk.errors import InputError
from huref_zk.files.container import parse_canonical_json
sys.setrecursionlimit(100_000)
try:
    parse_canonical_json(b"[" * 65_536)
except InputError as error:
    print(error)
"""


def test_deep_nesting_never_reaches_the_parser():
    """Where a library has lifted the recursion limit, the parser would overflow the stack."""
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "not JSON" in done.stdout, done.stderr
