"""Each equation of docs/protocol.md, broken alone by a prover who is honest otherwise."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from huref_zk.argument import projection
from huref_zk.argument.batching import Equation
from huref_zk.argument.projection import SetProof, parse_projection, serialise_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.halo2 import POINT_BYTES
from huref_zk.commitment.descriptor import block_length
from huref_zk.curve import bn254
from huref_zk.invariants.sketch import LEFT, PUBLIC_SEED, RIGHT
from huref_zk.proofs.kernel import Policy
from tests.support.cheats import BREAKS, failing, row_points
from tests.support.tampering import accepted, forge, pack_bundle, refused

LAST_TWO = Policy(recipe="last-two")
NAMED = {"core": "core (C)", "embedding": "embedding (C)", "right": "right"}


def test_nothing_fails_without_a_cheat(chain):
    assert failing(chain, chain.bundle) == []
    assert pack_bundle(forge(chain)) == chain.bundle_file.read_bytes()
    accepted(chain)


@pytest.mark.parametrize(
    ("cheat", "equation"), [(cheat, kind) for kind, cheats in BREAKS.items() for cheat in cheats]
)
def test_one_equation_broken_alone(chain, cheat, equation):
    """The control is test_nothing_fails_without_a_cheat: the same prover without the cheat."""
    bundle = forge(chain, **cheat(chain))
    name = NAMED[equation]
    assert failing(chain, bundle) == [name]
    refused(4, name.replace("(", r"\(").replace(")", r"\)"), chain, bundle)
    accepted(chain)


def test_a_response_off_in_a_salt(chain):
    """In the own salts only the embedding equation sees it."""
    (part,) = parse_projection(chain.bundle.projection, chain.commitment.descriptor)
    y, place = part.response, chain.commitment.hidden
    off = replace(part, response=(*y[:place], (y[place] + 1) % bn254.R, *y[place + 1 :]))
    bundle = replace(chain.bundle, projection=serialise_projection((off,)))
    assert failing(chain, bundle) == ["embedding (C)"]
    refused(4, "embedding", chain, bundle)
    accepted(chain, replace(chain.bundle, projection=serialise_projection((part,))))


def test_sides_exchanged(chain):
    """Right rows where left ones belong."""
    proof = chain.bundle.proof
    left, rows = POINT_BYTES * LEFT, POINT_BYTES * (LEFT + RIGHT)
    turned = proof[left:rows] + proof[:left] + proof[rows:]
    refused(4, "equation", chain, replace(chain.bundle, proof=turned))
    accepted(chain)


def test_two_core_sets(last_two):
    """Either set's proof is its own: exchanged, or with errors that would cancel, it is refused."""
    accepted(last_two, policy=LAST_TWO)
    first, second = parse_projection(last_two.bundle.projection, last_two.commitment.descriptor)
    crossed = replace(last_two.bundle, projection=serialise_projection((second, first)))
    refused(4, "equation", last_two, crossed, policy=LAST_TWO)


# --- the challenge -------------------------------------------------------------------------------


def test_errors_that_cancel_each_other(last_two):
    """R of one set too large and R of the other too small, by the same point: the equations add up
    to infinity unless each has a weight of its own."""
    honest = projection._draw_rho

    def draw(transcript, firsts):
        for number, sign in ((0, 1), (1, -1)):
            mask, image = firsts[number]
            firsts[number] = (bn254.add(mask, bn254.multiply(bn254.GENERATOR, sign)), image)
        return honest(transcript, firsts)

    bundle = forge(last_two, _draw_rho=draw)
    assert failing(last_two, bundle) == ["embedding (C0)", "embedding (C1)"]
    refused(4, "embedding", last_two, bundle, policy=LAST_TWO)
    drawn = Transcript.challenges

    def equal_weights(self, label, count):
        weights = drawn(self, label, count)
        return [1] * count if label == "batch" else weights

    with patch.object(Transcript, "challenges", equal_weights):  # the control
        accepted(last_two, bundle, policy=LAST_TWO)


def test_a_challenge_known_beforehand(chain):
    """Who knows rho first needs to know nothing else: any y, and R and T such that it all holds.

    That is the simulator of the zero-knowledge argument; only the hash stands in its way.
    """
    c = chain.commitment
    rho = [3 + i for i in range(LEFT)]
    response = tuple(range(1, 1 + block_length(c.hidden)))
    rows = row_points(chain, chain.bundle)
    zero = (SetProof(None, None, response),)
    delta = [1] * RIGHT
    equations = projection._equations(c, PUBLIC_SEED, zero, rows, rho, delta, chain.srs)
    mask, image = (_value(equation) for equation in equations[:2])
    bundle = replace(
        chain.bundle, projection=serialise_projection((SetProof(mask, image, response),))
    )
    assert failing(chain, bundle) == ["embedding (C)", "core (C)"]
    refused(4, "equation", chain, bundle)
    with patch.object(projection, "_draw_rho", lambda *_: rho):  # the control
        assert failing(chain, bundle) == []
        accepted(chain, bundle, setup=chain.setup)


def _value(equation: Equation) -> bn254.Point:
    return bn254.msm(list(equation.points), [s % bn254.R for s in equation.scalars])
