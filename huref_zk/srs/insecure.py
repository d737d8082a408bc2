"""The insecure SRS for tests: anybody can compute its tau from this very page.

It is the same file, byte for byte, on every machine, which makes verifying keys reproducible
without a ceremony's download. Proofs under it are void.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from huref_zk.curve.encoding import encode_raw
from huref_zk.curve.field import R, inverses, powers, root_of_unity
from huref_zk.curve.group import GENERATOR, FixedBase
from huref_zk.curve.pairing import G2_GENERATOR, encode_raw_g2, multiply_g2
from huref_zk.errors import InputError
from huref_zk.srs.layout import HEAD_BYTES

TEST_MAX_K = 18
"""The largest k a test SRS is made for (about a minute and 34 MB)."""

TEST_TAU_LABEL = b"huref_zk INSECURE test SRS, version 1: everybody knows this tau"
TEST_TAU = int.from_bytes(hashlib.shake_256(TEST_TAU_LABEL).digest(64), "big") % R


def insecure_file(k: int, folder: str | os.PathLike[str]) -> Path:
    """Where a key folder keeps the test SRS for domain 2^k."""
    return Path(folder) / f"kzg{k}.test.srs"


@functools.cache
def _digests() -> dict[str, str]:
    data = resources.files("huref_zk").joinpath("data", "test_srs_sha256.json")
    digests: dict[str, str] = json.loads(data.read_text(encoding="utf-8"))["sha256_by_k"]
    return digests


def insecure_sha256(k: int) -> str | None:
    """SHA-256 (hex) of what `insecure_srs` writes for domain 2^k, or None beyond TEST_MAX_K."""
    return _digests().get(str(k))


def insecure_srs(
    k: int, path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write the INSECURE test SRS for domain 2^k: its tau is public, so proofs under it are void.

    `progress` hears (points done, points in all). InputError for k outside 1..TEST_MAX_K.
    """
    if not 1 <= k <= TEST_MAX_K:
        raise InputError(f"a test SRS exists for k from 1 to {TEST_MAX_K} only, not {k}")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    scalars = powers(TEST_TAU, 1 << k) + lagrange_at(TEST_TAU, k)
    points = FixedBase(GENERATOR, width=10 if k < 13 else 13).multiples(scalars, progress)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(k.to_bytes(HEAD_BYTES, "little"))
            for point in points:
                file.write(encode_raw(point))
            for scalar in (1, TEST_TAU):
                file.write(encode_raw_g2(multiply_g2(G2_GENERATOR, scalar)))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return target


def lagrange_at(point: int, k: int) -> list[int]:
    """``L_i(point)`` for all i < n = 2^k: ``w^i (point^n - 1) / (n (point - w^i))`` mod r.

    The point must not be a root of unity itself.
    """
    n = 1 << k
    roots = powers(root_of_unity(k), n)
    factor = (pow(point, n, R) - 1) * pow(n, -1, R) % R
    scaled = inverses([point - root for root in roots])
    return [root * factor % R * inverse % R for root, inverse in zip(roots, scaled, strict=True)]
