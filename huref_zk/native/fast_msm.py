"""Large multi-scalar sums through ezkl: several times as fast as group.msm, start of a child
included.

ezkl commits to a column of numbers under the Lagrange points of an SRS file. We write a file whose
"Lagrange points" are the points at hand, and the commitment is the sum, plus that of the last
points, into whose rows ezkl writes ones; an empty column shows that surplus.

What is trusted: that ezkl does its work on good points, as with proofs. Points off the curve, on
which it would compute without a word, are refused here first. Each sum is computed twice, the
second time with every scalar times a secret random factor, which puts all points into other
buckets, and each time with another secret multiple of the generator in it; the two must fit. So an
ezkl that lays columns out otherwise, returns anything else, or errs where two points happen to be
equal or opposite, is noticed, and group.msm steps in; as it does where ezkl cannot run.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from huref_zk.curve import group
from huref_zk.curve.encoding import (
    UNCOMPRESSED_BYTES,
    decode_uncompressed,
    encode_raw,
    encode_uncompressed,
    from_ezkl,
)
from huref_zk.curve.field import BYTES, R
from huref_zk.curve.group import GENERATOR, Point, add, is_on_curve, multiply, negate
from huref_zk.curve.pairing import G2_GENERATOR, encode_raw_g2
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.native.process import GIB, Child

MIN_POINTS = 2000
"""With fewer, group.msm is as fast."""

MAX_K = 18
_RESERVED = 6  # rows that the circuit of the shipped key keeps for ezkl
_SECONDS = 60.0
_MEMORY = 4 * GIB


def msm(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """``sum_i scalars[i] * points[i]`` (scalars: any integers, taken mod r), as group.msm.

    InputError if a point is not on the curve.
    """
    if len(points) != len(scalars):
        raise ValueError("msm needs as many scalars as points")
    terms = [(p, s % R) for p, s in zip(points, scalars, strict=True) if p is not None]
    if not all(is_on_curve(point) for point, _ in terms):
        raise InputError("not a point of the curve")
    k = (len(terms) + 1 + _RESERVED).bit_length()
    if len(terms) >= MIN_POINTS and k <= MAX_K:
        try:
            return _through_ezkl(k, terms)
        except (EnvironmentLacks, InputError):
            pass
    return group.msm(points, scalars)


def _through_ezkl(k: int, terms: Sequence[tuple[Point, int]]) -> Point:
    """The sum of terms that leave a domain of 2^k its reserved rows and one for the generator.
    InputError if ezkl errs."""
    factor, first, second = (secrets.randbits(128) for _ in range(3))
    with Child(memory=_MEMORY) as child:  # it starts while we write
        srs = _srs(k, [GENERATOR, *(point for point, _ in terms)])
        once = [first, *(scalar for _, scalar in terms)]
        again = [second, *(scalar * factor % R for _, scalar in terms)]
        answer = child.call(__name__, "commit", (srs, _felts(k, [once, again])), _SECONDS)
    if type(answer) is not bytes or len(answer) != 3 * UNCOMPRESSED_BYTES:
        raise InputError("ezkl lays columns out in another way")
    starts = range(0, len(answer), UNCOMPRESSED_BYTES)
    *sums, nothing = (decode_uncompressed(answer[i : i + 64]) for i in starts)
    total, times_factor = (
        add(found, negate(add(nothing, multiply(GENERATOR, known))))
        for found, known in zip(sums, (first, second), strict=True)
    )
    if multiply(total, factor) != times_factor:
        raise InputError("ezkl's sums do not fit")
    return total


def _srs(k: int, points: Sequence[Point]) -> bytes:
    """An SRS file with these Lagrange points, the generator after them; no other use is made."""
    size = 1 << k
    body = b"".join(map(encode_raw, points)) + encode_raw(GENERATOR) * (size - len(points))
    return k.to_bytes(4, "little") + body + body + 2 * encode_raw_g2(G2_GENERATOR)


def _felts(k: int, columns: Sequence[Sequence[int]]) -> bytes:
    """Columns one after the other, each as long as its domain takes, 32 bytes little-endian."""
    rows = (1 << k) - _RESERVED
    padded = [b"".join(s.to_bytes(BYTES, "little") for s in column) for column in columns]
    return b"".join(column.ljust(BYTES * rows, b"\0") for column in padded)


def commit(srs: bytes, felts: bytes) -> bytes:
    """Within the child: the commitments to the columns and to an empty one, which ezkl adds where
    the last column is full; 64 bytes each."""
    import ezkl

    data = resources.files("huref_zk").joinpath("data")
    for name in ("msm.vk", "msm.settings.json"):
        Path(name).write_bytes(data.joinpath(name).read_bytes())
    Path("srs").write_bytes(srs)
    numbers = [felts[i : i + BYTES].hex() for i in range(0, len(felts), BYTES)]
    points = ezkl.kzg_commit(numbers, "msm.vk", "msm.settings.json", "srs")
    return b"".join(encode_uncompressed(from_ezkl(point)) for point in points)
