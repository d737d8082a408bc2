"""G2 of BN254 and pairings: the only module that knows py_ecc, which is imported when first needed.

A point of G2 is ``((x0, x1), (y0, y1))`` for x = x0 + x1 u, y = y0 + y1 u with ints in [0, q), or
``None`` for the point at infinity. In SRS files it has 128 bytes: x0, x1, y0, y1, each as a raw
coordinate (encoding.py).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

from huref_zk.curve.encoding import decode_raw_coordinate, encode_raw_coordinate
from huref_zk.curve.field import R
from huref_zk.curve.group import Point
from huref_zk.errors import InputError

G2Point = tuple[tuple[int, int], tuple[int, int]] | None

G2_BYTES = 128
G2_GENERATOR: G2Point = (
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)


def multiply_g2(point: G2Point, scalar: int) -> G2Point:
    """``scalar * point``; the scalar is taken mod r."""
    oracle = _oracle()
    product = oracle.multiply(_lifted_g2(point), scalar % R)
    if oracle.is_inf(product):
        return None
    x, y = (tuple(int(c) for c in part.coeffs) for part in oracle.normalize(product))
    return (x[0], x[1]), (y[0], y[1])


def encode_raw_g2(point: G2Point) -> bytes:
    """The 128 bytes of a point of G2 in an SRS file; infinity has none (ValueError)."""
    if point is None:
        raise ValueError("infinity has no place in an SRS file")
    return b"".join(encode_raw_coordinate(c) for part in point for c in part)


def decode_raw_g2(data: bytes) -> G2Point:
    """The point of 128 raw bytes. InputError unless its coordinates are canonical and it lies on
    the twisted curve and in the subgroup of order r."""
    if len(data) != G2_BYTES:
        raise InputError(f"a raw point of G2 must have {G2_BYTES} bytes, not {len(data)}")
    x0, x1, y0, y1 = (decode_raw_coordinate(data[i : i + 32]) for i in range(0, G2_BYTES, 32))
    point = ((x0, x1), (y0, y1))
    oracle = _oracle()
    if not oracle.is_on_curve(_lifted_g2(point), oracle.b2):
        raise InputError("malformed point of G2: not a point of the twisted curve")
    if not is_in_subgroup(point):
        raise InputError("malformed point of G2: outside the subgroup of order r")
    return point


def is_in_subgroup(point: G2Point) -> bool:
    """Whether a point of the twisted curve has order r (or is infinity)."""
    oracle = _oracle()
    return bool(oracle.is_inf(oracle.multiply(_lifted_g2(point), R)))


def product_is_one(pairs: Sequence[tuple[Point, G2Point]]) -> bool:
    """Whether the product of ``e(P, Q)`` over the pairs is one (about 0.2 s a pair)."""
    oracle = _oracle()
    product = oracle.FQ12.one()
    for p, q in pairs:
        lifted = oracle.Z1 if p is None else (oracle.FQ(p[0]), oracle.FQ(p[1]), oracle.FQ.one())
        product *= oracle.pairing(_lifted_g2(q), lifted, final_exponentiate=False)
    return bool(oracle.final_exponentiate(product) == oracle.FQ12.one())


def _lifted_g2(point: G2Point) -> Any:
    oracle = _oracle()
    if point is None:
        return oracle.Z2
    x, y = point
    return (oracle.FQ2(x), oracle.FQ2(y), oracle.FQ2.one())


@functools.cache
def _oracle() -> Any:
    """py_ecc's BN254; importing it lifts the limit on recursion to 100,000, where hostile data
    could overflow the stack, so that is undone."""
    limit = sys.getrecursionlimit()
    try:
        from py_ecc import optimized_bn128
    finally:
        sys.setrecursionlimit(limit)
    return optimized_bn128
