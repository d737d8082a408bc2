"""The projection proof's soundness argument: each line of code dropped lets its cheat through

docs/soundness.md sets these tests against the lines of the argument in docs/protocol.md. They need
no circuit: a small owner, its commitment, and the rows that a Halo2 proof would open with.
"""

from __future__ import annotations

import re
from dataclasses import replace
from unittest.mock import patch

import pytest

from huref_zk.argument import projection, transcript
from huref_zk.argument.batching import Equation, first_false
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR
from soundness.cheats.adaptive import CHEATS, case_of, challenges, check, deaf, grind
from soundness.cheats.owner import Bench
from soundness.record import aside, control, refusal
from tests.support.cheats import BREAKS
from tests.support.small_owner import small_owner, small_srs

NAMES = {"core": "core (C)", "embedding": "embedding (C)", "right": "right"}


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    srs = small_srs(tmp_path_factory.mktemp("srs"))
    return {recipe: Bench(small_owner(srs, recipe), srs) for recipe in ("whole", "last-two")}


@pytest.fixture(scope="module")
def bench(benches):
    return benches["whole"]


@pytest.fixture(scope="module")
def honest(bench):
    return case_of(bench)


@pytest.fixture(scope="module")
def two_sets(benches):
    return case_of(benches["last-two"])


def without(name: str):
    """A verifier that leaves the equation of this name out."""
    equations = projection._equations

    def fewer(*args):
        return [e if e.name != name else Equation(name, [], []) for e in equations(*args)]

    return patch.object(projection, "_equations", fewer)


@pytest.mark.attack(
    "Prover deviates in one step, so that one of the three equations is false",
    control="a verifier that leaves it out; the same prover without the cheat",
    each=True,
)
@pytest.mark.parametrize(
    ("cheat", "equation"),
    [
        pytest.param(cheat, equation, id=cheat.__name__.replace("_", " "))
        for equation, cheats in BREAKS.items()
        for cheat in cheats
    ],
)
def test_each_equation_is_needed(bench, honest, cheat, equation):
    case = case_of(bench, **cheat(bench))
    name = NAMES[equation]
    with refusal("projection", re.escape(f"{name} equation")):
        check(case)
    for other in {*NAMES.values()} - {name}:
        with aside(), without(other), refusal("projection"):
            check(case)
    with without(name), control():
        check(case)
    with control():
        check(honest)


@pytest.mark.attack(
    "Message changed after its challenge was drawn, such that all equations hold",
    control="a verifier that forgets to hash it; the honest proof",
    each=True,
)
@pytest.mark.parametrize(
    ("label", "recipe", "cheat"),
    [
        pytest.param(label, recipe, cheat, id=f"{label}, {recipe}")
        for label, recipe, cheat in CHEATS
    ],
)
def test_each_message_is_hashed(benches, label, recipe, cheat):
    honest = case_of(benches[recipe])
    with deaf(label):
        # What the prover of this verifier would send: the same, under its own challenges.
        start = case_of(benches[recipe])
        with control():
            check(start)
        false = cheat(start)
        assert false != start
        with control():
            check(false)
    with refusal("projection", "does not hold"):
        check(false)
    # Nor does the cheat help against the challenges that it does not change.
    with refusal("projection", "does not hold"):
        check(cheat(honest))
    with control():
        check(honest)


def test_every_message_changes_every_challenge(honest, two_sets):
    """Also those after which no cheat of ours is named: the seed, and which set R and T are of."""
    for case in (honest, two_sets):
        mine = challenges(case)
        commitment = case.commitment
        other_descriptor = replace(commitment.descriptor, checkpoint="0" * 64)
        others = [
            replace(case, statement=b"x"),
            replace(case, seed=b"\x01" * 32),
            replace(case, rows=case.rows[::-1]),
            replace(case, commitment=replace(commitment, root=1)),
            replace(case, commitment=replace(commitment, descriptor=other_descriptor)),
        ]
        others += [case.with_points(n, points[::-1]) for n, points in commitment.points.items()]
        for number in range(len(case.proof)):
            others += [case.with_set(number, **{f: GENERATOR}) for f in ("mask", "image")]
        if len(case.proof) == 2:
            one, two = case.proof
            crossed = case.with_set(0, mask=two.mask, image=two.image)
            others.append(crossed.with_set(1, mask=one.mask, image=one.image))
        for other in others:
            for drawn, theirs in zip(mine, challenges(other), strict=True):
                assert not set(drawn) & set(theirs)
        assert challenges(case) == mine
        # A response changes what is drawn after it; rho is drawn before.
        y = case.proof[0].response
        rho, *later = challenges(case.with_set(0, response=(*y[:-1], y[-1] ^ 1)))
        assert rho == mine[0]
        for drawn, theirs in zip(mine[1:], later, strict=True):
            assert not set(drawn) & set(theirs)


@pytest.mark.attack(
    "First messages tried until a challenge suits a false row",
    control="challenges of 8 bits, where some 256 tries suffice",
)
def test_challenges_are_too_long_to_grind(bench, honest):
    assert transcript.CHALLENGE_BITS == 128
    with patch.object(transcript, "CHALLENGE_BITS", 8):
        found = grind(bench, case_of(bench), 4000)
        assert found is not None
        with control():
            check(found)
    with refusal("projection", "does not hold"):
        check(found)
    assert grind(bench, honest, 300) is None
    with control():
        check(honest)


@pytest.mark.attack(
    "Two false equations whose errors cancel in a plain sum",
    control="a verifier whose batch weights are all one",
)
def test_each_equation_has_a_weight_of_its_own(two_sets):
    place = two_sets.commitment.hidden
    case = two_sets
    for number, by in ((0, 1), (1, -1)):
        y = list(case.proof[number].response)
        y[place] = (y[place] + by) % bn254.R
        case = case.with_set(number, response=tuple(y))
    with refusal("projection", "embedding"):
        check(case)
    drawn = transcript.Transcript.challenges

    def ones(self, label, count):
        return [1] * count if label == "batch" else drawn(self, label, count)

    with patch.object(transcript.Transcript, "challenges", ones), control():
        check(case)


def test_terms_add_up_to_infinity_or_not():
    """first_false decides: equal points are merged first, multiples of r vanish."""
    double = bn254.multiply(GENERATOR, 2)
    zero = [
        ([], []),
        ([GENERATOR], [0]),
        ([GENERATOR, GENERATOR], [5, -5]),
        ([GENERATOR], [bn254.R]),
        ([GENERATOR, double], [-2, 1]),
        ([None], [3]),
    ]
    other = [([GENERATOR], [1]), ([GENERATOR, double], [2, 1]), ([GENERATOR], [bn254.R - 1])]
    for terms, name in [*((t, None) for t in zero), *((t, "x") for t in other)]:
        assert first_false([Equation("x", *terms)], [1]) == name
