"""The owner's private witness: the integers that were committed to, and their file, `.hzw`.

Cores are sums of products in floating point, so another machine may find another last unit. What is
proven is about the integers that were committed; they are kept, and nothing computes them again.

Header: {"descriptor": ...}. Sections: the matrices' integers in the descriptor's order, row by row,
16 bits little-endian each, core matrices as (d, 3, d) without the places that are always zero; the
32-byte salt of the checkpoint's digest. The file is for its owner alone: mode 0600.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.commitment.descriptor import (
    Audited,
    Descriptor,
    Matrix,
    Tokens,
    block_length,
    core_columns,
    parse_descriptor,
)
from huref_zk.commitment.salts import row_salts, salt_key
from huref_zk.errors import InputError
from huref_zk.files.container import (
    MAX_HEADER,
    pack,
    parse_canonical_json,
    read_bounded,
    read_start,
    unpack,
)
from huref_zk.files.formats import WITNESS
from huref_zk.files.writing import write_atomically
from huref_zk.srs.file import Srs

SALT_BYTES = 32
LIMIT = (1 << 15) - 1
"""Largest magnitude of a committed integer."""
_FRAME = 12  # bytes before a file's header
_SLACK = 1 << 20  # so that what is wrong with a file of the right size is said by those who know


@dataclass(frozen=True)
class Witness:
    """matrices: int16 by name, in the descriptor's order: core sets (d, 3, d), others (rows,
    columns); checkpoint_salt: 32 bytes, with which the checkpoint's digest was taken."""

    descriptor: Descriptor
    matrices: Mapping[str, np.ndarray]
    checkpoint_salt: bytes

    def key(self, secret: bytes | None) -> bytes | None:
        """The key of all salts; None for a public model, which has no secret. InputError."""
        if self.descriptor.public:
            return None
        if secret is None:
            raise InputError("this commitment has a secret, which is needed")
        return salt_key(secret, self.matrices, self.descriptor.to_bytes())

    def values(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows start..stop of a matrix as they are committed, int16 (n, columns)."""
        rows = self.matrices[name][start:stop]
        if name not in self.descriptor.core_sets:
            return rows
        d = self.descriptor.hidden
        out = np.zeros((len(rows), 3, block_length(d)), dtype=np.int16)
        out[:, :, :d] = rows
        return out.reshape(len(rows), -1)[:, : core_columns(d)]

    def salts(self, key: bytes | None, name: str, rows: range | None = None) -> list[list[int]]:
        """The salts of those rows (default: all): lists of ints in [0, r)."""
        matrix = self.descriptor.matrix(name)
        chosen = range(matrix.rows) if rows is None else rows
        return [row_salts(key, name, row, matrix.salts) for row in chosen]


def make_witness(
    facts: Mapping[str, Any],
    E: np.ndarray,
    cores: Sequence[np.ndarray],
    srs: Srs,
    checkpoint: bytes,
    checkpoint_salt: bytes,
    audited: Mapping[str, np.ndarray] | None = None,
    layers: tuple[Audited, ...] = (),
    public: bool = False,
) -> Witness:
    """The witness of a prepared model.

    facts: recipe, model, layers, tokens, scales, as invariants.prepare.facts_of gives them;
    E: int16 (K, d); cores: int16 (3, d, d), one a core set; checkpoint: the salted digest of the
    model's tensors, 32 bytes, and its salt; audited: further matrices by name, of ``layers`` and,
    as "O", of the output. InputError when they do not fit together.
    """
    more = dict(audited or {})
    descriptor = Descriptor(
        recipe=facts["recipe"],
        model=dict(facts["model"]),
        layers=tuple(facts["layers"]),
        tokens=Tokens(**facts["tokens"]),
        scales=dict(facts["scales"]),
        checkpoint=checkpoint.hex(),
        srs=srs.name,
        ezkl=metadata.version("ezkl"),
        audited=layers,
        output="O" in more,
        public=public,
    )
    parse_descriptor(descriptor.to_json())  # the same bounds as a reader's
    sets = [np.ascontiguousarray(np.swapaxes(core, 0, 1)) for core in cores]
    matrices = {"E": E, **dict(zip(descriptor.core_sets, sets, strict=True)), **more}
    check_matrices(descriptor, matrices)
    return Witness(descriptor, matrices, checkpoint_salt)


def check_matrices(descriptor: Descriptor, matrices: Mapping[str, np.ndarray]) -> None:
    """InputError unless the matrices are those that the descriptor names, in order."""
    wanted = descriptor.matrices
    if list(matrices) != [m.name for m in wanted]:
        raise InputError(f"matrices {', '.join(matrices)} are not those of the descriptor")
    for m in wanted:
        found = matrices[m.name]
        if found.shape != stored_shape(descriptor, m) or found.dtype != np.int16:
            raise InputError(f"{m.name} is {found.dtype} {found.shape}, the descriptor says else")
        if found.size and int(found.min()) < -LIMIT:
            raise InputError(f"{m.name} holds an integer beyond {LIMIT} in magnitude")


def stored_shape(descriptor: Descriptor, matrix: Matrix) -> tuple[int, ...]:
    """The shape of a matrix's integers in a Witness."""
    if matrix.name in descriptor.core_sets:
        return (descriptor.hidden, 3, descriptor.hidden)
    return (matrix.rows, matrix.columns)


def write_witness(path: str | os.PathLike[str], witness: Witness) -> None:
    """Write the `.hzw` file, whole or not at all, readable by its owner alone."""
    check_matrices(witness.descriptor, witness.matrices)
    integers = b"".join(
        np.ascontiguousarray(matrix, dtype="<i2").tobytes() for matrix in witness.matrices.values()
    )
    header = {"descriptor": witness.descriptor.to_json()}
    write_atomically(path, pack(WITNESS, header, [integers, witness.checkpoint_salt]), mode=0o600)


def _size_limit(path: str | os.PathLike[str]) -> int:
    """About the bytes that a witness of this header has; few for a file that is none."""
    start = read_start(path, _FRAME + MAX_HEADER)
    end = _FRAME + int.from_bytes(start[_FRAME - 4 : _FRAME], "big")
    if start[: len(WITNESS.magic)] != WITNESS.magic or not _FRAME < end <= len(start):
        return _SLACK
    header = parse_canonical_json(start[_FRAME:end])
    if set(header) != {"descriptor"}:
        return _SLACK
    descriptor = parse_descriptor(header["descriptor"])
    shapes = (stored_shape(descriptor, m) for m in descriptor.matrices)
    return end + 2 * sum(map(math.prod, shapes)) + SALT_BYTES + _SLACK


def read_witness(path: str | os.PathLike[str]) -> Witness:
    """Read a `.hzw` file. InputError for a missing or malformed one, and, before the rest of it is
    read, for one that is far larger than its descriptor says."""
    header, (integers, salt) = unpack(WITNESS, read_bounded(path, _size_limit(path)))
    if set(header) != {"descriptor"}:
        raise InputError(f"{Path(path)}: a witness's header has the one field descriptor")
    descriptor = parse_descriptor(header["descriptor"])
    if len(salt) != SALT_BYTES:
        raise InputError(f"{Path(path)}: the checkpoint's salt has {len(salt)} bytes")
    shapes = {m.name: stored_shape(descriptor, m) for m in descriptor.matrices}
    if len(integers) != 2 * sum(math.prod(shape) for shape in shapes.values()):
        raise InputError(f"{Path(path)}: its integers are not those of its descriptor")
    matrices, start = {}, 0
    for name, shape in shapes.items():
        count = math.prod(shape)
        flat = np.frombuffer(integers, dtype="<i2", count=count, offset=start)
        matrices[name] = flat.astype(np.int16, copy=False).reshape(shape)
        start += 2 * count
    check_matrices(descriptor, matrices)
    return Witness(descriptor, matrices, salt)
