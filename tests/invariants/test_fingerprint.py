"""From a model's name to its vector: the options as the command line hands them over."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.errors import InputError
from huref_zk.invariants.encoder import P, encode_exact, encode_float, load_encoder
from huref_zk.invariants.quantise import integer_maps
from huref_zk.invariants.sketch import PUBLIC_SEED, ics
from huref_zk.proofs.prepare import (
    fingerprint_vector,
    prepare,
    read_token_file,
    sketch_of,
)
from research.benchmarks.agreement import cosine


@pytest.fixture(scope="module")
def base():
    return prepare("demo-base")


def test_the_vector_is_the_encoded_integer_maps(base):
    v = fingerprint_vector(base, PUBLIC_SEED)
    assert len(v) == 512
    assert all(type(x) is int for x in v)
    maps = integer_maps(base.quantised, PUBLIC_SEED, P)
    assert v == encode_exact(load_encoder(), maps, base.shape.shift)
    assert cosine(v, encode_float(load_encoder(), sketch_of(base, PUBLIC_SEED))) > 0.9999


def test_it_is_the_same_again_and_another_under_another_seed(base):
    v = fingerprint_vector(base, PUBLIC_SEED)
    assert fingerprint_vector(prepare("demo-base"), PUBLIC_SEED) == v
    assert cosine(fingerprint_vector(base, bytes(32)), v) < 0.5


def test_the_child_is_like_the_base_and_the_stranger_is_not(base):
    child, stranger = prepare("demo-child"), prepare("demo-stranger")
    v = fingerprint_vector(base, PUBLIC_SEED)
    assert cosine(v, fingerprint_vector(child, PUBLIC_SEED)) > 0.9
    assert abs(cosine(v, fingerprint_vector(stranger, PUBLIC_SEED))) < 0.5
    sketches = [sketch_of(p, PUBLIC_SEED) for p in (base, child, stranger)]
    assert ics(sketches[0], sketches[1]) > 0.9
    assert abs(ics(sketches[0], sketches[2])) < 0.5


def test_options_reach_the_canonical_form(tmp_path):
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps([*range(500, 400, -1)]))
    told = []
    found = prepare(
        "demo-base",
        layers=(0, 2),
        tokens=tokens,
        count=64,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found.canonical.layer_ids == (0, 2)
    assert found.canonical.token_ids.tolist() == [*range(500, 436, -1)]
    assert found.warnings == ()
    assert told[-1] == (3, 3)
    assert found.shape.widths == found.canonical.widths
    few = prepare("demo-base", count=65)
    assert few.warnings == ("64 tokens used; 65 were asked for",)


@pytest.mark.parametrize(
    "text", ["[5, 3, 9]", "  [5,3,9]\n", "5\n3\n9\n", "5 3 9", "\r\n5\r\n3\r\n9"]
)
def test_token_files(tmp_path, text):
    path = tmp_path / "tokens"
    path.write_text(text)
    assert read_token_file(path) == [5, 3, 9]


@pytest.mark.parametrize(
    "content",
    [
        b"[5, 3",
        b"[" * 200_000,
        b"{5}",
        b"five",
        b"5.5",
        b"[5, 3.0]",
        b'["5"]',
        b"[true]",
        b"[[5]]",
        b"\xff\xfe",
        b"5" * 5000,
        b"[" + b"5" * 5000 + b"]",
    ],
    ids=range(12),
)
def test_token_files_that_are_none(tmp_path, content):
    path = tmp_path / "tokens"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"token ids|no integers"):
        read_token_file(path)
    path.write_bytes(b"[5]")
    assert read_token_file(path) == [5]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"[]", b" [ ]\n"])
def test_an_empty_list_of_tokens(tmp_path, content):
    path = tmp_path / "tokens"
    path.write_bytes(content)
    line = ["fingerprint", "demo-base", "--tokens", str(path), "--vector", str(tmp_path / "v.json")]
    done = CliRunner().invoke(main, line)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith(f"error: {path} holds no token ids\n")
    assert not (tmp_path / "v.json").exists()
    path.write_bytes(b"[5]")  # the control: one is a list, if too few to make a sketch over
    assert read_token_file(path) == [5]


def test_a_token_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_token_file(tmp_path / "none")
