"""docs/formats.md against the code: fields, formats, limits, and bytes taken apart by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from huref_zk.argument.projection import SetProof, serialise_projection
from huref_zk.circuit.keys import Record
from huref_zk.circuit.shape import EZKL_VERSION
from huref_zk.commitment import tree
from huref_zk.commitment.commit import checkpoint_salt
from huref_zk.commitment.descriptor import Descriptor
from huref_zk.commitment.file import serialise
from huref_zk.commitment.journal import Journal
from huref_zk.commitment.poseidon import poseidon
from huref_zk.commitment.witness import write_witness
from huref_zk.comparison import saved
from huref_zk.curve import bn254
from huref_zk.files import formats
from huref_zk.files.container import VERSION, pack
from huref_zk.proofs.inference.file import Head
from huref_zk.proofs.picture import file as bundle
from huref_zk.proofs.similarity import file as similarity
from huref_zk.render.image import write_png
from huref_zk.render.tensors_file import write_safetensors
from tests.support.small_owner import AUDITED, SECRET, D, K, small_owner, small_srs

ROOT = Path(__file__).resolve().parent.parent
DOC = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


FIELDS = {
    "descriptor": names(Descriptor),
    "bundle": names(bundle.Claim),
    "similarity": names(similarity.Claim),
    "audit": names(Head),
    "fingerprint": list(saved._FIELDS),
    "record": names(Record),
}


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table's rows, without its head and its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def table(mark: str, doc: str = DOC) -> list[list[str]]:
    """The rows of the table under the mark ``<!-- mark -->``."""
    return rows(doc.split(f"<!-- {mark} -->\n", 1)[1].split("\n\n", 1)[0])


def documented_fields(name: str, doc: str = DOC) -> list[str]:
    return [row[0].strip("`") for row in table(f"fields: {name}", doc)]


def number(text: str) -> int:
    return int(text.replace(",", ""))


def wrong_limits(doc: str = DOC) -> list[str]:
    """Names in the table of limits whose value is not the code's."""
    found = []
    for cells in rows(doc.split("\n## Limits\n", 1)[1]):
        module, constant = cells[0].strip("`").rsplit(".", 1)
        if getattr(importlib.import_module(module), constant) != number(cells[1]):
            found.append(cells[0].strip("`"))
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_field_lists_are_those_of_the_code(name: str) -> None:
    assert sorted(documented_fields(name)) == sorted(FIELDS[name])
    # A row that goes missing is noticed.
    lost = FIELDS[name][-1]
    shorter = DOC.replace(f"\n| `{lost}` |", "\n| |")
    assert sorted(documented_fields(name, shorter)) != sorted(FIELDS[name])


def test_the_table_of_formats_is_the_codes() -> None:
    written = [
        [
            f"`{fmt.suffix}`",
            fmt.name,
            f"`{fmt.kind.decode()}`",
            ", ".join(fmt.sections),
            f"{fmt.max_bytes:,}",
        ]
        for fmt in formats.FORMATS
    ]
    assert table("formats") == written
    assert f"| version of all formats: {VERSION} |" in DOC


def test_limits_are_those_of_the_code() -> None:
    assert len(rows(DOC.split("\n## Limits\n", 1)[1])) > 25
    assert wrong_limits() == []
    drifted = DOC.replace(
        "`huref_zk.commitment.secret.LENGTH` | 32", "`huref_zk.commitment.secret.LENGTH` | 33"
    )
    assert wrong_limits(drifted) == ["huref_zk.commitment.secret.LENGTH"]


def test_versions_in_the_text_are_those_of_the_code() -> None:
    assert set(re.findall(r"\b23\.\d+\.\d+\b", DOC)) == {EZKL_VERSION}


def test_every_link_and_heading_in_the_list_exists() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
        for line in DOC.splitlines()
        if line.startswith("## ")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", DOC)) == headings
    for source in re.findall(r"`(huref_zk/[\w/]+\.\w+)`", DOC):
        assert (ROOT / source).is_file(), source
    for page in re.findall(r"\]\((\w[\w-]*\.md)\)", DOC):
        assert (ROOT / "docs" / page).is_file(), page


