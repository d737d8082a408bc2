"""An audit and its file, `.hza`.

A container (container.py) with magic b"HUREFZKA". Header fields, all required, no others:

    format            "huref-zk inference audit 1"
    nonce             the judge's, 64 lower-case hex digits; it chose the positions
    prompt            the prompt's text, or "" when it was given as token ids
    tokens            how many tokens the prompt has
    positions         how many of them are audited; as many as tokens means all
    rms_norm_eps      the norms' epsilon, as Python writes the float; not committed
    rope_theta        the base of the rotary embedding, likewise; "" if it is not plain RoPE
    scales            {"a": [...], "mid": [...]}: exponents of these activations, one a layer
    commitment_bytes  length of the first section

Sections: the commitment (the whole `.hzc`); the prompt's token ids, 32 bits big-endian each; the
claims (claims.py), positions rising; the proof of the linear relations (linear.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from huref_zk.commitment import file as hzc
from huref_zk.commitment.file import Commitment
from huref_zk.commitment.salts import SALTS
from huref_zk.errors import InputError
from huref_zk.files.container import pack_container, read_bounded, read_container, write_atomically
from huref_zk.proofs.inference.claims import (
    Geometry,
    LayerClaims,
    claims_bytes,
    geometry_of,
    parse_claims,
    serialise_claims,
)
from huref_zk.proofs.sampling import draw_distinct

MAGIC = b"HUREFZKA"
FORMAT = "huref-zk inference audit 1"
MAX_TOKENS = 4096
MAX_PROMPT = 8192
"""Characters of the longest prompt that is given as text."""
MAX_BYTES = 1 << 30
_FIELDS = {
    *("format", "nonce", "prompt", "tokens", "positions", "rms_norm_eps", "rope_theta"),
    *("scales", "commitment_bytes"),
}


@dataclass(frozen=True)
class Audit:
    """header: as above; commitment: bytes of the `.hzc`; ids: the prompt's token ids; claims: one
    for each committed layer; proof: the bytes of the linear proof."""

    header: dict[str, Any]
    commitment: bytes
    ids: tuple[int, ...]
    claims: tuple[LayerClaims, ...]
    proof: bytes

    @property
    def nonce(self) -> bytes:
        return bytes.fromhex(self.header["nonce"])

    @property
    def eps(self) -> float:
        return float(self.header["rms_norm_eps"])

    @property
    def theta(self) -> float | None:
        text = self.header["rope_theta"]
        return float(text) if text else None


def ids_bytes(ids: tuple[int, ...]) -> bytes:
    return b"".join(i.to_bytes(4, "big") for i in ids)


def choose_positions(root: int, nonce: bytes, ids: tuple[int, ...], count: int) -> list[int]:
    """The ``count`` positions in the prompt that the nonce chooses for this commitment, rising."""
    material = [root.to_bytes(32, "big"), nonce, ids_bytes(ids), count.to_bytes(4, "big")]
    return draw_distinct(b"huref-zk audit positions 1", material, len(ids), count)


def response_length(geometry: Geometry) -> int:
    """Entries of a committed row of U or V, salts included."""
    return geometry.length + SALTS


def relation_count(geometry: Geometry) -> int:
    """Three kinds of inputs a layer, and one relation for all outputs (linear.py)."""
    return 3 * len(geometry.layers) + 1


def proof_bytes(geometry: Geometry) -> int:
    """Length of the linear proof: two elements and one response a relation."""
    return 32 * relation_count(geometry) * (2 + response_length(geometry))


def serialise_audit(audit: Audit) -> bytes:
    """The bytes of the `.hza` file."""
    sections = [
        *(audit.commitment, ids_bytes(audit.ids), serialise_claims(audit.claims), audit.proof)
    ]
    return pack_container(MAGIC, audit.header, sections)


def write_audit(path: str | os.PathLike[str], audit: Audit) -> None:
    """Write the `.hza` file, whole or not at all."""
    write_atomically(path, serialise_audit(audit))


def read_audit(path: str | os.PathLike[str]) -> tuple[Audit, Commitment]:
    """Read a `.hza` file; see parse_audit."""
    return parse_audit(read_bounded(path, MAX_BYTES))


def parse_audit(data: bytes) -> tuple[Audit, Commitment]:
    """Parse the bytes of a `.hza` file and of the commitment in it, strictly.

    InputError when anything is malformed. Nothing is checked yet but that (check.py).
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"an audit has at most {MAX_BYTES} bytes, not {len(data)}")
    # The lengths of most sections follow from the commitment, which is a section itself.
    header, (body,) = read_container(data, MAGIC, lambda h: [_body_length(h, len(data))])
    size = header["commitment_bytes"]
    committed = body[:size]
    commitment = hzc.parse_commitment(committed)
    geometry = geometry_of(commitment.descriptor)
    _check_scales(header["scales"], len(geometry.layers))
    tokens, positions = header["tokens"], header["positions"]
    lengths = [4 * tokens, claims_bytes(geometry, positions), proof_bytes(geometry)]
    if len(body) != size + sum(lengths):
        raise InputError(
            f"the audit has {len(body)} bytes after its header, which implies {size + sum(lengths)}"
        )
    parts = []
    for length in lengths:
        parts.append(body[size : size + length])
        size += length
    ids = tuple(int.from_bytes(parts[0][i : i + 4], "big") for i in range(0, 4 * tokens, 4))
    claims = parse_claims(parts[1], geometry, positions)
    return Audit(header, committed, ids, claims, parts[2]), commitment


