"""The two prime fields of BN254: F_q for coordinates, F_r for scalars.

Numbers go in and come out as Python ints; gmpy2 does the work within.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gmpy2 import invert, mpz, powmod

from huref_zk.errors import InputError

Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""Order of the base field F_q (coordinates)."""
R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Order of the group, and of the scalar field F_r."""

BYTES = 32
"""An element's bytes, in every encoding."""
WIDE_BYTES = 64
"""Bytes of a hash that is reduced to an element: uniform but for 2^-256."""

_TWO_ADICITY = 28  # 2^28 divides r - 1
_MULTIPLICATIVE_GENERATOR = 7  # of F_r*, as in halo2curves
_Q = mpz(Q)
_SQRT_EXPONENT = (_Q + 1) // 4  # q = 3 mod 4


def decode(
    data: bytes, order: int = R, byteorder: Literal["big", "little"] = "big", what: str = "a number"
) -> int:
    """The element of 32 bytes; InputError, about `what`, unless it is below `order`."""
    if len(data) != BYTES:
        raise InputError(f"{what} must have {BYTES} bytes, not {len(data)}")
    number = int.from_bytes(data, byteorder)
    if number >= order:
        raise InputError(f"{what} is not below the field order")
    return number


def decode_many(data: bytes, what: str = "a number") -> list[int]:
    """The scalars of 32 bytes each, big-endian; InputError unless all are below r."""
    if len(data) % BYTES:
        raise InputError(f"{what}: the bytes end within it")
    return [decode(data[i : i + BYTES], what=what) for i in range(0, len(data), BYTES)]


def encode(number: int) -> bytes:
    """32 bytes, big-endian, of a canonical element."""
    return number.to_bytes(BYTES, "big")


def reduce_wide(stream: bytes) -> list[int]:
    """Uniform scalars out of a hash's stream, one for every 64 bytes (big-endian, mod r)."""
    if len(stream) % WIDE_BYTES:
        raise ValueError(f"a stream of {len(stream)} bytes")
    starts = range(0, len(stream), WIDE_BYTES)
    return [int.from_bytes(stream[i : i + WIDE_BYTES], "big") % R for i in starts]


def inverse(number: int, order: int = R) -> int:
    """The inverse of a number that is not 0 mod `order`; ZeroDivisionError for one that is."""
    return int(invert(number, order))


def inverses(numbers: Sequence[int]) -> list[int]:
    """The inverses mod r, in [0, r); ZeroDivisionError if one of them is 0."""
    return [int(invert(number, R)) for number in numbers]


def square_root(number: int) -> int | None:
    """A y with y^2 = number mod q (the other one is q - y), or None if there is none."""
    root = powmod(number, _SQRT_EXPONENT, _Q)
    return int(root) if (root * root - number) % _Q == 0 else None


def powers(base: int, count: int) -> list[int]:
    """1, base, base^2, ... mod r: `count` of them."""
    found = [1] if count else []
    for _ in range(count - 1):
        found.append(found[-1] * base % R)
    return found


def root_of_unity(k: int) -> int:
    """The generator w of the 2^k-th roots of unity in F_r that halo2 uses; k at most 28."""
    if not 0 <= k <= _TWO_ADICITY:
        raise ValueError(f"no root of unity of order 2^{k}")
    return pow(_MULTIPLICATIVE_GENERATOR, (R - 1) >> k, R)
