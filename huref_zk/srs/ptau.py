"""Powers-of-tau files of snarkjs (`.ptau`): read, bounded and strictly, and converted to an SRS.

A ceremony of power m publishes, in the curve's groups, powers of one secret tau. The file:

    bytes 0..4          b"ptau"
    4..8, 8..12         version (1) and number of sections, unsigned 32 bits little-endian
    each section        type (32 bits), length (64 bits), content

    section 1           n8 = 32 (32 bits), q (32 bytes), m, power of the whole ceremony (32 bits)
    section 2           tau^i G for i < 2^(m+1) - 1
    section 3           tau^i G2 for i < 2^m
    section 12          "prepared" files only: for each p = 0, 1, ... the 2^p Lagrange points
                        L_i(tau) G of the 2^p-th roots of unity, up to p = m or m + 1

All numbers are little-endian. Points are uncompressed, coordinates in Montgomery form: byte for
byte what an SRS file holds (layout.py). Only the order of the Lagrange points differs: snarkjs
generates the roots of unity from 5, halo2 from 7. Other sections (alpha, beta, contributions) are
no part of an SRS and are passed over. Nothing here judges the points; see structure.py.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from huref_zk.curve.encoding import decode_raw_many, encode_raw
from huref_zk.curve.field import Q, R, root_of_unity
from huref_zk.curve.group_fft import Progress, lagrange_points
from huref_zk.errors import InputError
from huref_zk.srs.layout import G1_BYTES, G2_BYTES, HEAD_BYTES

MAGIC = b"ptau"
VERSION = 1
MAX_SECTIONS = 64
MAX_POWER = 28
"""The most 2-adic roots of unity that the scalar field has."""

HEADER, TAU_G1, TAU_G2, LAGRANGE = 1, 2, 3, 12

_SNARKJS_NONRESIDUE = 5
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Ptau:
    """A .ptau file's outline. power: m; sections: type -> (offset, length) of its content."""

    path: Path
    power: int
    sections: dict[int, tuple[int, int]]

    @property
    def prepared(self) -> int:
        """The largest p whose Lagrange points the file holds; -1 if it holds none."""
        if LAGRANGE not in self.sections:
            return -1
        return (self.sections[LAGRANGE][1] // G1_BYTES + 1).bit_length() - 2


def is_ptau(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file opens with the magic of a .ptau file. Raises InputError."""
    with _open(path) as file:
        return file.read(4) == MAGIC


def read_ptau(path: str | os.PathLike[str]) -> Ptau:
    """The outline of a .ptau file over BN254; every length in it has been checked.

    Raises InputError for everything else, and reads no more than the sections' heads.
    """
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] != MAGIC or len(head) != 12:
            raise InputError(f"{path} is no .ptau file: it starts with other bytes")
        version, count = struct.unpack("<II", head[4:])
        if version != VERSION:
            raise InputError(f"{path} has .ptau version {version}, not {VERSION}")
        if count > MAX_SECTIONS:
            raise InputError(f"{path} claims {count} sections, at most {MAX_SECTIONS} may be")
        sections: dict[int, tuple[int, int]] = {}
        position = 12
        for _ in range(count):
            file.seek(position)
            head = file.read(12)
            if len(head) != 12:
                raise InputError(f"{path} ends inside a section's head")
            kind, length = struct.unpack("<IQ", head)
            position += 12
            if kind in sections:
                raise InputError(f"{path} has section {kind} twice")
            if length > size - position:
                raise InputError(f"{path} ends inside section {kind}")
            sections[kind] = (position, length)
            position += length
        if position != size:
            raise InputError(f"{path} goes on after its last section")
        power = _read_header(file, path, sections)
    ptau = Ptau(Path(path), power, sections)
    _check_lengths(ptau)
    return ptau


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would block
            raise InputError(f"{path} is not a regular file")
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _read_header(
    file: BinaryIO, path: str | os.PathLike[str], sections: dict[int, tuple[int, int]]
) -> int:
    position, length = sections.get(HEADER, (0, 0))
    if length != 44:
        raise InputError(f"{path} has no header of a curve with 32-byte coordinates")
    file.seek(position)
    data = file.read(length)
    prime = int.from_bytes(data[4:36], "little")
    numbers: tuple[int, int, int] = struct.unpack("<I32xII", data)
    width, power, ceremony = numbers
    if width != 32 or prime != Q:
        raise InputError(f"{path} is over another field than BN254's")
    if not 1 <= power <= ceremony <= MAX_POWER:
        raise InputError(
            f"{path} claims power {power} of {ceremony}; 1 to {MAX_POWER} are possible"
        )
    return power


def _check_lengths(ptau: Ptau) -> None:
    m = ptau.power
    wanted = {
        TAU_G1: ("powers in G1", [G1_BYTES * ((2 << m) - 1)]),
        TAU_G2: ("powers in G2", [G2_BYTES << m]),
        LAGRANGE: ("Lagrange points", [G1_BYTES * ((2 << p) - 1) for p in (m, m + 1)]),
    }
    for kind, (name, lengths) in wanted.items():
        if kind not in ptau.sections:
            if kind == LAGRANGE:
                continue
            raise InputError(f"{ptau.path} lacks section {kind}, the {name}")
        length = ptau.sections[kind][1]
        if length not in lengths:
            raise InputError(
                f"{ptau.path}: the {name} of power {m} take {lengths[0]} bytes, not {length}"
            )


def convert(
    ptau: Ptau, k: int, target: str | os.PathLike[str], progress: Progress | None = None
) -> None:
    """Write the SRS for domain 2^k (1 <= k <= the file's power) to ``target``, unchecked.

    Lagrange points come from the file if it is prepared, else they are computed from the powers
    (group_fft.lagrange_points, about 1 ms times (k+1) 2^(k-1)). Raises InputError.
    """
    if not 1 <= k <= ptau.power:
        raise InputError(f"{ptau.path} goes up to 2^{ptau.power}; no SRS for k={k} is in it")
    n = 1 << k
    with open(ptau.path, "rb") as source, open(target, "wb") as out:
        out.write(k.to_bytes(HEAD_BYTES, "little"))
        _copy(source, ptau.sections[TAU_G1][0], G1_BYTES * n, out)
        if ptau.prepared >= k:
            source.seek(ptau.sections[LAGRANGE][0] + G1_BYTES * (n - 1))
            out.write(_reordered(_exactly(source, G1_BYTES * n), k))
        else:
            source.seek(ptau.sections[TAU_G1][0])
            powers = decode_raw_many(_exactly(source, G1_BYTES * n))
            for point in lagrange_points(powers, progress):
                out.write(encode_raw(point))
        _copy(source, ptau.sections[TAU_G2][0], 2 * G2_BYTES, out)


def _reordered(data: bytes, k: int) -> bytes:
    """Lagrange points by powers of snarkjs's root of unity -> by powers of halo2's."""
    n = 1 << k
    step = _logarithm(root_of_unity(k), pow(_SNARKJS_NONRESIDUE, (R - 1) >> k, R), k)
    places = (i * step % n * G1_BYTES for i in range(n))
    return b"".join(data[place : place + G1_BYTES] for place in places)


def _logarithm(value: int, base: int, k: int) -> int:
    """The e with base^e = value, for a base of order 2^k: bit by bit."""
    exponent = 0
    for bit in range(k):
        rest = value * pow(base, -exponent, R) % R  # has order at most 2^(k - bit)
        if pow(rest, 1 << (k - 1 - bit), R) != 1:
            exponent |= 1 << bit
    return exponent


def _copy(source: BinaryIO, start: int, length: int, out: BinaryIO) -> None:
    source.seek(start)
    while length:
        block = _exactly(source, min(length, _BLOCK))
        out.write(block)
        length -= len(block)


def _exactly(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise InputError("the .ptau file ends too early")
    return data
