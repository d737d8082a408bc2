"""Salts: what makes a commitment hide its rows.

A KZG commitment alone is a deterministic function of the row. Every row therefore ends in uniform
field elements that nobody but the owner knows:

    row of E                  d integers | SALTS own salts | SALTS blinds
    row of any other matrix   integers   | SALTS salts

Own salts hide the row's commitment, and, added up by the right-hand signs, what the SNARK opens of
the rows B. Blinds end up, through the projection, in the last SALTS places of the rows Y
(argument/projection.py), where they hide those rows' commitments and what the SNARK opens of them;
docs/protocol.md has the argument and counts what they suffice for.

All salts derive from the owner's 32-byte secret, the committed integers and the descriptor (with
the SRS in it), so nothing that differs in one of these shares a salt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from huref_zk.curve import bn254
from huref_zk.errors import InputError

SALTS = 8
"""Salts at the end of a row of every matrix but E; blinds in a row of E."""
E_SALTS = 2 * SALTS
"""Salts at the end of a row of E: its own, then the blinds."""
_WIDE = 48  # bytes a salt is reduced from: a bias below 2^-129


def salt_key(secret: bytes, matrices: Mapping[str, np.ndarray], descriptor: bytes) -> bytes:
    """The 32-byte key of a commitment's salts. matrices: int16, by name. InputError."""
    if len(secret) != 32:
        raise InputError(f"a secret has 32 bytes, not {len(secret)}")
    content = hashlib.sha256()
    for name, matrix in matrices.items():
        content.update(len(name).to_bytes(1, "big") + name.encode())
        content.update(np.array(matrix.shape, dtype="<i8").tobytes())
        content.update(np.ascontiguousarray(matrix, dtype="<i2").data)
    bound = hashlib.sha256(descriptor).digest() + content.digest()
    return hashlib.shake_256(b"huref-zk salt key 2" + secret + bound).digest(32)


def row_salts(key: bytes | None, name: str, row: int, count: int) -> list[int]:
    """The ``count`` salts of one row: field elements in [0, r). key None: zeros (no secret)."""
    if key is None:
        return [0] * count
    place = len(name).to_bytes(1, "big") + name.encode() + row.to_bytes(4, "big")
    stream = hashlib.shake_256(b"huref-zk salt 2" + key + place).digest(_WIDE * count)
    return [
        int.from_bytes(stream[i : i + _WIDE], "big") % bn254.R for i in range(0, len(stream), _WIDE)
    ]
