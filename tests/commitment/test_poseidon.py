import ezkl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.commitment.poseidon import pack, poseidon
from huref_zk.curve.bn254 import R

elements = st.lists(st.integers(0, R - 1), max_size=4)


def test_it_is_ezkls_hash_of_tag_length_and_elements():
    message = [int.from_bytes(b"tag", "big"), 2, 7, R - 1]
    (theirs,) = ezkl.poseidon_hash([n.to_bytes(32, "little").hex() for n in message])
    assert poseidon(b"tag", [7, R - 1]) == int.from_bytes(bytes.fromhex(theirs), "little")


def test_length_and_tag_are_bound():
    """The hazard: ezkl's bare hash knows no empty input, and takes a tag for one more element."""
    assert ezkl.poseidon_hash([]) == []
    digests = {poseidon(b"t", [5] + [0] * n) for n in range(4)}
    digests |= {
        poseidon(b"t", []),
        poseidon(b"t", [0]),
        poseidon(b"", [116, 5]),
        poseidon(b"", [5]),
    }
    assert len(digests) == 8


@given(elements, elements)
@settings(max_examples=30, deadline=None)
def test_equal_hashes_mean_equal_inputs(a, b):
    assert poseidon(b"t", a) == poseidon(b"t", list(a)) < R
    assert (poseidon(b"t", a) == poseidon(b"t", b)) == (a == b)
    assert poseidon(b"t", a) != poseidon(b"u", a)


def test_every_element_matters():
    base = [1, 2, 3, 4]
    variants = [[*base[:i], base[i] + 1, *base[i + 1 :]] for i in range(4)] + [base[::-1]]
    assert len({poseidon(b"t", v) for v in [base, *variants]}) == 6


def test_only_canonical_elements():
    for bad in ([R], [-1], [1 << 300]):
        with pytest.raises(ValueError):
            poseidon(b"t", bad)
    with pytest.raises(ValueError):
        poseidon(b"x" * 32, [])


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_pack_is_one_to_one_for_a_length(a, b):
    assert all(0 <= e < 1 << 248 for e in pack(a))
    if len(a) == len(b):
        assert (pack(a) == pack(b)) == (a == b)
