"""The 2^k-th roots of unity, 1, w, w^2, ... in halo2's order, and their Lagrange polynomials."""

from __future__ import annotations

from collections.abc import Sequence

from huref_zk.curve.bn254 import R

_MULTIPLICATIVE_GENERATOR = 7  # of F_r*, as in halo2curves


def root_of_unity(k: int) -> int:
    """The generator w of the 2^k-th roots of unity that halo2 uses."""
    return pow(_MULTIPLICATIVE_GENERATOR, (R - 1) >> k, R)


def lagrange_at(point: int, k: int) -> list[int]:
    """``L_i(point)`` for all i < n = 2^k: ``w^i (point^n - 1) / (n (point - w^i))`` mod r.

    The point must not be a root of unity itself.
    """
    n = 1 << k
    roots = powers_of(root_of_unity(k), n)
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


def powers_of(base: int, count: int) -> list[int]:
    """``base^0, base^1, ..., base^(count - 1)`` mod r."""
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * base % R)
    return powers