def test_a_container_is_laid_out_as_documented() -> None:
    body = {"a": "\u00e9", "b": [1]}
    data = pack(formats.WITNESS, body, [b"xy", b"z"])
    header = b'{"a":"\\u00e9","b":[1]}'
    sections = struct.pack(">Q", 2) + b"xy" + struct.pack(">Q", 1) + b"z"
    assert data == b"HUREFZW\x02" + struct.pack(">I", len(header)) + header + sections


# --- what is committed ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    srs = small_srs(tmp_path_factory.mktemp("srs"))
    return small_owner(srs, "last-two", audited=AUDITED, output=True)


def test_matrices_are_those_of_the_table(owner) -> None:
    """The sizes in the table of matrices, evaluated for a small model."""
    part = AUDITED[0]
    sizes = {"K": K, "d": D, "A": part.attention, "F": part.ffn}

    def value(text: str) -> int:
        terms = [term.split() for term in text.split(";")[0].split(":")[0].split(" + ")]
        factors = [[sizes.get(f) or int(f) for f in term] for term in terms]
        return sum(int(np.prod(term)) for term in factors)

    expected = []
    for name, _, count, integers, salts in rows(DOC.split("What is committed follows", 1)[1])[:6]:
        for matrix in re.findall(r"`([^`]+)`", name):
            if matrix != "C":  # of the recipe `whole`
                full = matrix.replace("<l>", str(part.layer))
                expected.append((full, value(count), value(integers), value(salts)))
    found = [(m.name, m.rows, m.columns, m.salts) for m in owner.descriptor.matrices]
    assert found == expected


def test_salts_are_derived_as_documented(owner) -> None:
    content = hashlib.sha256()
    for name, matrix in owner.witness.matrices.items():
        content.update(bytes([len(name)]) + name.encode())
        content.update(struct.pack(f"<{matrix.ndim}q", *matrix.shape))
        content.update(matrix.astype("<i2").tobytes())
    descriptor = owner.descriptor.to_bytes()
    bound = hashlib.sha256(descriptor).digest() + content.digest()
    key = hashlib.shake_256(b"huref-zk salt key 2" + SECRET + bound).digest(32)
    place = bytes([3]) + b"up1" + struct.pack(">I", 5)
    stream = hashlib.shake_256(b"huref-zk salt 2" + key + place).digest(8 * 48)
    by_hand = [int.from_bytes(stream[i : i + 48], "big") % bn254.R for i in range(0, 8 * 48, 48)]
    assert owner.witness.salts(owner.witness.key(SECRET), "up1")[5] == by_hand
    salt = hashlib.shake_256(b"huref-zk checkpoint salt 2" + SECRET).digest(32)
    assert salt == checkpoint_salt(SECRET)


