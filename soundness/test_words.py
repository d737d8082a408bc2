"""8-byte words of a bundle changed, one at a time: no stretch of it is without meaning."""

from __future__ import annotations

import random

import pytest

from huref_zk.circuit.halo2 import POINT_BYTES
from huref_zk.errors import StepFailed
from huref_zk.files.formats import BUNDLE
from tests.support import tampering
from tests.support.tampering import OPENING, accepted, sections_of

WORD = 8
SAMPLE = {"header": 16, "opening": 12, "proof": 6, "commitment": 12, "projection": 16, "v": 12}
"""Words of the light half, by region, of those that have more. The heavy half takes one of every 32
bytes, which is a point's or a number's length."""


def regions(chain) -> dict[str, list[int]]:
    """Places of the bundle file's bytes by region: header, the frame's lengths of the sections, the
    sections, and of the proof what it opens with: row commitments, then the maps'."""
    data = chain.bundle_file.read_bytes()
    place = 12 + int.from_bytes(data[8:12], "big")
    found = {"header": list(range(place)), "lengths": []}
    for name, section in sections_of(chain.bundle).items():
        found["lengths"] += range(place, place + 8)
        place += 8
        found[name] = list(range(place, place + len(section)))
        place += len(section)
    assert place == len(data) and list(found)[2:] == list(BUNDLE.sections)
    proof = found["proof"]
    found["opening"] = proof[: OPENING - POINT_BYTES]
    found["maps"] = proof[OPENING - POINT_BYTES : OPENING]
    found["proof"] = proof[OPENING:]
    return found


def flipped(data: bytes, place: int, stop: int) -> bytes:
    """``data``, the word at ``place``, cut at ``stop``, xored with a number that is not zero."""
    word = data[place : min(place + WORD, stop)]
    change = random.Random(place).randrange(1, 256 ** len(word)).to_bytes(len(word), "big")
    other = bytes(a ^ b for a, b in zip(word, change, strict=True))
    assert other != word
    return data[:place] + other + data[place + len(word) :]


def chosen(region: str, where: list[int], everything: bool) -> list[int]:
    """Starts of the words to change: one in every 32 bytes, or a fixed sample of all words that
    holds the first and the last."""
    places = where[::WORD]
    if everything:
        rng = random.Random(region)
        return [rng.choice(places[i : i + 4]) for i in range(0, len(places), 4)]
    wanted = SAMPLE.get(region, len(places))
    if len(places) <= wanted:
        return places
    inner = random.Random(region).sample(places[1:-1], wanted - 2)
    return [places[0], *sorted(inner), places[-1]]


def steps_that_refuse(chain, region: str, everything: bool) -> set[int]:
    data, where = chain.bundle_file.read_bytes(), regions(chain)[region]
    accepted(chain)
    seen = set()
    for place in chosen(region, where, everything):
        try:
            tampering.judge(chain, flipped(data, place, where[-1] + 1))
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
    "lengths": {0},
    "commitment": {0, 1},
    "projection": {0, 4},
    "v": {4},
    "opening": {0, 4},
    "maps": {5},
    "proof": {5},
}


@pytest.mark.parametrize("region", STEPS)
@pytest.mark.attack("some 8-byte words changed", control="the untouched bundle before and after")
def test_a_sample_of_words(chain, region):
    assert steps_that_refuse(chain, region, False) <= STEPS[region]


@pytest.mark.heavy
@pytest.mark.parametrize("region", STEPS)
@pytest.mark.attack(
    "in every 32 bytes one 8-byte word changed", control="the untouched bundle before and after"
)
def test_words_everywhere(chain, region):
    assert steps_that_refuse(chain, region, True) <= STEPS[region]
