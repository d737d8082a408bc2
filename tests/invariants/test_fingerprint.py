"""From a model's name to its vector: the options as the command line hands them over."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.attacks import read_checkpoint
from huref_zk.cli import main
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json
from huref_zk.invariants.encoder import encode_exact, encode_float, load_encoder
from huref_zk.invariants.quantise import integer_maps
from huref_zk.invariants.sketch import PUBLIC_SEED, ics
from huref_zk.models.load import EMBEDDED, open_model
from huref_zk.proofs.prepare import (
    checkpoint_digest,
    facts_of,
    fingerprint_vector,
    prepare,
    read_token_file,
    sketch_of,
)


@pytest.fixture(scope="module")
def base():
    return prepare("demo-base")


def cosine(x, y) -> float:
    x, y = (np.asarray(v, dtype=float) for v in (x, y))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def vector(prepared, seed):
    return fingerprint_vector(prepared.quantised, prepared.shape, seed)


def test_the_vector_is_the_encoded_integer_maps(base):
    v = vector(base, PUBLIC_SEED)
    assert len(v) == 512
    assert all(type(x) is int for x in v)
    maps = integer_maps(base.quantised, PUBLIC_SEED)
    assert v == encode_exact(load_encoder(), maps, base.shape.shift)
    assert cosine(v, encode_float(load_encoder(), sketch_of(base, PUBLIC_SEED))) > 0.9999


def test_it_is_the_same_again_and_another_under_another_seed(base):
    v = vector(base, PUBLIC_SEED)
    assert vector(prepare("demo-base"), PUBLIC_SEED) == v
    assert cosine(vector(base, bytes(32)), v) < 0.5


def test_the_child_is_like_the_base_and_the_stranger_is_not(base):
    child, stranger = prepare("demo-child"), prepare("demo-stranger")
    v = vector(base, PUBLIC_SEED)
    assert cosine(v, vector(child, PUBLIC_SEED)) > 0.85
    assert abs(cosine(v, vector(stranger, PUBLIC_SEED))) < 0.5
    sketches = [sketch_of(p, PUBLIC_SEED) for p in (base, child, stranger)]
    assert ics(sketches[0], sketches[1]) > 0.85
    assert abs(ics(sketches[0], sketches[2])) < 0.3


def test_options_reach_the_cores(tmp_path):
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps([*range(500, 400, -1)]))
    told = []
    found = prepare(
        "demo-base",
        recipe="last-two",
        layers=(0, 2),
        tokens=tokens,
        count=64,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found.cores.recipe == "last-two"
    assert found.cores.layer_ids == (0, 2)
    assert found.cores.token_ids.tolist() == [*range(500, 436, -1)]
    assert found.warnings == ()
    assert told == [(1, 2), (2, 2)]
    assert found.shape == prepare("demo-stranger", count=64).shape
    few = prepare("demo-base", count=65)
    assert few.warnings == ("64 tokens used; 65 were asked for",)
    rare = prepare("demo-base", count=64, token_choice="rare")
    assert rare.cores.token_ids.tolist() == [*range(4160 - 64, 4160)]


def test_facts(base):
    facts = facts_of(base)
    assert set(facts) == {"recipe", "layers", "model", "tokens", "scales"}
    assert (facts["recipe"], facts["layers"]) == ("whole", [0, 1, 2, 3])
    assert facts["model"]["hidden_size"] == 64
    ids = base.cores.token_ids.astype("<i8").tobytes()
    assert facts["tokens"] == {
        "count": 4096,
        "digest": hashlib.sha256(ids).hexdigest(),
        "choice": "common",
    }
    assert facts["scales"] == base.quantised.scales
    canonical_json(facts)  # nothing that a descriptor cannot hold


# --- the checkpoint's digest --------------------------------------------------------------------

SALT = bytes(range(32))


def test_the_digest_is_what_its_definition_says():
    """Every tensor's name, shape, type and bytes, in the order of names."""
    path = EMBEDDED["demo-base"] / "model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    h = hashlib.sha256(b"huref_zk checkpoint" + SALT)
    for name in sorted(n for n in header if n != "__metadata__"):
        start, stop = header[name]["data_offsets"]
        entry = [name, header[name]["shape"], header[name]["dtype"]]
        h.update(json.dumps(entry, separators=(",", ":")).encode() + b"\n" + body[start:stop])
    told = []
    found = checkpoint_digest(open_model("demo-base"), SALT, lambda *x: told.append(x))
    assert found == h.digest()
    assert told[-1] == (len(told), len(told))


def test_the_digest_binds_tensors_and_salt(tmp_path):
    from safetensors.numpy import load_file, save_file

    base = checkpoint_digest(open_model("demo-base"), SALT)
    folder = tmp_path / "copy"
    shutil.copytree(EMBEDDED["demo-base"], folder)
    assert checkpoint_digest(open_model(str(folder)), SALT) == base
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][7, 3] += 1  # which no fingerprint reads
    save_file(tensors, folder / "model.safetensors")
    others = [
        checkpoint_digest(open_model(str(folder)), SALT),
        checkpoint_digest(open_model("demo-child"), SALT),
        checkpoint_digest(open_model("demo-base"), bytes(32)),
    ]
    assert len({base, *others}) == 4
    with pytest.raises(InputError, match="32 bytes"):
        checkpoint_digest(open_model("demo-base"), bytes(31))


def test_the_digest_reads_in_pieces(monkeypatch):
    base = checkpoint_digest(open_model("demo-base"), SALT)
    monkeypatch.setattr("huref_zk.models.store.CHUNK", 1000)
    assert checkpoint_digest(open_model("demo-base"), SALT) == base


def test_the_digest_of_a_model_in_memory_is_of_its_float32_values():
    checkpoint = read_checkpoint("demo-base")
    one = checkpoint_digest(checkpoint.model(), SALT)
    assert one == checkpoint_digest(read_checkpoint("demo-base").model(), SALT)
    assert one != checkpoint_digest(open_model("demo-base"), SALT)  # float16 there


# --- token files --------------------------------------------------------------------------------


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
