"""What gets into the key folder: only whole files that are the ceremony's or well formed."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from py_ecc import optimized_bn128 as oracle

from huref_zk.cli import main
from huref_zk.curve.encoding import MONTGOMERY
from huref_zk.curve.field import Q, R, root_of_unity
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.srs import structure as srs_check
from huref_zk.srs.importing import fetch_srs, import_srs, list_srs
from huref_zk.srs.insecure import TEST_TAU, insecure_srs
from huref_zk.srs.layout import file_size
from huref_zk.srs.structure import check_structure, evaluate_on_domain
from tests.support.ceremonies import make_known
from tests.support.ptau_files import TAU, g1, g2, pack, raw_srs, sections

K = 4
N = 1 << K
GOOD = raw_srs(K)
DIGEST = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def ceremony(monkeypatch):
    """The file of our tau is listed as a ceremony's."""
    make_known(monkeypatch, g2(TAU), {K: DIGEST})


def with_point(index: int, raw: bytes) -> bytes:
    """GOOD with another G1 point at this place (powers, then Lagrange points)."""
    return GOOD[: 4 + 64 * index] + raw + GOOD[68 + 64 * index :]


def outside_subgroup() -> bytes:
    """A point of the twisted curve that has another order than r, raw."""
    for i in range(1, 200):
        x = oracle.FQ2([i, 1])
        square = x * x * x + oracle.b2
        y = square ** ((Q * Q + 15) // 32)  # a root up to an 8th root of unity, or none
        for _ in range(16):
            if y * y == square:
                point = (x, y, oracle.FQ2.one())
                assert oracle.is_on_curve(point, oracle.b2)
                if not oracle.is_inf(oracle.multiply(point, R)):
                    parts = [int(c) * MONTGOMERY % Q for c in (*x.coeffs, *y.coeffs)]
                    return b"".join(c.to_bytes(32, "little") for c in parts)
            y = y * EIGHTH_ROOT
    raise AssertionError("no such point found")


EIGHTH_ROOT = oracle.FQ2([9, 1]) ** ((Q * Q - 1) // 16)


def consistent(lie: int) -> bytes:
    """A file whose Lagrange points belong to powers of which one is wrong."""
    powers = [pow(TAU, i, R) for i in range(N)]
    powers[lie] = (powers[lie] + 1) % R
    root, scale = root_of_unity(K), pow(N, -1, R)
    values = [
        sum(p * pow(root, -i * j, R) for j, p in enumerate(powers)) * scale % R for i in range(N)
    ]
    return K.to_bytes(4, "little") + g1(powers) + g1(values) + GOOD[-256:]


BAD = {
    "one power": (with_point(5, g1([7])), "powers are not"),
    "the last power": (with_point(N - 1, g1([7])), "powers are not"),
    "one power, Lagrange points to match": (consistent(6), "powers are not"),
    "the second power": (with_point(1, g1([7])), "powers are not"),
    "one Lagrange point": (with_point(N + 3, g1([7])), "Lagrange points do not"),
    "two Lagrange points swapped": (
        with_point(N, GOOD[4 + 64 * (N + 1) :][:64])[: 4 + 64 * (N + 1)]
        + GOOD[4 + 64 * N :][:64]
        + GOOD[4 + 64 * (N + 2) :],
        "Lagrange points do not",
    ),
    "tau in G2": (GOOD[:-128] + g2(TAU + 1), "powers are not"),
    "tau in G2 negated": (GOOD[:-128] + g2(-TAU), "powers are not"),
    "tau in G2 outside the subgroup": (GOOD[:-128] + outside_subgroup(), "subgroup"),
    "tau in G2 off the curve": (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "twisted|field order"),
    "tau in G2 not reduced": (GOOD[:-32] + b"\xff" * 32, "field order"),
    "tau in G2 zero": (GOOD[:-128] + bytes(128), "twisted"),
    "G2": (GOOD[:-256] + g2(2) + GOOD[-128:], "not the generator"),
    "scaled by two": (
        GOOD[:4] + g1([2 * pow(TAU, i, R) for i in range(N)]) + GOOD[4 + 64 * N :],
        "first power",
    ),
    "a power at infinity": (with_point(5, bytes(64)), "weak tau"),
    "a Lagrange point at infinity": (with_point(N + 5, bytes(64)), "infinity"),
    "a power off the curve": (with_point(5, b"\1" + bytes(63)), "point 5.*curve"),
    "a Lagrange point off the curve": (with_point(N + 5, b"\1" + bytes(63)), "point 21.*curve"),
    "a coordinate not reduced": (with_point(5, b"\xff" * 64), "point 5.*field order"),
    "tau 0": (raw_srs(K, 0)[:-128] + g2(1), "tau is 0"),
    "tau 1": (raw_srs(K, 1), "tau is 1"),
    "tau a root of unity": (raw_srs(K, root_of_unity(3)), "weak tau"),
    "tau another root of unity": (raw_srs(K, root_of_unity(K)), "Lagrange point is infinity"),
    "the test tau": (raw_srs(K, TEST_TAU), "test SRS"),
    "truncated": (GOOD[:-1], "bytes, not"),
    "a byte more": (GOOD + b"\0", "bytes, not"),
    "larger k": ((K + 1).to_bytes(4, "little") + GOOD[4:], "bytes, not"),
    "k 27": ((27).to_bytes(4, "little") + GOOD[4:], "not an SRS file"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_malformed_srs_gets_in_nowhere(tmp_path, control, what):
    bad, words = BAD[what]
    path, folder = tmp_path / "x.srs", tmp_path / "keys"
    path.write_bytes(bad)
    with pytest.raises(InputError, match=words):
        import_srs(path, folder)
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """The file that all the malformed ones were made of gets in."""
    folder = tmp_path_factory.mktemp("control")
    (folder / "x.srs").write_bytes(GOOD)
    assert import_srs(folder / "x.srs", folder / "keys").kind == "unknown"
    assert (folder / "keys" / "kzg4.srs").read_bytes() == GOOD


def test_lagrange_points_in_snarkjs_order_are_refused(tmp_path):
    """Its roots of unity are halo2's, but from k = 6 on they come in another order."""
    good, path = raw_srs(6), tmp_path / "x.srs"
    prepared = sections(6, prepared=6)[12][64 * 63 :]
    path.write_bytes(good[: 4 + 64 * 64] + prepared + good[-256:])
    with pytest.raises(InputError, match="Lagrange points do not"):
        check_structure(path)
    path.write_bytes(good)
    check_structure(path)


def test_structure_over_many_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(srs_check, "_CHUNK", 5)
    path = tmp_path / "x.srs"
    path.write_bytes(GOOD)
    heard = []
    assert check_structure(path, lambda *a: heard.append(a)) == K
    assert heard[-1] == (2 * N, 2 * N)
    for index, words in ((4, "powers"), (5, "powers"), (14, "powers"), (N + 15, "Lagrange")):
        path.write_bytes(with_point(index, g1([7])))
        with pytest.raises(InputError, match=words):
            check_structure(path)


def test_structure_beyond_what_is_checked(tmp_path, monkeypatch):
    path = tmp_path / "x.srs"
    path.write_bytes(GOOD)
    monkeypatch.setattr(srs_check, "CHECK_MAX_K", 3)
    with pytest.raises(InputError, match="up to k=3"):
        check_structure(path)
    monkeypatch.setattr(srs_check, "CHECK_MAX_K", 4)
    check_structure(path)


def test_what_another_program_writes_is_well_formed(tmp_path):
    import ezkl

    ezkl.gen_srs(str(tmp_path / "x.srs"), 6)
    assert check_structure(tmp_path / "x.srs") == 6


def test_evaluation_against_horner():
    coefficients = [3, 1, 4, 1, 5, 9, 2, R - 6]
    for i, value in enumerate(evaluate_on_domain(coefficients, 3)):
        x = pow(root_of_unity(3), i, R)
        assert value == sum(c * pow(x, j, R) for j, c in enumerate(coefficients)) % R
    with pytest.raises(ValueError, match="as many"):
        evaluate_on_domain([1, 2, 3], 2)


@pytest.mark.parametrize("prepared", [None, 6])
def test_a_ptau_is_converted_and_judged(tmp_path, prepared, ceremony):
    path = tmp_path / "x.ptau"
    parts = sections(5, prepared=prepared)
    path.write_bytes(pack(parts))
    with pytest.raises(InputError, match="say which"):
        import_srs(path, tmp_path)
    assert import_srs(path, tmp_path, 4).kind == "ceremony"
    assert import_srs(path, tmp_path, 5).id.ceremony == "made up"
    assert (tmp_path / "kzg4.srs").read_bytes() == GOOD
    for section, words in ((2, "powers are not"), (3, "powers are not")):
        bad = bytearray(parts[section])
        wrong = g1([7]) if section == 2 else g2(7)
        bad[len(wrong) : 2 * len(wrong)] = wrong
        path.write_bytes(pack({**parts, section: bytes(bad)}))
        with pytest.raises(InputError, match=words):
            import_srs(path, tmp_path, 4, force=True)
    assert (tmp_path / "kzg4.srs").read_bytes() == GOOD  # a refused import replaces nothing


def test_one_wrong_lagrange_point_of_a_prepared_ptau(tmp_path):
    path = tmp_path / "x.ptau"
    parts = sections(4, prepared=5)
    bad = bytearray(parts[12])
    bad[64 * (N - 1) + 128 : 64 * (N - 1) + 192] = g1([7])
    path.write_bytes(pack({**parts, 12: bytes(bad)}))
    with pytest.raises(InputError, match="Lagrange points do not"):
        import_srs(path, tmp_path, 4)
    path.write_bytes(pack(parts))
    assert import_srs(path, tmp_path, 4).sha256 == DIGEST


def test_the_test_srs_is_not_imported(tmp_path):
    made = insecure_srs(K, tmp_path / "t.srs")
    with pytest.raises(InputError, match="insecure test SRS"):
        import_srs(made, tmp_path / "keys")


def test_nothing_is_replaced_unasked(tmp_path, ceremony):
    path = tmp_path / "x.srs"
    path.write_bytes(GOOD)
    target = tmp_path / "kzg4.srs"
    target.write_bytes(b"mine")
    with pytest.raises(InputError, match="--force"):
        import_srs(path, tmp_path)
    with pytest.raises(InputError, match="--force"):
        fetch_srs(K, "http://localhost/{k}", tmp_path)
    assert target.read_bytes() == b"mine"
    import_srs(path, tmp_path, force=True)
    assert target.read_bytes() == GOOD
    with pytest.raises(InputError, match="is an SRS for k=4, not 5"):
        import_srs(path, tmp_path / "keys", 5)


class Server(BaseHTTPRequestHandler):
    body, stop_after, ranges = GOOD, None, True
    seen: list

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.seen.append((self.path, wanted))
        if self.path != "/kzg4":
            return self.send_error(404)
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        part = self.body[start:]
        self.send_response(206 if start else 200)
        if start:
            total = len(self.body)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: self.stop_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """(template of its address, the class whose attributes say how it behaves)."""
    handler = type("Handler", (Server,), {"seen": []})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}/kzg{{k}}", handler
    httpd.shutdown()
    httpd.server_close()


def test_fetch_resumes(tmp_path, server, ceremony):
    template, handler = server
    handler.stop_after = 1000
    with pytest.raises(EnvironmentLacks, match=r"kept|fetch again"):
        fetch_srs(K, template, tmp_path)
    assert (tmp_path / "kzg4.srs.part").stat().st_size == 1000
    handler.stop_after = None
    heard = []
    assert fetch_srs(K, template, tmp_path, progress=lambda *a: heard.append(a)).kind == "ceremony"
    assert handler.seen == [("/kzg4", None), ("/kzg4", "bytes=1000-")]
    assert (tmp_path / "kzg4.srs").read_bytes() == GOOD
    assert heard[-1] == (file_size(K), file_size(K))
    assert [p.name for p in tmp_path.iterdir()] == ["kzg4.srs"]


def test_fetch_where_nothing_can_be_resumed(tmp_path, server, ceremony):
    template, handler = server
    handler.ranges = False
    (tmp_path / "kzg4.srs.part").write_bytes(b"x" * 1000)
    assert fetch_srs(K, template, tmp_path).kind == "ceremony"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (with_point(5, g1([7])), "not a known ceremony's"),
        (b"\0" * len(GOOD), "not a known ceremony's"),
        (GOOD + b"\0", "sends more"),
    ],
)
def test_fetch_keeps_only_the_ceremonys(tmp_path, server, ceremony, body, words):
    template, handler = server
    handler.body = body
    with pytest.raises(InputError, match=words):
        fetch_srs(K, template, tmp_path)
    assert list(tmp_path.iterdir()) == []
    handler.body = GOOD
    assert fetch_srs(K, template, tmp_path).kind == "ceremony"


def test_a_wrong_start_is_not_built_upon_twice(tmp_path, server, ceremony):
    template, _ = server
    (tmp_path / "kzg4.srs.part").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="not a known ceremony's"):
        fetch_srs(K, template, tmp_path)
    assert fetch_srs(K, template, tmp_path).kind == "ceremony"


