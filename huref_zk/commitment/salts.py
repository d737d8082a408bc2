"""Salts: what makes a commitment hide its rows.

A KZG commitment alone is a deterministic function of the row. Every row therefore ends in uniform
field elements that nobody but the owner knows:

    row of E     d entries | 1 own salt | SALTS blinds of side L | SALTS blinds of side R
    row of U, V  L entries | SALTS salts

The own salt hides the row's commitment. The blinds end up, through the projection, in the last
SALTS places of the projected rows (project/prover.py), where they hide those rows' commitments and
what the SNARK opens of them; docs/protocol.md has the argument and counts what they suffice for.

All salts derive from the owner's 32-byte secret and from the committed numbers themselves, so a
secret used for two models does not give them the same salts.
"""

from __future__ import annotations

import hashlib

import numpy as np

from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError

SALTS = 8
"""Salt entries at the end of a row of U or V, and of a projected row."""
E_SALTS = 1 + 2 * SALTS
"""Salt entries at the end of a row of E."""
_WIDE = 48  # bytes a salt is reduced from: a bias below 2^-129


def blinds(side: int) -> slice:
    """Which of a row of E's E_SALTS salts are the blinds of side 0 (L) or 1 (R)."""
    start = 1 + side * SALTS
    return slice(start, start + SALTS)


def salt_key(secret: bytes, matrices: tuple[np.ndarray, np.ndarray, np.ndarray]) -> bytes:
    """The 32-byte key of a commitment's salts: bound to the secret and to the integers E, U, V."""
    if len(secret) != 32:
        raise InputError(f"a secret has 32 bytes, not {len(secret)}")
    content = hashlib.sha256()
    for matrix in matrices:
        content.update(np.array(matrix.shape, dtype="<i8").tobytes())
        content.update(np.ascontiguousarray(matrix, dtype="<i4").tobytes())
    return hashlib.shake_256(b"huref-zk salt key 1" + secret + content.digest()).digest(32)


def row_salts(key: bytes, matrix: int, rows: int) -> list[list[int]]:
    """The salts of every row of matrix 0 (E), 1 (U) or 2 (V): field elements in [0, r)."""
    count = SALTS if matrix else E_SALTS
    salts = []
    for row in range(rows):
        place = bytes([matrix]) + row.to_bytes(4, "big")
        stream = hashlib.shake_256(b"huref-zk salt 1" + key + place).digest(_WIDE * count)
        salts.append(
            [int.from_bytes(stream[i : i + _WIDE], "big") % R for i in range(0, len(stream), _WIDE)]
        )
    return salts
