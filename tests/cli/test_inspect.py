"""`inspect` on files of every kind, honest and hostile: everything they claim is shown, and nothing
that acts on a terminal."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.cli.words import safe
from huref_zk.commitment.commit import Owner
from huref_zk.commitment.file import serialise
from huref_zk.comparison import saved as hzf
from huref_zk.comparison.tokens import TokenList
from huref_zk.errors import InputError
from huref_zk.files.formats import FORMATS
from huref_zk.invariants.encoder import load_encoder
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.opening import file as hzo
from huref_zk.proofs.opening.prove import open_rows
from huref_zk.proofs.picture import file as hzp
from huref_zk.proofs.similarity import file as hzs
from huref_zk.proofs.similarity.shape import TOP
from huref_zk.srs.file import Srs
from tests.support.saved_fingerprints import random_survey
from tests.support.small_owner import AUDITED, small_owner, small_srs, write_owner

ESCAPE = "\x1b]0;title\x07\nVALID\u202e"
HEX = {name: f"{i:x}" * 64 for i, name in enumerate(("root", "circuit", "image", "render"), 1)}


@pytest.fixture(scope="module")
def srs(tmp_path_factory) -> Srs:
    return small_srs(tmp_path_factory.mktemp("srs"))


@pytest.fixture(scope="module")
def small(srs) -> Owner:
    return small_owner(srs, audited=AUDITED, output=True)


def fingerprint(name: str = "a model", **facts: str) -> bytes:
    ids = np.array([5, 6, 7, 900], dtype=np.int64)
    tokens = TokenList(ids, (4,), ("a", "bé", "c", ""))
    surveyed = random_survey(layers=2, groups=(4,))
    saved = hzf.Saved(
        name, {"hidden_size": 16, **facts}, bytes(32), tokens, surveyed, tuple(range(512))
    )
    return hzf.serialise_fingerprint(saved)


def opening(small: Owner, srs: Srs) -> bytes:
    rows = [("E", 0), ("E", 39), ("C", 3), ("O", 5)]
    return hzo.serialise_opening(open_rows(small, rows, srs))


def bundle(small: Owner, **changes: str) -> bytes:
    """Well formed; that its proofs are none is not for `inspect` to see."""
    claim = hzp.Claim(
        root=small.commitment.root_hex,
        seed=PUBLIC_SEED.hex(),
        circuit=HEX["circuit"],
        encoder=load_encoder().digest,
        generator="a" * 64,
        render=HEX["render"],
        image=HEX["image"],
        ezkl="23.0.5",
    )
    v = tuple(range(-256, 256))
    committed = serialise(small.commitment)
    made = hzp.Bundle(replace(claim, **changes), committed, b"p" * 7, v, b"h" * 9)
    return hzp.serialise_bundle(made)


def pair(small: Owner) -> bytes:
    claim = hzs.Claim(
        HEX["root"], HEX["image"], PUBLIC_SEED.hex(), HEX["circuit"], "23.0.5", 6553, TOP
    )
    committed = serialise(small.commitment)
    return hzs.serialise_bundle(hzs.PairBundle(claim, (committed, committed), (b"", b""), b""))


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
    data = json.loads(text)
    for name in ("format", "command", "seconds"):  # what every JSON object says of itself
        del data[name]
    return data, lines


def test_a_commitment(inspect, small):
    data, lines = shown(inspect, serialise(small.commitment))
    d = small.descriptor
    assert data["kind"] == "commitment" and data["recomputed_root"] == small.commitment.root_hex
    assert data["commitment"] == d.to_json()
    for value in (*d.model.values(), *d.scales.values(), d.tokens.digest, d.checkpoint, d.ezkl):
        assert str(value) in lines
    for word in ("64 of E, 6 of C, 6 of qv1", "recipe: whole", "layers 0-2", "given by the owner"):
        assert word in lines
    assert "the TEST setup" in lines and "layers 1 and the output rows" in lines
    assert "public model" not in lines


def test_a_public_models_commitment(inspect, srs):
    public = small_owner(srs, public=True)
    assert "no secret, nothing is hidden" in shown(inspect, serialise(public.commitment))[1]


def test_a_witness_shows_its_descriptor_alone(inspect, small, tmp_path):
    data = (write_owner(tmp_path / "x", small) / "witness.hzw").read_bytes()
    found, lines = shown(inspect, data)
    assert set(found) == {"kind", "commitment"} and found["commitment"]["recipe"] == "whole"
    assert "private: it holds what the owner committed to" in lines
    # The integers are not even read.
    length = 12 + int.from_bytes(data[8:12], "big")
    assert shown(inspect, data[:length])[0] == found
    assert inspect(data[: length - 1])[0] == 2


def test_a_bundle(inspect, small):
    data, lines = shown(inspect, bundle(small))
    assert data["bundle"]["image"] == HEX["image"]
    for value in (*data["bundle"].values(), small.commitment.root_hex):
        assert value in lines
    for word in ("(the public one)", "(this program's)", "(not the embedded one)", "512 integers"):
        assert word in lines
    other = shown(inspect, bundle(small, seed="ab" * 32, encoder="cd" * 32))[1]
    assert "(not the public one)" in other and "(not this program's)" in other


def test_a_pair(inspect, small):
    data, lines = shown(inspect, pair(small))
    assert data["at_least"] == 6553 / 65536 and "at_most" not in data
    assert data["first"]["recomputed_root"] == data["second"]["recomputed_root"]
    assert f"first model; the file claims root {HEX['root']}" in lines
    assert lines.count(small.commitment.root_hex) == 2


def test_a_saved_fingerprint(inspect):
    data, lines = shown(inspect, fingerprint(architecture="llama"))
    saved = hzf.parse_fingerprint(fingerprint(architecture="llama"))
    assert data["kind"] == "saved fingerprint"
    assert (data["name"], data["layers"]) == ("a model", 2)
    assert data["frames"] == ["common", "output", "after block"]
    assert data["tokens"] == {"count": 4, "digest": saved.token_digest, "texts": True}
    assert data["basis"] == saved.basis and data["v"] == list(range(512))
    for word in ("a model", "llama", "2 layers", saved.token_digest, saved.basis, "512 integers"):
        assert word in lines


def test_an_opening(inspect, small, srs):
    data, lines = shown(inspect, opening(small, srs))
    root = small.commitment.root_hex
    assert data["rows"] == ["E:0", "E:39", "C:3", "O:5"]
    assert data["commitment"] == small.descriptor.to_json() and data["root_of_first_row"] == root
    for word in ("4 rows: E:0, E:39, C:3, O:5", root, "layers 0-2", "TEST setup"):
        assert word in lines
    # Rows under another descriptor lead elsewhere, and that is shown for what it is.
    parsed = hzo.parse_opening(opening(small, srs))
    moved = replace(parsed, descriptor=replace(parsed.descriptor, layers=(0, 1, 8)))
    assert shown(inspect, hzo.serialise_opening(moved))[0]["root_of_first_row"] != root


def test_texts_from_a_file_cannot_act_on_a_terminal(inspect):
    """Control characters are refused by the format; what is left of letters of other scripts, which
    may look like others or turn a line around, is quoted."""
    with pytest.raises(InputError, match="printable"):
        fingerprint(x=ESCAPE)
    lines = shown(inspect, fingerprint(x="αβ", y="x" * 200))[1].splitlines()[1:]
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert any("'\\u03b1\\u03b2'" in line for line in lines)
    assert safe(ESCAPE) == "'\\x1b]0;title\\x07\\nVALID\\u202e'"
    assert safe("x" * 8192) == "x" * 200 + "... (8192 characters)"


def test_malformed_files_are_refused_in_one_line(inspect, small, srs):
    for data in (
        fingerprint(),
        opening(small, srs),
        bundle(small),
        pair(small),
        serialise(small.commitment),
    ):
        length = 12 + int.from_bytes(data[8:12], "big")
        broken = {
            "cut in the header": data[: length // 2],
            "cut after the header": data[:length],
            "cut by a byte": data[:-1],
            "a byte more": data + b"\0",
            "a header of 4 GB": data[:8] + b"\xff" * 4 + data[12:],
            "magic alone": data[:8],
            "another version": data[:7] + bytes([data[7] ^ 7]) + data[8:],
        }
        for what, bad in broken.items():
            code, out, err = inspect(bad)
            assert (code, out) == (2, ""), what
            assert err.startswith("error: ") and err.count("\n") == 1, what
            assert "/file" in err, what  # which file it was
        assert inspect(data)[0] == 0  # the control


def test_every_format_is_shown():
    from huref_zk.cli.shown import _SHOW
    from huref_zk.files.formats import WITNESS

    assert {*_SHOW, WITNESS} == set(FORMATS)


def test_other_files_and_other_versions(inspect):
    for data in (b"", b"HUREF", b"HUREFZKX" + bytes(20), b"HUREFZK\x01" + bytes(20)):
        code, _, err = inspect(data)
        assert code == 2 and "not a file of this program" in err
    code, _, err = inspect(b"HUREFZC\x01" + bytes(20))
    assert code == 2 and "is of version 1; this program reads version 2" in err


def test_what_is_no_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("pipe", "not a regular file"), ("none", "No such file"), (".", "regular")):
        done = CliRunner().invoke(main, ["inspect", str(tmp_path / name)])
        assert done.exit_code == 2 and words in done.stderr


def test_a_huge_file_is_refused_unread(small, srs, tmp_path):
    """A hole of 3 GB behind an honest start."""
    for data in (fingerprint(), opening(small, srs), bundle(small), serialise(small.commitment)):
        path = tmp_path / "huge"
        path.write_bytes(data)
        os.truncate(path, 3 << 30)
        done = CliRunner().invoke(main, ["inspect", str(path)])
        assert done.exit_code == 2 and "larger than" in done.stderr