def test_the_root_is_computed_as_documented(owner) -> None:
    data = serialise(owner.commitment)
    start = 12 + int.from_bytes(data[8:12], "big")
    header, points = data[12:start], data[start + 8 :]
    leaves, at = [], 0
    for number_, matrix in enumerate(owner.descriptor.matrices):
        for first in range(0, matrix.rows, 32):
            count = min(32, matrix.rows - first)
            blob, at = points[at : at + 32 * count], at + 32 * count
            pieces = [int.from_bytes(blob[i : i + 31], "big") for i in range(0, len(blob), 31)]
            leaves.append(poseidon(b"huref-zk leaf", [number_, first, count, *pieces]))
    level = leaves
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [poseidon(b"huref-zk node", p) if len(p) == 2 else p[0] for p in pairs]
    digest = hashlib.sha256(header).digest()
    halves = [int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")]
    assert poseidon(b"huref-zk root", [level[0], *halves]) == owner.commitment.root
    assert tree.LEAF_POINTS == 32


def test_a_witness_is_laid_out_as_documented(owner, tmp_path) -> None:
    write_witness(tmp_path / "w", owner.witness)
    data = (tmp_path / "w").read_bytes()
    at = 12 + int.from_bytes(data[8:12], "big")
    (size,) = struct.unpack(">Q", data[at : at + 8])
    integers, rest = data[at + 8 : at + 8 + size], data[at + 8 + size :]
    numbers = [int(n) for matrix in owner.witness.matrices.values() for n in matrix.reshape(-1)]
    assert integers == struct.pack(f"<{len(numbers)}h", *numbers)
    assert rest == struct.pack(">Q", 32) + checkpoint_salt(SECRET)


def test_a_journal_is_laid_out_as_documented(tmp_path) -> None:
    journal = Journal(tmp_path / "j", b"\7" * 32)
    journal.add("C0", 9, [bn254.GENERATOR, None])
    x, y = 1, 2
    record = b"\2C0" + struct.pack(">II", 9, 2) + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    record += bytes(64)
    expected = b"\7" * 32 + record + hashlib.sha256(record).digest()[:16]
    assert (tmp_path / "j").read_bytes() == expected


# --- proofs --------------------------------------------------------------------------------------


def test_points_and_projection_are_laid_out_as_documented() -> None:
    g, minus_g = bn254.GENERATOR, bn254.negate(bn254.GENERATOR)
    assert g is not None and minus_g is not None and (g[1] & 1, minus_g[1] & 1) == (0, 1)
    plain = g[0].to_bytes(32, "big")
    flagged = bytes([plain[0] | 0x80]) + plain[1:]
    infinity = b"\x40" + bytes(31)
    data = serialise_projection((SetProof(g, minus_g, (1, 2)), SetProof(None, g, (3, 4))))
    assert data[:128] == plain + flagged + infinity + plain
    assert data[128:] == b"".join(n.to_bytes(32, "big") for n in (1, 2, 3, 4))


def test_v_is_laid_out_as_documented() -> None:
    data = bundle.encode_v([5, -1, *[0] * 510])
    assert len(data) == 4096
    assert data[:16] == struct.pack(">qq", 5, -1)
    assert bundle.decode_v(data)[:2] == (5, -1)


# --- pictures and generators ---------------------------------------------------------------------


def test_pictures_have_the_documented_chunks(tmp_path) -> None:
    write_png(tmp_path / "p.png", np.zeros((3, 5, 3), np.uint8))
    data, at, found = (tmp_path / "p.png").read_bytes(), 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 8].decode())
        at += 12 + length
    assert found == ["IHDR", "IDAT", "IEND"]
    assert struct.unpack(">IIBBBBB", data[16:29]) == (5, 3, 8, 2, 0, 0, 0)


def test_generator_files_are_laid_out_as_documented(tmp_path) -> None:
    arrays = {"b": np.array([1.5], np.float32), "a": np.array([2, 3], np.float16)}
    write_safetensors(tmp_path / "g.safetensors", arrays, {"conv_clamp": "none"})
    data = (tmp_path / "g.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0 and list(header) == ["__metadata__", "a", "b"]
    assert header["b"] == {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}
    assert data[8 + size :] == struct.pack("<eef", 2, 3, 1.5)


# Reads a file of brackets nested argv[3] deep where a library has lifted Python's recursion limit,
# under which the standard parser would overflow the stack.
NESTED = """
import sys
from pathlib import Path
from huref_zk.cli.image import read_vector
from huref_zk.files.container import parse_canonical_json
from huref_zk.errors import InputError
from huref_zk.proofs.prepare import read_token_file
from huref_zk.models.model import read_json
from huref_zk.render.tensors_file import read_safetensors
sys.setrecursionlimit(100_000)
kind, path, depth = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
data = b"[" * depth + (b"]" * depth if depth < 100 else b"")
if kind == "safetensors":
    data = len(data).to_bytes(8, "little") + data
path.write_bytes(data)
read = {
    "header": lambda: parse_canonical_json(data),
    "vector": lambda: read_vector(str(path)),
    "tokens": lambda: read_token_file(path),
    "model": lambda: read_json(path),
    "safetensors": lambda: read_safetensors(path),
}
try:
    read[kind]()
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("kind", "shallow"),
    [
        ("header", "not a JSON object"),
        ("vector", "neither a list"),
        ("tokens", "no integers"),
        ("model", "no JSON object"),
        ("safetensors", "not an object"),
    ],
)
def test_deep_nesting_never_reaches_the_parser(kind: str, shallow: str, tmp_path) -> None:
    def read(depth: int) -> str:
        command = [sys.executable, "-c", NESTED, kind, str(tmp_path / "file"), str(depth)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "JSON" in read(65_536) and shallow not in read(65_536)
    assert shallow in read(64)  # parsed, and refused for what it is
