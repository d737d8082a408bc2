"""The public commitment to a model: descriptor, row commitments, root; and its file, `.hzc`.

File: a container (container.py) with magic b"HUREFZKC", the descriptor as header, and then 32-byte
compressed points (bn254.compress): the K rows of E, the d rows of U, the d rows of V. U and V hold
the proven layers side by side: row j is row j of the first layer's matrix, then of the second's,
and so on. The root is Poseidon's (merkle.py); written as 64 hex digits, big-endian.

Descriptor (every field required, no others):

    format     "huref-zk commitment 1"
    model      object of at most 32 facts, text or integers; "hidden_size" is d
    layers     the proven layers' numbers, in the order of their matrices
    widths     [H_a, H_b, H_f]: columns of the terms a, b, f within a layer
    tokens     {"count": K, "digest": SHA-256 hex of the K token ids as little-endian int64}
    scales     object of integers, the exponents e of the quantised blocks: n stands for n / 2^e
    salts      8 (salts.py)
    domain_k   k: commitments live in the domain of 2^k rows
    srs        {"kind": "ceremony" | "test" | "unknown", "sha256": hex}
    ezkl       version that made the commitments
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from huref_zk.commitment import kzg
from huref_zk.commitment import tree as merkle
from huref_zk.commitment.salts import E_SALTS, SALTS, row_salts, salt_key
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point
from huref_zk.errors import InputError
from huref_zk.files.container import (
    canonical_json,
    pack_container,
    read_bounded,
    read_container,
    write_atomically,
)
from huref_zk.native.workers import run_all
from huref_zk.srs.file import MAX_K, Srs

MAGIC = b"HUREFZKC"
FORMAT = "huref-zk commitment 1"
MAX_ROWS = 1 << 16
"""Rows of the largest commitment we read; so many take half a minute of one core."""
MAX_BYTES = 32 * MAX_ROWS + (1 << 17)
MAX_LAYERS = 64
_FIELDS = ["format", "model", "layers", "widths", "tokens", "scales", "salts", "domain_k"]
_FIELDS += ["srs", "ezkl"]


class Quantised(Protocol):
    """What is committed: E (K, d) int32; U and V, one (d, H_a + H_b + H_f) int32 a layer."""

    @property
    def E(self) -> np.ndarray: ...
    @property
    def U(self) -> tuple[np.ndarray, ...]: ...
    @property
    def V(self) -> tuple[np.ndarray, ...]: ...


@dataclass(frozen=True)
class Commitment:
    """Points of K rows of E, d rows of U and d rows of V; root: the Poseidon root, int below r."""

    descriptor: dict[str, Any]
    E_points: tuple[Point, ...]
    U_points: tuple[Point, ...]
    V_points: tuple[Point, ...]
    root: int

    @property
    def root_hex(self) -> str:
        return f"{self.root:064x}"

    @property
    def hidden(self) -> int:
        """d, the model's hidden size: rows of U and V, entries of a row of E before its salts."""
        return int(self.descriptor["model"]["hidden_size"])

    @property
    def length(self) -> int:
        """L, entries of a row of U or V before its salts (all layers side by side)."""
        return row_length(self.descriptor)


def row_length(descriptor: dict[str, Any]) -> int:
    return len(descriptor["layers"]) * sum(descriptor["widths"])


def token_digest(ids: np.ndarray | Sequence[int]) -> str:
    """SHA-256, hex, of token ids as little-endian int64."""
    return hashlib.sha256(np.asarray(ids).astype("<i8").tobytes()).hexdigest()


def side_by_side(quantised: Quantised) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E (K, d), U (d, L) and V (d, L), the layers' matrices next to one another."""
    return quantised.E, np.concatenate(quantised.U, axis=1), np.concatenate(quantised.V, axis=1)


