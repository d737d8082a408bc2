"""A prover who knows the setup's tau, as everybody does under the test setup."""

from __future__ import annotations

from collections.abc import Sequence

from huref_zk.commitment.file import side_by_side
from huref_zk.commitment.salts import row_salts, salt_key
from huref_zk.curve.field import R, inverses, root_of_unity
from huref_zk.curve.group import GENERATOR, Point, add, msm, multiply
from huref_zk.invariants.quantise import Quantised
from huref_zk.srs.insecure import lagrange_at


def equivocated_salts(chain, other: Quantised, tau: int) -> list[list[list[int]]]:
    """Salts under which the points of the chain's commitment commit to ``other`` instead.

    With tau, the discrete logarithm of every g_t is known, so one salt of a row makes up for
    whatever else changes in it. For a wrong tau the result commits to something else.
    """
    matrices = side_by_side(chain.prepared.quantised)
    key = salt_key(chain.secret, matrices)
    weights = lagrange_at(tau, chain.srs.k)
    result = []
    for index, (mine, theirs) in enumerate(zip(matrices, side_by_side(other), strict=True)):
        salts = row_salts(key, index, len(mine))
        width = mine.shape[1]
        inverse = pow(weights[width], -1, R)
        for salt, a, b in zip(salts, mine.tolist(), theirs.tolist(), strict=True):
            gap = sum((x - y) * w for x, y, w in zip(a, b, weights, strict=False))
            salt[0] = (salt[0] + gap * inverse) % R
        result.append(salts)
    return result


def honest_opening(values: Sequence[int], k: int, z: int, y: int, generators) -> Point:
    """The KZG witness for "the committed polynomial is y at z", from the SRS alone.

    values: on the domain, 2^k of them. If y is wrong there is no such polynomial, and this is the
    commitment to the next best thing.
    """
    root = root_of_unity(k)
    points = [pow(root, i, R) for i in range(1 << k)]
    differences = inverses([point - z for point in points])
    quotient = [(m - y) * i % R for m, i in zip(values, differences, strict=True)]
    return msm(generators, quotient)


def forged_opening(values: Sequence[int], k: int, z: int, y: int, tau: int) -> Point:
    """The same for any y whatever, by division at tau."""
    at_tau = sum(m * w for m, w in zip(values, lagrange_at(tau, k), strict=True))
    return multiply(GENERATOR, (at_tau - y) * pow(tau - z, -1, R) % R)


def opens(commitment: Point, z: int, y: int, witness: Point, tau_g2) -> bool:
    """The pairing check of KZG: e(C - y G, G2) = e(W, tau G2 - z G2). tau_g2: py_ecc's form."""
    from py_ecc import optimized_bn128 as curve

    def g1(point: Point):
        return (curve.FQ(point[0]), curve.FQ(point[1]), curve.FQ(1)) if point else curve.Z1

    left = add(commitment, multiply(GENERATOR, -y % R))
    divisor = curve.add(tau_g2, curve.neg(curve.multiply(curve.G2, z)))
    one = curve.pairing(curve.G2, g1(left))
    return one == curve.pairing(divisor, g1(witness))
