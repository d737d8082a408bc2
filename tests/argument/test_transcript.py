from dataclasses import replace

import pytest

from huref_zk.argument.projection import _draw_rho, absorb_claim
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.descriptor import parse_descriptor
from huref_zk.curve.bn254 import GENERATOR
from tests.support.changed_json import changed
from tests.support.projecting import SEED


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


# --- what the challenges of a projection depend on -----------------------------------------------


def rho(commitment, points, firsts, seed=SEED, statement=b"claim"):
    transcript = Transcript(statement)
    absorb_claim(transcript, commitment, seed, points)
    return tuple(_draw_rho(transcript, firsts))


def test_a_projections_challenges_bind_all_that_came_before(honest):
    """Each part of the claim and each first message, changed alone, and every order of them."""
    commitment, proof, points = honest["last-two"]
    firsts = [(part.mask, part.image) for part in proof]

    def described(path, value):
        descriptor = parse_descriptor(changed(commitment.descriptor.to_json(), path, value))
        return replace(commitment, descriptor=descriptor)

    def pointed(name, row):
        group = list(commitment.points[name])
        group[row] = GENERATOR
        return replace(commitment, points={**commitment.points, name: tuple(group)})

    draws = [
        rho(commitment, points, firsts),
        rho(commitment, points, firsts, statement=b"another"),
        rho(commitment, points, firsts, seed=bytes(32)),
        rho(replace(commitment, root=commitment.root ^ 1), points, firsts),
        rho(described("checkpoint", "0" * 64), points, firsts),
        rho(described("srs.sha256", "0" * 64), points, firsts),
        rho(described("recipe", "official"), points, firsts),
        *(rho(pointed(name, -1), points, firsts) for name in commitment.points),
        *(rho(pointed(name, 0), points, firsts) for name in commitment.points),
        *(rho(commitment, [*points[:i], None, *points[i + 1 :]], firsts) for i in (0, 31, 32, 47)),
        rho(commitment, [points[1], points[0], *points[2:]], firsts),
        rho(commitment, points[:-1], firsts),
        rho(commitment, points, firsts[::-1]),
        rho(commitment, points, [(b, a) for a, b in firsts]),
        rho(commitment, points, [firsts[0], (firsts[1][0], None)]),
        rho(commitment, points, [(None, firsts[0][1]), firsts[1]]),
        rho(commitment, points, firsts[:1]),
    ]
    assert len(set(draws)) == len(draws)
    numbers = [n for draw in draws for n in draw]
    assert len(set(numbers)) == len(numbers)
    assert rho(commitment, points, firsts) == draws[0]
