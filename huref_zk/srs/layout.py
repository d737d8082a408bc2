"""How a structured reference string (SRS) lies in its file, and what can be read off cheaply.

File format ("halo2 raw"), as ezkl reads and writes it, n = 2^k:

    bytes 0..4          k, unsigned 32 bits little-endian
    n x 64 bytes        g[i]          = tau^i G            (powers form)
    n x 64 bytes        g_lagrange[i] = L_i(tau) G         (L_i: i-th Lagrange polynomial over the
                                                            n-th roots of unity 1, w, w^2, ...)
    128 bytes           G2            the generator of G2: x = x0 + x1 u, y = y0 + y1 u as
    128 bytes           tau G2            x0, x1, y0, y1

Every coordinate is 32 bytes little-endian in Montgomery form (bn254.decode_raw), so a file has
4 + 128 n + 256 bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat

from huref_zk.errors import InputError

MAX_K = 26
"""The largest file looked at: 8.6 GB."""

HEAD_BYTES, G1_BYTES, G2_BYTES = 4, 64, 128
_BLOCK = 1 << 20


def file_size(k: int) -> int:
    """Bytes of an SRS file for domain 2^k."""
    return HEAD_BYTES + 2 * G1_BYTES * (1 << k) + 2 * G2_BYTES


def read_k(path: str | os.PathLike[str]) -> int:
    """The k of an SRS file, after checking that the file's size fits it. InputError."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # before opening: a pipe would block
            raise InputError(f"the SRS file {path} is not a regular file")
        size = status.st_size
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the SRS file {path}: {error.strerror}") from error
    k = int.from_bytes(head, "little")
    if len(head) != HEAD_BYTES or not 1 <= k <= MAX_K:
        raise InputError(f"{path} is not an SRS file: its k must lie in 1..{MAX_K}")
    if size != file_size(k):
        raise InputError(f"{path} is not an SRS file for k={k}: {size} bytes, not {file_size(k)}")
    return k


def read_stretch(path: str | os.PathLike[str], start: int, length: int) -> bytes:
    """``length`` bytes from ``start`` on. InputError where the file ends before that."""
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(length)
    if len(data) != length:
        raise InputError(f"{path}: the SRS file ends too early")
    return data


def g2_points(path: str | os.PathLike[str], k: int) -> tuple[bytes, bytes]:
    """(G2, tau G2) of an SRS file for domain 2^k, 128 raw bytes each."""
    data = read_stretch(path, file_size(k) - 2 * G2_BYTES, 2 * G2_BYTES)
    return data[:G2_BYTES], data[G2_BYTES:]


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a whole file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
