import random

import pytest

from huref_zk.commitment import tree as merkle
from huref_zk.commitment.poseidon import poseidon
from huref_zk.curve import bn254
from huref_zk.errors import InputError

POINTS = [bn254.compress(p) for p in bn254.FixedBase(bn254.GENERATOR).multiples(range(1, 70))]
DESCRIPTOR = b'{"a":1}'


def reference_root(leaves, descriptor):
    """The definition, level by level."""
    level = list(leaves)
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [poseidon(b"huref-zk node", p) if len(p) == 2 else p[0] for p in pairs]
    import hashlib

    digest = hashlib.sha256(descriptor).digest()
    halves = [int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")]
    return poseidon(b"huref-zk root", [level[0], *halves])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 20])
def test_paths_lead_to_the_root(count):
    rng = random.Random(count)
    leaves = [rng.randrange(bn254.R) for _ in range(count)]
    root = merkle.root(leaves, DESCRIPTOR)
    assert root == reference_root(leaves, DESCRIPTOR)
    for index in range(count):
        siblings = merkle.path(leaves, index)
        args = (index, count, siblings, DESCRIPTOR)
        assert merkle.check_path(leaves[index], *args) == root
        assert merkle.check_path(leaves[index] ^ 1, *args) != root
        assert merkle.check_path(leaves[index], index, count, [*siblings, 0], DESCRIPTOR) is None
        if siblings:
            assert merkle.check_path(leaves[index], index, count, siblings[:-1], DESCRIPTOR) is None
            other = [siblings[0] ^ 1, *siblings[1:]]
            assert merkle.check_path(leaves[index], index, count, other, DESCRIPTOR) != root
            # Another place, with as many siblings or not, is another claim.
            wrong = index ^ 1
            assert merkle.check_path(leaves[index], wrong, count, siblings, DESCRIPTOR) != root
        assert merkle.check_path(leaves[index], index, count, siblings, b"{}") != root
    for index in (-1, count):
        assert merkle.check_path(leaves[0], index, count, [], DESCRIPTOR) is None


def test_root_depends_on_order_and_number():
    leaves = [11, 22, 33]
    roots = {merkle.root(x, DESCRIPTOR) for x in (leaves, leaves[::-1], [*leaves, 0], leaves[:2])}
    assert len(roots) == 4


def test_leaf_binds_matrix_row_count_and_points():
    blob = b"".join(POINTS[:3])
    leaf = merkle.leaf(0, 32, blob)
    assert leaf == merkle.leaf(0, 32, blob)
    swapped = POINTS[1] + POINTS[0] + POINTS[2]
    others = [(1, 32, blob), (0, 33, blob), (0, 32, blob[:64]), (0, 32, swapped)]
    assert leaf not in {merkle.leaf(*other) for other in others}


def test_leaf_ranges():
    assert merkle.leaf_ranges([33, 1, 64]) == [
        (0, 0, 32),
        (0, 32, 1),
        (1, 0, 1),
        (2, 0, 32),
        (2, 32, 32),
    ]


@pytest.mark.parametrize("count", [1, 8, 9, 19])
def test_groups_give_the_same_root(count):
    group = [(0, i, POINTS[i]) for i in range(count)]
    leaves = [merkle.leaf(*entry) for entry in group]
    size = merkle.GROUP_LEAVES
    parts = [merkle.open_group(group[i : i + size], True) for i in range(0, count, size)]
    assert [leaf for hashes, _, _ in parts for leaf in hashes] == leaves
    assert merkle.root([top for _, top, _ in parts], DESCRIPTOR) == merkle.root(leaves, DESCRIPTOR)
    decoded = [point for _, _, points in parts for point in points]
    assert decoded == [bn254.multiply(bn254.GENERATOR, i + 1) for i in range(count)]


def test_group_refuses_a_malformed_point():
    with pytest.raises(InputError, match="malformed"):
        merkle.open_group([(0, 0, b"\xff" * 32)], True)
