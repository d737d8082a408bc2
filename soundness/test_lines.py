"""The projection proof's soundness argument: each line of code dropped lets its cheat through

docs/soundness.md sets these tests against the lines of the argument in docs/protocol.md.
"""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from huref_zk.argument import projection_verifier as verifier
from huref_zk.argument import transcript
from huref_zk.circuit.encoder import P
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR
from soundness.cheats.adaptive import CHEATS, case_of, challenges, check, deaf, grind
from soundness.record import aside, control, refusal
from tests.support.cheats import BREAKS_EMBEDDING, BREAKS_FACTOR, EMBEDDING, FACTOR
from tests.support.tampering import forge


@pytest.fixture(scope="module")
def honest(chain):
    return case_of(chain, chain.bundle)


def without(name: str):
    """A verifier that leaves the equation of this name out."""
    equations = verifier._equations

    def fewer(*args):
        return [(n, [] if n == name else terms) for n, terms in equations(*args)]

    return patch.object(verifier, "_equations", fewer)


@pytest.mark.attack(
    "Prover deviates in one step, so that one of the four equations is false",
    control="a verifier that leaves it out; the same prover without the cheat",
    each=True,
)
@pytest.mark.parametrize("side", [0, 1], ids=["side L", "side R"])
@pytest.mark.parametrize(
    ("cheat", "names"),
    [
        pytest.param(cheat, names, id=cheat.__name__.replace("_", " "))
        for cheats, names in ((BREAKS_FACTOR, FACTOR), (BREAKS_EMBEDDING, EMBEDDING))
        for cheat in cheats
    ],
)
def test_each_equation_is_needed(chain, honest, cheat, names, side):
    case = case_of(chain, forge(chain, **cheat(chain, side)))
    name = names[side]
    with refusal(4, name.replace("(", r"\(").replace(")", r"\)")):
        check(chain, case)
    for other in {*EMBEDDING, *FACTOR} - {name}:
        with aside(), without(other), refusal(4):
            check(chain, case)
    with without(name), control():
        check(chain, case)
    with control():
        check(chain, honest)


@pytest.mark.attack(
    "Message changed after its challenge was drawn, such that all equations hold",
    control="a verifier that forgets to hash it; the honest proof",
    each=True,
)
@pytest.mark.parametrize("label", sorted(CHEATS))
def test_each_message_is_hashed(chain, honest, label):
    with deaf(label):
        # What the prover of this verifier would send: the same, under its own challenges.
        start = case_of(chain, forge(chain))
        with control():
            check(chain, start)
        false = CHEATS[label](chain, start)
        assert false != start
        with control():
            check(chain, false)
    with refusal(4, "does not hold"):
        check(chain, false)
    # Nor does the cheat help against the challenges that it does not change.
    with refusal(4, "does not hold"):
        check(chain, CHEATS[label](chain, honest))
    with control():
        check(chain, honest)


def test_every_message_changes_every_challenge(honest):
    """Also those after which no cheat of ours is named: the seed, and which side R and T are of."""
    rhos, weights = challenges(honest)
    left, right = honest.proof.sides
    commitment = honest.commitment
    others = [
        replace(honest, statement=b"x"),
        replace(honest, seed=b"\x01" * 32),
        replace(honest, rows=honest.rows[::-1]),
        replace(honest, commitment=replace(commitment, root=1)),
        replace(honest, commitment=replace(commitment, descriptor={})),
    ]
    for field in ("E_points", "U_points", "V_points"):
        points = getattr(commitment, field)
        others.append(replace(honest, commitment=replace(commitment, **{field: points[::-1]})))
    for side in (0, 1):
        for field in ("mask", "image"):
            others.append(honest.with_side(side, **{field: GENERATOR}))
    crossed = honest.with_side(0, mask=right.mask, image=right.image)
    others.append(crossed.with_side(1, mask=left.mask, image=left.image))
    for other in others:
        theirs, batch = challenges(other)
        for mine, his in zip([*rhos, weights], [*theirs, batch], strict=True):
            assert not set(mine) & set(his)
    assert challenges(honest) == (rhos, weights)
    # A response changes the batch weights; rho is drawn before it.
    y = left.response
    theirs, batch = challenges(honest.with_side(0, response=(*y[:-1], y[-1] ^ 1)))
    assert theirs == rhos and not set(batch) & set(weights)


@pytest.mark.attack(
    "First messages tried until a challenge suits a false row",
    control="challenges of 8 bits, where some 256 tries suffice",
)
def test_challenges_are_too_long_to_grind(chain, honest):
    assert transcript.CHALLENGE_BITS == 128
    with patch.object(transcript, "CHALLENGE_BITS", 8):
        start = case_of(chain, forge(chain))
        found = grind(chain, start, 4000)
        assert found is not None
        with control():
            check(chain, found)
    with refusal(4, "does not hold"):
        check(chain, found)
    assert grind(chain, honest, 300) is None
    with control():
        check(chain, honest)


@pytest.mark.attack(
    "Two false equations whose errors cancel in a plain sum",
    control="a verifier whose batch weights are all one",
)
def test_each_equation_has_a_weight_of_its_own(chain, honest):
    place = honest.commitment.hidden
    case = honest
    for side, by in ((0, 1), (1, -1)):
        y = list(case.proof.sides[side].response)
        y[place] = (y[place] + by) % bn254.R
        case = case.with_side(side, response=tuple(y))
    with refusal(4, "embedding"):
        check(chain, case)
    drawn = transcript.Transcript.challenges

    def ones(self, label, count):
        return [1] * count if label == "batch" else drawn(self, label, count)

    with patch.object(transcript.Transcript, "challenges", ones), control():
        check(chain, case)


@pytest.mark.attack(
    "Row commitments as the Halo2 proof has them, ezkl's constant left on",
    control="the constant taken off",
)
def test_the_constant_is_taken_off(chain, honest):
    columns = [chain.bundle.proof[i : i + 64] for i in range(0, 64 * 2 * P, 64)]
    raw = tuple(bn254.decode_uncompressed(column) for column in columns)
    with refusal(4, "equation"):
        check(chain, replace(honest, rows=raw))
    with control():
        check(chain, honest)


def test_terms_add_up_to_infinity_or_not():
    """_is_zero, the line that decides: equal points are merged first, multiples of r vanish."""
    double = bn254.multiply(GENERATOR, 2)
    zero = [
        [],
        [(GENERATOR, 0)],
        [(GENERATOR, 5), (GENERATOR, -5)],
        [(GENERATOR, bn254.R)],
        [(GENERATOR, -2), (double, 1)],
        [(None, 3)],
    ]
    other = [[(GENERATOR, 1)], [(GENERATOR, 2), (double, 1)], [(GENERATOR, bn254.R - 1)]]
    assert [verifier._is_zero(terms) for terms in zero] == [True] * len(zero)
    assert [verifier._is_zero(terms) for terms in other] == [False] * len(other)
