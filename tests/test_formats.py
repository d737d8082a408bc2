"""docs/formats.md against the code: field lists, magics, limits, and bytes taken apart by hand."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from huref_zk.argument.projection_proof import ProjectionProof, SideProof, serialise_projection
from huref_zk.circuit.keys import Record
from huref_zk.circuit.shape import EZKL_VERSION
from huref_zk.commitment import file as commitment
from huref_zk.curve import bn254
from huref_zk.files.container import pack_container
from huref_zk.proofs.picture import file as bundle
from huref_zk.render.image import write_png
from huref_zk.render.tensors_file import write_safetensors

DOC = (Path(__file__).resolve().parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
FIELDS = {
    "descriptor": commitment._FIELDS,
    "bundle": list(bundle.FIELDS),
    "record": [field.name for field in dataclasses.fields(Record)],
}


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table's rows, without its head and its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def field_rows(name: str, doc: str = DOC) -> list[list[str]]:
    """The rows of the table under the mark ``<!-- fields: name -->``."""
    table = doc.split(f"<!-- fields: {name} -->\n", 1)[1].split("\n\n", 1)[0]
    return rows(table)


def documented_fields(name: str, doc: str = DOC) -> list[str]:
    return [row[0].strip("`") for row in field_rows(name, doc)]


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
    assert documented_fields(name) == FIELDS[name]
    # A row that goes missing is noticed.
    lost = FIELDS[name][-1]
    assert documented_fields(name, DOC.replace(f"\n| `{lost}` |", "\n| |")) != FIELDS[name]


def test_bundle_fields_have_the_documented_types_and_bounds() -> None:
    for name, kind, bounds in field_rows("bundle"):
        expected, bound = bundle.FIELDS[name.strip("`")]
        if kind == "integer":
            assert expected is int
            assert bounds.startswith(f"1..{bound:,}")
        elif kind == "hex64":
            assert (expected, bound) == (str, 64)
        else:
            assert kind == "string" and expected is str and bound != 64


def test_limits_are_those_of_the_code() -> None:
    assert len(rows(DOC.split("\n## Limits\n", 1)[1])) > 25
    assert wrong_limits() == []
    drifted = DOC.replace(
        "`huref_zk.commitment.secret.LENGTH` | 32", "`huref_zk.commitment.secret.LENGTH` | 33"
    )
    assert wrong_limits(drifted) == ["huref_zk.commitment.secret.LENGTH"]


@pytest.mark.parametrize("module", [commitment, bundle])
def test_magics_and_format_names_are_those_of_the_code(module) -> None:
    assert f"hex `{module.MAGIC.hex(' ')}`" in DOC
    assert f"| `format` | string | `{module.FORMAT}` |" in DOC


def test_versions_in_the_text_are_those_of_the_code() -> None:
    assert set(re.findall(r"\b23\.\d+\.\d+\b", DOC)) == {EZKL_VERSION}


def test_every_link_and_heading_in_the_list_exists() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
        for line in DOC.splitlines()
        if line.startswith("## ")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", DOC)) <= headings
    for source in re.findall(r"`(huref_zk/[\w/]+\.\w+)`", DOC):
        assert (Path(__file__).resolve().parent.parent / source).is_file(), source


def test_a_container_is_laid_out_as_documented() -> None:
    data = pack_container(commitment.MAGIC, {"b": [1], "a": "\u00e9"}, [b"xy", b"z"])
    header = b'{"a":"\\u00e9","b":[1]}'
    assert data == b"HUREFZKC" + struct.pack(">I", len(header)) + header + b"xyz"


def test_points_and_projection_are_laid_out_as_documented() -> None:
    g, minus_g = bn254.GENERATOR, bn254.negate(bn254.GENERATOR)
    assert g is not None and minus_g is not None and (g[1] & 1, minus_g[1] & 1) == (0, 1)
    plain = g[0].to_bytes(32, "big")
    flagged = bytes([plain[0] | 0x80]) + plain[1:]
    infinity = b"\x40" + bytes(31)
    sides = (SideProof(g, minus_g, (1, 2)), SideProof(None, g, (3, 4)))
    data = serialise_projection(ProjectionProof(sides))
    assert data[:128] == plain + flagged + infinity + plain
    assert data[128:] == b"".join(n.to_bytes(32, "big") for n in (1, 2, 3, 4))


def test_v_is_laid_out_as_documented() -> None:
    data = bundle.encode_v([5, -1, *[0] * 510])
    assert len(data) == 16384
    assert data[:64] == (5).to_bytes(32, "big") + (bn254.R - 1).to_bytes(32, "big")
    assert bundle.decode_v(data)[:2] == (5, -1)


def test_pictures_have_the_documented_chunks(tmp_path) -> None:
    write_png(tmp_path / "p.png", np.zeros((3, 5, 3), np.uint8))
    data, at, names = (tmp_path / "p.png").read_bytes(), 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8].decode())
        at += 12 + length
    assert names == ["IHDR", "IDAT", "IEND"]
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
from huref_zk.invariants.prepare import read_token_file
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
