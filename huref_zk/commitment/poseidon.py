"""Poseidon over F_r, as ezkl computes it, with domain and length bound.

ezkl's hash (a sponge of width 2 and rate 1) says nothing of its input's length or purpose, and has
no value for an empty one. Here every input starts with a domain tag and the number of elements that
follow. One element costs about 0.15 ms.
"""

from __future__ import annotations

from collections.abc import Sequence

from huref_zk.curve.bn254 import R
from huref_zk.errors import EnvironmentLacks

ELEMENT_BYTES = 31
"""Bytes that fit any field element."""


def poseidon(tag: bytes, elements: Sequence[int]) -> int:
    """``H(tag, len(elements), elements...)``: an int in [0, r).

    tag: up to 31 ASCII bytes naming what is hashed; elements: ints in [0, r).
    """
    if len(tag) > ELEMENT_BYTES or not all(0 <= e < R for e in elements):
        raise ValueError("poseidon takes a tag of up to 31 bytes and canonical field elements")
    try:
        import ezkl
    except ImportError as error:
        raise EnvironmentLacks(f"ezkl cannot be imported ({error}); pip install ezkl") from error
    message = [int.from_bytes(tag, "big"), len(elements), *elements]
    (result,) = ezkl.poseidon_hash([e.to_bytes(32, "little").hex() for e in message])
    return int.from_bytes(bytes.fromhex(result), "little")


def pack(data: bytes) -> list[int]:
    """`data` cut into field elements of 31 bytes, big-endian; the last may be shorter.

    One-to-one among inputs of the same length (bind the length beside it).
    """
    size = ELEMENT_BYTES
    return [int.from_bytes(data[i : i + size], "big") for i in range(0, len(data), size)]
