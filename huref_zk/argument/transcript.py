"""Fiat-Shamir: challenges as hashes of everything said so far.

A transcript is a SHA-512 over length-prefixed, labelled messages, so no two different sequences of
messages hash alike. A challenge is SHAKE-256 of its digest; drawing one is itself a message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from huref_zk.commitment.file import Commitment
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point

CHALLENGE_BITS = 128


class Transcript:
    """Messages in, challenges out; `statement` is what the whole proof is about."""

    def __init__(self, statement: bytes):
        self._hash = hashlib.sha512(b"huref-zk transcript 2")
        self.absorb("statement", statement)

    def absorb(self, label: str, data: bytes) -> None:
        name = label.encode()
        self._hash.update(len(name).to_bytes(1, "big") + name + len(data).to_bytes(8, "big"))
        self._hash.update(data)

    def absorb_points(self, label: str, points: Sequence[Point]) -> None:
        self.absorb(label, b"".join(bn254.compress(point) for point in points))

    def absorb_commitment(self, commitment: Commitment) -> None:
        """Everything that a commitment consists of."""
        self.absorb("descriptor", commitment.descriptor.to_bytes())
        self.absorb("root", commitment.root.to_bytes(32, "big"))
        for name, points in commitment.points.items():
            self.absorb_points(name, points)

    def digest(self) -> bytes:
        """64 bytes that bind every message so far."""
        return self._hash.digest()

    def challenges(self, label: str, count: int) -> list[int]:
        """`count` numbers, uniform in [0, 2^128): a whole number of bits, so without any bias.

        128 bits, not 254, because the verifier multiplies points by them; a linear relation that
        is false holds for a random such number with probability 2^-128.
        """
        self.absorb(label, count.to_bytes(4, "big"))
        size = CHALLENGE_BITS // 8
        stream = hashlib.shake_256(b"huref-zk challenge 2" + self.digest()).digest(size * count)
        return [int.from_bytes(stream[i : i + size], "big") for i in range(0, size * count, size)]
