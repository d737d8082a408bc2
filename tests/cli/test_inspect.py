"""`inspect` on saved fingerprints, openings and audits, honest and hostile; proofs are looked at in
test_words.py and test_similarity_honest.py."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.commitment.file import commit, serialise, token_digest
from huref_zk.comparison import saved as hzf
from huref_zk.comparison.tokens import TokenList
from huref_zk.invariants.quantise import Quantised
from huref_zk.proofs.inference import claims
from huref_zk.proofs.inference import file as hza
from huref_zk.proofs.opening import file as hzo
from huref_zk.proofs.opening.prove import open_rows
from huref_zk.proofs.similarity.file import MAGIC as PAIR_MAGIC
from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import insecure_srs as make_test_srs

SECRET = bytes(range(32))
TOKENS, HIDDEN, WIDTHS = 40, 6, (2, 2, 4)
SCALES = {f"{side}{i}{term}": 7 for side in "UV" for i in range(2) for term in "abf"} | {"E": 8}
FACTS = {"architecture": "llama", "heads": 1, "kv_heads": 1, "head_dim": 2, "ffn": 4}
ESCAPE = "\x1b]0;title\x07\nVALID\u202e"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(quantised, commitment, SRS) of a model of forty tokens."""
    path = make_test_srs(8, tmp_path_factory.mktemp("keys") / "kzg8.test.srs")
    rng = np.random.default_rng(5)

    def draw(rows, columns):
        return rng.integers(-300, 300, (rows, columns)).astype(np.int32)

    pair = [tuple(draw(HIDDEN, sum(WIDTHS)) for _ in range(2)) for _ in range(2)]
    quantised = Quantised(draw(TOKENS, HIDDEN), pair[0], pair[1], WIDTHS, SCALES, 0)
    facts = {
        "model": {**FACTS, "hidden_size": HIDDEN},
        "layers": [4, 7],
        "widths": list(WIDTHS),
        "tokens": {"count": TOKENS, "digest": token_digest(range(TOKENS))},
        "scales": SCALES,
    }
    srs = Srs.open(path)
    return quantised, commit(quantised, facts, SECRET, srs, 1), srs


def fingerprint(name: str = "a model", **facts) -> bytes:
    maps = np.arange(96, dtype=np.float32).reshape(8, 3, 2, 2)
    ids = np.array([5, 6, 7, 900], dtype=np.int64)
    tokens = TokenList(ids, ("a", "bé", "c", ""))
    saved = hzf.Saved(
        name, {"hidden_size": 16, **facts}, bytes(32), tokens, maps, tuple(range(512))
    )
    return hzf.serialise_fingerprint(saved)


def opening(small) -> bytes:
    quantised, commitment, srs = small
    rows = [(0, 0), (0, 39), (1, 3), (2, 5)]
    return hzo.serialise_opening(open_rows(quantised, SECRET, commitment, rows, srs))


def audit(small, **changes) -> bytes:
    """Well formed; that its claims are about nothing is not for `inspect` to see."""
    commitment = small[1]
    geometry = claims.geometry_of(commitment.descriptor)
    committed = serialise(commitment)
    header = {
        "format": hza.FORMAT,
        "nonce": "5a" * 32,
        "prompt": "def main(argv):",
        "tokens": 3,
        "positions": 2,
        "rms_norm_eps": "1e-06",
        "rope_theta": "10000.0",
        "scales": {"a": [8, 9], "mid": [10, 11]},
        "commitment_bytes": len(committed),
    } | changes
    fields = {
        name: np.ones((claims._rows(name, 2), geometry.widths[name])) for name in claims.FIELDS
    }
    said = (claims.LayerClaims(**fields),) * 2
    proof = bytes(hza.proof_bytes(geometry))
    return hza.serialise_audit(hza.Audit(header, committed, (1, 2, 77), said, proof))


@pytest.fixture
def inspect(tmp_path):
    """Runs `inspect` on these bytes: (exit code, stdout, stderr); never a traceback."""

    def run(data: bytes, *options: str) -> tuple[int, str, str]:
        path = tmp_path / "file"
        path.write_bytes(data)
        done = CliRunner().invoke(main, ["inspect", str(path), *options])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return run


def shown(inspect, data: bytes) -> tuple[dict, str]:
    """What --json and what the lines say."""
    code, text, _ = inspect(data, "--json")
    assert code == 0, text
    code, lines, _ = inspect(data)
    assert code == 0 and "Nothing below has been verified" in lines.splitlines()[0]
    return json.loads(text), lines