def commit(
    quantised: Quantised,
    facts: dict[str, Any],
    secret: bytes,
    srs: Srs,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Commitment:
    """Commit to `quantised` under the owner's 32-byte secret.

    facts: the descriptor's model, layers, widths, tokens and scales. The same inputs give the same
    commitment. Works in child processes (default: one a core); `progress` hears (jobs done, jobs).
    InputError when the facts do not fit the matrices, or these not the SRS's domain.
    """
    matrices = side_by_side(quantised)
    descriptor = {
        **facts,
        "format": FORMAT,
        "salts": SALTS,
        "domain_k": srs.k,
        "srs": {"kind": srs.kind, "sha256": srs.sha256},
        "ezkl": metadata.version("ezkl"),
    }
    counts = check_descriptor(descriptor)
    d, length = descriptor["model"]["hidden_size"], row_length(descriptor)
    for matrix, count, width in zip(matrices, counts, (d, length, length), strict=True):
        if matrix.shape != (count, width):
            raise InputError(
                f"a matrix is {matrix.shape}, the descriptor says {(count, width)}; "
                "widths, layers, tokens or hidden_size are off"
            )
    key = salt_key(secret, matrices)
    salted = [(matrix, row_salts(key, i, len(matrix))) for i, matrix in enumerate(matrices)]
    points = [tuple(rows) for rows in kzg.commit_rows(srs, salted, processes, progress)]
    blobs = [b"".join(map(bn254.compress, rows)) for rows in points]
    _, tops, _ = _tree(blobs, False, processes)
    root = merkle.root(tops, canonical_json(descriptor))
    return Commitment(descriptor, points[0], points[1], points[2], root)


def leaf_hashes(commitment: Commitment, processes: int | None = None) -> list[int]:
    """The Merkle leaves under the root, for merkle.path."""
    groups = (commitment.E_points, commitment.U_points, commitment.V_points)
    blobs = [b"".join(map(bn254.compress, rows)) for rows in groups]
    return _tree(blobs, False, processes)[0]


# --- the file ------------------------------------------------------------------------------------


def serialise(commitment: Commitment) -> bytes:
    """The bytes of the `.hzc` file."""
    points = commitment.E_points + commitment.U_points + commitment.V_points
    return pack_container(
        MAGIC, commitment.descriptor, [b"".join(bn254.compress(point) for point in points)]
    )


def write_commitment(path: str | os.PathLike[str], commitment: Commitment) -> None:
    """Write the `.hzc` file, whole or not at all."""
    write_atomically(path, serialise(commitment))


def read_commitment(path: str | os.PathLike[str]) -> Commitment:
    """Read a `.hzc` file; see parse_commitment."""
    return parse_commitment(read_bounded(path, MAX_BYTES))


@functools.lru_cache(maxsize=2)  # a verifier meets the same commitment in a file and in a bundle
def parse_commitment(data: bytes) -> Commitment:
    """Parse the bytes of a `.hzc` file strictly and compute the root.

    InputError when anything is malformed: container, descriptor, a point. The root says what the
    file holds; whether it is the expected one is the caller's question.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"a commitment has at most {MAX_BYTES} bytes, not {len(data)}")
    descriptor, blobs = read_container(
        data, MAGIC, lambda header: [32 * count for count in check_descriptor(header)]
    )
    _, tops, decoded = _tree(blobs, True, None)
    points = iter(decoded)
    groups = [tuple(next(points) for _ in range(len(blob) // 32)) for blob in blobs]
    root = merkle.root(tops, canonical_json(descriptor))
    return Commitment(descriptor, groups[0], groups[1], groups[2], root)


def _tree(
    blobs: Sequence[bytes], decode: bool, processes: int | None
) -> tuple[list[int], list[int], list[Point]]:
    """Over the matrices' compressed points: leaf hashes, group tops, decoded points (or none)."""
    ranges = merkle.leaf_ranges([len(blob) // 32 for blob in blobs])
    leaves = [(m, first, blobs[m][32 * first : 32 * (first + n)]) for m, first, n in ranges]
    size = merkle.GROUP_LEAVES
    jobs = [(leaves[i : i + size], decode) for i in range(0, len(leaves), size)]
    if len(jobs) == 1:
        results = [merkle.open_group(*jobs[0])]
    else:
        results = run_all(merkle.open_group, jobs, processes)
    return (
        [leaf for hashes, _, _ in results for leaf in hashes],
        [top for _, top, _ in results],
        [point for _, _, points in results for point in points],
    )


# --- the descriptor ------------------------------------------------------------------------------


def check_descriptor(descriptor: dict[str, Any]) -> tuple[int, int, int]:
    """Rows of E, U and V; InputError unless the descriptor has exactly the fields listed above."""
    d = descriptor
    _check_fields(d, _FIELDS, "the descriptor")
    if d["format"] != FORMAT:
        raise InputError(f"this program reads {FORMAT!r}, not {str(d['format'])[:40]!r}")
    model = _object(d["model"], "model", 32)
    if not all(type(v) is int or (isinstance(v, str) and len(v) <= 200) for v in model.values()):
        raise InputError("the descriptor's model facts must be integers or texts of 200 characters")
    hidden = _integer(model.get("hidden_size"), "model.hidden_size", 1, 1 << 16)
    layers = _integers(d["layers"], "layers", MAX_LAYERS, 0, 1 << 16)
    widths = _integers(d["widths"], "widths", 3, 1, 1 << 20)
    if len(widths) != 3 or len(set(layers)) != len(layers):
        raise InputError("the descriptor needs three widths, and layers that differ")
    tokens = _object(d["tokens"], "tokens", 2)
    _check_fields(tokens, ["count", "digest"], "the descriptor's tokens")
    count = _integer(tokens["count"], "tokens.count", 2, MAX_ROWS)
    if count % 2:
        raise InputError("the descriptor's tokens.count must be even: sketch rows are balanced")
    _hex64(tokens["digest"], "tokens.digest")
    for name, value in _object(d["scales"], "scales", 6 * MAX_LAYERS + 1).items():
        _integer(value, f"scales.{name[:20]}", -128, 128)
    _integer(d["salts"], "salts", SALTS, SALTS)
    k = _integer(d["domain_k"], "domain_k", 1, MAX_K)
    srs = _object(d["srs"], "srs", 2)
    _check_fields(srs, ["kind", "sha256"], "the descriptor's srs")
    if srs["kind"] not in ("ceremony", "test", "unknown"):
        raise InputError("the descriptor's srs.kind must be ceremony, test or unknown")
    _hex64(srs["sha256"], "srs.sha256")
    ezkl = d["ezkl"]
    if not isinstance(ezkl, str) or not 0 < len(ezkl) <= 32 or not ezkl.isprintable():
        raise InputError("the descriptor's ezkl must be a version")
    longest = max(hidden + E_SALTS, row_length(d) + SALTS)
    if longest > (1 << k) - kzg.MAX_BLANK:
        raise InputError(f"a row of {longest} entries does not fit the domain of 2^{k} rows")
    if count + 2 * hidden > MAX_ROWS:
        raise InputError(f"the descriptor implies more than {MAX_ROWS} rows")
    return count, hidden, hidden


def _check_fields(value: dict[str, Any], names: list[str], what: str) -> None:
    for name in names:
        if name not in value:
            raise InputError(f"{what} lacks the field {name!r}")
    for name in value:
        if name not in names:
            raise InputError(f"{what} has an unknown field {name[:40]!r}")


def _object(value: Any, name: str, limit: int) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > limit:
        raise InputError(f"the descriptor's {name} must be an object of at most {limit} fields")
    return value


def _integer(value: Any, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"the descriptor's {name} must be an integer from {low} to {high}")
    return value


def _integers(value: Any, name: str, limit: int, low: int, high: int) -> list[int]:
    if not isinstance(value, list) or not 0 < len(value) <= limit:
        raise InputError(f"the descriptor's {name} must be a list of 1 to {limit} integers")
    return [_integer(item, name, low, high) for item in value]


def _hex64(value: Any, name: str) -> None:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise InputError(f"the descriptor's {name} must be 64 lower-case hex digits")