def _body_length(header: dict[str, Any], file_size: int) -> int:
    """Everything after the header, once the header is known to be in order."""
    if set(header) != _FIELDS:
        raise InputError(f"an audit's header must have the fields {', '.join(sorted(_FIELDS))}")
    if header["format"] != FORMAT:
        raise InputError(f"this program reads {FORMAT!r}, not {str(header['format'])[:40]!r}")
    nonce = header["nonce"]
    if not isinstance(nonce, str) or len(nonce) != 64 or set(nonce) - set("0123456789abcdef"):
        raise InputError("the audit's nonce must be 64 lower-case hex digits")
    if not isinstance(header["prompt"], str) or len(header["prompt"]) > MAX_PROMPT:
        raise InputError(f"the audit's prompt must be a text of at most {MAX_PROMPT} characters")
    tokens, positions = header["tokens"], header["positions"]
    for number, name, high in ((tokens, "tokens", MAX_TOKENS), (positions, "positions", tokens)):
        if type(number) is not int or not 1 <= number <= high:
            raise InputError(f"the audit's {name} must be an integer from 1 to {high}")
    _number(header["rms_norm_eps"], "rms_norm_eps", 0, 1)
    if header["rope_theta"] != "":
        _number(header["rope_theta"], "rope_theta", 1, 1e12)
    size = header["commitment_bytes"]
    if type(size) is not int or not 0 < size <= hzc.MAX_BYTES:
        raise InputError("the audit's commitment_bytes is out of range")
    written = len(pack_container(MAGIC, header, []))
    if file_size - written < size:
        raise InputError("the file ends inside its commitment")
    return file_size - written


def _number(text: Any, name: str, low: float, high: float) -> None:
    try:
        value = float(text) if isinstance(text, str) and len(text) <= 32 else -1.0
    except ValueError:
        value = -1.0
    if not low <= value <= high or repr(value) != text:
        raise InputError(f"the audit's {name} must be a number from {low} to {high}, as text")


def _check_scales(scales: Any, layers: int) -> None:
    good = isinstance(scales, dict) and set(scales) == {"a", "mid"}
    for values in scales.values() if good else []:
        good = good and isinstance(values, list) and len(values) == layers
        good = good and all(type(e) is int and -64 <= e <= 64 for e in values)
    if not good:
        raise InputError("the audit's scales must be exponents from -64 to 64, one a layer")
