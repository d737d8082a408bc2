"""The journal of a commitment in the making: the points of finished blocks of rows.

    32 bytes   label: binds all that the points depend on
    records    length of the matrix's name (1 byte), name, first row, number of rows (32 bits
               big-endian each), the points (64 bytes each, uncompressed), and the first 16 bytes of
               the SHA-256 of all that

A record that is torn or damaged ends the journal: what follows is computed again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point
from huref_zk.errors import InputError
from huref_zk.files.writing import cannot_write

LABEL = 32
MAX_BYTES = 1 << 24
"""More than the points of the largest commitment take; what follows is nothing that we wrote."""
_POINT = 64
_CHECK = 16


class Journal:
    """Finished blocks, on disk. Nothing in it is secret.

    label: 32 bytes; a journal of another label is begun anew. done: points by matrix and first row.
    InputError where the file cannot be read or written, EnvironmentLacks where there is no room.
    """

    def __init__(self, path: Path, label: bytes):
        self.path = path
        self.done: dict[tuple[str, int], list[Point]] = {}
        try:
            data = b""
            if path.is_file():
                with open(path, "rb") as file:
                    data = file.read(MAX_BYTES)
            if data[:LABEL] != label:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(label)
                return
            position = LABEL
            while (record := _read(data, position)) is not None:
                name, start, points, position = record
                self.done[name, start] = points
            if position < path.stat().st_size:
                os.truncate(path, position)
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, name: str, start: int, points: Sequence[Point]) -> None:
        """Keep the points of the rows from ``start`` on."""
        record = len(name).to_bytes(1, "big") + name.encode()
        record += start.to_bytes(4, "big") + len(points).to_bytes(4, "big")
        record += b"".join(map(bn254.encode_uncompressed, points))
        try:
            with open(self.path, "ab") as file:
                file.write(record + _check(record))
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def remove(self) -> None:
        """The commitment is complete."""
        self.path.unlink(missing_ok=True)


def _check(record: bytes) -> bytes:
    return hashlib.sha256(record).digest()[:_CHECK]


def _read(data: bytes, position: int) -> tuple[str, int, list[Point], int] | None:
    """(matrix, first row, points, end) of the record at ``position``; None unless it is whole."""
    if position >= len(data):
        return None
    at = position + 1 + data[position]
    start, count = (int.from_bytes(data[i : i + 4], "big") for i in (at, at + 4))
    end = at + 8 + _POINT * count
    if data[end : end + _CHECK] != _check(data[position:end]):
        return None
    try:
        points = [
            bn254.decode_uncompressed(data[i : i + _POINT]) for i in range(at + 8, end, _POINT)
        ]
        return data[position + 1 : at].decode("ascii"), start, points, end + _CHECK
    except (InputError, UnicodeDecodeError):
        return None
