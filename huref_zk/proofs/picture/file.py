"""The proof bundle `.hzp`: one file that carries everything a verifier reads but the picture.

Strict container (container.py), magic b"HUREFZP" and version 1, header as canonical JSON, then four
sections whose lengths the header gives and which end exactly at the end of the file:

    commitment    the whole `.hzc` file of the committed model (commit/commitment.py)
    projection    the projection proof (project/prover.py)
    v             512 field elements, 32 bytes each, big-endian, below r: the public output
    proof         the Halo2 proof as ezkl writes it; opens with 32 row commitments of 64 bytes

Header fields (every one required, no others): see FIELDS. Docs: docs/formats.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huref_zk.circuit.encoder import V_LENGTH
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError
from huref_zk.files.container import read_bounded, read_container, write_container

MAGIC = b"HUREFZP\x01"
FORMAT = "huref-zk bundle 1"
MAX_BYTES = 64 << 20
SECTIONS = ("commitment", "projection", "v", "proof")

# name -> (type, exact length of a string or upper bound of an integer)
FIELDS: dict[str, tuple[type, int]] = {
    "format": (str, len(FORMAT)),
    "root": (str, 64),  # the commitment's Poseidon root
    "seed": (str, 64),  # seed of the sketch
    "circuit": (str, 64),  # digest of the circuit's shape and encoder
    "encoder": (str, 64),  # digest of the encoder's weights
    "generator": (str, 64),  # digest of the StyleGAN2 generator
    "render": (str, 64),  # digest of the rendering constants
    "image": (str, 64),  # digest of the picture's pixels
    "ezkl": (str, 0),
    "srs": (str, 64),
    "commitment_bytes": (int, MAX_BYTES),
    "projection_bytes": (int, MAX_BYTES),
    "v_bytes": (int, 32 * V_LENGTH),
    "proof_bytes": (int, 4 << 20),
}


@dataclass(frozen=True)
class Bundle:
    """header: the fields of FIELDS; the sections as bytes; v: 512 signed integers."""

    header: dict
    commitment: bytes
    projection: bytes
    v: tuple[int, ...]
    proof: bytes


def encode_v(v: tuple[int, ...] | list[int]) -> bytes:
    """512 signed integers as field elements, 32 bytes big-endian each."""
    return b"".join((x % R).to_bytes(32, "big") for x in v)


def decode_v(data: bytes) -> tuple[int, ...]:
    """The inverse of encode_v; values above r/2 are negative. InputError unless canonical."""
    if len(data) != 32 * V_LENGTH:
        raise InputError(f"v has {len(data)} bytes, not {32 * V_LENGTH}")
    out = []
    for i in range(0, len(data), 32):
        x = int.from_bytes(data[i : i + 32], "big")
        if x >= R:
            raise InputError(f"entry {i // 32} of v is not a canonical field element")
        out.append(x - R if x > R // 2 else x)
    return tuple(out)


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write ``bundle`` to ``path`` (temporary name, then rename)."""
    v = encode_v(bundle.v)
    sections = [bundle.commitment, bundle.projection, v, bundle.proof]
    lengths = {f"{n}_bytes": len(s) for n, s in zip(SECTIONS, sections, strict=True)}
    header = {**bundle.header, "format": FORMAT, **lengths}
    check_header(header, FIELDS, FORMAT)
    write_container(path, MAGIC, header, sections)


def read_bundle(path: Path) -> Bundle:
    """Parse a bundle strictly. Raises InputError naming what is malformed; judges no claim."""
    return parse_bundle(read_bounded(path, MAX_BYTES))


def parse_bundle(data: bytes) -> Bundle:
    """As read_bundle, from bytes."""
    header, sections = read_container(data, MAGIC, _section_lengths)
    commitment, projection, v, proof = sections
    return Bundle(header, commitment, projection, decode_v(v), proof)


def _section_lengths(header: dict) -> list[int]:
    check_header(header, FIELDS, FORMAT)
    return [header[f"{name}_bytes"] for name in SECTIONS]


def check_header(header: dict, fields: dict[str, tuple[type, int]], form: str) -> None:
    """InputError unless ``header`` has exactly ``fields``, each within bounds, and the format."""
    for name in header:
        if name not in fields:
            raise InputError(f"the bundle's header has an unknown field {name[:40]!r}")
    for name, (kind, bound) in fields.items():
        value = header.get(name)
        if type(value) is not kind:
            raise InputError(f"the bundle's header lacks {name}, or it is no {kind.__name__}")
        if isinstance(value, int) and not 0 < value <= bound:
            raise InputError(f"the bundle's {name} is {value}; it must lie in 1..{bound}")
        if isinstance(value, str) and bound == 64 and not _is_hex(value):
            raise InputError(f"the bundle's {name} is not 64 lower-case hex digits")
        if isinstance(value, str) and not (
            len(value) <= 64 and value.isascii() and value.isprintable()
        ):
            raise InputError(f"the bundle's {name} is not up to 64 printable ASCII characters")
    if header["format"] != form:
        raise InputError(f"this program reads {form!r}, not {header['format']!r}")


def _is_hex(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