def test_a_saved_fingerprint(inspect):
    data, lines = shown(inspect, fingerprint(architecture="llama"))
    saved = hzf.parse_fingerprint(fingerprint(architecture="llama"))
    assert data["kind"] == "saved fingerprint"
    assert (data["name"], data["layers"], data["p"]) == ("a model", 8, 2)
    assert data["tokens"] == {"count": 4, "digest": saved.token_digest, "texts": True}
    assert data["basis"] == saved.basis and data["v"] == list(range(512))
    for word in ("a model", "llama", "8 layers", saved.token_digest, saved.basis, "512 integers"):
        assert word in lines


def test_an_opening(inspect, small):
    data, lines = shown(inspect, opening(small))
    root = small[1].root_hex
    assert data["kind"] == "opening of rows"
    assert data["rows"] == ["E:0", "E:39", "U:3", "V:5"]
    assert data["commitment"] == small[1].descriptor and data["root_of_first_row"] == root
    for word in ("4 rows: E:0, E:39, U:3, V:5", root, "layers proven: 4, 7", "TEST setup"):
        assert word in lines
    # Rows under another descriptor lead elsewhere, and that is shown for what it is.
    parsed = hzo.parse_opening(opening(small))
    moved = replace(parsed, descriptor=parsed.descriptor | {"layers": [4, 8]})
    assert shown(inspect, hzo.serialise_opening(moved))[0]["root_of_first_row"] != root


def test_an_audit(inspect, small):
    data, lines = shown(inspect, audit(small))
    assert data["kind"] == "inference audit"
    assert data["recomputed_root"] == small[1].root_hex and data["prompt_ids"] == [1, 2, 77]
    assert data["audit"]["positions"] == 2
    for word in ("def main(argv):", "5a" * 32, "3, of which 2 positions", "1e-06", "10, 11"):
        assert word in lines
    assert "only token ids" in shown(inspect, audit(small, prompt=""))[1]


def test_texts_from_a_file_cannot_act_on_a_terminal(inspect, small):
    hostile = (fingerprint(x=ESCAPE), audit(small, prompt=ESCAPE))
    for data in hostile:
        lines = shown(inspect, data)[1].splitlines()[1:]
        assert all(line.isascii() and line.isprintable() for line in lines)
        assert any("\\x1b]0;title\\x07\\nVALID\\u202e" in line for line in lines)
    long = shown(inspect, audit(small, prompt="x" * 8192))[1]
    assert "x" * 200 + "... (8192 characters)" in long and "x" * 201 not in long


def test_malformed_files_are_refused_in_one_line(inspect, small):
    for data in (fingerprint(), opening(small), audit(small)):
        length = 12 + int.from_bytes(data[8:12], "big")
        broken = {
            "cut in the header": data[: length // 2],
            "cut after the header": data[:length],
            "cut by a byte": data[:-1],
            "a byte more": data + b"\0",
            "a header of 4 GB": data[:8] + b"\xff" * 4 + data[12:],
            "magic alone": data[:8],
            "another format": data.replace(b"huref-zk ", b"huref-zq ", 1),
        }
        for what, bad in broken.items():
            code, out, err = inspect(bad)
            assert (code, out) == (2, ""), what
            assert err.startswith("error: ") and err.count("\n") == 1, what
        assert inspect(data)[0] == 0  # the control


def test_other_versions_and_other_files(inspect, small):
    for data in (fingerprint(), PAIR_MAGIC + bytes(20)):
        code, _, err = inspect(data[:7] + b"\x02" + data[8:])
        assert code == 2 and "starts with other bytes" in err
    for data in (b"", b"HUREF", b"HUREFZKX" + bytes(20), opening(small)[1:]):
        code, _, err = inspect(data)
        assert code == 2 and "starts with other bytes" in err


def test_what_is_no_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("pipe", "not a regular file"), ("none", "No such file"), (".", "regular")):
        done = CliRunner().invoke(main, ["inspect", str(tmp_path / name)])
        assert done.exit_code == 2 and words in done.stderr


def test_a_huge_file_is_refused_unread(inspect, small, tmp_path):
    """A hole of 3 GB behind an honest start."""
    for data in (fingerprint(), opening(small), audit(small), serialise(small[1])):
        path = tmp_path / "huge"
        path.write_bytes(data)
        os.truncate(path, 3 << 30)
        done = CliRunner().invoke(main, ["inspect", str(path)])
        assert done.exit_code == 2 and "larger than" in done.stderr
