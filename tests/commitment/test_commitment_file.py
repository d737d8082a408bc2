from dataclasses import FrozenInstanceError, replace

import pytest

from huref_zk.commitment import tree
from huref_zk.commitment.file import (
    expected_root,
    leaf_hashes,
    make_commitment,
    parse_commitment,
    read_commitment,
    serialise,
    write_commitment,
)
from huref_zk.curve import bn254
from huref_zk.errors import InputError
from huref_zk.files.container import pack, unpack
from huref_zk.files.formats import COMMITMENT
from tests.support.changed_json import GONE, changed
from tests.support.small_owner import D, K

WHICH = ["owner", "rich", "public"]


def test_round_trip(rich, tmp_path):
    made = rich.commitment
    write_commitment(tmp_path / "c.hzc", made)
    assert read_commitment(tmp_path / "c.hzc") == made
    assert (tmp_path / "c.hzc").read_bytes() == serialise(made)
    assert serialise(parse_commitment(serialise(made))) == serialise(made)
    assert made.hidden == D and made.root_hex == f"{made.root:064x}"


@pytest.mark.parametrize("which", WHICH)
def test_root_is_the_tree_over_the_file(which, request):
    made = request.getfixturevalue(which).commitment
    header, (body,) = unpack(COMMITMENT, serialise(made))
    assert header == made.descriptor.to_json()
    leaves, position = [], 0
    for matrix, first, count in tree.leaf_ranges([m.rows for m in made.descriptor.matrices]):
        leaves.append(tree.leaf(matrix, first, body[position : position + 32 * count]))
        position += 32 * count
    assert position == len(body) and leaves == leaf_hashes(made)
    descriptor = made.descriptor.to_bytes()
    assert made.root == tree.root(leaves, descriptor)
    last = len(leaves) - 1
    siblings = tree.path(leaves, last)
    assert tree.check_path(leaves[last], last, len(leaves), siblings, descriptor) == made.root
    assert make_commitment(made.descriptor, made.points) == made


def test_every_point_is_bound(owner):
    """Negating any point, or exchanging two neighbours, gives another root."""
    header, (body,) = unpack(COMMITMENT, serialise(owner.commitment))
    assert parse_commitment(pack(COMMITMENT, header, [body])) == owner.commitment  # the control
    count = len(body) // 32
    for row in (0, 31, K - 1, K, count - 1):
        at, other = 32 * row, 32 * ((row + 1) % count)
        negated, swapped = bytearray(body), bytearray(body)
        negated[at] ^= 0x80
        swapped[at : at + 32], swapped[other : other + 32] = (
            body[other : other + 32],
            body[at : at + 32],
        )
        for changed_body in (negated, swapped):
            found = parse_commitment(pack(COMMITMENT, header, [bytes(changed_body)]))
            assert found.root != owner.commitment.root


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recipe", "official"),
        ("model.architecture", "other"),
        ("model.extra", 1),
        ("layers", [0, 1]),
        ("tokens.digest", "0" * 64),
        ("tokens.choice", "rare"),
        ("scales.E", "127.0"),
        ("audited.0.layer", 2),
        ("checkpoint", "0" * 64),
        ("public", 1),
        ("srs.kind", "ceremony"),
        ("srs.k", 9),
        ("srs.sha256", "0" * 64),
        ("ezkl", "23.0.6"),
    ],
)
def test_every_descriptor_field_is_bound(rich, path, value):
    """Another well-formed descriptor over the same points is another root."""
    header, body = unpack(COMMITMENT, serialise(rich.commitment))
    other = parse_commitment(pack(COMMITMENT, changed(header, path, value), body))
    assert other.points == rich.commitment.points or path == "audited.0.layer"
    assert other.root != rich.commitment.root


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("recipe", GONE, "lacks the field"),
        ("recipe", "last-two", "its descriptor implies"),
        ("tokens.count", K - 2, "its descriptor implies"),
        ("model.hidden_size", D + 1, "its descriptor implies"),
        ("output", 1, "its descriptor implies"),
        ("tokens.count", K + 1, "even"),
        ("scales", {"x" * 41: "1.0"}, "field names"),
    ],
)
def test_points_of_another_descriptor(owner, path, value, words):
    header, body = unpack(COMMITMENT, serialise(owner.commitment))
    with pytest.raises(InputError, match=words):
        parse_commitment(pack(COMMITMENT, changed(header, path, value), body))


def test_malformed_files(owner, tmp_path):
    good = serialise(owner.commitment)
    header, (body,) = unpack(COMMITMENT, good)
    off_curve = next(x for x in range(1, 99) if not square(x**3 + 3))

    def with_point(data):
        return pack(COMMITMENT, header, [data + body[32:]])

    for data, words in [
        (b"", "other bytes"),
        (b"HUREFZP" + good[7:], "not a commitment"),
        (b"HUREFZK" + good[7:], "not a commitment"),
        (good[:7] + b"\1" + good[8:], "version 1; this program reads version 2"),
        (good[:-1], "too short"),
        (good[:-32], "too short"),
        (good + b"\0", "too long"),
        (pack(COMMITMENT, header, [b""]), "holds 0 bytes of points"),
        (pack(COMMITMENT, header, [body[:-32]]), "its descriptor implies"),
        (pack(COMMITMENT, header, [body + body[:32]]), "its descriptor implies"),
        (with_point(b"\x3f" * 32), "not below the field order"),
        (with_point(bn254.Q.to_bytes(32, "big")), "not below the field order"),
        (with_point(off_curve.to_bytes(32, "big")), "no point of the curve has this x"),
        (with_point(b"\xc0" + bytes(31)), "infinity with other bits"),
        (with_point(b"\x40" + bytes(30) + b"\1"), "infinity with other bits"),
        (good + bytes(COMMITMENT.max_bytes), "at most"),
    ]:
        with pytest.raises(InputError, match=words):
            parse_commitment(data)
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(InputError):
            read_commitment(tmp_path / "bad")
    with pytest.raises(InputError, match="cannot read"):
        read_commitment(tmp_path / "missing")
    assert parse_commitment(good) == owner.commitment  # the control


def square(n):
    return pow(n, (bn254.Q - 1) // 2, bn254.Q) == 1


def test_infinity_may_be_committed_to(public):
    """A public model's row of zeros is the point at infinity, and has one encoding."""
    header, (body,) = unpack(COMMITMENT, serialise(public.commitment))
    found = parse_commitment(pack(COMMITMENT, header, [b"\x40" + bytes(31) + body[32:]]))
    assert (
        found.points["E"][0] is None and found.points["E"][1:] == public.commitment.points["E"][1:]
    )


def test_expected_root(owner, tmp_path):
    path = tmp_path / "c.hzc"
    write_commitment(path, owner.commitment)
    root = owner.commitment.root_hex
    assert expected_root(path) == expected_root(str(path)) == root
    assert expected_root(root) == expected_root(root.upper()) == root
    for bad in (root[:-1], root + "0", "x" * 64, str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises(InputError, match="neither a commitment file nor a root"):
            expected_root(bad)
    path.write_bytes(b"HUREFZC")
    with pytest.raises(InputError):
        expected_root(path)


def test_commitments_are_frozen(owner):
    with pytest.raises(FrozenInstanceError):
        owner.commitment.root = 0
    assert replace(owner.commitment, root=1) != owner.commitment
