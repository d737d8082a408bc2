"""Our binary files: one frame for all of them.

    bytes 0..8     the magic: seven ASCII bytes for the kind of file, then the version
    bytes 8..12    header length h, unsigned 32 bits big-endian, at most MAX_HEADER
    h bytes        the header: canonical JSON (below), an object
    sections       as many as the kind of file has: each its length, unsigned 64 bits big-endian,
                   then its bytes; the file ends exactly after the last

Canonical JSON: keys sorted, no white space, ASCII only, every value an object, an array, a string
or an integer below 2^63 in magnitude. A header is accepted only if writing what was read gives the
same bytes, so there is one way to write it: no duplicate keys, no white space, no 1.0 for 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from huref_zk.errors import InputError

VERSION = 2
MAX_HEADER = 1 << 16
MAX_DEPTH = 8
MAX_NESTING = 64
"""Of any JSON that is read: deeper than any file of ours or of a model is nested."""
_START = 12
# A string (to the end of the text if it has no end: no start is tried twice), or a bracket.
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|([\[{])|([\]}])', re.DOTALL)


@dataclass(frozen=True)
class Format:
    """One kind of file. name: in words; suffix: of its files; kind: seven ASCII bytes; sections:
    their names, in order; max_bytes: of a whole file; version: the one that is read and written."""

    name: str
    suffix: str
    kind: bytes
    sections: tuple[str, ...]
    max_bytes: int
    version: int = VERSION

    @property
    def magic(self) -> bytes:
        return self.kind + bytes([self.version])

    def starts(self, data: bytes) -> bool:
        """Whether ``data`` begins as a file of this kind, of any version, does."""
        return data[:7] == self.kind


def load_json(data: bytes, **options: Any) -> Any:
    """json.loads for bytes from anywhere: UTF-8 only, and nested at most MAX_NESTING deep.

    Python's own guard against deep nesting is its recursion limit, which some libraries raise so
    far (py_ecc does) that the parser runs out of stack and the process dies. ValueError.
    """
    text = data.decode("utf-8")
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += (match[1] is not None) - (match[2] is not None)
        if depth > MAX_NESTING:
            raise ValueError("nested too deeply")
    return json.loads(text, **options)


def canonical_json(value: Any) -> bytes:
    """The one accepted way to write `value`; InputError if it holds other types than listed."""
    _check_types(value, 0)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _check_types(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InputError("the header is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InputError("the header has a key that is not a string")
            _check_types(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_types(item, depth + 1)
    elif isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InputError(
            f"the header holds a {type(value).__name__}; only text and integers may be"
        )
    elif isinstance(value, int) and abs(value) >> 63:
        raise InputError("the header holds an integer of 64 bits or more")


def parse_canonical_json(data: bytes) -> dict[str, Any]:
    """The object in `data`; InputError unless it is canonical JSON."""
    if len(data) > MAX_HEADER:
        raise InputError(f"the header has {len(data)} bytes, at most {MAX_HEADER} are allowed")
    try:
        data.decode("ascii")
        value = load_json(data)
    except ValueError:
        raise InputError("the header is not JSON in ASCII") from None
    if not isinstance(value, dict):
        raise InputError("the header is not a JSON object")
    if canonical_json(value) != data:
        raise InputError("the header is not in canonical form (sorted keys, no spaces, no repeats)")
    return value


def pack(fmt: Format, header: Mapping[str, Any], sections: Sequence[bytes]) -> bytes:
    """The bytes of a file. InputError when header or file would be larger than may be."""
    if len(sections) != len(fmt.sections):
        raise ValueError(f"a {fmt.name} has {len(fmt.sections)} sections, not {len(sections)}")
    body = canonical_json(dict(header))
    if len(body) > MAX_HEADER:
        raise InputError(f"the header would take {len(body)} bytes, at most {MAX_HEADER} may be")
    parts = [fmt.magic, len(body).to_bytes(4, "big"), body]
    for section in sections:
        parts += [len(section).to_bytes(8, "big"), section]
    data = b"".join(parts)
    if len(data) > fmt.max_bytes:
        raise InputError(f"a {fmt.name} of {len(data)} bytes is more than {fmt.max_bytes} allowed")
    return data


def unpack(fmt: Format, data: bytes) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """(header, sections) of a file. InputError for every malformed one; judges no content."""
    if len(data) > fmt.max_bytes:
        raise InputError(f"a {fmt.name} has at most {fmt.max_bytes} bytes, not {len(data)}")
    if not fmt.starts(data):
        raise InputError(f"not a {fmt.name} ({fmt.suffix}): it starts with other bytes")
    if len(data) < _START:
        raise InputError("the file ends inside its header's length")
    if data[7] != fmt.version:
        raise InputError(
            f"this {fmt.name} is of version {data[7]}; this program reads version {fmt.version}"
        )
    length = int.from_bytes(data[8:12], "big")
    if length > MAX_HEADER:
        raise InputError(f"the header claims {length} bytes, at most {MAX_HEADER} are allowed")
    if len(data) < _START + length:
        raise InputError("the file ends inside its header")
    header = parse_canonical_json(data[_START : _START + length])
    position, sections = _START + length, []
    for name in fmt.sections:
        start = position + 8
        size = int.from_bytes(data[position:start], "big")
        position = start + size
        if position > len(data):
            raise InputError(f"the file is too short: it ends inside its section {name!r}")
        sections.append(data[start:position])
    if position != len(data):
        raise InputError(f"the file is too long: {len(data) - position} bytes follow its end")
    return header, tuple(sections)


@contextlib.contextmanager
def _regular(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, open for reading, and its size; InputError when it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would block
            raise InputError(f"{path} is not a regular file")
        with open(path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def read_start(path: str | os.PathLike[str], count: int) -> bytes:
    """The first `count` bytes of a regular file, or all if it is shorter; InputError otherwise."""
    with _regular(path) as (file, _):
        return file.read(count)


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes; InputError otherwise."""
    with _regular(path) as (file, size):
        # read(n) makes room for n bytes, so not for more than there are.
        data = file.read(size + 1) if size <= limit else b""
    if max(size, len(data)) > limit:
        raise InputError(f"{path} is larger than {limit} bytes, the most such a file can have")
    return data
