import hashlib
import json
from importlib import resources

import ezkl
import pytest
from py_ecc import optimized_bn128 as oracle

from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, R
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.srs.file import (
    MAX_K,
    TEST_TAU,
    Srs,
    ceremony_sha256,
    file_size,
    find_srs,
    find_test_srs,
    identify,
    lagrange_at,
    root_of_unity,
    slice_srs,
)
from huref_zk.srs.file import test_sha256 as pinned_sha256
from huref_zk.srs.file import test_srs as make_test_srs


def test_the_test_srs_is_the_pinned_one_every_time(tmp_path):
    heard = []
    first = make_test_srs(
        5, tmp_path / "a" / "5.srs", lambda done, total: heard.append((done, total))
    )
    second = make_test_srs(5, tmp_path / "b.srs")
    assert first.read_bytes() == second.read_bytes()
    assert hashlib.sha256(first.read_bytes()).hexdigest() == pinned_sha256(5)
    assert identify(first).kind == "test"
    assert heard[-1] == (64, 64)
    assert [p.name for p in tmp_path.iterdir()] in (["a", "b.srs"], ["b.srs", "a"])


def test_contents(tmp_path):
    """Powers and Lagrange points of one tau, G2 and tau G2, by another library."""
    k, n = 3, 8
    data = make_test_srs(k, tmp_path / "3.srs").read_bytes()
    points = [bn254.decode_raw(data[4 + 64 * i : 68 + 64 * i]) for i in range(2 * n)]
    powers, lagrange = points[:n], points[n:]
    for i in (0, 1, 7):
        assert powers[i] == bn254.multiply(GENERATOR, pow(TEST_TAU, i, R))
        x, y = oracle.normalize(oracle.multiply(oracle.G1, pow(TEST_TAU, i, R)))
        assert powers[i] == (int(x), int(y))
    roots = [pow(root_of_unity(k), i, R) for i in range(n)]
    assert len(set(roots)) == n and pow(roots[1], n, R) == 1
    for degree in (0, 1, 5):  # interpolating X^degree from its values on the domain
        assert bn254.msm(lagrange, [pow(x, degree, R) for x in roots]) == powers[degree]
    for scalar, at in ((1, -256), (TEST_TAU, -128)):
        x, y = oracle.normalize(oracle.multiply(oracle.G2, scalar))
        raw = [int(c) * bn254.MONTGOMERY % bn254.Q for c in (*x.coeffs, *y.coeffs)]
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
    assert bn254.sum_groups([lagrange]) == [GENERATOR]  # the Lagrange polynomials sum to one


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


def test_ceremony_digests(monkeypatch, srs):
    listed = json.loads(
        resources.files("huref_zk").joinpath("data/ceremony_srs_sha256.json").read_text()
    )["sha256_by_k"]
    assert sorted(map(int, listed)) == list(range(1, MAX_K + 1))
    assert len(set(listed.values())) == MAX_K
    assert ceremony_sha256(15) == listed["15"] and len(listed["15"]) == 64
    assert ceremony_sha256(27) is None
    # The test SRS becomes "the ceremony's" only by being listed as such.
    monkeypatch.setattr("huref_zk.srs.file.ceremony_sha256", lambda k: srs.sha256)
    assert identify(srs.path).kind == "ceremony"


def test_find_srs(tmp_path, monkeypatch):
    with pytest.raises(EnvironmentLacks, match="no SRS for k=4"):
        find_srs(4, tmp_path)
    made = find_srs(4, tmp_path, make_test=True)
    assert (made.kind, made.k) == ("test", 4)
    assert find_srs(4, tmp_path) == made
    # A file in the ceremony's place must be the ceremony's.
    (tmp_path / "kzg4.srs").write_bytes(made.path.read_bytes())
    with pytest.raises(InputError, match="not the ceremony's"):
        find_srs(4, tmp_path)
    monkeypatch.setattr("huref_zk.srs.file.ceremony_sha256", lambda k: made.sha256)
    assert find_srs(4, tmp_path).kind == "ceremony"


def test_the_test_srs_is_found_beside_a_ceremonys(tmp_path):
    with pytest.raises(EnvironmentLacks, match="no SRS for k=4"):
        find_test_srs(4, tmp_path)
    made = find_test_srs(4, tmp_path, make=True)
    (tmp_path / "kzg4.srs").write_bytes(b"whatever lies here")
    assert find_test_srs(4, tmp_path) == made
    with pytest.raises(InputError):
        find_srs(4, tmp_path)


def test_find_srs_refuses_a_stranger_in_the_test_place(tmp_path):
    ezkl.gen_srs(str(tmp_path / "kzg4.test.srs"), 4)
    with pytest.raises(InputError, match="not the test SRS"):
        find_srs(4, tmp_path)
    make_test_srs(3, tmp_path / "kzg4.test.srs")
    with pytest.raises(InputError, match="not the test SRS"):
        find_srs(4, tmp_path)


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


def test_test_srs_bounds(tmp_path):
    for k in (0, 19, -1):
        with pytest.raises(InputError, match="a test SRS exists"):
            make_test_srs(k, tmp_path / "x.srs")
    assert list(tmp_path.iterdir()) == []
