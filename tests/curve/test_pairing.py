import subprocess
import sys

import pytest
from py_ecc import optimized_bn128 as oracle

from huref_zk.curve import group, pairing
from huref_zk.curve.encoding import encode_raw_coordinate
from huref_zk.curve.field import Q, R
from huref_zk.curve.group import GENERATOR
from huref_zk.curve.pairing import G2_GENERATOR
from huref_zk.errors import InputError


def numbers(point):
    return tuple(tuple(int(c) for c in part.coeffs) for part in oracle.normalize(point))


def test_multiples():
    assert numbers(oracle.G2) == G2_GENERATOR
    assert pairing.multiply_g2(G2_GENERATOR, 5) == numbers(oracle.multiply(oracle.G2, 5))
    assert pairing.multiply_g2(G2_GENERATOR, R + 1) == G2_GENERATOR
    assert pairing.multiply_g2(G2_GENERATOR, R) is None
    assert pairing.multiply_g2(None, 5) is None


def square_root(value):
    """A square root in F_q(u), u^2 = -1, or None."""
    a, b = (int(c) for c in value.coeffs)
    norm = pow(a * a + b * b, (Q + 1) // 4, Q)
    for sign in (1, -1):
        half = (a + sign * norm) * pow(2, -1, Q) % Q
        x = pow(half, (Q + 1) // 4, Q)
        if x and x * x % Q == half:
            root = oracle.FQ2([x, b * pow(2 * x, -1, Q) % Q])
            if root * root == value:
                return root
    return None


def on_the_twist():
    """A point of the twisted curve whose order is not r (nearly all are such)."""
    for x in range(1, 100):
        lifted = oracle.FQ2([x, 0])
        root = square_root(lifted * lifted * lifted + oracle.b2)
        if root is not None:
            return (x, 0), tuple(int(c) for c in root.coeffs)
    raise AssertionError


def test_raw_points():
    for scalar in (1, 2, 12345):
        point = pairing.multiply_g2(G2_GENERATOR, scalar)
        data = pairing.encode_raw_g2(point)
        assert len(data) == 128 and pairing.decode_raw_g2(data) == point  # the control
        with pytest.raises(InputError, match="twisted curve"):
            pairing.decode_raw_g2(data[64:] + data[:64])
        with pytest.raises(InputError, match="128 bytes"):
            pairing.decode_raw_g2(data[:-1])
        x0 = int.from_bytes(data[:32], "little")
        with pytest.raises(InputError, match="not below the field order"):
            pairing.decode_raw_g2((x0 + Q).to_bytes(32, "little") + data[32:])
    with pytest.raises(InputError, match="twisted curve"):
        pairing.decode_raw_g2(bytes(128))
    with pytest.raises(ValueError):
        pairing.encode_raw_g2(None)


def test_a_point_outside_the_subgroup():
    point = on_the_twist()
    data = b"".join(encode_raw_coordinate(c) for part in point for c in part)
    assert not pairing.is_in_subgroup(point)
    assert pairing.is_in_subgroup(G2_GENERATOR) and pairing.is_in_subgroup(None)
    with pytest.raises(InputError, match="outside the subgroup"):
        pairing.decode_raw_g2(data)


def test_products():
    tau = 12345
    left, right = group.multiply(GENERATOR, 7 * tau), group.multiply(GENERATOR, -7)
    tau_g2 = pairing.multiply_g2(G2_GENERATOR, tau)
    assert pairing.product_is_one([(left, G2_GENERATOR), (right, tau_g2)])
    assert not pairing.product_is_one([(left, G2_GENERATOR), (GENERATOR, tau_g2)])
    assert pairing.product_is_one([]) and pairing.product_is_one([(None, tau_g2)])
    assert pairing.product_is_one([(GENERATOR, None)])


def test_the_limit_on_recursion_stays():
    """py_ecc lifts it when imported; and it is imported by those who need a pairing alone."""
    code = """
import sys
limit = sys.getrecursionlimit()
from huref_zk.curve import pairing
assert "py_ecc" not in sys.modules
assert pairing.is_in_subgroup(None)
assert "py_ecc" in sys.modules and sys.getrecursionlimit() == limit
import importlib
for name in [name for name in sys.modules if name.startswith("py_ecc")]:
    del sys.modules[name]
from py_ecc import optimized_bn128
assert sys.getrecursionlimit() > limit
"""
    subprocess.run([sys.executable, "-c", code], check=True)
