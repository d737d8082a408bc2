"""The structured reference string (SRS): its file, its identity, and an insecure one for tests.

File format ("halo2 raw"), as ezkl reads and writes it, n = 2^k:

    bytes 0..4          k, unsigned 32 bits little-endian
    n x 64 bytes        g[i]          = tau^i G            (powers form)
    n x 64 bytes        g_lagrange[i] = L_i(tau) G         (L_i: i-th Lagrange polynomial over the
                                                            n-th roots of unity 1, w, w^2, ...)
    128 bytes           G2            the generator of G2: x = x0 + x1 u, y = y0 + y1 u as
    128 bytes           tau G2            x0, x1, y0, y1

Every coordinate is 32 bytes little-endian in Montgomery form (bn254.decode_raw), so a file has
4 + 128 n + 256 bytes. Whoever knows tau can prove anything: a *ceremony* file comes from the
perpetual powers of tau, in which nobody does unless all participants colluded; the *test* SRS below
has a tau that anybody can compute from this very page.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, Q, R
from huref_zk.errors import EnvironmentLacks, InputError

MAX_K = 26
"""The largest k whose ceremony digest is known, and the largest file looked at (8.6 GB)."""

TEST_MAX_K = 18
"""The largest k a test SRS is made for (about a minute and 34 MB)."""

TEST_TAU_LABEL = b"huref_zk INSECURE test SRS, version 1: everybody knows this tau"
TEST_TAU = int.from_bytes(hashlib.shake_256(TEST_TAU_LABEL).digest(64), "big") % R

_MULTIPLICATIVE_GENERATOR = 7  # of F_r*, as in halo2curves

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SrsId:
    """What an SRS file is: `kind` is "ceremony", "test" or "unknown"; sha256 in hex."""

    kind: str
    k: int
    sha256: str


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

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Srs:
        return cls(Path(path), identify(path))

    def lagrange(self, start: int, count: int) -> list[Point]:
        """g_lagrange[start : start + count], checked to be on the curve."""
        data = self.lagrange_bytes(start, count)
        return [bn254.decode_raw(data[i : i + 64]) for i in range(0, len(data), 64)]

    def lagrange_bytes(self, start: int, count: int) -> bytes:
        """The same points as the file has them, 64 bytes each."""
        n = 1 << self.k
        if count < 0 or start < 0 or start + count > n:
            raise InputError(f"the SRS holds {n} Lagrange points, not {start + count}")
        with open(self.path, "rb") as file:
            file.seek(4 + 64 * (n + start))
            data = file.read(64 * count)
        if len(data) != 64 * count:
            raise InputError(f"{self.path}: the SRS file ends too early")
        return data


def file_size(k: int) -> int:
    """Bytes of an SRS file for domain 2^k."""
    return 4 + 128 * (1 << k) + 256


def read_k(path: str | os.PathLike[str]) -> int:
    """The k of an SRS file, after checking that the file's size fits it."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise InputError(f"cannot read the SRS file {path}: {error.strerror}") from error
    k = int.from_bytes(head, "little")
    if len(head) != 4 or not 1 <= k <= MAX_K:
        raise InputError(f"{path} is not an SRS file: its k must lie in 1..{MAX_K}")
    if size != file_size(k):
        raise InputError(f"{path} is not an SRS file for k={k}: {size} bytes, not {file_size(k)}")
    return k


def identify(path: str | os.PathLike[str]) -> SrsId:
    """Hash an SRS file and say what it is. InputError if it is not an SRS file at all."""
    k = read_k(path)
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    sha256 = digest.hexdigest()
    return SrsId(kind_of(k, sha256), k, sha256)


@functools.cache
def _digests(name: str) -> dict[str, str]:
    text = resources.files("huref_zk").joinpath("data", name).read_text(encoding="utf-8")
    digests: dict[str, str] = json.loads(text)["sha256_by_k"]
    return digests


def ceremony_sha256(k: int) -> str | None:
    """SHA-256 (hex) of the ceremony file for domain 2^k, or None if it is not listed."""
    return _digests("ceremony_srs_sha256.json").get(str(k))


def test_sha256(k: int) -> str | None:
    """SHA-256 (hex) of what `test_srs` writes for domain 2^k, or None beyond TEST_MAX_K."""
    return _digests("test_srs_sha256.json").get(str(k))


def is_trusted(srs_id: SrsId, trusted: Collection[str] = ()) -> bool:
    """Whether an SRS is the ceremony's, or one that the caller named by its SHA-256 (hex).

    Naming it makes no test SRS acceptable: everybody knows that one's secret.
    """
    if srs_id.kind == "unknown":
        return srs_id.sha256 in {digest.lower() for digest in trusted}
    return srs_id.kind == "ceremony"


def kind_of(k: int, sha256: str) -> str:
    """The kind of the SRS for domain 2^k with this SHA-256 (hex): see SrsId."""
    if sha256 == ceremony_sha256(k):
        return "ceremony"
    return "test" if sha256 == test_sha256(k) else "unknown"


