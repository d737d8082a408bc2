"""Random changes to files that keep them almost well formed.

Most of a file's bytes lie behind a JSON header whose length is written before it. So headers are
also changed as text, token by token, and their length set right again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

NUMBERS = (0, 1, -1, 2, 7, 8, 31, 32, 64, 127, 128, 255, 256, 4096, 65535, 65536, 1 << 20, 1 << 31)
NUMBERS += (
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    10**40,
    -(1 << 63),
)
WORDS = [str(n).encode() for n in NUMBERS]
WORDS += [b"1e400", b"-0", b"1.5", b"NaN", b"Infinity", b"true", b"false", b"null", b'""', b"[]"]
WORDS += [
    b"{}",
    b'"\\ud800"',
    b'"\xff"',
    b'"../x"',
    b"[" * 70,
    b'{"a":' * 70,
    b"[[]]",
    b'"\\u0000"',
]
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[\[\]{},:]|true|false|null')


def mutate(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """One to four random changes of ``data``; others: what parts may be taken from."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        span = header_span(data)
        if span is not None and random.random() < 0.5:
            data = _in_header(data, span, random)
        else:
            data = random.choice(_CHANGES)(data, others, random)
    return data


def header_span(data: bytes) -> tuple[int, int, int, str] | None:
    """(end of the header, its start, bytes of the length before it, their order), if it has one."""
    if data[:5] == b"HUREF" and len(data) > 12:
        length = int.from_bytes(data[8:12], "big")
        if 12 + length <= len(data):
            return 12 + length, 12, 4, "big"
    if len(data) > 9 and data[8:9] == b"{":
        length = int.from_bytes(data[:8], "little")
        if 8 + length <= len(data):
            return 8 + length, 8, 8, "little"
    return (len(data), 0, 0, "big") if data[:1] in (b"{", b"[") else None


def _in_header(data: bytes, span: tuple[int, int, int, str], random: Random) -> bytes:
    end, start, size, order = span
    text = _text(data[start:end], random)
    length = len(text).to_bytes(size, order) if size else b""  # type: ignore[arg-type]
    return data[: start - size] + length + text + data[end:]


def _text(text: bytes, random: Random) -> bytes:
    tokens = list(_TOKEN.finditer(text))
    if not tokens:
        return text
    token = random.choice(tokens)
    kind = random.randrange(4)
    if kind == 0:  # another token of the text, which may repeat a key
        new = random.choice(tokens)[0]
    elif kind == 1 and token[0][:1] == b'"':
        new = _flip(token[0], (), random)
    elif kind == 2:  # a pair taken out or repeated
        a, b = sorted(random.randrange(len(tokens)) for _ in range(2))
        piece = text[tokens[a].start() : tokens[b].start()]
        return text[: tokens[a].start()] + piece * random.choice((0, 2)) + text[tokens[b].start() :]
    else:
        new = random.choice(WORDS)
    return text[: token.start()] + new + text[token.end() :]


def _flip(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    if not data:
        return bytes([random.randrange(256)])
    out = bytearray(data)
    out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def _byte(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + bytes([random.choice((0, 1, 0x7F, 0x80, 0xFF))]) + data[place + 1 :]


def _number(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    size = random.choice((1, 2, 4, 8))
    order = random.choice(("little", "big"))
    value = random.choice(NUMBERS) % (1 << (8 * size))
    place = random.randrange(len(data) + 1)
    if random.random() < 0.5:
        place = min(place, 256)  # where lengths and counts are
    return data[:place] + value.to_bytes(size, order) + data[place + size :]  # type: ignore[arg-type]


def _cut(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    a, b = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return random.choice((data[:a], data[a:], data[:a] + data[b:], data[:a] + data[a + 1 :]))


def _repeat(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    a, b = sorted(random.randrange(len(data) + 1) for _ in range(2))
    b = min(b, a + 4096)
    return data[:b] + data[a:b] + data[b:]


def _insert(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.randbytes(random.choice((1, 4, 8, 32, 64))) + data[place:]


def _splice(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(others) if others else data
    a, b = random.randrange(len(data) + 1), random.randrange(len(other) + 1)
    return data[:a] + other[b:] if random.random() < 0.5 else data[:a] + other[a:]


def _swap(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Two stretches of 32 or 64 bytes, a point's length, exchanged."""
    size = random.choice((8, 32, 64))
    if len(data) < 2 * size:
        return data[::-1]
    a, b = (random.randrange(len(data) - size + 1) for _ in range(2))
    out = bytearray(data)
    out[a : a + size], out[b : b + size] = data[b : b + size], data[a : a + size]
    return bytes(out)


_CHANGES = (_flip, _flip, _byte, _number, _number, _cut, _repeat, _insert, _splice, _swap)