def test_fetch_without_a_network(tmp_path, ceremony, server):
    template, _ = server
    with pytest.raises(EnvironmentLacks, match=r"cannot download.*srs import"):
        fetch_srs(K, "http://127.0.0.1:9/{k}", tmp_path)
    with pytest.raises(InputError, match="404"):
        fetch_srs(K, template.replace("/kzg", "/other"), tmp_path)
    for wrong in ("http://localhost/kzg4", "file:///kzg{k}", "kzg{k}"):
        with pytest.raises(InputError, match="no http"):
            fetch_srs(K, wrong, tmp_path)
    with pytest.raises(InputError, match="from 1 to 26"):
        fetch_srs(27, template, tmp_path)


def test_list(tmp_path):
    insecure_srs(K, tmp_path / "kzg4.test.srs")
    (tmp_path / "kzg4.srs").write_bytes(GOOD)
    (tmp_path / "kzg5.srs").write_bytes(GOOD)
    (tmp_path / "kzg6.srs").write_bytes(b"no")
    found = {item.path.name: item for item in list_srs(tmp_path)}
    assert found["kzg4.test.srs"].id.kind == "test" and found["kzg4.test.srs"].problem is None
    assert found["kzg4.srs"].id.kind == "unknown" and found["kzg4.srs"].problem is None
    assert "looked for as kzg4.srs" in found["kzg5.srs"].problem
    assert found["kzg6.srs"].id is None


