"""Powers-of-tau files and SRS files made from a tau that the test knows."""

from __future__ import annotations

import struct

from py_ecc import optimized_bn128 as oracle

from huref_zk.curve.encoding import MONTGOMERY, encode_raw
from huref_zk.curve.field import Q, R, root_of_unity
from huref_zk.curve.group import GENERATOR, FixedBase

TAU = 0x1F2E3D4C5B6A79881122334455667788990011223344556677 % R
_BASE = FixedBase(GENERATOR, width=6)


def g1(scalars: list[int]) -> bytes:
    """``s G`` for each s, raw."""
    return b"".join(encode_raw(p) for p in _BASE.multiples(scalars))


def g2(scalar: int) -> bytes:
    """``scalar G2``, raw: 128 bytes."""
    x, y = oracle.normalize(oracle.multiply(oracle.G2, scalar % R))
    parts = [int(c) * MONTGOMERY % Q for c in (*x.coeffs, *y.coeffs)]
    return b"".join(c.to_bytes(32, "little") for c in parts)


def lagrange(tau: int, root: int, n: int) -> list[int]:
    """L_i(tau) from the definition as a geometric series: ``1/n sum_j (tau root^-i)^j``."""
    out = []
    for i in range(n):
        ratio = tau * pow(root, -i, R) % R
        total = n if ratio == 1 else (pow(ratio, n, R) - 1) * pow(ratio - 1, -1, R)
        out.append(total * pow(n, -1, R) % R)
    return out


def raw_srs(k: int, tau: int = TAU) -> bytes:
    """The halo2 raw file of this tau."""
    n = 1 << k
    powers = [pow(tau, i, R) for i in range(n)]
    points = g1(powers) + g1(lagrange(tau, root_of_unity(k), n))
    return k.to_bytes(4, "little") + points + g2(1) + g2(tau)


def sections(power: int, tau: int = TAU, prepared: int | None = None) -> dict[int, bytes]:
    """A ceremony's sections by type; prepared: Lagrange points for 2^0 .. 2^prepared."""
    n = 1 << power
    header = struct.pack("<I", 32) + Q.to_bytes(32, "little") + struct.pack("<II", power, 28)
    parts = {
        1: header,
        2: g1([pow(tau, i, R) for i in range(2 * n - 1)]),
        3: g2(1) + g2(tau) + g2(tau * tau) * (n - 2),  # nobody reads on after the second
        4: g1([3] * n),
        5: g1([5] * n),
        6: g2(5),
        7: struct.pack("<I", 0),
    }
    if prepared is not None:
        points = b""
        for p in range(prepared + 1):
            size = 1 << p
            scalars = lagrange(tau, pow(5, (R - 1) >> p, R), size)
            if p == power + 1:  # the ceremony lacks the last power of this size: it counts as 0
                scalars = [
                    (s - pow(tau * pow(5, -i * ((R - 1) >> p), R), size - 1, R) * pow(size, -1, R))
                    % R
                    for i, s in enumerate(scalars)
                ]
            points += g1(scalars)
        parts[12] = points
    return parts


def pack(parts: dict[int, bytes] | list[tuple[int, bytes]], **changes) -> bytes:
    """The file of these sections; changes: magic, version, count say something else."""
    items = list(parts.items()) if isinstance(parts, dict) else parts
    head = changes.get("magic", b"ptau") + struct.pack(
        "<II", changes.get("version", 1), changes.get("count", len(items))
    )
    return head + b"".join(struct.pack("<IQ", t, len(data)) + data for t, data in items)
