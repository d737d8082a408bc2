"""A prover who knows the setup's tau, as everybody does under the test setup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from huref_zk.commitment.commit import Owner
from huref_zk.commitment.witness import Witness
from huref_zk.curve.field import R, inverses, root_of_unity
from huref_zk.curve.group import GENERATOR, Point, add, msm, multiply
from huref_zk.srs.insecure import lagrange_at


@dataclass(frozen=True)
class Equivocated(Witness):
    """A witness with salts of one's own choice, by matrix and row."""

    chosen: dict[str, list[list[int]]] = field(default_factory=dict)

    def salts(self, key: bytes | None, name: str, rows: range | None = None) -> list[list[int]]:
        found = self.chosen[name]
        return [list(found[row]) for row in (range(len(found)) if rows is None else rows)]


def equivocated(mine: Owner, other: Witness, tau: int, k: int) -> Owner:
    """The owner of ``mine``'s commitment who says that it is to ``other``'s integers.

    With tau, the discrete logarithm of every g_t is known, so one salt of a row makes up for
    whatever else changes in it. For a wrong tau the result commits to something else.
    """
    key = mine.witness.key(mine.secret)
    weights = lagrange_at(tau, k)
    chosen = {}
    for m in mine.descriptor.matrices:
        inverse = pow(weights[m.columns], -1, R)
        salts = mine.witness.salts(key, m.name)
        rows = zip(mine.witness.values(m.name).tolist(), other.values(m.name).tolist(), strict=True)
        for salt, (a, b) in zip(salts, rows, strict=True):
            gap = sum((x - y) * w for x, y, w in zip(a, b, weights, strict=False))
            salt[0] = (salt[0] + gap * inverse) % R
        chosen[m.name] = salts
    parts = (mine.descriptor, other.matrices, other.checkpoint_salt)
    return replace(mine, witness=Equivocated(*parts, chosen=chosen))


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
