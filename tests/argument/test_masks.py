from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.argument.masks import mask
from huref_zk.argument.transcript import Transcript
from huref_zk.curve.bn254 import R

SECRET, KEY = b"\1" * 32, b"\2" * 32


def spoken(*messages):
    transcript = Transcript(b"claim")
    for message in messages:
        transcript.absorb("m", message)
    return transcript


def test_full_size_and_all_different():
    found = mask("a", SECRET, KEY, spoken(), 500)
    assert len(set(found)) == 500 and all(0 <= m < R for m in found)
    assert sum(m >> 252 > 0 for m in found) > 100  # uniform below r, not short
    assert mask("a", SECRET, KEY, spoken(), 20) == found[:20]


def test_another_of_anything_is_another_mask():
    """Two responses with one mask and two challenges would give the masked rows away."""
    drawn = [
        mask("a", SECRET, KEY, spoken(), 3),
        mask("b", SECRET, KEY, spoken(), 3),
        mask("ab", SECRET, KEY, spoken(), 3),
        mask("a", bytes(32), KEY, spoken(), 3),
        mask("a", SECRET, bytes(32), spoken(), 3),
        mask("a", KEY, SECRET, spoken(), 3),
        mask("a", SECRET, KEY, spoken(b""), 3),
        mask("a", SECRET, KEY, spoken(b"x"), 3),
        mask("a", SECRET, KEY, Transcript(b"other"), 3),
    ]
    numbers = [m for row in drawn for m in row]
    assert len(set(numbers)) == len(numbers)


def test_drawing_says_nothing():
    """A mask depends on the transcript and leaves it as it was."""
    transcript = spoken(b"x")
    before = transcript.digest()
    assert mask("a", SECRET, KEY, transcript, 2) == mask("a", SECRET, KEY, transcript, 2)
    assert transcript.digest() == before


@settings(max_examples=50, deadline=None)
@given(st.text("ab\0", max_size=4), st.text("ab\0", max_size=4))
def test_labels_do_not_run_on(one, other):
    same = mask(one, SECRET, KEY, spoken(), 1) == mask(other, SECRET, KEY, spoken(), 1)
    assert same == (one == other)
