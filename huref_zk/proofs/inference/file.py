"""An audit and its file, `.hza`.

Header fields, all required, no others:

    nonce         the judge's, 64 hex digits; it chose the positions
    positions     how many are audited; as many as there are tokens means all
    rms_norm_eps  the norms' epsilon, as Python writes the float; not committed
    rope_theta    the base of the rotary embedding, likewise; "" if it is not plain RoPE
    output        "O" or "E": the matrix whose rows give the claimed logits; "" if none does
    scales        {"a": [...], "mid": [...], "z": [...]}: exponents of these activations, one a
                  layer; z: one if the output is audited, else none

Sections: the commitment (the whole `.hzc`); the prompt's token ids, then the ids of the K tokens
that E has rows of, 32 bits big-endian each; the claims (claims.py), positions rising; the proof of
the linear relations (argument/linear.py, in the order of relations.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from huref_zk.argument.linear import RelationProof, parse_linear, serialise_linear
from huref_zk.commitment.descriptor import Descriptor
from huref_zk.commitment.file import Commitment, parse_commitment
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json, pack, read_bounded, unpack
from huref_zk.files.fields import hex_digits, integer, integers, members, number, one_of
from huref_zk.files.formats import AUDIT
from huref_zk.files.writing import write_atomically
from huref_zk.proofs.inference.claims import (
    Claims,
    Extent,
    Geometry,
    geometry_of,
    parse_claims,
    serialise_claims,
)
from huref_zk.proofs.sampling import draw_distinct

MAX_TOKENS = 4096
"""Of a prompt."""
MATRICES = ("", "O", "E")
_FIELDS = ("nonce", "positions", "rms_norm_eps", "rope_theta", "output", "scales")


@dataclass(frozen=True)
class Head:
    """The header; scales: tuples of exponents by name."""

    nonce: str
    positions: int
    rms_norm_eps: str
    rope_theta: str
    output: str
    scales: dict[str, tuple[int, ...]]

    @property
    def eps(self) -> float:
        return float(self.rms_norm_eps)

    @property
    def theta(self) -> float | None:
        return float(self.rope_theta) if self.rope_theta else None

    def to_json(self) -> dict[str, Any]:
        """The object that is written."""
        scales = {name: list(values) for name, values in self.scales.items()}
        return {**asdict(self), "scales": scales}

    def to_bytes(self) -> bytes:
        """Canonical JSON: what the challenges bind."""
        return canonical_json(self.to_json())


@dataclass(frozen=True)
class Audit:
    """head: the header; commitment: bytes of the `.hzc`; ids: of the prompt; tokens: of E's rows;
    proof: one part a relation."""

    head: Head
    commitment: bytes
    ids: tuple[int, ...]
    tokens: tuple[int, ...]
    claims: Claims
    proof: tuple[RelationProof, ...]


@dataclass(frozen=True)
class Places:
    """Which positions are audited, rising; named: for those whose token is one of the K, where
    layer 0 is audited, (index among the positions, row of E)."""

    positions: tuple[int, ...]
    named: tuple[tuple[int, int], ...]


def ids_bytes(ids: Sequence[int]) -> bytes:
    """32 bits big-endian each."""
    return np.array(ids, dtype=">u4").tobytes()


def parse_ids(data: bytes, limit: int, what: str) -> tuple[int, ...]:
    """The inverse, for 1 to ``limit`` ids. InputError."""
    if len(data) % 4 or not 4 <= len(data) <= 4 * limit:
        raise InputError(f"the audit's {what} must be 1 to {limit} token ids")
    return tuple(np.frombuffer(data, dtype=">u4").tolist())


def places_of(
    root: int, geometry: Geometry, head: Head, ids: Sequence[int], tokens: Sequence[int]
) -> Places:
    """The positions that the nonce chooses for this commitment and prompt."""
    positions = choose_positions(root, bytes.fromhex(head.nonce), ids, head.positions)
    row_of = {token: row for row, token in enumerate(tokens)} if 0 in geometry.layers else {}
    named = [(i, row_of[ids[p]]) for i, p in enumerate(positions) if ids[p] in row_of]
    return Places(tuple(positions), tuple(named))


def choose_positions(root: int, nonce: bytes, ids: Sequence[int], count: int) -> list[int]:
    """The ``count`` positions in the prompt that the nonce chooses for this commitment, rising."""
    material = [root.to_bytes(32, "big"), nonce, ids_bytes(ids), count.to_bytes(4, "big")]
    return draw_distinct(b"huref-zk audit positions 2", material, len(ids), count)


def relation_matrices(geometry: Geometry, output: str, places: Places) -> list[str]:
    """The committed matrix that each linear relation of an audit is about (relations.py)."""
    found = [
        f"{matrix}{layer}"
        for layer in geometry.layers
        for matrix in ("qv", "ko", "up", "gate", "ko", "down")
    ]
    found += [output] if output else []
    return found + (["E"] if places.named else [])


def serialise_audit(audit: Audit) -> bytes:
    """The bytes of the `.hza` file."""
    sections = [
        audit.commitment,
        ids_bytes(audit.ids),
        ids_bytes(audit.tokens),
        serialise_claims(audit.claims),
        serialise_linear(audit.proof),
    ]
    return pack(AUDIT, audit.head.to_json(), sections)


def write_audit(path: str | os.PathLike[str], audit: Audit) -> None:
    """Write the `.hza` file, whole or not at all."""
    write_atomically(path, serialise_audit(audit))


def read_audit(path: str | os.PathLike[str]) -> tuple[Audit, Commitment]:
    """Read a `.hza` file; see parse_audit."""
    return parse_audit(read_bounded(path, AUDIT.max_bytes))


def parse_audit(data: bytes) -> tuple[Audit, Commitment]:
    """Parse the bytes of a `.hza` file and of the commitment in it, strictly.

    InputError when anything is malformed. Nothing is checked yet but that (verify.py).
    """
    header, (committed, ids_data, tokens_data, claims_data, proof_data) = unpack(AUDIT, data)
    commitment = parse_commitment(committed)
    geometry = geometry_of(commitment.descriptor)
    ids = parse_ids(ids_data, MAX_TOKENS, "prompt")
    tokens = parse_ids(tokens_data, geometry.tokens, "tokens")
    if len(tokens) != geometry.tokens or len(set(tokens)) != len(tokens):
        raise InputError(f"the audit must name {geometry.tokens} different tokens")
    head = parse_head(header, commitment.descriptor, len(ids))
    places = places_of(commitment.root, geometry, head, ids, tokens)
    extent = Extent(head.positions, bool(head.output), len(places.named))
    claims = parse_claims(claims_data, geometry, extent)
    matrices = relation_matrices(geometry, head.output, places)
    proof = parse_linear(proof_data, commitment.descriptor, matrices)
    return Audit(head, committed, ids, tokens, claims, proof), commitment


def parse_head(header: Any, descriptor: Descriptor, tokens: int) -> Head:
    """The header, for a prompt of so many tokens. InputError."""
    what = "the audit's"
    h = members(header, _FIELDS, f"{what} header")
    number(h["rms_norm_eps"], f"{what} rms_norm_eps", 0, 1)
    if h["rope_theta"] != "":
        number(h["rope_theta"], f"{what} rope_theta", 1, 1e12)
    output = one_of(h["output"], f"{what} output", MATRICES)
    if output == "O" and not descriptor.output:
        raise InputError("the audit is of the output matrix, which is not committed")
    geometry = geometry_of(descriptor)
    if output and geometry.depth - 1 not in geometry.layers:
        raise InputError("the audit is of the output, but the last layer is not audited")
    layers = len(geometry.layers)
    counts = {"a": layers, "mid": layers, "z": int(bool(output))}
    scales = {
        name: tuple(_exponents(values, f"{what} scales.{name}", counts[name]))
        for name, values in members(h["scales"], tuple(counts), f"{what} scales").items()
    }
    return Head(
        hex_digits(h["nonce"], f"{what} nonce"),
        integer(h["positions"], f"{what} positions", 1, tokens),
        h["rms_norm_eps"],
        h["rope_theta"],
        output,
        scales,
    )


def _exponents(values: Any, what: str, count: int) -> tuple[int, ...]:
    if values == [] and count == 0:
        return ()
    found = integers(values, what, max(count, 1), -64, 64)
    if len(found) != count:
        raise InputError(f"{what} must hold {count} exponents")
    return found
