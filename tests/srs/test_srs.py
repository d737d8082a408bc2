"""SRS files: their format, the insecure one, slices."""

import hashlib
import shutil

import ezkl
import pytest
from py_ecc import optimized_bn128 as oracle

from huref_zk.curve.encoding import MONTGOMERY, decode_raw
from huref_zk.curve.field import Q, R, root_of_unity
from huref_zk.curve.group import GENERATOR, msm, multiply, sum_groups
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.proofs.kernel import Report
from huref_zk.srs.file import Srs, identify, slice_srs
from huref_zk.srs.insecure import TEST_TAU, insecure_sha256, insecure_srs, lagrange_at
from huref_zk.srs.layout import G1_BYTES, HEAD_BYTES, MAX_K, file_size


def test_the_test_srs_is_the_pinned_one_every_time(tmp_path):
    heard = []
    first = insecure_srs(
        5, tmp_path / "a" / "5.srs", lambda done, total: heard.append((done, total))
    )
    second = insecure_srs(5, tmp_path / "b.srs")
    assert first.read_bytes() == second.read_bytes()
    assert hashlib.sha256(first.read_bytes()).hexdigest() == insecure_sha256(5)
    assert identify(first).kind == "test"
    assert heard[-1] == (64, 64)
    assert [p.name for p in tmp_path.iterdir()] in (["a", "b.srs"], ["b.srs", "a"])


def test_contents(tmp_path):
    """Powers and Lagrange points of one tau, G2 and tau G2, by another library."""
    k, n = 3, 8
    data = insecure_srs(k, tmp_path / "3.srs").read_bytes()
    points = [decode_raw(data[4 + 64 * i : 68 + 64 * i]) for i in range(2 * n)]
    powers, lagrange = points[:n], points[n:]
    for i in (0, 1, 7):
        assert powers[i] == multiply(GENERATOR, pow(TEST_TAU, i, R))
        x, y = oracle.normalize(oracle.multiply(oracle.G1, pow(TEST_TAU, i, R)))
        assert powers[i] == (int(x), int(y))
    roots = [pow(root_of_unity(k), i, R) for i in range(n)]
    assert len(set(roots)) == n and pow(roots[1], n, R) == 1
    for degree in (0, 1, 5):  # interpolating X^degree from its values on the domain
        assert msm(lagrange, [pow(x, degree, R) for x in roots]) == powers[degree]
    for scalar, at in ((1, -256), (TEST_TAU, -128)):
        x, y = oracle.normalize(oracle.multiply(oracle.G2, scalar))
        raw = [int(c) * MONTGOMERY % Q for c in (*x.coeffs, *y.coeffs)]
        assert data[at : (at + 128) or None] == b"".join(c.to_bytes(32, "little") for c in raw)


def test_lagrange_at_against_the_definition():
    roots = [pow(root_of_unity(2), i, R) for i in range(4)]
    for i, value in enumerate(lagrange_at(12345, 2)):
        product = 1
        for j, root in enumerate(roots):
            if j != i:
                product = product * (12345 - root) * pow(roots[i] - root, -1, R) % R
        assert value == product


def test_reads_what_ezkl_writes(tmp_path):
    path = tmp_path / "toy.srs"
    ezkl.gen_srs(str(path), 4)
    assert identify(path).kind == "unknown"
    assert identify(path).k == 4
    lagrange = Srs.open(path).lagrange(0, 16)
    assert sum_groups([lagrange]) == [GENERATOR]  # the Lagrange polynomials sum to one


def test_damaged_files_are_refused(tmp_path, srs):
    good = srs.path.read_bytes()
    assert identify(srs.path) == srs.id  # the control
    path = tmp_path / "bad.srs"
    for bad, words in [
        (b"", "not an SRS file"),
        (good[:3], "not an SRS file"),
        (good[:-1], "bytes, not"),
        (good + b"\0", "bytes, not"),
        ((9).to_bytes(4, "little") + good[4:], "bytes, not"),
        ((0).to_bytes(4, "little") + good[4:], "not an SRS file"),
        ((MAX_K + 1).to_bytes(4, "little") + good[4:], "not an SRS file"),
        (b"\xff" * 4 + good[4:], "not an SRS file"),
    ]:
        path.write_bytes(bad)
        with pytest.raises(InputError, match=words):
            identify(path)
    with pytest.raises(InputError, match="cannot read"):
        identify(tmp_path / "missing.srs")


def test_one_changed_bit_is_no_longer_the_test_srs(tmp_path, srs):
    data = bytearray(srs.path.read_bytes())
    data[-1] ^= 1
    path = tmp_path / "bad.srs"
    path.write_bytes(data)
    assert identify(path).kind == "unknown"
    assert srs.kind == "test"


def test_lagrange_range(srs):
    everything = srs.lagrange(0, 256)
    assert srs.lagrange(250, 6) == everything[250:]
    for start, count in ((0, 257), (250, 7), (-1, 2), (0, -1)):
        with pytest.raises(InputError, match="Lagrange points"):
            srs.lagrange(start, count)


def test_slice(tmp_path, srs):
    slice_srs(srs, 3, 252, tmp_path / "slice.srs")
    small = Srs.open(tmp_path / "slice.srs")
    assert small.lagrange(0, 8) == srs.lagrange(252, 4) + [GENERATOR] * 4
    assert small.path.stat().st_size == file_size(3)
    assert [p.name for p in tmp_path.iterdir()] == ["slice.srs"]


def test_test_srs_bounds(tmp_path):
    for k in (0, 19, -1):
        with pytest.raises(InputError, match="a test SRS exists"):
            insecure_srs(k, tmp_path / "x.srs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["gone", "short", "off the curve"])
def test_a_file_that_changes_after_it_was_identified(srs, tmp_path, how):
    """Says nothing about the proof that is being judged: it is our own file."""
    path = tmp_path / "kzg8.test.srs"
    shutil.copy(srs.path, path)
    found = Srs.open(path)
    assert found.lagrange(3, 2) == srs.lagrange(3, 2)
    data = path.read_bytes()
    place = HEAD_BYTES + G1_BYTES * ((1 << 8) + 3)
    if how == "gone":
        path.unlink()
    else:
        changed = data[:place] if how == "short" else data[:place] + b"\1" + data[place + 1 :]
        path.write_bytes(changed)
    report = Report("picture")
    with (
        pytest.raises(EnvironmentLacks, match=r"the SRS file .*kzg8\.test\.srs"),
        report.step("parse"),
    ):
        found.lagrange(3, 2)
    path.write_bytes(data)
    assert found.lagrange(3, 2) == srs.lagrange(3, 2)