def test_commands(tmp_path, ceremony, server):
    source, folder = tmp_path / "x.ptau", tmp_path / "keys"
    source.write_bytes(pack(sections(5)))

    def run(*args, code=0, env=None):
        result = CliRunner().invoke(main, ["srs", *args, "--keys", str(folder)], env=env)
        assert result.exit_code == code, result.output
        return result.output

    assert "no SRS files" in run("list")
    assert "say which" in run("import", str(source), code=2)
    assert "ceremony (made up) SRS for k=5" in run("import", str(source), "--k", "5")
    made = json.loads(run("import", str(source), "--k", "4", "--json"))
    assert (made["kind"], made["sha256"]) == ("ceremony", DIGEST)
    assert "--url" in run("fetch", "4", code=2)
    assert "--force" in run("fetch", "4", code=2, env={"HUREF_ZK_SRS_URL": server[0]})
    assert "ceremony (made up) SRS for k=4" in run("fetch", "4", "--url", server[0], "--force")
    assert "cannot download" in run(
        "fetch", "4", "--url", "http://127.0.0.1:9/{k}", "--force", code=3
    )
    listed = json.loads(run("list", "--json"))["srs"]
    assert [(row["k"], row["kind"], row["ceremony"]) for row in listed] == [
        (4, "ceremony", "made up"),
        (5, "ceremony", "made up"),
    ]
    other = tmp_path / "other.srs"
    other.write_bytes(raw_srs(5, TAU + 1))
    line = run("import", str(other), "--beside")
    assert "unknown SRS for k=5" in line and "--trust-srs" in line
    lines = run("list").splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "kzg4.srs: ceremony (made up)",
        f"kzg5.{hashlib.sha256(other.read_bytes()).hexdigest()[:16]}.srs: unknown",
        "kzg5.srs: ceremony (made up)",
    ]
