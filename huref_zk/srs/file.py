"""SRS files: what one is, its Lagrange points, and small slices of it.

The format is described in layout.py. Whoever knows tau can prove anything: a *ceremony's* file
comes from a ceremony in which nobody does unless all participants colluded (ceremonies.py); the
*test* SRS has a tau that everybody can compute (insecure.py); of an *unknown* file only its user
can say where it is from. Who accepts which: trust.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from huref_zk.curve.encoding import decode_raw_many, encode_raw
from huref_zk.curve.group import GENERATOR, Point
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.files.writing import write_atomically
from huref_zk.srs.ceremonies import recognise
from huref_zk.srs.insecure import insecure_sha256
from huref_zk.srs.layout import G1_BYTES, HEAD_BYTES, g2_points, read_k, sha256_of
from huref_zk.srs.name import SrsName
from huref_zk.srs.structure import Progress


@dataclass(frozen=True)
class SrsId:
    """What an SRS file is.

    kind: "ceremony", "test" or "unknown"; k: for domain 2^k; sha256: hex; ceremony: its name, or ""
    for the other kinds.
    """

    kind: str
    k: int
    sha256: str
    ceremony: str = field(default="", compare=False)


@dataclass(frozen=True)
class Srs:
    """An SRS file on disk together with its identity."""

    path: Path
    id: SrsId

    @property
    def k(self) -> int:
        return self.id.k

    @property
    def sha256(self) -> str:
        return self.id.sha256

    @property
    def kind(self) -> str:
        return self.id.kind

    @property
    def name(self) -> SrsName:
        """What a commitment calls it."""
        return SrsName("named" if self.kind == "unknown" else self.kind, self.k, self.sha256)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Srs:
        """An SRS file, hashed and identified (see `identify`)."""
        return cls(Path(path), identify(path))

    def lagrange(self, start: int, count: int) -> list[Point]:
        """g_lagrange[start : start + count], checked to be on the curve. EnvironmentLacks where the
        file, which is our own and was identified, does not hold them (any more)."""
        data = self.lagrange_bytes(start, count)
        try:
            return decode_raw_many(data)
        except InputError as error:
            raise EnvironmentLacks(f"the SRS file {self.path} is damaged: {error}") from error

    def lagrange_bytes(self, start: int, count: int) -> bytes:
        """The same points as the file has them, 64 bytes each. EnvironmentLacks, as lagrange."""
        n = 1 << self.k
        if count < 0 or start < 0 or start + count > n:
            raise InputError(f"the SRS holds {n} Lagrange points, not {start + count}")
        try:
            with open(self.path, "rb") as file:
                file.seek(HEAD_BYTES + G1_BYTES * (n + start))
                data = file.read(G1_BYTES * count)
        except OSError as error:
            raise EnvironmentLacks(
                f"cannot read the SRS file {self.path}: {error.strerror}"
            ) from error
        if len(data) != G1_BYTES * count:
            raise EnvironmentLacks(f"the SRS file {self.path} has become shorter")
        return data


def identify(
    path: str | os.PathLike[str], sha256: str | None = None, progress: Progress | None = None
) -> SrsId:
    """What an SRS file is. sha256 (hex): its digest, if it is known already.

    A file with a ceremony's tau G2 has its structure checked, which takes seconds, unless its
    digest is listed or a note beside it says that it was. InputError if it is not an SRS file at
    all, or has a ceremony's tau G2 and a wrong structure.
    """
    k = read_k(path)
    if sha256 is None:
        sha256 = sha256_of(path)
    if sha256 == insecure_sha256(k):
        return SrsId("test", k, sha256)
    ceremony = recognise(path, sha256, progress)
    if ceremony is None:
        return SrsId("unknown", k, sha256)
    return SrsId("ceremony", k, sha256, ceremony.name)


def ceremony_file(k: int, folder: str | os.PathLike[str]) -> Path:
    """Where a key folder keeps the SRS for domain 2^k that is proved under."""
    return Path(folder) / f"kzg{k}.srs"


def slice_srs(srs: Srs, k: int, start: int, path: str | os.PathLike[str]) -> None:
    """Write a small SRS file whose Lagrange points are `srs`'s from `start` on, 2^k of them.

    ezkl.kzg_commit reads nothing else of it; so it commits to a stretch of a long column in the
    large domain at the price of a small one. The file is good for nothing else: the powers are
    the same points. Points missing at the end are the generator's.
    """
    count = min(1 << k, (1 << srs.k) - start)
    missing = encode_raw(GENERATOR) * ((1 << k) - count)
    points = srs.lagrange_bytes(start, count) + missing
    g2 = b"".join(g2_points(srs.path, srs.k))
    write_atomically(path, k.to_bytes(HEAD_BYTES, "little") + points + points + g2)
