"""The pieces of a SentencePiece model, out of its protobuf and nothing else of it.

The form is public: a message whose field 1 is a piece each time (1 text, 2 score, 3 kind), and
whose field 2 says how it was trained (3: by unigram or by merges).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
UNIGRAM, BPE = 1, 2
MAX_PIECES = 1 << 22
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class Pieces:
    """pieces: by id; merges: whether they were learnt by merging (else as a unigram model)."""

    pieces: tuple[Piece, ...]
    merges: bool


def parse_pieces(data: bytes) -> Pieces:
    """The pieces of a model. ValueError for what is none."""
    pieces, trained = [], UNIGRAM
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            pieces.append(_piece(value))
            if len(pieces) > MAX_PIECES:
                raise ValueError("it has too many pieces")
        elif field == 2 and isinstance(value, bytes):
            told = [v for f, v in _fields(value) if f == 3 and isinstance(v, int)]
            trained = told[-1] if told else UNIGRAM
    if not pieces:
        raise ValueError("it has no pieces")
    return Pieces(tuple(pieces), trained == BPE)


def _piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, NORMAL
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif field == 2 and isinstance(value, float):
            score = value
        elif field == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(number, value) of a message's fields; ValueError where it is malformed."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if field == 0:
            raise ValueError("it has a field of number 0")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("it has a field of an unknown kind")
        if size > len(data) - at:
            raise ValueError("it ends early")
        part = data[at : at + size]
        at += size
        yield field, struct.unpack("<f", part)[0] if wire == _FIXED32 else part


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it has a number that does not end")