def ceremony_file(k: int, folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / f"kzg{k}.srs"


def test_file(k: int, folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / f"kzg{k}.test.srs"


def find_srs(
    k: int,
    folder: str | os.PathLike[str],
    make_test: bool = False,
    progress: Progress | None = None,
    trusted: Collection[str] = (),
) -> Srs:
    """The SRS for domain 2^k in `folder`: the ceremony's if it is there, else the test one.

    `kzg<k>.srs` must be the ceremony's file, or one whose SHA-256 (hex) is in `trusted`;
    `kzg<k>.test.srs` is the test SRS, made here when it is missing and `make_test` is set.
    InputError when another file lies there, EnvironmentLacks when there is neither.
    """
    path = ceremony_file(k, folder)
    if path.exists():
        srs = Srs.open(path)
        if srs.k != k or not is_trusted(srs.id, trusted):
            raise InputError(
                f"{path} is not the ceremony's SRS for k={k}; remove or replace it, or say that "
                f"you trust it: --trust-srs {srs.sha256}"
            )
        return srs
    return find_test_srs(k, folder, make_test, progress)


def find_test_srs(
    k: int,
    folder: str | os.PathLike[str],
    make: bool = False,
    progress: Progress | None = None,
) -> Srs:
    """As find_srs, but the test SRS even where the ceremony's is at hand."""
    path = test_file(k, folder)
    if not path.exists():
        if not make:
            raise EnvironmentLacks(
                f"no SRS for k={k} in {folder}: put the ceremony file at {ceremony_file(k, folder)}"
                ", or run setup, which makes an insecure test SRS"
            )
        test_srs(k, path, progress)
    srs = Srs.open(path)
    if srs.id.kind != "test" or srs.k != k:
        raise InputError(f"{path} is not the test SRS for k={k}; remove it, setup makes it again")
    return srs


def slice_srs(srs: Srs, k: int, start: int, path: str | os.PathLike[str]) -> None:
    """Write a small SRS file whose Lagrange points are `srs`'s from `start` on, 2^k of them.

    ezkl.kzg_commit reads nothing else of it; so it commits to a stretch of a long column in the
    large domain at the price of a small one. The file is good for nothing else: the powers are
    the same points. Points missing at the end are the generator's.
    """
    count = min(1 << k, (1 << srs.k) - start)
    missing = bn254.encode_raw(bn254.GENERATOR) * ((1 << k) - count)
    points = srs.lagrange_bytes(start, count) + missing
    with open(srs.path, "rb") as file:
        file.seek(-256, os.SEEK_END)
        g2 = file.read()
    Path(path).write_bytes(k.to_bytes(4, "little") + points + points + g2)


def test_srs(k: int, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """Write the INSECURE test SRS for domain 2^k: its tau is public, so proofs under it are void.

    It is the same file, byte for byte, on every machine, which makes verifying keys reproducible
    without the ceremony's download. `progress` hears (points done, points in all).
    """
    if not 1 <= k <= TEST_MAX_K:
        raise InputError(f"a test SRS exists for k from 1 to {TEST_MAX_K} only, not {k}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    n = 1 << k
    scalars = _powers(TEST_TAU, n) + lagrange_at(TEST_TAU, k)
    points = bn254.FixedBase(bn254.GENERATOR, width=10 if k < 13 else 13).multiples(
        scalars, progress
    )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(k.to_bytes(4, "little"))
            for point in points:
                file.write(bn254.encode_raw(point))
            for scalar in (1, TEST_TAU):
                file.write(_raw_g2_multiple(scalar))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def root_of_unity(k: int) -> int:
    """The generator w of the 2^k-th roots of unity that halo2 uses."""
    return pow(_MULTIPLICATIVE_GENERATOR, (R - 1) >> k, R)


def lagrange_at(point: int, k: int) -> list[int]:
    """``L_i(point)`` for all i < n = 2^k: ``w^i (point^n - 1) / (n (point - w^i))`` mod r.

    The point must not be a root of unity itself.
    """
    n = 1 << k
    roots = _powers(root_of_unity(k), n)
    factor = (pow(point, n, R) - 1) * pow(n, -1, R) % R
    inverses = invert_all([point - root for root in roots])
    return [root * factor % R * inverse % R for root, inverse in zip(roots, inverses, strict=True)]


def invert_all(values: Sequence[int]) -> list[int]:
    """The inverses mod r of nonzero values, at the price of one inversion."""
    prefixes = [1]
    for value in values:
        prefixes.append(prefixes[-1] * value % R)
    inverse = pow(prefixes.pop(), -1, R)
    results = []
    for value, prefix in zip(reversed(values), reversed(prefixes), strict=True):
        results.append(inverse * prefix % R)
        inverse = inverse * value % R
    results.reverse()
    return results


def _powers(base: int, count: int) -> list[int]:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * base % R)
    return powers


def _raw_g2_multiple(scalar: int) -> bytes:
    from py_ecc import optimized_bn128 as oracle

    x, y = oracle.normalize(oracle.multiply(oracle.G2, scalar))
    parts = [int(c) for c in (*x.coeffs, *y.coeffs)]
    return b"".join((part * bn254.MONTGOMERY % Q).to_bytes(32, "little") for part in parts)
