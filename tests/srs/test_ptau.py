"""Powers-of-tau files: read strictly, converted byte for byte."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.curve.encoding import encode_raw
from huref_zk.curve.field import Q, R
from huref_zk.curve.group import GENERATOR, LAMBDA, multiply
from huref_zk.curve.group_fft import lagrange_points, multiply_each
from huref_zk.errors import InputError
from huref_zk.srs.insecure import TEST_TAU, insecure_srs
from huref_zk.srs.ptau import convert, is_ptau, read_ptau
from tests.support.ptau_files import TAU, g1, pack, raw_srs, sections


@pytest.mark.parametrize(("power", "k"), [(4, 4), (5, 3), (7, 7), (8, 8), (6, 1)])
def test_a_ceremony_becomes_the_srs_of_its_tau(tmp_path, power, k):
    path = tmp_path / "x.ptau"
    path.write_bytes(pack(sections(power)))
    heard = []
    convert(read_ptau(path), k, tmp_path / "x.srs", lambda *a: heard.append(a))
    assert (tmp_path / "x.srs").read_bytes() == raw_srs(k)
    assert heard[-1][0] == heard[-1][1]


@pytest.mark.parametrize(("power", "prepared", "k"), [(4, 5, 4), (5, 5, 5), (6, 7, 3), (8, 9, 8)])
def test_prepared_lagrange_points_are_taken_in_halo2s_order(tmp_path, power, prepared, k):
    path = tmp_path / "x.ptau"
    path.write_bytes(pack(sections(power, prepared=prepared)))
    ptau = read_ptau(path)
    assert ptau.prepared == prepared
    heard = []
    convert(ptau, k, tmp_path / "x.srs", lambda *a: heard.append(a))
    assert (tmp_path / "x.srs").read_bytes() == raw_srs(k)
    assert not heard  # nothing was computed


def test_a_ptau_of_the_test_tau_gives_the_test_srs(tmp_path):
    path = tmp_path / "x.ptau"
    path.write_bytes(pack(sections(4, TEST_TAU)))
    convert(read_ptau(path), 4, tmp_path / "x.srs")
    assert (tmp_path / "x.srs").read_bytes() == insecure_srs(4, tmp_path / "y").read_bytes()


def test_lagrange_points_of_degenerate_powers():
    """Powers of tau = w: one Lagrange point is G, the others infinity; and of tau = 1 (i = 0)."""
    for place in (0, 3):
        tau = pow(pow(7, (R - 1) >> 3, R), place, R)
        powers = [multiply(GENERATOR, pow(tau, i, R)) for i in range(8)]
        assert lagrange_points(powers) == [GENERATOR if i == place else None for i in range(8)]
    for wrong in ([], [GENERATOR], [GENERATOR] * 3):
        with pytest.raises(ValueError, match="power of two"):
            lagrange_points(wrong)


scalar = st.one_of(st.integers(0, R - 1), st.sampled_from([0, 1, 2, R - 1, LAMBDA]))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), scalar), max_size=6))
def test_multiply_each_against_multiply(pairs):
    points = [multiply(GENERATOR, a) for a, _ in pairs]
    expected = [multiply(p, s) for p, (_, s) in zip(points, pairs, strict=True)]
    assert multiply_each(points, [s for _, s in pairs]) == expected


def malformed():
    """(what is wrong, bytes, words of the refusal); the honest file is the test's control."""
    good = sections(4, prepared=5)
    data = pack(good)
    yield "empty", b"", "no .ptau"
    yield "magic", pack(good, magic=b"ptaV"), "no .ptau"
    yield "version", pack(good, version=2), "version 2"
    yield "many sections", pack(good, count=65), "at most 64"
    yield "one section more claimed", pack(good, count=len(good) + 1), "section's head"
    yield "one fewer", pack(good, count=len(good) - 1), "goes on"
    yield "truncated", data[:-1], "ends inside section 12"
    yield "cut in a head", data[: 12 + 5], "section's head"
    yield "trailing byte", data + b"\0", "goes on"
    yield "twice", pack([*good.items(), (2, good[2])]), "section 2 twice"
    yield "no header", pack({t: d for t, d in good.items() if t != 1}), "no header"
    for missing in (2, 3):
        yield f"no {missing}", pack({t: d for t, d in good.items() if t != missing}), "lacks"
    for kind in (2, 3, 12):
        yield f"short {kind}", pack({**good, kind: good[kind][:-32]}), "take"
        yield f"long {kind}", pack({**good, kind: good[kind] + bytes(64)}), "take"

    def header(width=32, prime=Q, power=4, ceremony=28):
        body = struct.pack("<I", width) + prime.to_bytes(32, "little")
        return pack({**good, 1: body + struct.pack("<II", power, ceremony)})

    assert header() == data
    yield "prime", header(prime=R), "another field"
    yield "width", header(width=48), "another field"
    yield "power 0", header(power=0), "claims power"
    yield "power 29", header(power=29, ceremony=29), "claims power"
    yield "huge power", header(power=2**32 - 1, ceremony=2**32 - 1), "claims power"
    yield "more than the ceremony", header(power=4, ceremony=3), "claims power"
    yield "power 5", header(power=5), "take"
    yield "huge section", data[:16] + struct.pack("<Q", 2**63) + data[24:], "ends inside section 1"


@pytest.mark.parametrize(
    ("data", "words"), [pytest.param(d, w, id=name) for name, d, w in malformed()]
)
def test_malformed_files_are_refused(tmp_path, data, words):
    path = tmp_path / "x.ptau"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_ptau(path)
    path.write_bytes(pack(sections(4, prepared=5)))
    assert read_ptau(path).power == 4


def test_what_is_not_in_the_file(tmp_path):
    path = tmp_path / "x.ptau"
    path.write_bytes(pack(sections(4)))
    for k in (0, 5):
        with pytest.raises(InputError, match=f"no SRS for k={k}"):
            convert(read_ptau(path), k, tmp_path / "x.srs")
    assert is_ptau(path)
    with pytest.raises(InputError, match="regular"):
        is_ptau(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        is_ptau(tmp_path / "missing")


def test_a_point_off_the_curve_is_refused_where_points_are_computed_with(tmp_path):
    parts = sections(4)
    path = tmp_path / "x.ptau"
    bad = bytearray(parts[2])
    bad[64 * 3] ^= 1
    path.write_bytes(pack({**parts, 2: bytes(bad)}))
    with pytest.raises(InputError, match="curve"):
        convert(read_ptau(path), 4, tmp_path / "x.srs")
    path.write_bytes(pack(parts))
    convert(read_ptau(path), 4, tmp_path / "x.srs")


def test_the_file_maker_agrees_with_py_ecc():
    from py_ecc import optimized_bn128 as oracle

    x, y = oracle.normalize(oracle.multiply(oracle.G1, TAU))
    assert g1([TAU]) == encode_raw((int(x), int(y)))
