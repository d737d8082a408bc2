import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.curve import field
from huref_zk.curve.field import Q, R
from huref_zk.errors import InputError


def test_canonical_decoding():
    for order in (Q, R):
        assert field.decode(field.encode(order - 1), order) == order - 1  # the control
        with pytest.raises(InputError, match="a number is not below the field order"):
            field.decode(field.encode(order), order)
    assert field.decode(b"\1" + bytes(31), byteorder="little") == 1
    with pytest.raises(InputError, match="a response must have 32 bytes, not 31"):
        field.decode(bytes(31), what="a response")


def test_many_numbers():
    numbers = [0, 1, R - 1]
    data = b"".join(map(field.encode, numbers))
    assert field.decode_many(data) == numbers
    assert field.decode_many(b"") == []
    with pytest.raises(InputError, match="below"):
        field.decode_many(data + field.encode(R))
    with pytest.raises(InputError, match="end within"):
        field.decode_many(data[:-1])


def test_wide_reduction():
    stream = hashlib.shake_256(b"x").digest(128)
    first, second = field.reduce_wide(stream)
    assert first == int.from_bytes(stream[:64], "big") % R
    assert second == int.from_bytes(stream[64:], "big") % R
    assert field.reduce_wide(b"") == []
    with pytest.raises(ValueError):
        field.reduce_wide(stream[:-1])


@given(st.integers(1, R - 1))
@settings(max_examples=50, deadline=None)
def test_inverse(number):
    assert field.inverse(number) * number % R == 1
    assert field.inverse(number, Q) * number % Q == 1
    assert field.inverses([number, 1]) == [field.inverse(number), 1]
    assert type(field.inverse(number)) is int


def test_nothing_inverts_zero():
    for zero in (0, R, -R):
        with pytest.raises(ZeroDivisionError):
            field.inverse(zero)
    with pytest.raises(ZeroDivisionError):
        field.inverses([1, 0])


@given(st.integers(0, Q - 1))
@settings(max_examples=50, deadline=None)
def test_square_root(number):
    root = field.square_root(number * number)
    assert root in (number, Q - number if number else 0) and type(root) is int
    is_square = number == 0 or pow(number, (Q - 1) // 2, Q) == 1
    assert (field.square_root(number) is not None) == is_square


def test_powers():
    base = random.Random(1).randrange(R)
    assert field.powers(base, 5) == [pow(base, n, R) for n in range(5)]
    assert field.powers(base, 0) == [] and field.powers(base, 1) == [1]


@pytest.mark.parametrize("k", [0, 1, 5, 28])
def test_roots_of_unity(k):
    root = field.root_of_unity(k)
    assert pow(root, 1 << k, R) == 1
    assert k == 0 or pow(root, 1 << (k - 1), R) == R - 1


def test_no_further_roots_of_unity():
    with pytest.raises(ValueError):
        field.root_of_unity(29)
