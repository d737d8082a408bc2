"""The random vectors that hide what a proof responds with."""

from __future__ import annotations

import hashlib

from huref_zk.argument.transcript import Transcript
from huref_zk.curve.bn254 import R

_WIDE = 48  # bytes a mask entry is reduced from: a bias below 2^-129


def mask(
    label: str, secret: bytes | None, key: bytes | None, transcript: Transcript, length: int
) -> list[int]:
    """``length`` field elements, uniform to everybody but the owner, and never the same under two
    different challenges.

    Everything that decides the challenge but the mask itself is hashed into it (the transcript
    holds the claim), as in deterministic signatures: the same claim gives the same mask, hence the
    same first message and challenge; another claim gives an unrelated one. No random number
    generator can fail here. secret, key: of the owner and the commitment's salts (None for a public
    model, which has nothing to hide). label: distinct for each mask of one transcript.
    """
    name = label.encode()
    start = b"huref-zk mask 2" + len(name).to_bytes(1, "big") + name
    start += (secret or bytes(32)) + (key or bytes(32)) + transcript.digest()
    stream = hashlib.shake_256(start).digest(_WIDE * length)
    return [int.from_bytes(stream[i : i + _WIDE], "big") % R for i in range(0, len(stream), _WIDE)]
