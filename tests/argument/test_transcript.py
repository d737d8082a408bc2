import pytest

from huref_zk.argument.transcript import Transcript
from huref_zk.curve.bn254 import GENERATOR


def spoken(*messages, statement=b"s"):
    transcript = Transcript(statement)
    for label, data in messages:
        transcript.absorb(label, data)
    return transcript


def test_same_messages_same_challenges():
    draws = [spoken(("a", b"1")).challenges("rho", 3) for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 3 and all(0 <= c < 1 << 128 for c in draws[0])


@pytest.mark.parametrize(
    "other",
    [
        spoken(("a", b"2")),
        spoken(("b", b"1")),
        spoken(("a", b"1"), ("", b"")),
        spoken(("", b""), ("a", b"1")),
        spoken(("a1", b"")),
        spoken(("a", b"1"), statement=b""),
        spoken(),
    ],
)
def test_any_difference_changes_the_challenge(other):
    assert other.digest() != spoken(("a", b"1")).digest()
    assert other.challenges("rho", 1) != spoken(("a", b"1")).challenges("rho", 1)


def test_where_messages_end_matters():
    one = spoken(("a", b"xy"), ("a", b"z"))
    two = spoken(("a", b"x"), ("a", b"yz"))
    assert one.digest() != two.digest()


def test_drawing_is_a_message():
    transcript = spoken()
    first, second = transcript.challenges("rho", 2), transcript.challenges("rho", 2)
    assert not set(first) & set(second)
    assert spoken().challenges("other", 2) != first
    assert spoken().challenges("rho", 3)[:2] != first


def test_points():
    a, b = spoken(), spoken()
    a.absorb_points("p", [GENERATOR, None])
    b.absorb_points("p", [None, GENERATOR])
    assert a.digest() != b.digest()


def test_challenges_use_all_bits():
    drawn = spoken().challenges("rho", 2000)
    for bit in (0, 63, 64, 127):
        assert 850 < sum(c >> bit & 1 for c in drawn) < 1150
