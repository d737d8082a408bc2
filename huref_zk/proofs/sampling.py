"""Choices that the party being audited cannot influence: drawn from a judge's nonce."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from huref_zk.errors import InputError

NONCE_BYTES = 32
_DRAW_BITS = 64


def parse_nonce(text: str) -> bytes:
    """The 32 bytes of a nonce written as 64 hex digits. InputError for anything else."""
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES or len(text) != 2 * NONCE_BYTES:
        raise InputError("a nonce is 64 hex digits; 'huref-zk challenge' draws one")
    return nonce


def draw_distinct(purpose: bytes, material: Sequence[bytes], total: int, count: int) -> list[int]:
    """``count`` different numbers below ``total``, rising, uniform among all such choices.

    They are read off SHAKE-256 of `purpose` and the length-prefixed `material`, 64 bits each;
    draws beyond the last multiple of `total` and repeats are passed over, so nothing is favoured.
    InputError unless 1 <= count <= total.
    """
    if not 1 <= count <= total:
        raise InputError(f"{count} cannot be drawn from {total}")
    state = hashlib.sha512(purpose)
    for item in material:
        state.update(len(item).to_bytes(8, "big") + item)
    limit = (1 << _DRAW_BITS) // total * total
    chosen: set[int] = set()
    block = 0
    while len(chosen) < count:
        seed = state.digest() + block.to_bytes(8, "big")
        stream = hashlib.shake_256(seed).digest(_DRAW_BITS // 8 * 256)
        for i in range(0, len(stream), _DRAW_BITS // 8):
            draw = int.from_bytes(stream[i : i + _DRAW_BITS // 8], "big")
            if draw < limit and len(chosen) < count:
                chosen.add(draw % total)
        block += 1
    return sorted(chosen)
