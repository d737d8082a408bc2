"""Every 8-byte word of a bundle changed, one at a time: no word is without meaning."""

from __future__ import annotations

import random

import pytest

from huref_zk.errors import StepFailed
from huref_zk.proofs.picture.file import SECTIONS
from tests.support import tampering
from tests.support.tampering import OPENING, accepted

WORD = 8
SAMPLE = {"header": 24, "opening": 24, "proof": 10, "commitment": 60, "projection": 40, "v": 40}
"""Words of the light half, by region; the heavy half takes all."""


def regions(chain) -> dict[str, range]:
    """Byte ranges of the bundle file: header, sections, and the proof's row commitments."""
    data = chain.bundle_file.read_bytes()
    place = 12 + int.from_bytes(data[8:12], "big")
    found = {"header": range(0, place)}
    for name in SECTIONS:
        length = chain.bundle.header[f"{name}_bytes"]
        found[name] = range(place, place + length)
        place += length
    assert place == len(data)
    proof = found["proof"]
    found["opening"] = range(proof.start, proof.start + OPENING)
    found["proof"] = range(proof.start + OPENING, proof.stop)
    return found


def flipped(data: bytes, place: int) -> bytes:
    """``data`` with the word at ``place`` xored with a number that is not zero."""
    length = len(data[place : place + WORD])
    change = random.Random(place).randrange(1, 256**length).to_bytes(length, "big")
    word = bytes(a ^ b for a, b in zip(data[place : place + WORD], change, strict=True))
    assert word != data[place : place + WORD]
    return data[:place] + word + data[place + WORD :]


def chosen(region: str, where: range, everything: bool) -> list[int]:
    """Starts of the words to change: all, or a fixed sample that holds the first and the last."""
    places = list(where)[::WORD]
    if everything or len(places) <= SAMPLE[region]:
        return places
    inner = random.Random(region).sample(places[1:-1], SAMPLE[region] - 2)
    return [places[0], *sorted(inner), places[-1]]


def steps_that_refuse(chain, region: str, everything: bool) -> set[int]:
    data = chain.bundle_file.read_bytes()
    accepted(chain)
    seen = set()
    for place in chosen(region, regions(chain)[region], everything):
        try:
            tampering.judge(chain, flipped(data, place))
        except StepFailed as error:
            assert "\n" not in str(error)
            seen.add(error.step)
        else:
            raise AssertionError(f"ACCEPTED with another word at byte {place}, in the {region}")
    tampering.judge(chain, data)
    return seen


# What can refuse a word: its own parser or the root, else the equations that hash it all.
STEPS = {
    "header": {0, 1, 2, 3, 4},
    "commitment": {0, 1},
    "projection": {0, 4},
    "v": {0, 4},
    "opening": {0, 4},
    "proof": {5},
}


@pytest.mark.parametrize("region", STEPS)
@pytest.mark.attack("some 8-byte words changed", control="the untouched bundle before and after")
def test_a_sample_of_words(chain, region):
    assert steps_that_refuse(chain, region, False) <= STEPS[region]


@pytest.mark.heavy
@pytest.mark.parametrize("region", STEPS)
@pytest.mark.attack("every 8-byte word changed", control="the untouched bundle before and after")
def test_every_word(chain, region):
    assert steps_that_refuse(chain, region, True) <= STEPS[region]
