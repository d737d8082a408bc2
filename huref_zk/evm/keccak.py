"""Keccak-256 as Ethereum uses it: SHA-3's permutation with the padding from before the standard."""

from __future__ import annotations

RATE = 136
"""Bytes absorbed at a time."""
_MASK = (1 << 64) - 1
# Rotations of lane x + 5 y, and where the lane goes.
_TURNS = (
    0,
    1,
    62,
    28,
    27,
    36,
    44,
    6,
    55,
    20,
    3,
    10,
    43,
    25,
    39,
    41,
    45,
    15,
    21,
    8,
    18,
    2,
    61,
    56,
    14,
)
_PLACES = [y + 5 * ((2 * x + 3 * y) % 5) for y in range(5) for x in range(5)]


def _constants() -> list[int]:
    """The 24 round constants, from the shift register of FIPS 202, algorithm 5."""
    constants, state = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            constant |= (state & 1) << ((1 << j) - 1)
            state = (state << 1) ^ (0x171 if state >> 7 else 0)
        constants.append(constant)
    return constants


_CONSTANTS = _constants()


def keccak256(data: bytes, pad: int = 0x01) -> bytes:
    """32 bytes. pad: the first byte of the padding, 6 in the standard that came later."""
    padding = bytearray(RATE - len(data) % RATE)
    padding[0] |= pad
    padding[-1] |= 0x80
    padded = data + padding
    lanes = [0] * 25
    for start in range(0, len(padded), RATE):
        for i in range(RATE // 8):
            at = start + 8 * i
            lanes[i] ^= int.from_bytes(padded[at : at + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permuted(lanes: list[int]) -> list[int]:
    for constant in _CONSTANTS:
        sums = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        moved = [0] * 25
        for i, lane in enumerate(lanes):
            after = sums[(i + 1) % 5]
            lane ^= sums[(i - 1) % 5] ^ (after << 1 & _MASK | after >> 63)
            turn = _TURNS[i]
            moved[_PLACES[i]] = lane << turn & _MASK | lane >> (64 - turn)
        lanes = [
            moved[5 * y + x] ^ (~moved[5 * y + (x + 1) % 5] & moved[5 * y + (x + 2) % 5])
            for y in range(5)
            for x in range(5)
        ]
        lanes[0] ^= constant
    return lanes
